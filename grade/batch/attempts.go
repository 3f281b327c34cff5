package batch

import (
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/labs"
)

// Attempt is one of several submissions of a student, in short.
type Attempt struct {
	Attempt     int          `json:"attempt"` // from 1, in the order of SubmittedAt
	SubmittedAt time.Time    `json:"submitted_at"`
	Status      grade.Status `json:"status"`
	Points      *float64     `json:"points"` // after what lateness costs; null: it has no score
	Counts      bool         `json:"counts"` // it is the one that counts
	// Without says why it could not count; "" if it could have.
	Without string `json:"without,omitempty"`
}

// pickAttempt picks the result that counts, of all attempts of one student in their order, and notes the
// others in it. One in error neither counts nor uses up the limit; it counts only where there is no other.
func pickAttempt(rule labs.Attempts, entries []intake.Entry, results []Result) Result {
	if len(results) == 1 {
		return results[0]
	}
	attempts := make([]Attempt, len(results))
	best, used := -1, 0
	for i := range results {
		a := &attempts[i]
		*a = Attempt{Attempt: entries[i].Attempt, SubmittedAt: entries[i].SubmittedAt, Status: results[i].Status}
		if results[i].Score != nil {
			points := results[i].Score.Points
			a.Points = &points
		}
		if results[i].Status == grade.Errored {
			a.Without = "could not be graded"
			continue
		}
		if used++; rule.Limit > 0 && used > rule.Limit {
			a.Without = "beyond the limit of attempts"
			continue
		}
		if best < 0 || better(rule.Counts, &results[i], &results[best]) {
			best = i
		}
	}
	if best < 0 {
		best = len(results) - 1
	} else {
		attempts[best].Counts = true
	}
	res := results[best]
	res.Attempt, res.Attempts = attempts[best].Attempt, attempts
	return res
}

// better reports whether a later attempt takes the place of an earlier one. One that came too late for anything takes
// nobody's.
func better(rule labs.Counts, later, earlier *Result) bool {
	tooLate := func(r *Result) bool { return r.Late != nil && r.Late.Cutoff }
	if tooLate(later) != tooLate(earlier) {
		return tooLate(earlier)
	}
	if rule != labs.CountsBest {
		return true
	}
	return points(later) > points(earlier)
}

func points(r *Result) float64 {
	if r.Score == nil {
		return 0
	}
	return r.Score.Points
}
