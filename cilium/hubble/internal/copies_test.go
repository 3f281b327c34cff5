package internal

import (
	"bytes"
	"flag"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "copy the files of Cilium's module again")

const (
	module = "github.com/cilium/cilium"
	here   = "github.com/labctl/labctl/cilium/hubble/internal/"
)

// copies are the packages, each with the files that labctl needs; none: all of them.
var copies = []struct {
	from, to string
	files    []string
}{
	{from: "hubble/pkg/printer", to: "printer"},
	{from: "pkg/hubble/filters", to: "filters"},
	{from: "pkg/hubble/api/v1", to: "event", files: []string{"types.go"}},
	{from: "pkg/monitor/api", to: "monitor", files: []string{"drop.go", "files.go", "types.go"}},
}

// TestCopies: the copies are those of the version of Cilium that go.mod names.
func TestCopies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(out))
	var paths []string
	for _, c := range copies {
		paths = append(paths, `"`+module+"/"+c.from+`"`, `"`+here+c.to+`"`)
	}
	imports := strings.NewReplacer(paths...)
	for _, c := range copies {
		files := c.files
		if files == nil {
			files = goFiles(t, filepath.Join(dir, c.from))
		}
		for _, name := range files {
			data, err := os.ReadFile(filepath.Join(dir, c.from, name))
			if err != nil {
				t.Fatal(err)
			}
			want, err := format.Source([]byte(imports.Replace(string(data)))) // sorts the imports
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(c.to, name)
			if *update {
				if err := os.WriteFile(path, want, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s differs from Cilium's (%v); copy it again with -update", path, err)
			}
		}
		if has := goFiles(t, c.to); !slices.Equal(has, files) {
			t.Errorf("%s has the files %v, want %v", c.to, has, files)
		}
	}
}

// goFiles lists the Go files of a directory that are no tests.
func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range all {
		if !strings.HasSuffix(path, "_test.go") {
			names = append(names, filepath.Base(path))
		}
	}
	return names
}
