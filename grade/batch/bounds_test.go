package batch_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/gradetest"
)

const (
	policyHead = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: default, name: "
	firstTask  = "02-backend-ingress-deny/"
)

// wordy are submissions that want to be repeated at length.
func wordy() map[string]map[string]string {
	deny := func(n int, name string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s%s%d}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n---\n", policyHead, name, i)
		}
		return b.String()
	}
	long := strings.Repeat("x", 900_000)
	all := map[string]map[string]string{
		"kind":     {},
		"names":    {firstTask + "a.yaml": deny(120, strings.Repeat("n", 230))},
		"denies":   {firstTask + "a.yaml": deny(60, "p")},
		"field":    {firstTask + "a.yaml": policyHead + "x}\nspec: {podSelector: {}, " + long + ": 1}\n"},
		"value":    {firstTask + "a.yaml": policyHead + "x}\nspec: {podSelector: {}, policyTypes: [" + long + "]}\n"},
		"label":    {firstTask + "a.yaml": policyHead + "x}\nspec: {podSelector: {matchLabels: {app: " + long + "}}}\n"},
		"selector": {firstTask + "a.yaml": policyHead + "x}\nspec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [" + strings.Repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, ", 2000) + "b]}]}}\n"},
		"object":   {firstTask + "a.yaml": policyHead + long + "}\nspec: {podSelector: {}}\n"},
		"folders":  {},
		"broken":   {firstTask + "a.yaml": "kind: [" + long},
		"many":     {firstTask + "a.yaml": strings.Repeat("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n---\n", 1900)},
		"unknown":  {},
		"empty":    {},
	}
	for i := range 16 {
		all["kind"][fmt.Sprintf("%02d.yaml", i)] = "apiVersion: v1\nkind: " + long + "\nmetadata: {name: x}\n"
	}
	for i := range 400 {
		all["folders"][firstTask+strings.Repeat(strings.Repeat("f", 200)+"/", 6)+fmt.Sprintf("%03d.yaml", i)] = policyHead + fmt.Sprintf("p%d}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n", i)
		all["empty"][firstTask+strings.Repeat(strings.Repeat("e", 200)+"/", 6)+fmt.Sprintf("%03d.yaml", i)] = fmt.Sprintf("# %d\n", i)
		all["unknown"][fmt.Sprintf("%s%03d.yaml", strings.Repeat("g", 200), i)] = "apiVersion: v1\nkind: Pod" + fmt.Sprint(i) + "\nmetadata: {name: x}\n"
	}
	return all
}

// TestOutputIsBounded holds what one submission costs in files, the lines in the files of the class included,
// whatever it says.
func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	const usual, withAll = 215 << 10, 400 << 10 // bytes: without other formats, and with all of them
	for name, files := range wordy() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			class := map[string]string{}
			for file, text := range files {
				class["mallory/"+file] = text
			}
			dir := gradetest.Folder(t, class)
			for _, all := range []bool{false, true} {
				cfg := gradetest.Config(t, gradetest.Tutorial)
				most := usual
				if all {
					cfg.Formats, most = allFormats(), withAll
				}
				gradetest.Run(t, cfg, dir)
				size, largest := 0, 0
				for file, text := range gradetest.Files(t, cfg.Out) {
					// These are about the lab, and no longer for a longer answer.
					if file == "index.html" || file == "summary.json" {
						if len(text) > 60<<10 {
							t.Errorf("%s has %d bytes", file, len(text))
						}
						continue
					}
					size += len(text)
					largest = max(largest, len(text))
				}
				journal, err := os.ReadFile(filepath.Join(cfg.Out, "journal.jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				size += len(journal)
				t.Logf("all formats %v: %d bytes, the largest file %d", all, size, largest)
				if size > most {
					t.Errorf("all formats %v: %d bytes of output", all, size)
					for file, text := range gradetest.Files(t, cfg.Out) {
						t.Logf("%s: %d", file, len(text))
					}
				}
			}
		})
	}
}

// No two students share a folder, on file systems that ignore case too, and every name is one that they take.
func TestFoldersOfStudents(t *testing.T) {
	t.Parallel()
	ids := []string{
		"ada", "Ada", "ADA", "aDa", "..", ".", ".ada", "a/b", "a%2Fb", "A%2fB", "é", "e\u0301", "É", "CON", strings.Repeat("计", 29), strings.Repeat("计", 80),
		strings.Repeat("计", 80) + "算", strings.Repeat("a", 140), strings.Repeat("a", 141), strings.Repeat("a", 142), "a,b", "=1+1", "a b", "%", "ada,8a3f",
	}
	for _, id := range ids { // and whoever takes the folder of another for an ID
		ids = append(ids, strings.TrimPrefix(batch.DirOf(&intake.Entry{ID: id}), "students/"))
	}
	seen := map[string]string{}
	for _, id := range ids {
		dir := batch.DirOf(&intake.Entry{ID: id})
		name, ok := strings.CutPrefix(dir, "students/")
		if !ok || name == "" || len(name) > 140 || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") {
			t.Errorf("%q has the folder %q", id, dir)
		}
		if other, ok := seen[strings.ToLower(name)]; ok && other != id {
			t.Errorf("%q and %q share %q", id, other, dir)
		}
		seen[strings.ToLower(name)] = id
	}
	if dir := batch.DirOf(&intake.Entry{ID: "s1234567"}); dir != "students/s1234567" {
		t.Errorf("a usual ID has the folder %q", dir)
	}
}

// What is in the way of one student's files costs nobody else a grade; without it the same command completes the class.
func TestFilesOfOneStudentCannotBeWritten(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("计算机", 22)
	class := map[string]string{}
	for _, id := range []string{"ada", "bob", "eve", "joe", long} {
		class[id+"/policy.yaml"] = policyHead + "x}\nspec: {podSelector: {}}\n"
	}
	dir := gradetest.Folder(t, class)
	undisturbed := gradetest.Config(t, smallLab)
	gradetest.Run(t, undisturbed, dir)
	want := gradetest.Files(t, undisturbed.Out)

	cfg := gradetest.Config(t, smallLab)
	block := func(path ...string) string {
		name := filepath.Join(append([]string{cfg.Out, "students"}, path...)...)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// The folder is a file; a report is a folder; the page is a folder.
	var blocks []string
	for _, b := range [][]string{{"ada"}, {"bob", "report.json"}, {"eve", "feedback.html"}} {
		blocks = append(blocks, block(b...))
	}
	// A run that begins anew takes away what is there, so there has to be one before.
	first := cfg
	one := gradetest.Folder(t, map[string]string{"zoe/policy.yaml": ""})
	gradetest.Run(t, first, one)
	for i, name := range blocks {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if i == 0 {
			err = os.WriteFile(name, []byte("in the way"), 0o644)
		} else {
			err = os.MkdirAll(filepath.Join(name, "in the way"), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := gradetest.Run(t, cfg, dir)
	got := resultsOf(t, cfg.Out)
	for _, id := range []string{"ada", "bob", "eve"} {
		var r batch.Result
		if err := json.Unmarshal([]byte(got[id]), &r); err != nil {
			t.Fatal(err)
		}
		if r.Status != grade.Errored || r.Score != nil || !strings.Contains(r.Message, "files of this student cannot be written") {
			t.Errorf("%s: %s", id, got[id])
		}
	}
	for _, id := range []string{"joe", long} {
		if !strings.Contains(got[id], `"status":"failed"`) && !strings.Contains(got[id], `"status":"passed"`) {
			t.Errorf("%s: %s", id, got[id])
		}
	}
	if len(sum.Failures) != 3 {
		t.Errorf("%d errors are told: %+v", len(sum.Failures), sum.Failures)
	}
	for _, name := range blocks {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	cfg.OnlyFailed = true
	gradetest.Run(t, cfg, dir)
	files := gradetest.Files(t, cfg.Out)
	for name := range files {
		if strings.HasPrefix(name, "students/zoe/") {
			delete(files, name)
		}
	}
	gradetest.Same(t, files, want)
}

// TestMaximumIsThatOfTheGradedTasks looks for the maximum in all that says one: for every choice of tasks and
// every outcome.
func TestMaximumIsThatOfTheGradedTasks(t *testing.T) {
	t.Parallel()
	solution := gradetest.Sample(t, "solution", "graded/")
	class := map[string]string{"refused/02-backend-ingress-deny/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "empty/notes.yaml": ""}
	for name, text := range solution {
		class[name] = text
	}
	dir := gradetest.Folder(t, class)
	if err := os.Symlink("nowhere", filepath.Join(dir, "error.yaml")); err != nil {
		t.Fatal(err)
	}
	for tasks, most := range map[string]string{"": "100", "backend-ingress-deny": "12", "backend-ingress-deny,allow-dns": "", "allow-namespace": ""} {
		t.Run("tasks "+tasks, func(t *testing.T) {
			t.Parallel()
			cfg := gradetest.Config(t, gradetest.Tutorial)
			if tasks != "" {
				cfg.Options.Tasks = strings.Split(tasks, ",")
			}
			if want := fmt.Sprint(cfg.Grader.MaxPoints(cfg.Options)); most != "" && want != most {
				t.Fatalf("the tasks are worth %s, not %s", want, most)
			} else {
				most = want
			}
			cfg.Formats = allFormats()
			gradetest.Run(t, cfg, dir)
			files := gradetest.Files(t, cfg.Out)
			for id, line := range resultsOf(t, cfg.Out) {
				var r batch.Result
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				if r.Score != nil && fmt.Sprint(r.Score.Max) != most {
					t.Errorf("results.jsonl: %s has %v of %v points", id, r.Score.Points, r.Score.Max)
				}
			}
			for file, want := range map[string]string{
				"grades.csv": "refused,,,refused,0," + most + ",0,false", "canvas.csv": "Points Possible,,,,," + most + "\n",
				"moodle.csv": ",refused,,Submitted for grading,0," + most + ",Yes", "nbgrader.csv": "refused,,,,0,,0," + most + "\n",
				"summary.md": "| 0 / " + most + " |", "index.html": "0 / " + most + "<", "students/refused/feedback.html": "0 / " + most,
				"students/refused/report.tap": "0 / " + most + " points", "students/refused/report.md": "0 points",
				"students/graded/feedback.html": most + " / " + most, "students/graded/report.tap": most + " / " + most + " points", "students/graded/report.md": most + " / " + most,
				"students/graded/report.txt": most + " of " + most + " points", "students/empty/report.tap": "0 / " + most + " points",
			} {
				if !strings.Contains(files[file], want) {
					t.Errorf("%s does not say %q:\n%.3000s", file, want, files[file])
				}
				if other := "/ 100"; most != "100" && strings.Contains(files[file], other) {
					t.Errorf("%s says %q", file, other)
				}
			}
			if tasks != "" && strings.Contains(files["index.html"], "hidden in the reports") {
				t.Error("index.html calls tasks hidden that were not graded")
			}
		})
	}
}
