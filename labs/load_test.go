package labs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/labs"
)

var update = flag.Bool("update", false, "write the golden files")

// toolVersion is what required_version is checked against.
const toolVersion = "0.1.0"

func options(dir string) labs.LoadOptions {
	opts := labs.LoadOptions{ToolVersion: toolVersion}
	for _, name := range []string{"values.tfvars", "values.json"} {
		if file := filepath.Join(dir, name); exists(file) {
			opts.VarFiles = append(opts.VarFiles, file)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "vars.json")); err == nil {
		_ = json.Unmarshal(data, &opts.Vars)
	}
	return opts
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// TestLoad reads the labs of testdata. A valid one must give the lab in lab.golden.json and no
// diagnostic but those in diagnostics.golden; an invalid one exactly those. A lab's vars.json holds what
// would come from --var, its values.tfvars and values.json are given as files.
func TestLoad(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("testdata/*valid-*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no labs in testdata", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			fsys, _, err := labs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			lab, diags := labs.Load(fsys, ".", options(dir))
			var text bytes.Buffer
			if err := diags.WriteText(&text, 100, false); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "diagnostics.golden"), text.Bytes())

			valid := filepath.Base(dir)[:6] == "valid-"
			switch {
			case valid && diags.HasErrors():
				t.Error("a valid lab has errors")
			case !valid && !diags.HasErrors():
				t.Error("an invalid lab has no error")
			case valid:
				golden(t, filepath.Join(dir, "lab.golden.json"), dump(t, lab))
			case lab != nil:
				t.Error("there is a lab in spite of errors")
			}
		})
	}
}

// golden compares with a file. No file has no anchor at all.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if len(got) == 0 {
			_ = os.Remove(file)
		} else if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it). Got:\n%s", file, got)
	}
}

// dump shows a lab as JSON without what changes with every edit.
func dump(t *testing.T, lab *labs.Lab) []byte {
	t.Helper()
	clone := *lab
	clone.FS, clone.Digest = nil, ""
	data, err := json.Marshal(clone)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	data, err = json.MarshalIndent(prune(v), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e = prune(e); strings.HasSuffix(k, "Range") || e == nil || e == "" || e == false {
				delete(v, k)
				continue
			}
			v[k] = e
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func TestShippedLabsLoad(t *testing.T) {
	t.Parallel()
	names := labs.Shipped()
	if len(names) == 0 {
		t.Fatal("no lab ships")
	}
	for _, name := range names {
		fsys, dir, err := labs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lab, diags := labs.Load(fsys, dir, labs.LoadOptions{ToolVersion: toolVersion})
		if len(diags.Diagnostics) > 0 {
			_ = diags.WriteText(os.Stderr, 100, false)
			t.Fatalf("%s has problems", name)
		}
		if lab.Name != name {
			t.Errorf("the lab in %s is called %s", name, lab.Name)
		}
	}
}

func TestSkeletonLoads(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"dns": "dns", "My Lab!": "my-lab", "": "my-lab", ".": "my-lab", "ünï": "n"} {
		fsys := fstest.MapFS{}
		for name, data := range labs.Skeleton(given) {
			fsys[name] = &fstest.MapFile{Data: data}
		}
		lab, diags := labs.Load(fsys, ".", labs.LoadOptions{ToolVersion: toolVersion})
		if len(diags.Diagnostics) > 0 {
			_ = diags.WriteText(os.Stderr, 100, false)
			t.Fatalf("the skeleton has problems")
		}
		if lab.Name != want {
			t.Errorf("Skeleton(%q) is called %q, want %q", given, lab.Name, want)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := func() fstest.MapFS {
		fsys := fstest.MapFS{"notes.txt": {Data: []byte("no part of the lab")}}
		for name, data := range labs.Skeleton("x") {
			fsys[name] = &fstest.MapFile{Data: data}
		}
		fsys["vars.hcl"] = &fstest.MapFile{Data: []byte("variable \"v\" {\n  default = 1\n}\n")}
		return fsys
	}
	digest := func(fsys fstest.MapFS, vars map[string]string) string {
		lab, diags := labs.Load(fsys, ".", labs.LoadOptions{Vars: vars})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		return lab.Digest
	}
	same := digest(base(), nil)
	change := func(edit func(fstest.MapFS)) string {
		fsys := base()
		edit(fsys)
		return digest(fsys, nil)
	}
	if got := digest(base(), nil); got != same {
		t.Error("equal labs have different digests")
	}
	if got := change(func(f fstest.MapFS) { f["notes.txt"].Data = []byte("changed") }); got != same {
		t.Error("a file that is no part of the lab changes the digest")
	}
	for name, got := range map[string]string{
		"a lab file":   change(func(f fstest.MapFS) { f["lab.hcl"].Data = append(f["lab.hcl"].Data, '\n') }),
		"instructions": change(func(f fstest.MapFS) { f["tasks/01-protect-backend.md"].Data = []byte("x") }),
		"a sample":     change(func(f fstest.MapFS) { f["samples/solution/new.yaml"] = &fstest.MapFile{} }),
		"the starter":  change(func(f fstest.MapFS) { f["starter/new.yaml"] = &fstest.MapFile{} }),
		"a variable":   digest(base(), map[string]string{"v": "2"}),
	} {
		if got == same {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	fsys, dir, err := labs.Open("networkpolicy")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, diags := labs.Load(fsys, dir, labs.LoadOptions{}); diags.HasErrors() {
			b.Fatal(diags.Err())
		}
	}
}
