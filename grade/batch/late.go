package batch

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// LatePenalty is what handing in after the due date cost. The points it took off are the difference of Result.Raw and
// Result.Score: 20 percent of the maximum take fewer where there were fewer.
type LatePenalty struct {
	DueAt       time.Time `json:"due_at"` // with the extension
	SubmittedAt time.Time `json:"submitted_at"`
	Percent     float64   `json:"percent"` // of the maximum, taken off
	Cutoff      bool      `json:"cutoff"`  // too late to count
	Reason      string    `json:"reason"`  // in a sentence
}

// due is when an entry had to come in; zero: nobody said.
func (c *Config) due(e *intake.Entry) time.Time {
	due := e.DueAt
	if due.IsZero() {
		due = c.Due
	}
	if due.IsZero() {
		return due
	}
	return due.Add(e.Extension)
}

// latePenalty says what an entry's lateness costs; nil: it is not late, or nobody knows.
func (c *Config) latePenalty(e *intake.Entry) *LatePenalty {
	due := c.due(e)
	if due.IsZero() || e.SubmittedAt.IsZero() {
		return nil
	}
	by := e.SubmittedAt.Sub(due)
	if by <= max(c.Late.Grace, 0) {
		return nil
	}
	l := &LatePenalty{DueAt: due, SubmittedAt: e.SubmittedAt}
	when := fmt.Sprintf("submitted %s after the due date (%s)", span(by), clock(due))
	if c.Late.Cutoff > 0 && by > c.Late.Cutoff {
		l.Percent, l.Cutoff = 100, true
		l.Reason = fmt.Sprintf("%s: more than %s late earns no points", when, span(c.Late.Cutoff))
		return l
	}
	if c.Late.Penalty <= 0 || c.Late.Max <= 0 {
		return nil
	}
	per := c.Late.Per
	if per <= 0 {
		per = labs.DefaultLate().Per
	}
	begun := (by + per - 1) / per
	percent := math.Round(float64(begun)*c.Late.Penalty*1e4) / 1e4
	l.Percent = min(percent, c.Late.Max)
	l.Reason = fmt.Sprintf("%s: %s%% of the maximum deducted, %s%% for every %s begun", when,
		report.Decimal(l.Percent), report.Decimal(c.Late.Penalty), strings.TrimPrefix(span(per), "1 "))
	if percent > c.Late.Max {
		l.Reason += fmt.Sprintf(", at most %s%%", report.Decimal(c.Late.Max))
	}
	return l
}

// apply takes off what lateness costs. A result without a score stays as it is.
func (l *LatePenalty) apply(res *Result) {
	if l == nil || res.Score == nil {
		return
	}
	raw, left := *res.Score, res.Score.Deduct(l.Percent)
	if l.Cutoff { // bonus points as well
		left.Points, left.Percent, left.Passed = 0, 0, left.PassMark <= 0
	}
	res.Raw, res.Score, res.Late = &raw, &left, l
	if res.Status == grade.Passed && !left.Passed {
		res.Status = grade.Failed
	}
}

// clock writes a time as people do, in its own time zone.
func clock(t time.Time) string {
	format := "2 January 2006 at 15:04"
	if t.Second() != 0 {
		format += ":05"
	}
	if _, offset := t.Zone(); offset == 0 {
		return t.Format(format) + " UTC"
	}
	return t.Format(format + " UTC-07:00")
}

// span writes a duration in words, "1 day 2 hours 5 minutes", rounded up to minutes.
func span(d time.Duration) string {
	minutes := int64((d + time.Minute - 1) / time.Minute)
	var parts []string
	for _, unit := range []struct {
		name    string
		minutes int64
	}{{"day", 24 * 60}, {"hour", 60}, {"minute", 1}} {
		if n := minutes / unit.minutes; n > 0 {
			parts = append(parts, wording.Count(int(n), unit.name))
			minutes -= n * unit.minutes
		}
	}
	return strings.Join(parts, " ")
}
