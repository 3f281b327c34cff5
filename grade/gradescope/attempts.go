package gradescope

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// Previous is a submission that came in before.
type Previous struct {
	SubmittedAt     time.Time `json:"submission_time"`
	Score           any       `json:"score"` // a number
	AutograderError bool      `json:"autograder_error"`
}

// attempt is a submission that was graded. Its score is the one that stood after it, which may be that of an earlier one.
type attempt struct {
	at     time.Time
	points float64
}

// earlier lists the attempts that came in before this one, in their order. What could not be graded is none.
func (m *Metadata) earlier() []attempt {
	var all []attempt
	for _, p := range m.PreviousSubmissions {
		points, err := strconv.ParseFloat(fmt.Sprint(p.Score), 64)
		if err == nil && !p.AutograderError && p.SubmittedAt.Before(m.CreatedAt) {
			all = append(all, attempt{p.SubmittedAt, points})
		}
	}
	slices.SortStableFunc(all, func(a, b attempt) int { return a.at.Compare(b.at) })
	return all
}

// kept is the score that stands although a later attempt came in.
type kept struct {
	number int // of the attempt that has it, from 1
	points float64
}

// keep says which of the earlier attempts counts, by the rule; nil: there is none.
func keep(rule labs.Attempts, earlier []attempt) *kept {
	if rule.Limit > 0 {
		earlier = earlier[:min(len(earlier), rule.Limit)]
	}
	if len(earlier) == 0 {
		return nil
	}
	i := len(earlier) - 1
	if rule.Counts == labs.CountsBest {
		best := slices.MaxFunc(earlier, func(a, b attempt) int { return cmp.Compare(a.points, b.points) })
		i = slices.Index(earlier, best)
	}
	return &kept{i + 1, earlier[i].points}
}

// beyond is the results.json of an attempt that the limit leaves out: it is not graded, so it teaches nothing.
func (k *kept) beyond(number, limit int) ([]byte, error) {
	return encode(map[string]any{
		"score": k.points, "tests": []any{}, "stdout_visibility": "hidden", "output_format": "text",
		"output": fmt.Sprintf("This is attempt %d, and %d count: it was not graded. Attempt %d counts, with %s points.",
			number, limit, k.number, report.Decimal(k.points)),
	})
}

// counted is the kept score as the outcome of an attempt that earned points shows it.
func (k *kept) counted(points float64) *report.Counted {
	return &report.Counted{
		Points: k.points,
		Note:   fmt.Sprintf("Attempt %d counts, with %s points; this one has %s.", k.number, report.Decimal(k.points), report.Decimal(points)),
	}
}

func encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}
