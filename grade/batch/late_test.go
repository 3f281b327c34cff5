package batch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
)

// listed writes a list of submissions, whose lines name folders of the lab's samples.
func listed(t *testing.T, lines ...string) string {
	t.Helper()
	samples, err := filepath.Abs("../../labs/networkpolicy/samples")
	if err != nil {
		t.Fatal(err)
	}
	text := "student_id,path,submitted_at,due_at,extension\n"
	for _, line := range lines {
		id, rest, _ := strings.Cut(line, ",")
		text += id + "," + filepath.Join(samples, rest) + "\n"
	}
	file := filepath.Join(t.TempDir(), "class.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLatePolicy(t *testing.T) {
	t.Parallel()
	const due = "2026-11-20T18:00:00Z"
	policy := labs.Late{Grace: 15 * time.Minute, Penalty: 10, Per: 24 * time.Hour, Max: 25, Cutoff: 96 * time.Hour}
	for _, c := range []struct {
		name, line string
		late       labs.Late
		points     float64
		status     grade.Status
		reason     string
	}{
		{"in time", "solution,2026-11-20T17:59:59Z," + due + ",", policy, 100, grade.Passed, ""},
		{"to the second", "solution,2026-11-20T18:00:00Z," + due + ",", policy, 100, grade.Passed, ""},
		{"another time zone", "solution,2026-11-20T23:10:00+05:00," + due + ",", policy, 100, grade.Passed, ""},
		{"within the grace", "solution,2026-11-20T18:15:00Z," + due + ",", policy, 100, grade.Passed, ""},
		{"just late", "solution,2026-11-20T18:15:01Z," + due + ",", policy, 90, grade.Passed, "submitted 16 minutes after the due date (20 November 2026 at 18:00 UTC): 10% of the maximum deducted, 10% for every day begun"},
		{"a day to the second", "solution,2026-11-21T18:00:00Z," + due + ",", policy, 90, grade.Passed, "submitted 1 day after the due date"},
		{"two days begun", "solution,2026-11-21T18:00:01Z," + due + ",", policy, 80, grade.Passed, "submitted 1 day 1 minute after the due date (20 November 2026 at 18:00 UTC): 20% of the maximum deducted, 10% for every day begun"},
		{"at most", "solution,2026-11-23T17:00:00Z," + due + ",", policy, 75, grade.Passed, "at most 25%"},
		{"cut off", "solution,2026-11-24T18:00:01Z," + due + ",", policy, 0, grade.Failed, "more than 4 days late earns no points"},
		{"an extension in hours", "solution,2026-11-22T06:00:00Z," + due + ",36h", policy, 100, grade.Passed, ""},
		{"an extension in days", "solution,2026-11-22T18:15:01Z," + due + ",2d", policy, 90, grade.Passed, "after the due date (22 November 2026 at 18:00 UTC)"},
		{"an extension by date", "solution,2026-11-30T11:00:00Z," + due + ",2026-11-30T12:00:00Z", policy, 100, grade.Passed, ""},
		{"nobody knows when", "solution,," + due + ",", policy, 100, grade.Passed, ""},
		{"nothing is due", "solution,2026-11-30T11:00:00Z,,", policy, 100, grade.Passed, ""},
		{"no policy", "solution,2026-11-30T11:00:00Z," + due + ",", labs.DefaultLate(), 100, grade.Passed, ""},
		{"never negative", "nothing-handed-in,2026-11-21T18:00:01Z," + due + ",", policy, 0, grade.Failed, "20%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := gradetest.Config(t, gradetest.Tutorial)
			cfg.Late = c.late
			sum := gradetest.Run(t, cfg, listed(t, "ada,"+c.line))
			r := gradetest.Results(t, cfg.Out)[0]
			if r.Score == nil {
				t.Fatalf("no score: %s", r.Message)
			}
			if r.Score.Points != c.points || r.Status != c.status || r.Score.Passed != (c.status == grade.Passed) {
				t.Errorf("%v points, %s, passed %v; want %v, %s", r.Score.Points, r.Status, r.Score.Passed, c.points, c.status)
			}
			if (r.Late != nil) != (c.reason != "") || (r.Raw != nil) != (c.reason != "") || (sum.Late == 1) != (c.reason != "") {
				t.Fatalf("late: %+v, raw: %+v, in the summary: %d", r.Late, r.Raw, sum.Late)
			}
			if r.Late == nil {
				return
			}
			if !strings.Contains(r.Late.Reason, c.reason) {
				t.Errorf("the reason is %q, want %q", r.Late.Reason, c.reason)
			}
			files := gradetest.Files(t, cfg.Out)
			for file, want := range map[string]string{
				"students/ada/report.txt": "Late: " + r.Late.Reason,
				"grades.csv":              fmt.Sprintf("ada,,,%s,%v,100,%v,%v,%v,", c.status, c.points, c.points, c.status == grade.Passed, r.Raw.Points),
			} {
				if !strings.Contains(files[file], want) {
					t.Errorf("%s lacks %q:\n%s", file, want, files[file])
				}
			}
		})
	}
}

// A due date that is moved counts at once, and only those are graded again that it concerns.
func TestDueDateMoves(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Late = labs.Late{Penalty: 10, Per: 24 * time.Hour, Max: 100}
	list := listed(t, "ada,solution,2026-11-20T12:00:00Z,,", "bob,solution,2026-11-22T12:00:00Z,,")
	for _, c := range []struct {
		due    time.Time
		graded int
		points []float64
	}{
		{time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), 2, []float64{100, 80}},
		{time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), 1, []float64{100, 90}},
		{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), 1, []float64{100, 100}},
		{time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), 0, []float64{100, 100}},
	} {
		graded := 0
		cfg.Due = c.due
		cfg.Report = func(p batch.Progress) {
			if p.Result != nil {
				graded++
			}
		}
		gradetest.Run(t, cfg, list)
		for i, r := range gradetest.Results(t, cfg.Out) {
			if r.Score == nil || r.Score.Points != c.points[i] {
				t.Errorf("due %s: %s has %+v, want %v points", c.due, r.ID, r.Score, c.points[i])
			}
		}
		if graded != c.graded {
			t.Errorf("due %s: %d were graded, want %d", c.due, graded, c.graded)
		}
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	// The attempts come in with an hour between them; the lines are not in that order.
	attempt := func(n int, sample string) string { return fmt.Sprintf("ada,%s,2026-11-20T%02d:00:00Z,,", sample, n) }
	good, bad, none := attempt(1, "solution"), attempt(2, "nothing-handed-in"), attempt(3, "no-such-folder")
	best := labs.Attempts{Counts: labs.CountsBest}
	for _, c := range []struct {
		name     string
		rule     labs.Attempts
		late     labs.Late
		lines    []string
		counts   int
		points   float64
		failures int
	}{
		{"the latest", labs.DefaultAttempts(), labs.Late{}, []string{bad, good}, 2, 0, 0},
		{"the best", best, labs.Late{}, []string{bad, good}, 1, 100, 0},
		{"the first of equally good ones", best, labs.Late{}, []string{good, attempt(2, "solution")}, 1, 100, 0},
		{"within the limit", labs.Attempts{Limit: 1, Counts: labs.CountsLatest}, labs.Late{}, []string{bad, good}, 1, 100, 0},
		{"the best within the limit", labs.Attempts{Limit: 2, Counts: labs.CountsBest}, labs.Late{}, []string{bad, attempt(1, "nothing-handed-in"), attempt(3, "solution")}, 1, 0, 0},
		{"an error costs none", labs.Attempts{Limit: 1, Counts: labs.CountsLatest}, labs.Late{}, []string{attempt(0, "no-such-folder"), attempt(1, "solution"), bad}, 2, 100, 1},
		{"an error does not count", labs.DefaultAttempts(), labs.Late{}, []string{good, none}, 1, 100, 1},
		{"nothing but errors", labs.DefaultAttempts(), labs.Late{}, []string{none, attempt(4, "no-such-folder")}, 2, -1, 2},
		{"too late is no attempt", labs.DefaultAttempts(), labs.Late{Cutoff: 20 * time.Hour}, []string{good, attempt(23, "solution")}, 1, 100, 0},
		{"the best after what lateness costs", best, labs.Late{Penalty: 50, Per: time.Hour, Max: 100}, []string{attempt(1, "solution"), attempt(3, "solution")}, 1, 50, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := gradetest.Config(t, gradetest.Tutorial)
			cfg.Attempts, cfg.Late, cfg.Due = c.rule, c.late, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
			sum := gradetest.Run(t, cfg, listed(t, c.lines...))
			list := gradetest.Results(t, cfg.Out)
			if len(list) != 1 || sum.Submissions != 1 || sum.Attempts != len(c.lines) || len(sum.Failures) != c.failures {
				t.Fatalf("%d results of %d attempts, failures %+v", len(list), sum.Attempts, sum.Failures)
			}
			r := list[0]
			points := -1.0
			if r.Score != nil {
				points = r.Score.Points
			}
			if r.Attempt != c.counts || points != c.points || len(r.Attempts) != len(c.lines) {
				t.Errorf("attempt %d counts with %v points, want %d with %v: %+v", r.Attempt, points, c.counts, c.points, r.Attempts)
			}
			if points < 0 {
				return
			}
			files := gradetest.Files(t, cfg.Out)
			chosen := files[fmt.Sprintf("students/ada/attempts/%d/report.json", c.counts)]
			if chosen == "" || files["students/ada/report.json"] != chosen || r.Report != "students/ada/report.json" {
				t.Errorf("the student's report (%s) is not that of the attempt that counts", r.Report)
			}
		})
	}
}

func TestListsWithTimes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"student_id,path,submitted_at\n1,a,yesterday\n2,b,2026-11-20\n": {
			`class.csv:2: submitted_at: invalid time "yesterday": use, for example`, `class.csv:3: submitted_at: invalid time "2026-11-20"`},
		"student_id,path,due_at,extension\n1,a,2026-11-20T18:00:00Z,-3h\n":                  {`class.csv:2: extension: invalid value "-3h": use a duration`},
		"student_id,path,due_at,extension\n1,a,2026-11-20T18:00:00Z,2026-11-19T18:00:00Z\n": {"class.csv:2: extension: 2026-11-19T18:00:00Z is before the due date"},
		"student_id,path,extension\n1,a,more\n":                                             {`class.csv:2: extension: invalid value "more": use a duration such as 36h or 2d, or a time`},
		"student_id,path\n" + strings.Repeat(",a\n", 30):                                    {"class.csv:21: student_id is missing", "and 10 more lines"},
	} {
		path := filepath.Join(t.TempDir(), "class.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := intake.Find(path)
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v, want %q", text, err, part)
			}
		}
	}
}

// Two submissions of a student without times, or of the same time, are an error that says what is missing.
func TestAttemptsWithoutTimes(t *testing.T) {
	t.Parallel()
	for want, lines := range map[string][]string{
		"tells attempts apart by submitted_at":    {"ada,solution,,,", "ada,nothing-handed-in,,,"},
		"each attempt needs its own submitted_at": {"ada,solution,2026-11-20T18:00:00Z,,", "ada,nothing-handed-in,2026-11-20T19:00:00+01:00,,"},
	} {
		cfg := gradetest.Config(t, gradetest.Tutorial)
		sum := gradetest.Run(t, cfg, listed(t, lines...))
		if sum.Errors != 1 || len(sum.Failures) != 1 || !strings.Contains(sum.Failures[0].Message, want) {
			t.Errorf("%+v, want %q", sum.Failures, want)
		}
	}
}
