package cilium

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// TestVersionsAgree holds every place that names a version of Cilium against the module in go.mod, whose rule model
// labctl grades with: the oracle's module, the default of the lab language, the labs that ship, the built-in
// resource definitions, what is known about the chart, and the documentation.
func TestVersionsAgree(t *testing.T) {
	t.Parallel()
	model := moduleVersion(t, "../go.mod")
	if got := moduleVersion(t, "policy/oracle/go.mod"); got != model {
		t.Errorf("the oracle compares with Cilium %s", got)
	}
	if got := schema.Lab().Block("cilium").Attribute("version").Default; got != model {
		t.Errorf("a lab that names no version gets Cilium %s", got)
	}
	if labs.DefaultCiliumVersion != model {
		t.Errorf("labs.DefaultCiliumVersion is %s", labs.DefaultCiliumVersion)
	}
	if definitionsOf != minor(model) {
		t.Errorf("the built-in resource definitions are those of Cilium %s", definitionsOf)
	}
	if digests[model] == "" {
		t.Error("the digest of the chart is not known")
	}
	if len(tested[minor(model)]) == 0 {
		t.Error("the versions of Kubernetes that it is tested with are not known")
	}
	shipped := labs.Shipped()
	for _, name := range shipped {
		fsys, dir, err := labs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lab, diags := labs.Load(fsys, dir, labs.LoadOptions{})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		if lab.Cilium.Version != model {
			t.Errorf("the lab %s installs Cilium %s", name, lab.Cilium.Version)
		}
	}
	if len(shipped) == 0 {
		t.Error("no lab ships")
	}
	named := 0
	for _, file := range documents(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range versionOfCilium.FindAllStringSubmatch(string(data), -1) {
			named++
			if m[1] != model {
				t.Errorf("%s: %q", file, m[0])
			}
		}
	}
	if named < 4 {
		t.Errorf("only %d places in the documentation name a version: the test looks for the wrong thing", named)
	}
	if t.Failed() {
		t.Logf("go.mod has Cilium %s", model)
	}
}

// versionOfCilium is a full version soon after the name, on the same line: "Cilium 1.20.2",
// "cilium/hubble-relay:v1.20.2".
var versionOfCilium = regexp.MustCompile(`(?i)cilium[^0-9\n|]{0,25}(\d+\.\d+\.\d+)`)

// moduleVersion is the version of Cilium that a module requires, without the v.
func moduleVersion(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*github\.com/cilium/cilium v(\S+)`).FindStringSubmatch(string(data))
	if m == nil {
		t.Fatalf("%s does not require Cilium", file)
	}
	return m[1]
}

// documents are the files that tell people, or labs, which version of Cilium there is. CHANGELOG.md also tells of
// earlier ones.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && slices.Contains([]string{"testdata", "bin", "dist", ".git"}, e.Name()):
			return fs.SkipDir
		case e.IsDir() || e.Name() == "CHANGELOG.md":
			return nil
		case slices.Contains([]string{".md", ".hcl", ".yml", ".yaml"}, filepath.Ext(path)), strings.HasPrefix(e.Name(), "Dockerfile"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
