package report

import (
	"io"
	"strings"

	"github.com/labctl/labctl/grade"
)

// prairielearnResults is the results.json of PrairieLearn's external graders:
// https://prairielearn.readthedocs.io/en/latest/externalGrading/
type prairielearnResults struct {
	Gradable     bool               `json:"gradable"`
	Score        *float64           `json:"score,omitempty"` // 0 to 1
	Message      string             `json:"message,omitempty"`
	Output       string             `json:"output,omitempty"`
	Tests        []prairielearnTest `json:"tests,omitempty"`
	FormatErrors []string           `json:"format_errors,omitempty"`
}

type prairielearnTest struct {
	Name      string  `json:"name"`
	Points    float64 `json:"points"`
	MaxPoints float64 `json:"max_points"`
	Message   string  `json:"message,omitempty"`
	Output    string  `json:"output,omitempty"`
}

// prairielearn writes one test an objective that is not hidden. A submission that was refused, and one that
// could not be graded, is not gradable: it costs no attempt, and there is no score. Only the first has format
// errors.
func prairielearn(w io.Writer, _ *Assignment, o *Result) error {
	out := prairielearnResults{}
	switch o.Status {
	case grade.Errored:
		out.Message = o.Message
	case grade.Refused:
		out.FormatErrors = o.problems()
	default:
		share := min(o.Score.Percent/100, 1)
		out.Gradable, out.Score = true, &share
		out.Message = strings.Join(append([]string{o.summary()}, o.notes()...), "\n")
		for _, obj := range o.objectives() {
			out.Tests = append(out.Tests, prairielearnTest{
				Name: obj.title(), Points: *obj.Points, MaxPoints: obj.Max, Message: string(obj.Status), Output: o.explained(&obj),
			})
		}
	}
	return writeJSON(w, out)
}
