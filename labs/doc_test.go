package labs

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const docFile = "../docs/lab-language.md"

func readDoc(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section is the part of the document under a heading, to the next one of the same or a higher level.
func section(doc, heading string) string {
	_, rest, ok := strings.Cut(doc, "\n"+heading+"\n")
	if !ok {
		return ""
	}
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	end := regexp.MustCompile(fmt.Sprintf(`(?m)^#{1,%d} `, level)).FindStringIndex(rest)
	if end == nil {
		return rest
	}
	return rest[:end[0]]
}

// Every function is listed, and every function listed exists.
func TestDocListsFunctions(t *testing.T) {
	t.Parallel()
	text := section(readDoc(t), "### Functions")
	table, _, _ := strings.Cut(text, "\n\n`cidrhost")
	listed := []string{}
	for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(table, -1) {
		listed = append(listed, m[1])
	}
	slices.Sort(listed)
	if want := sortedKeys(functions(newSource(fstest.MapFS{}, ""), 0)); !slices.Equal(listed, want) {
		t.Errorf("listed: %v\nthere are: %v", listed, want)
	}
}

// base is what the fragments of the document refer to.
const base = `
lab "doc" {}
namespace "monitoring" {}
app "backend" {
  port "http" { port = 80 }
}
app "frontend" {}
app "worker" {
  port "http" { port = 80 }
}
app "monitoring" { namespace = "monitoring" }
external "internet" { host = "kubernetes.io" }
task "base" {
  objective "base" {
    points = 1
    invariant "base" { to = app.backend }
  }
}
task "protect" {
  objective "by-name" {
    points = 1
    invariant "by-name" { to = app.backend }
  }
}
`

// wrap puts the blocks around a fragment that belong there.
func wrap(typ, text string) string {
	const invariant = "objective \"o\" {\npoints = 1\ninvariant \"i\" { to = app.backend }\n}\n"
	switch typ {
	case "objective":
		return fmt.Sprintf("task \"t\" {\n%s\n}\n", text)
	case "setup", "hint":
		return fmt.Sprintf("task \"t\" {\n%s\n%s}\n", text, invariant)
	case "expect", "matrix", "invariant", "object":
		return fmt.Sprintf("task \"t\" {\nobjective \"o\" {\npoints = 1\n%s\n}\n}\n", text)
	}
	return text
}

// Every example loads: a whole lab as it is, a fragment with what it needs around it.
func TestDocExamplesLoad(t *testing.T) {
	t.Parallel()
	examples := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(readDoc(t), -1)
	if len(examples) < 25 {
		t.Fatalf("only %d examples", len(examples))
	}
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: legacy, labels: {app: legacy}}\nspec:\n  containers: [{name: c, image: i}]\n"
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: legacy}\nspec: {podSelector: {}}\n"
	for i, m := range examples {
		text := m[1]
		t.Run(fmt.Sprintf("%d %s", i, strings.SplitN(text, "\n", 2)[0]), func(t *testing.T) {
			t.Parallel()
			blocks := parseBlocks(t, text)
			source := wrap(blocks[0].Type, text)
			if blocks[0].Type != "lab" || len(blocks) == 1 {
				for _, b := range parseBlocks(t, base) {
					if !slices.ContainsFunc(blocks, func(o *hclsyntax.Block) bool {
						return o.Type == b.Type && (b.Type == "lab" || slices.Equal(o.Labels, b.Labels))
					}) {
						source += base[b.Range().Start.Byte:b.CloseBraceRange.End.Byte] + "\n"
					}
				}
			}
			fsys := fstest.MapFS{
				"lab.hcl": {Data: []byte(source)}, "tasks/01.md": {Data: []byte("Do it.")},
				"samples/solution/p.yaml": {Data: []byte(policy)}, "samples/forgot-dns/p.yaml": {Data: []byte(policy)},
				"starter/p.yaml": {Data: []byte("# nothing yet")}, "manifests/legacy.yaml": {Data: []byte(pod)},
				"manifests/legacy-policy.yaml": {Data: []byte(policy)},
			}
			_, diags := Load(fsys, ".", LoadOptions{ToolVersion: "0.1.0"})
			if len(diags.Diagnostics) > 0 {
				_ = diags.WriteText(os.Stderr, 100, false)
				t.Error("the example does not load")
			}
			if formatted, _ := Format([]byte(text), "example"); string(formatted) != text {
				t.Errorf("the example is not formatted; want\n%s", formatted)
			}
		})
	}
}

func parseBlocks(t *testing.T, text string) hclsyntax.Blocks {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(text), "doc", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body).Blocks
}
