package batch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
)

func TestResultsDoNotDependOnTheNumberOfWorkers(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 15)
	one := gradetest.Config(t, gradetest.Tutorial)
	one.Workers = 1
	gradetest.Run(t, one, dir)
	many := gradetest.Config(t, gradetest.Tutorial)
	many.Workers = 7
	gradetest.Run(t, many, dir)
	gradetest.Same(t, gradetest.Files(t, many.Out), gradetest.Files(t, one.Out))
}

// The grades of the samples are what the lab declares: batch adds nothing to grading and loses nothing.
func TestGradesAreThoseOfTheLab(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	sum := gradetest.Run(t, cfg, "../../labs/networkpolicy/samples")
	declared := map[string]labs.Sample{}
	for _, s := range cfg.Grader.Lab().Samples {
		declared[filepath.Base(s.Path)] = s
	}
	compared := 0
	for _, r := range gradetest.Results(t, cfg.Out) {
		s, ok := declared[r.ID]
		if !ok || s.Score == nil || r.Score == nil {
			continue
		}
		compared++
		if r.Score.Percent != *s.Score {
			t.Errorf("%s has %v%%, and the lab declares %v%%", r.ID, r.Score.Percent, *s.Score)
		}
	}
	if compared < 20 || sum.Submissions < compared {
		t.Errorf("only %d samples were compared, of %d", compared, sum.Submissions)
	}
}

func TestSecondRunGradesNothing(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 9)
	cfg := gradetest.Config(t, gradetest.Tutorial)
	gradetest.Run(t, cfg, dir)
	before := gradetest.Files(t, cfg.Out)
	graded := 0
	cfg.Report = func(p batch.Progress) {
		if p.Result != nil {
			graded++
		}
	}
	gradetest.Run(t, cfg, dir)
	if graded != 0 {
		t.Errorf("%d submissions were graded again", graded)
	}
	gradetest.Same(t, gradetest.Files(t, cfg.Out), before)

	if err := os.WriteFile(filepath.Join(dir, "student-0003", "new.yaml"), []byte("# more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Regrade = []string{"student-0007"}
	gradetest.Run(t, cfg, dir)
	if graded != 2 {
		t.Errorf("%d submissions were graded again, not the one that changed and the one that was named", graded)
	}
}

func TestAnotherToolStartsAfresh(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 5)
	cfg := gradetest.Config(t, gradetest.Tutorial)
	gradetest.Run(t, cfg, dir)
	cfg.Tool = "another"
	why := ""
	graded := 0
	cfg.Report = func(p batch.Progress) {
		why = p.RestartReason
		if p.Result != nil {
			graded++
		}
	}
	gradetest.Run(t, cfg, dir)
	if why == "" || graded != 5 {
		t.Errorf("%d of 5 were graded afresh, for the reason %q", graded, why)
	}
}

func TestTornJournal(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 5)
	cfg := gradetest.Config(t, gradetest.Tutorial)
	gradetest.Run(t, cfg, dir)
	want := gradetest.Files(t, cfg.Out)
	path := filepath.Join(cfg.Out, "journal.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, torn := range map[string][]byte{
		"half a record":       whole[:len(whole)-40],
		"a flipped bit":       flip(whole, len(whole)*2/3),
		"zeros at the end":    append(slices.Clone(whole), make([]byte, 512)...),
		"nothing":             {},
		"half a header":       whole[:20],
		"something else":      []byte("hello\n"),
		"the last line twice": append(slices.Clone(whole), whole[lastLine(whole):]...),
	} {
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := gradetest.Run(t, cfg, dir)
		if sum.Submissions != 5 {
			t.Errorf("%s: %d of 5 results", name, sum.Submissions)
		}
		gradetest.Same(t, gradetest.Files(t, cfg.Out), want)
	}
}

func flip(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 4
	return data
}

func lastLine(data []byte) int {
	return strings.LastIndexByte(strings.TrimSuffix(string(data), "\n"), '\n') + 1
}

func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 3)
	cfg := gradetest.Config(t, gradetest.Tutorial)
	var second error
	var tried atomic.Bool
	cfg.Report = func(batch.Progress) {
		if tried.Swap(true) {
			return
		}
		found, err := intake.Find(dir)
		if err != nil {
			t.Error(err)
			return
		}
		other := cfg
		other.Report = nil
		_, second = batch.Run(t.Context(), other, found.Entries)
	}
	gradetest.Run(t, cfg, dir)
	var busy *batch.BusyError
	if !errors.As(second, &busy) {
		t.Errorf("a second run at the same time ended with %v", second)
	}
}

// rogue is an engine that breaks down, or never ends, on submissions with a certain policy.
type rogue struct {
	engine.Engine
	stuck bool
}

func (r rogue) At(ctx context.Context, state *engine.State) (engine.Prober, error) {
	for _, p := range state.Policies {
		if p.Name != "rogue" {
			continue
		}
		if r.stuck {
			<-make(chan struct{}) // it does not look at ctx either
		}
		panic("a bug")
	}
	return r.Engine.At(ctx, state)
}

func TestOneThatBreaksDownIsItsOwnError(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		dir := gradetest.Samples(t, 3)
		bad := filepath.Join(dir, "mallory.yaml")
		if err := os.WriteFile(bad, []byte("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: rogue}\nspec: {podSelector: {}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := gradetest.Config(t, gradetest.Tutorial)
		cfg.Engine = rogue{cfg.Engine, stuck}
		cfg.Timeout = 5 * time.Second
		sum := gradetest.Run(t, cfg, dir)
		if sum.Errors != 1 || sum.Submissions != 4 || len(sum.Failures) != 1 || sum.Failures[0].ID != "mallory" {
			t.Errorf("stuck %v: %d errors of %d: %v", stuck, sum.Errors, sum.Submissions, sum.Failures)
		}
		for _, r := range gradetest.Results(t, cfg.Out) {
			if (r.ID == "mallory") != (r.Status == grade.Errored) || r.Status == grade.Errored && r.Score != nil {
				t.Errorf("stuck %v: %s has the status %s and the score %v", stuck, r.ID, r.Status, r.Score)
			}
		}
	}
}

func TestGradesForSpreadsheets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"=cmd|' -C calc'!A1.yaml": "# nothing\n",
		"broken.yaml":             "kind: [\n",
		"class.csv": "\ufeffstudent_id,path,name\n4711,broken.yaml,\"Lovelace, Ada\"\n4712,missing.yaml,Bob\n" +
			"../../etc,broken.yaml,Eve\n4713,broken.yaml,Carl\n4713,=cmd|' -C calc'!A1.yaml,Carl\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := intake.Find(filepath.Join(dir, "class.csv"), filepath.Join(dir, "=cmd|' -C calc'!A1.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := gradetest.Config(t, gradetest.Tutorial)
	if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
		t.Fatal(err)
	}
	csv := gradetest.Files(t, cfg.Out)["grades.csv"]
	for _, want := range []string{
		"'=cmd|' -C calc'!A1,,,failed,0,100,0,false",
		"4711,\"Lovelace, Ada\",,refused,0,100,0,false",
		"4712,Bob,,error,,,,,",
		"4713,Carl,,error,,,,,",
		"../../etc,Eve,,refused",
	} {
		if !strings.Contains(csv, want) {
			t.Errorf("there is no line %q in\n%s", want, csv)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(cfg.Out), "etc")); err == nil {
		t.Error("a student ID has led out of the output directory")
	}
}

func TestNamesAreThoseOfTheListNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := filepath.Join(dir, "class.csv")
	cfg := gradetest.Config(t, gradetest.Tutorial)
	for _, name := range []string{"Lovelace", "King"} {
		err := errors.Join(
			os.WriteFile(filepath.Join(dir, "ada.yaml"), []byte("# nothing\n"), 0o600),
			os.WriteFile(list, []byte("student_id,path,name\n4711,ada.yaml,"+name+"\n"), 0o600),
		)
		if err != nil {
			t.Fatal(err)
		}
		gradetest.Run(t, cfg, list)
		if got := gradetest.Results(t, cfg.Out)[0].Name; got != name {
			t.Errorf("the result is of %q, and the list says %q", got, name)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"ada/policy.yaml", "bob.zip", "carl.tar.gz", "notes.txt", ".git/config", "__MACOSX/x", "evil\x01.yaml",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := intake.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range found.Entries {
		line := e.ID
		if e.Name != "" {
			line += " " + e.Name
		}
		if e.Problem != "" {
			line += ": " + e.Problem
		}
		got = append(got, line)
	}
	want := []string{"ada", "bob", "carl", `evil\x01: the student ID contains invisible characters: "evil\x01"`}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if len(found.Ignored) != 1 || filepath.Base(found.Ignored[0]) != "notes.txt" {
		t.Errorf("ignored %q", found.Ignored)
	}
}

func TestBadLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "it is empty",
		"student_id,path\r1,a\r2,b\r": "carriage returns",
		"student_id,path\n\"=\"\"00123\"\"\",a\n":      `:2: student_id: "=\"00123\"" is what a spreadsheet made of a number`,
		"student_id,path\n1.23E+12,a\n\"4,2E+11\",b\n": `:3: student_id: "4,2E+11" is what a spreadsheet`,
		"name,path\n":                                            `no column "student_id"`,
		"student_id,path\n1,a\n,b\n":                             ":3: student_id is missing",
		"student_id,path\n1,a,b\n2\n":                            ":2: it has 3 fields, but the first line names 2 columns\n",
		"student_id,path\n1,a\n2\n":                              ":3: it has 1 field,",
		"student_id,path\n\"1,a\n":                               "line 2",
		"student_id,path\n":                                      "contains no submissions",
		"student_id;path\n1;no-such\n":                           "",
		"student_id\tpath\n1\tno-such\n":                         "",
		"sep=;\r\nstudent_id;path\r\n;b":                         ":3: student_id is missing",
		"student_id|path\n1|a\n":                                 "separated by commas, semicolons or tabs",
		"\ufeffstudent_id,path\n1,x\n":                           "",
		"\"student_id\";\"path\"\n1;x":                           "",
		"student_id,path,sbmitted_at\n1,a,":                      `no column "sbmitted_at"; did you mean "submitted_at"?`,
		"student id,path\n1,a":                                   `did you mean "student_id"?`,
		"student_id,path,Due-At\n1,a,":                           `did you mean "due_at"?`,
		"student_id,path,path\n1,a,b\n":                          `columns 2 and 3 are both called "path"`,
		"student_id,path,name,email,e-mail\n1,a,b,c,d\n":         "",
		"student_id,path,section\n1,a,b\n":                       "",
		"student_id,path,name\n1,a,M\xfcller\n2,a,b\n3,c,\x80\n": `:2: "M\xfcller" is not UTF-8: save the list as "CSV UTF-8"`,
		"student_id,path,n\xe4me\n1,a,b\n":                       "is not UTF-8",
		"student_id,path\n1,a\n,\n\n2,b,,\n":                     "",
		"\xff\xfes\x00t\x00u\x00d\x00e\x00n\x00t\x00_\x00i\x00d\x00\t\x00p\x00a\x00t\x00h\x00\n\x00\xfc\x00\t\x00a\x00": "",
		"\xfe\xff\x00s\x00t\x00u\x00d\x00e\x00n\x00t\x00_\x00i\x00d\x00;\x00p\x00a\x00t\x00h\x00\n\x00;\x00a":           ":2: student_id is missing",
		"s\x00t\x00u\x00d\x00e\x00n\x00t\x00_\x00i\x00d\x00,\x00p\x00a\x00t\x00h\x00\n\x00":                             "is not UTF-8",
		"STUDENT_ID , Path \n1,no-such\n": "",
	} {
		path := filepath.Join(t.TempDir(), "class.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := intake.Find(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
