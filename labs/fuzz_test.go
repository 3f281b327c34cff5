package labs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labctl/labctl/labs"
)

// corpus adds every lab file of testdata, of the shipped lab and of the skeleton.
func corpus(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*/*.hcl")
	if err != nil || len(files) == 0 {
		f.Fatal("no corpus", err)
	}
	for _, file := range append(files, "networkpolicy/lab.hcl", "skeleton/lab.hcl") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"", "\xef\xbb\xbflab \"bom\" {}", "lab \"crlf\" {\r\n  title = \"x\"\r\n}\r\n",
		"task \"t\" {\n  for_each = app.x\n  objective each.key { points = each.value }\n}",
		"locals {\n  a = [for k, v in app : v.port[k].name...]\n}",
		"locals {\n  a = { for k, v in { x = local.a } : k => v }\n}",
		"app \"x\" {\n  for_each = { (null) = 1 }\n}",
		"locals {\n  a = templatefile(\"lab.hcl\", { a = 1 })\n  b = yamldecode(file(\"lab.hcl\"))\n}",
		"locals {\n  a = app.x[*].port\n  b = app[\"x\"].port[\"http\"][0]\n  c = namespace[each.key]\n}\napp \"x\" {}",
		"external \"e\" {\n  cidr = \"::/0\"\n  addresses = [\"::1\", \"0.0.0.0\"]\n}",
		"variable \"v\" {\n  type = object({ a = optional(list(any), [1]), b = map(set(tuple([string, bool]))) })\n  default = { a = null, b = {} }\n}",
	} {
		f.Add([]byte(text))
	}
}

// FuzzLoad reads arbitrary files as a lab: there is a lab or an error, never both, never a panic, always
// the same diagnostics, and it does not take forever.
func FuzzLoad(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{
			"lab.hcl":           {Data: data},
			"tasks/01.md":       {Data: []byte("Do it, ${name}.")},
			"samples/solution":  {Data: []byte("a: b")},
			"manifests/app.yml": {Data: []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n")},
		}
		opts := labs.LoadOptions{ToolVersion: toolVersion, Vars: map[string]string{"v": string(data[:min(len(data), 20)])}}
		start := time.Now()
		lab, diags := labs.Load(fsys, ".", opts)
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("took %s", d)
		}
		if (lab == nil) != diags.HasErrors() {
			t.Errorf("lab %v with %v", lab != nil, diags.Err())
		}
		var text bytes.Buffer
		if err := diags.WriteText(&text, 80, false); err != nil {
			t.Error(err)
		}
		for _, d := range diags.List() {
			if d.Summary == "Cannot read the lab" {
				t.Errorf("a panic: %s", d.Detail)
			}
		}
		_, again := labs.Load(fsys, ".", opts)
		var second bytes.Buffer
		_ = again.WriteText(&second, 80, false)
		if text.String() != second.String() {
			t.Errorf("diagnostics differ from run to run:\n%s\n---\n%s", text.String(), second.String())
		}
	})
}

// FuzzFormat formats arbitrary files: what parses still does, and formatting twice changes nothing more.
func FuzzFormat(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		once, diags := labs.Format(data, "lab.hcl")
		if diags.HasErrors() {
			if !bytes.Equal(once, data) {
				t.Error("a file with errors was changed")
			}
			for _, d := range diags {
				if d.Subject == nil && len(data) < 1000 {
					t.Error(d.Detail)
				}
			}
			return
		}
		twice, diags := labs.Format(once, "lab.hcl")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if !bytes.Equal(once, twice) {
			t.Errorf("formatting is not stable:\n%q\n%q", once, twice)
		}
	})
}
