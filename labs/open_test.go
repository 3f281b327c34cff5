package labs_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/labs"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "lab.hcl")
	if err := os.WriteFile(file, []byte("lab \"own\" {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ open, wantName, wantErr string }{
		"a directory":     {dir, filepath.ToSlash(dir), ""},
		"a shipped lab":   {"networkpolicy", "networkpolicy", ""},
		"a lab file":      {file, "", "is a file, but a lab is a directory"},
		"nothing":         {"networkpolcy", "", `Did you mean "networkpolicy"?`},
		"a missing place": {filepath.Join(dir, "none"), "", "neither a directory nor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys, got, err := labs.Open(tt.open)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.wantName {
				t.Errorf("called %q, want %q", got, tt.wantName)
			}
			if f, err := fsys.Open("lab.hcl"); err != nil {
				t.Error(err)
			} else {
				f.Close()
			}
		})
	}
}

// A lab cannot be made to read outside its directory by links, whatever the file system.
func TestLinksDoNotLeaveTheLab(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s3cr3t"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"file": filepath.Join(outside, "secret"), "dir": outside, "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	text := `lab "links" { title = "${try(file("file"), "")}${try(file("dir/secret"), "")}${fileexists("dir/secret")}${join(",", fileset(".", "*/*"))}" }
task "t" {
  objective "o" {
    points = 1
    expect "denied" {
      from = app.a
      to   = "10.0.0.1"
      port = 1
    }
  }
}
app "a" {}
`
	if err := os.WriteFile(filepath.Join(dir, "lab.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	opened, _, err := labs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{"opened": opened, "os.DirFS": os.DirFS(dir)} {
		lab, diags := labs.Load(fsys, dir, labs.LoadOptions{})
		if diags.HasErrors() {
			t.Fatal(name, diags.Err())
		}
		if lab.Title != "false" {
			t.Errorf("%s: the lab reads %q", name, lab.Title)
		}
	}
}

func TestDiagnosticsAsJSON(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte("lab \"x\" {\r\n  titel = \"ü\"\r\n}\r\n")}}
	_, diags := labs.Load(fsys, "labs/x", labs.LoadOptions{Vars: map[string]string{"none": "1"}})
	got, err := json.MarshalIndent(diags.List(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/diagnostics.golden.json", append(got, '\n'))

	var none *labs.Diagnostics
	if got, _ := json.Marshal(none.List()); string(got) != "[]" {
		t.Errorf("no diagnostics are %s", got)
	}
}

// What one line of a lab can ask for is bounded.
func TestBombs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"doubling": {doubling(40), "Value too large"},
		"nested for_each": {`task "t" {
  for_each = toset([for i in range(200) : "t${i}"])
  objective "o" {
    for_each = toset([for i in range(200) : "o${i}"])
    points = 1
    expect "denied" {
      for_each = toset([for i in range(200) : "o${i}"])
      from = app.a
      to   = "10.0.0.1"
      port = 1
    }
  }
}`, "Too many blocks"},
		"connections": {`task "t" {
  objective "o" {
    points = 1
    expect "denied" {
      from = [for i in range(400) : app.a]
      to   = [for i in range(400) : "10.0.0.${i % 250}"]
      port = 1
    }
  }
}`, "Too many connections"},
		"unary operators": {"locals {\n  a = " + strings.Repeat("!", 100_000) + "true\n}", "Nested too deeply"},
		"conditionals":    {"locals {\n  a = " + strings.Repeat("true ? 1 : ", 20_000) + "2\n}", "Nested too deeply"},
		"blocks":          {strings.Repeat("task \"t\" {\n", 20_000) + strings.Repeat("}\n", 20_000), "Nested too deeply"},
		"templates":       {"locals {\n  a = " + strings.Repeat(`"${`, 20_000) + "1" + strings.Repeat(`}"`, 20_000) + "\n}", "Nested too deeply"},
		"a long sum":      {"locals {\n  a = 1" + strings.Repeat("+1", 20_000) + "\n}", "No task"},
		"a large file":    {"# " + strings.Repeat("x", 1<<18), "Cannot read a lab file"},
		"YAML aliases": {`locals {
  a = yamldecode("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n")
}`, "Invalid function argument"},
		"YAML flow nesting":  {"locals {\n  a = yamldecode(\"" + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "\")\n}", "Invalid function argument"},
		"YAML block nesting": {"locals {\n  a = yamldecode(\"" + strings.Repeat("- ", 5_000) + "1\")\n}", "Invalid function argument"},
		"a huge number as text": {`locals {
  a = "${1e99999999}"
}`, "Number out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{"lab.hcl": {Data: []byte(tt.text)}, "app.hcl": {Data: []byte("lab \"x\" {}\napp \"a\" {}\n")}}
			_, diags := labs.Load(fsys, ".", labs.LoadOptions{})
			if !slices.ContainsFunc(diags.List(), func(d labs.Diagnostic) bool { return d.Summary == tt.want }) {
				t.Errorf("want %q, got %v", tt.want, diags.Err())
			}
		})
	}
}

// doubling is a chain of locals, each twice as long as the one before.
func doubling(n int) string {
	b := strings.Builder{}
	b.WriteString("locals {\n  a0 = \"0123456789\"\n")
	for i := range n {
		fmt.Fprintf(&b, "  a%d = \"${local.a%d}${local.a%d}\"\n", i+1, i, i)
	}
	b.WriteString("}\n")
	return b.String()
}
