package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// gradescopeResults is Gradescope's results.json:
// https://gradescope-autograders.readthedocs.io/en/latest/specs/
type gradescopeResults struct {
	// A file without any score means to Gradescope that the run failed.
	Score            *float64         `json:"score,omitempty"`
	Output           string           `json:"output,omitempty"`
	OutputFormat     string           `json:"output_format,omitempty"`
	TestOutputFormat string           `json:"test_output_format"`
	TestNameFormat   string           `json:"test_name_format"`
	StdoutVisibility string           `json:"stdout_visibility"`
	Tests            []gradescopeTest `json:"tests"`
}

type gradescopeTest struct {
	Score      *float64 `json:"score,omitempty"`
	MaxScore   *float64 `json:"max_score,omitempty"`
	Status     string   `json:"status"`
	Name       string   `json:"name"`
	Number     string   `json:"number"`
	Output     string   `json:"output,omitempty"`
	Visibility string   `json:"visibility"`
}

// gradescope writes one test an objective. Those that are hidden in the report are left out. Those that the lab hides
// and the report tells (--reveal, --after-due) are there for Gradescope to hide: instructors see them, students do not.
// The overall output holds nothing that would give them away. Without a grade there is no score.
func gradescope(w io.Writer, a *Assignment, o *Result) error {
	out := gradescopeResults{
		TestOutputFormat: "text", TestNameFormat: "text", StdoutVisibility: "hidden", Tests: []gradescopeTest{},
	}
	switch o.Status {
	case grade.Errored:
		out.Output = o.Message
	case grade.Refused:
		out.Score = &o.Score.Points
		out.Output = "The submission was refused, so nothing of it was graded:\n" + strings.Join(o.problems(), "\n")
	default:
		out.Score = &o.Score.Points
		out.Tests, out.Output = gradescopeTests(a, o), gradescopeRemarks(a, o)
		out.Output = strings.TrimSpace(strings.Join(append(o.notes(), out.Output), "\n"))
	}
	if c := o.Counted; c != nil && out.Score != nil {
		out.Score, out.Output = &c.Points, strings.TrimSpace(c.Note+"\n"+out.Output)
	}
	if out.Output != "" {
		out.OutputFormat = "text"
	}
	return writeJSON(w, out)
}

func gradescopeTests(a *Assignment, o *Result) []gradescopeTest {
	tests := []gradescopeTest{}
	for i := range o.Report.Tasks {
		t := &o.Report.Tasks[i]
		number := taskNumber(a.Lab, o.Report, i)
		n := 0
		for _, x := range shown(t) {
			obj := objective{x, t}
			n++
			test := gradescopeTest{
				Score: obj.Points, MaxScore: &obj.Max, Status: "failed", Name: obj.title(),
				Number: fmt.Sprintf("%d.%d", number, n), Output: o.explained(&obj), Visibility: "visible",
			}
			if obj.Status == grade.Met {
				test.Status = "passed"
			}
			switch a.visibility(t.Name, obj.Name) {
			case labs.Hidden:
				test.Visibility = "hidden"
			case labs.AfterDue:
				test.Visibility = "after_due_date"
			}
			tests = append(tests, test)
		}
		if t.Score.HintCost > 0 {
			cost := -t.Score.HintCost
			tests = append(tests, gradescopeTest{
				Score: &cost, Status: "failed", Name: fmt.Sprintf("%s: hints taken", t.Title),
				Number: fmt.Sprintf("%d.%d", number, n+1), Visibility: "visible",
			})
		}
	}
	return tests
}

// gradescopeRemarks tells what was noticed of the submission beside what tests tell.
func gradescopeRemarks(a *Assignment, o *Result) string {
	p := &page{Style: Style{Width: pipeWidth}}
	for _, f := range remarks(o.Report) {
		if f.Objective != "" && a.visibility(f.Task, f.Objective) != labs.Visible &&
			a.visibility(f.Task, f.Objective) != "" {
			continue
		}
		p.line("", p.finding(&f))
	}
	return strings.TrimRight(p.b.String(), "\n")
}

// writeJSON writes v indented, with HTML's characters as they are, and a line feed at its end.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
