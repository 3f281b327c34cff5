package submission_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

const denyBackend = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: backend-deny
spec:
  podSelector:
    matchLabels:
      app: backend
`

// shop is the lab that package grade is tested with.
func shop(tb testing.TB) *gradetest.Lab {
	tb.Helper()
	return gradetest.Load(tb, os.DirFS("../testdata/lab"))
}

// refusal returns the problems of a refusal, and fails the test for any other error or none.
func refusal(t *testing.T, err error) string {
	t.Helper()
	refused := (*engine.Refused)(nil)
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a refusal", err)
	}
	return refused.Problems.Error()
}

// write puts files below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadSubmissionFromDisk(t *testing.T) {
	t.Parallel()
	rules := shop(t).Grader.Rules
	dir := write(t, map[string]string{"01-deny/policy.yaml": denyBackend, "single.yml": denyBackend, ".git/config.yaml": "not: read"})

	sub, err := rules.Read(filepath.Join(dir, "01-deny"), manifest.Limits{})
	if err != nil || sub.Layout != labs.LayoutFlat || len(sub.Files) != 1 || sub.Files[0] != "policy.yaml" {
		t.Errorf("a task's folder by itself is a flat submission: %+v, %v", sub, err)
	}
	sub, err = rules.Read(filepath.Join(dir, "single.yml"), manifest.Limits{})
	if err != nil || sub.Layout != labs.LayoutFlat || sub.Files[0] != "single.yml" {
		t.Errorf("one file: %+v, %v", sub, err)
	}
	sub, err = rules.ReadStream("-", strings.NewReader(denyBackend), manifest.Limits{})
	if err != nil || sub.Layout != labs.LayoutFlat || sub.Files[0] != "-" {
		t.Errorf("a stream: %+v, %v", sub, err)
	}
	_, err = rules.Read(dir, manifest.Limits{})
	if got := refusal(t, err); !strings.HasPrefix(got, "single.yml: stands beside") {
		t.Errorf("a file beside the folders: %s", got)
	}
	_, err = rules.Read(filepath.Join(dir, "missing"), manifest.Limits{})
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*engine.Refused)) {
		t.Errorf("a path that does not exist is no refusal, but: %v", err)
	}
}

// A lab that takes one layout says so.
func TestLayouts(t *testing.T) {
	t.Parallel()
	shop := shop(t)
	for _, c := range []struct {
		layout  labs.Layout
		files   map[string]string
		want    labs.Layout
		refused string
	}{
		{labs.LayoutCheckpoints, map[string]string{"deny/a.yaml": denyBackend}, labs.LayoutCheckpoints, ""},
		{labs.LayoutCheckpoints, map[string]string{}, labs.LayoutCheckpoints, ""},
		{labs.LayoutCheckpoints, map[string]string{"a.yaml": denyBackend}, "", "a.yaml: stands beside the tasks' folders"},
		{labs.LayoutFlat, map[string]string{"a.yaml": denyBackend}, labs.LayoutFlat, ""},
		{labs.LayoutFlat, map[string]string{"some/where/a.yaml": denyBackend}, labs.LayoutFlat, ""},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "deny/delete/a.yaml": denyBackend}, "", "deny/delete/a.yaml: a folder named delete"},
		{labs.LayoutFlat, map[string]string{"answers/delete/a.yaml": denyBackend}, labs.LayoutFlat, ""}, // a wrapper
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "Delete/a.yaml": denyBackend}, "", "Delete/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "DELETE/a.yaml": denyBackend}, "", "DELETE/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "deleted/a.yaml": denyBackend}, "", "deleted/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "delet/a.yaml": denyBackend}, "", "delet/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "x/Delete/a.yaml": denyBackend}, "", "x/Delete/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutFlat, map[string]string{"b.yaml": denyBackend, "removed/a.yaml": denyBackend}, "", "removed/a.yaml: manifests of what was deleted belong into a folder named delete"},
		{labs.LayoutEither, map[string]string{"deny/a.yaml": denyBackend}, labs.LayoutCheckpoints, ""},
		{labs.LayoutEither, map[string]string{"policies/a.yaml": denyBackend}, labs.LayoutFlat, ""},
		{labs.LayoutEither, map[string]string{"task2/a.yaml": denyBackend}, "", `task2: the lab "shop" has no task of this name (did you mean "02-allow-frontend"?)`},
		{labs.LayoutEither, map[string]string{"Task 01/a.yaml": denyBackend}, "", `Task 01: the lab "shop" has no task of this name (did you mean "01-deny"?)`},
		{labs.LayoutEither, map[string]string{"02/a.yaml": denyBackend}, "", `02: the lab "shop" has no task of this name (did you mean "02-allow-frontend"?)`},
		{labs.LayoutEither, map[string]string{"3-up/a.yaml": denyBackend}, "", `3-up: the lab "shop" has no task of this name (did you mean "03-tidy-up"?)`},
		{labs.LayoutEither, map[string]string{"03_tidy/a.yaml": denyBackend}, "", `03_tidy: the lab "shop" has no task of this name (did you mean "03-tidy-up"?)`},
		{labs.LayoutEither, map[string]string{"group2/a.yaml": denyBackend}, labs.LayoutFlat, ""},
		{labs.LayoutEither, map[string]string{"2/a.yaml": denyBackend}, labs.LayoutFlat, ""},
		{labs.LayoutEither, map[string]string{"01-deny/a.yaml": denyBackend, "2/a.yaml": denyBackend}, "", `2: the lab "shop" has no task of this name (did you mean "02-allow-frontend"?)`},
		{labs.LayoutEither, map[string]string{"01-deny/a.yaml": denyBackend, "99/a.yaml": denyBackend}, "", `99: the lab "shop" has no task of this name (its tasks are`},
		{labs.LayoutEither, map[string]string{"01-deny/a.yaml": denyBackend, "delete/a.yaml": denyBackend}, "", "delete: what was deleted goes into the folder of the task that it was deleted in, not beside it (move it into the folder of that task, and call it delete)"},
		{labs.LayoutEither, map[string]string{"01-deny/a.yaml": denyBackend, "Deleted/a.yaml": denyBackend}, "", "Deleted: what was deleted goes into the folder of the task"},
		{labs.LayoutEither, map[string]string{"new/01-deny/a.yaml": denyBackend, "old/02-allow-frontend/delete/a.yaml": denyBackend}, "", "these are several submissions, and only one can be graded: the folders of the tasks are in new and old (hand in one of them)"},
		{labs.LayoutCheckpoints, map[string]string{"new/01-deny/a.yaml": denyBackend, "old/01-deny/a.yaml": denyBackend}, "", "these are several submissions"},
		{labs.LayoutEither, map[string]string{"answers/01-deny/a.yaml": denyBackend, "draft.yaml": denyBackend}, "", "answers: the folders of the tasks are in here, and other manifests lie beside it (hand in this folder alone)"},
		{labs.LayoutEither, map[string]string{"tidyup/a.yaml": denyBackend}, "", `tidyup: the lab "shop" has no task of this name (did you mean "tidy-up"?)`},
	} {
		lab := *shop.Lab
		lab.Layout = c.layout
		fsys := fstest.MapFS{".": {Mode: fs.ModeDir}}
		for name, text := range c.files {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
		sub, err := newRules(t, &lab).ReadFS(fsys, ".", manifest.Limits{})
		if c.refused != "" {
			if got := refusal(t, err); !strings.HasPrefix(got, c.refused) {
				t.Errorf("%s, %v: refused with %s, want %s", c.layout, c.files, got, c.refused)
			}
			continue
		}
		if err != nil || sub.Layout != c.want {
			t.Errorf("%s, %v: %+v, %v; want the layout %s", c.layout, c.files, sub, err, c.want)
		}
	}

	lab := *shop.Lab
	lab.Layout = labs.LayoutCheckpoints
	_, err := newRules(t, &lab).ReadStream("-", strings.NewReader(denyBackend), manifest.Limits{})
	if got := refusal(t, err); !strings.Contains(got, "takes a directory with one folder per task") {
		t.Errorf("a stream for a lab of checkpoints: %s", got)
	}
}

// Whatever is too large or leads outside is the submission's fault, and read no further.
func TestHostileSubmissions(t *testing.T) {
	t.Parallel()
	rules := shop(t).Grader.Rules
	outside := write(t, map[string]string{"secret.yaml": denyBackend})
	tooMany := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d"} {
		tooMany["deny/"+name+".yaml"] = denyBackend
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		link  string // deny/link.yaml leads there
		lim   manifest.Limits
		want  string
	}{
		{"too many files", tooMany, "", manifest.Limits{Files: 3}, "more than 3 files"},
		{"too large a file", map[string]string{"deny/a.yaml": strings.Repeat("# x\n", 1000)}, "", manifest.Limits{FileBytes: 1000}, "more than 1000 bytes"},
		{"too much in all", tooMany, "", manifest.Limits{TotalBytes: 300}, "larger than 300 bytes"},
		{"too deep", map[string]string{"deny/a/b/c/d/e.yaml": denyBackend}, "", manifest.Limits{Depth: 3}, "nested more than 3 deep"},
		{"an absolute link", map[string]string{"deny/a.yaml": denyBackend}, filepath.Join(outside, "secret.yaml"), manifest.Limits{}, "symbolic link"},
		{"a link that climbs", map[string]string{"deny/a.yaml": denyBackend}, "../../../../../../../../etc/hostname", manifest.Limits{}, "symbolic link"},
		{"an alias bomb", map[string]string{"deny/a.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"}, "", manifest.Limits{Nodes: 1000}, "deny/a.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, c.files)
			if c.link != "" {
				if err := os.Symlink(c.link, filepath.Join(dir, "deny/link.yaml")); err != nil {
					t.Skip(err)
				}
			}
			_, err := rules.Read(dir, c.lim)
			if got := refusal(t, err); !strings.Contains(got, c.want) {
				t.Errorf("refused with %s, want %s", got, c.want)
			}
		})
	}
}

// entry is one entry of an archive.
type entry struct {
	name, text string
	link       string // what it links to
	typeflag   byte   // of a tar entry; 0: by the rest
}

func zipEntries(t testing.TB, entries ...entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		text := e.text
		if e.link != "" {
			h.SetMode(fs.ModeSymlink | 0o777)
			text = e.link
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(e.name, "/") {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarEntries(t testing.TB, entries ...entry) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		switch {
		case e.typeflag != 0:
			h.Typeflag, h.Linkname = e.typeflag, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchives(t *testing.T) {
	t.Parallel()
	rules := shop(t).Grader.Rules
	policy := entry{name: "answers/01-deny/policy.yaml", text: denyBackend}
	for _, c := range []struct {
		name    string
		entries []entry
		lim     manifest.Limits
		want    string // of the refusal; empty: read as checkpoints
	}{
		{"a folder in it", []entry{{name: "answers/"}, {name: "answers/notes.pdf", text: "%PDF"}, policy}, manifest.Limits{}, ""},
		{"the tasks at its top", []entry{{name: "./deny/a.yaml", text: denyBackend}}, manifest.Limits{}, ""},
		{"a name that climbs", []entry{policy, {name: "../evil.yaml", text: "x: y"}}, manifest.Limits{}, "points outside the archive"},
		{"an absolute name", []entry{policy, {name: "/etc/evil.yaml", text: "x: y"}}, manifest.Limits{}, "points outside the archive"},
		{"a name for Windows", []entry{policy, {name: `..\evil.yaml`, text: "x: y"}}, manifest.Limits{}, "points outside the archive"},
		{"a link", []entry{policy, {name: "answers/01-deny/link.yaml", link: "/etc/passwd"}}, manifest.Limits{}, "is a link"},
		{"a bomb", []entry{policy, {name: "answers/01-deny/b.yaml", text: strings.Repeat("# \n", 1<<20)}}, manifest.Limits{FileBytes: 1 << 20}, "more than 1048576 bytes"},
		{"many small bombs", []entry{{name: "a.yaml", text: strings.Repeat("#", 600)}, {name: "b.yaml", text: strings.Repeat("#", 600)}}, manifest.Limits{TotalBytes: 1000}, "all files together are larger than 1000 bytes"},
		{"two of a name", []entry{policy, policy}, manifest.Limits{}, "two files have this name"},
		{"a file that is a directory", []entry{policy, {name: "answers/01-deny/policy.yaml/x.yaml", text: "x"}}, manifest.Limits{}, "both a file and a directory"},
	} {
		for kind, data := range map[string][]byte{"submission.zip": zipEntries(t, c.entries...), "submission.tar.gz": tarEntries(t, c.entries...)} {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(write(t, map[string]string{kind: string(data)}), kind)
				sub, err := rules.Read(file, c.lim)
				if c.want != "" {
					if got := refusal(t, err); !strings.Contains(got, c.want) {
						t.Errorf("refused with %s, want %s", got, c.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if sub.Layout != labs.LayoutCheckpoints || !sub.Steps[0].Attempted {
					t.Errorf("read as %+v", sub)
				}
			})
		}
	}
	for _, name := range []string{"x.zip", "x.tar.gz", "x.tgz", "x.tar"} {
		_, err := rules.ReadFS(fstest.MapFS{name: {Data: []byte("PK nonsense, not an archive at all")}}, name, manifest.Limits{})
		refusal(t, err)
	}
	hard := tarEntries(t, policy, entry{name: "answers/01-deny/hard.yaml", link: "answers/01-deny/policy.yaml", typeflag: tar.TypeLink})
	_, err := rules.ReadFS(fstest.MapFS{"x.tgz": {Data: hard}}, "x.tgz", manifest.Limits{})
	if got := refusal(t, err); !strings.Contains(got, "is a link") {
		t.Errorf("a hard link: %s", got)
	}
}

func FuzzReadSubmission(f *testing.F) {
	lab := shop(f)
	f.Add("deny/a.yaml", []byte(denyBackend))
	f.Add("01-deny/delete/a.yaml", []byte("kind: NetworkPolicy\nmetadata: {name: x}"))
	f.Add("a.zip", zipEntries(f, entry{name: "deny/a.yaml", text: denyBackend}))
	f.Add("a.tar.gz", tarEntries(f, entry{name: "deny/a.yaml", text: denyBackend}))
	f.Add("tidy-up/ns.json", []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"batch","labels":{"a":"b"}}}`))
	lim := manifest.Limits{Files: 20, Documents: 20, Nodes: 2000, FileBytes: 1 << 16, TotalBytes: 1 << 17}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || name == "." {
			return
		}
		fsys := fstest.MapFS{name: {Data: data}}
		dir := "."
		if strings.HasPrefix(name, "a.") && !strings.Contains(name, "/") {
			dir = name
		}
		sub, err := lab.Grader.Rules.ReadFS(fsys, dir, lim)
		if err != nil {
			return
		}
		r, err := lab.Grader.Grade(t.Context(), sub, lab.Engine, grade.Options{})
		if err != nil {
			if !errors.As(err, new(*engine.Refused)) {
				t.Fatal(err)
			}
			return
		}
		if r.Score.Max != 35 || r.Score.Percent > 100 || r.Status == grade.Errored {
			t.Errorf("%+v, %s", r.Score, r.Status)
		}
	})
}

// Each limit holds for the whole submission: what was applied and what was deleted count together.
func TestDeletionsCountAgainstTheSameLimits(t *testing.T) {
	t.Parallel()
	rules := shop(t).Grader.Rules
	half := func(limit int, text string) string { return strings.Repeat(text, limit*6/10) }
	lim := manifest.SubmissionLimits()
	big := "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n"
	for _, tt := range []struct {
		limit string
		text  string // of a file that alone keeps to the limit
		lim   manifest.Limits
	}{
		{"max-documents", half(lim.Documents, "---\n"), manifest.Limits{}},
		{"max-values", big + half(lim.Nodes, "    a: b\n"), manifest.Limits{}},
		{"max-bytes", "a: &a " + strings.Repeat("a", 1000) + "\nb:\n" + half(1000, "- *a\n"), manifest.Limits{TotalBytes: 1_000_000}},
		{"max-files", denyBackend, manifest.Limits{Files: 1}},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			t.Parallel()
			applied := map[string]string{"01-deny/a.yaml": tt.text}
			if _, err := rules.Read(write(t, applied), tt.lim); err != nil && strings.Contains(err.Error(), "(the limit") {
				t.Fatalf("half of it exceeds a limit: %v", err)
			}
			_, err := rules.Read(write(t, map[string]string{"01-deny/a.yaml": tt.text, "01-deny/delete/a.yaml": tt.text}), tt.lim)
			if said := refusal(t, err); !strings.Contains(said, "(the limit "+tt.limit+")") {
				t.Errorf("%.300s", said)
			}
		})
	}
}

func newRules(t *testing.T, lab *labs.Lab) *submission.Rules {
	t.Helper()
	rules, err := submission.NewRules(lab)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// What the lab did not give out in this form, and what no object was read from, is noted for its task.
func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	const skeleton = "# Close the backend.\n#\n# app: ____\n"
	shop := shop(t)
	lab := *shop.Lab
	lab.Starter = "starter"
	lab.FS = fstest.MapFS{"starter/01-deny/policy.yaml": {Data: []byte(skeleton)}}
	for i := range lab.Tasks {
		lab.Tasks[i].Setup = nil
	}
	rules := newRules(t, &lab)
	for _, tt := range []struct{ name, text, why string }{
		{"as the lab gave it out", skeleton, ""},
		{"with other line ends", strings.ReplaceAll(skeleton, "\n", "\r\n"), ""},
		{"with its blanks filled in", strings.Replace(skeleton, "____", "backend", 1), "every line is commented out"},
		{"with a line between documents", "---\n# a: b\n---\n", "every line is commented out"},
		{"nothing at all", "\n\n", "the file is empty"},
		{"an object", denyBackend, ""},
	} {
		for _, file := range []string{"01-deny/policy.yaml", "deny/other.yml", "deny/delete/policy.yaml"} {
			sub, err := rules.ReadFS(fstest.MapFS{file: {Data: []byte(tt.text)}}, ".", manifest.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			got := ""
			for _, f := range sub.Steps[0].Empty {
				got += f.File + ": " + f.Why
			}
			want := ""
			if tt.why != "" {
				want = file + ": " + tt.why
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", tt.name, got, want)
			}
		}
	}
}
