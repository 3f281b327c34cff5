package batch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// allFormats are the formats that there are.
func allFormats() []*report.Format {
	var all []*report.Format
	for _, f := range report.Formats() {
		all = append(all, &f)
	}
	return all
}

// oddClass is a class with a submission that is refused, one that cannot be read, and one whose student has
// an ID that is out to break file names and formats.
func oddClass(t *testing.T, n int) []intake.Entry {
	t.Helper()
	dir := gradetest.Samples(t, n)
	if err := os.WriteFile(filepath.Join(dir, "refused.yaml"), []byte("kind: Secret\napiVersion: v1\nmetadata: {name: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := intake.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries := append(found.Entries,
		intake.Entry{ID: "..", Name: "=cmd()", Path: found.Entries[0].Path},
		intake.Entry{ID: "a/../b\"><script>::error::|é", Name: "<b>&", Path: found.Entries[1].Path},
		intake.Entry{ID: "gone", Path: filepath.Join(dir, "nowhere")},
	)
	slices.SortFunc(entries, func(a, b intake.Entry) int { return strings.Compare(a.ID, b.ID) })
	return entries
}

func TestViewsAreTheSameHoweverTheyCameAbout(t *testing.T) {
	t.Parallel()
	entries := oddClass(t, 24)
	var first map[string]string
	for _, workers := range []int{1, 5} {
		cfg := gradetest.Config(t, gradetest.Tutorial)
		cfg.Workers, cfg.Formats = workers, allFormats()
		if workers > 1 {
			// A part of it by an earlier run, without formats.
			early := cfg
			early.Formats = nil
			if _, err := batch.Run(context.Background(), early, entries[:9]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := batch.Run(context.Background(), cfg, entries); err != nil {
			t.Fatal(err)
		}
		files := gradetest.Files(t, cfg.Out)
		if first == nil {
			first = files
			continue
		}
		gradetest.Same(t, files, first)
	}
	for _, f := range report.Formats() {
		if f.ClassFile != "" && first[f.ClassFile] == "" {
			t.Errorf("there is no %s", f.ClassFile)
		}
		if f.File == "" {
			continue
		}
		n := 0
		for name := range first {
			if filepath.Base(name) == f.File && filepath.Dir(name) != "." {
				n++
			}
		}
		if n != len(entries) {
			t.Errorf("%d of %d students have a %s", n, len(entries), f.File)
		}
	}
}

// unnamedMistake is a policy for the backend that lets in what the task wants kept out, and that no mistake explains.
const unnamedMistake = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: odd}
spec:
  podSelector: {matchLabels: {app: backend}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: frontend}}}, {podSelector: {matchLabels: {app: worker}}}]
`

// Students' files are rendered while the report is in memory, or later from report.json: the bytes are the same.
func TestFilesFromMemoryAreThoseFromReports(t *testing.T) {
	t.Parallel()
	entries := oddClass(t, 24)
	berlin := time.FixedZone("CET", 3600)
	due := time.Date(2026, 11, 20, 18, 0, 0, 0, berlin)
	for i := range entries {
		if i%3 == 0 {
			entries[i].DueAt, entries[i].SubmittedAt = due, due.Add(time.Duration(i+1)*time.Hour)
		}
	}
	dir := gradetest.Folder(t, map[string]string{
		"caf\xe9/02-backend-deny/p\xff.yaml": denyAll, "empty/notes\xfe.txt": "\xff", "invalid/p.yaml": "kind: \"<\xff>\"\n",
		"unnamed/02-backend-ingress-deny/p.yaml": unnamedMistake,
	})
	found, err := intake.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries = append(entries, found.Entries...)
	slices.SortFunc(entries, func(a, b intake.Entry) int { return strings.Compare(a.ID, b.ID) })

	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Formats, cfg.Similarity = allFormats(), true
	cfg.Late = labs.Late{Penalty: 10, Per: time.Hour, Max: 50}
	early := 0 // students whose page was there before the files of the class were begun
	cfg.Report = func(p batch.Progress) {
		if p.Result == nil || p.Written > 0 {
			return
		}
		if _, err := os.Stat(filepath.Join(cfg.Out, "students", p.Result.ID, "feedback.html")); err == nil {
			early++
		}
	}
	if _, err := batch.Run(t.Context(), cfg, entries); err != nil {
		t.Fatal(err)
	}
	if early < 15 {
		t.Errorf("only %d students had their page when they were graded: the test shows little", early)
	}
	fromMemory := gradetest.Files(t, cfg.Out)
	if !strings.Contains(fromMemory["students/unnamed/feedback.html"], "labctl hint") {
		t.Error("no page points to hints: the test shows little")
	}
	for name := range fromMemory {
		if base := filepath.Base(name); strings.HasPrefix(name, "students/") && base != "report.json" && base != "report.txt" {
			if err := os.Remove(filepath.Join(cfg.Out, filepath.FromSlash(name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := batch.Run(t.Context(), cfg, entries); err != nil {
		t.Fatal(err)
	}
	gradetest.Same(t, gradetest.Files(t, cfg.Out), fromMemory)
}

func TestErrorsHaveNoGradeInAnyFormat(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Formats = allFormats()
	if _, err := batch.Run(context.Background(), cfg, []intake.Entry{{ID: "gone", Path: "nowhere"}}); err != nil {
		t.Fatal(err)
	}
	files := gradetest.Files(t, cfg.Out)
	for name, want := range map[string]string{
		"grades.csv": "gone,,,error,,,,", "junit.xml": `errors="1"`, "summary.md": "no grade", "github.txt": "::error title=Not graded",
		"students/gone/report.tap": "\nBail out! ",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s does not say %q:\n%s", name, want, files[name])
		}
	}
	// An empty cell would take away what a platform has.
	for _, name := range []string{"canvas.csv", "moodle.csv", "nbgrader.csv"} {
		if text, ok := files[name]; !ok || strings.Contains(text, "gone") {
			t.Errorf("%s has a row without a grade:\n%s", name, text)
		}
	}
	for _, name := range []string{"students/gone/gradescope.json", "students/gone/prairielearn.json"} {
		var got map[string]any
		if err := json.Unmarshal([]byte(files[name]), &got); err != nil {
			t.Fatal(err)
		}
		if _, scored := got["score"]; scored {
			t.Errorf("%s has a score: %v", name, got)
		}
	}
}

func TestSlowestAreThoseThatWereGraded(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	found, err := intake.Find(gradetest.Folder(t, map[string]string{
		"ada/02-backend-deny/p.yaml": "# ada\n", "copy/02-backend-deny/p.yaml": "# ada\n", "eve/02-backend-deny/p.yaml": "# eve\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is graded, and the page still is about the first
		if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(cfg.Out, "slowest.html"))
		if err != nil {
			t.Fatal(err)
		}
		// Of ada and her copy one was graded, and nobody knows which.
		page := string(data)
		if !strings.Contains(page, ">eve</a>") || strings.Count(page, "/feedback.html") != 2 || !strings.Contains(page, "2 were graded") {
			t.Errorf("the page is %s", page)
		}
	}
}

// Files of an earlier run that say what is not so any more do not stay.
func TestFormerResultsDoNotStay(t *testing.T) {
	t.Parallel()
	dir := gradetest.Folder(t, gradetest.Sample(t, "solution", "ada/"))
	for name, text := range gradetest.Sample(t, "solution", "eve/") {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := gradetest.Config(t, gradetest.Tutorial)
	early := cfg
	early.Formats, early.Similarity = allFormats(), true
	gradetest.Run(t, early, dir)
	before := gradetest.Files(t, cfg.Out)
	if err := os.WriteFile(filepath.Join(dir, "ada", "notes.yaml"), []byte("kind: Secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gradetest.Run(t, cfg, dir)
	after := gradetest.Files(t, cfg.Out)
	var gone []string
	for name := range before {
		if _, ok := after[name]; !ok {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	want := []string{"students/ada/report.json", "students/ada/report.txt", "similarity.csv", "similarity.json"}
	for _, f := range allFormats() {
		if f.ClassFile != "" {
			want = append(want, f.ClassFile)
		}
		if f.File != "" && f.Name != "html" {
			want = append(want, "students/ada/"+f.File, "students/eve/"+f.File)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if !slices.Equal(gone, want) {
		t.Errorf("of the former files these are gone:\n%s\nand these should be:\n%s", strings.Join(gone, "\n"), strings.Join(want, "\n"))
	}
}

// TestFilesNameNoPlaceOfTheLab: where a lab is that does not ship with labctl is the grader's business, and of no use to students.
func TestFilesNameNoPlaceOfTheLab(t *testing.T) {
	t.Parallel()
	lab := t.TempDir()
	if err := os.CopyFS(lab, os.DirFS("../../labs/networkpolicy")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(lab, "lab.hcl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`lab "networkpolicy"`), []byte(`lab "own"`), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := gradetest.Config(t, lab)
	cfg.Formats = allFormats()
	gradetest.Run(t, cfg, gradetest.Folder(t, map[string]string{"ann/02-backend-ingress-deny/p.yaml": unnamedMistake}))
	files := gradetest.Files(t, cfg.Out)
	if !strings.Contains(files["students/ann/report.txt"], "`labctl hint LAB backend-ingress-deny`") {
		t.Errorf("the report does not point to the hints:\n%s", files["students/ann/report.txt"])
	}
	for name, text := range files {
		if strings.Contains(text, lab) {
			t.Errorf("%s names the directory of the lab", name)
		}
	}
}
