package report

import (
	"io"
	"math"
	"strings"
	"time"
)

// nbgrader writes the columns of nbgrader's own export of grades, for courses whose scripts read that.
func nbgrader(w io.Writer, a *Assignment) ClassWriter {
	row := func(o *Result) []string {
		first, last := names(o.Name)
		raw, penalty, due, submitted := o.points(), "", "", ""
		if o.Late != "" {
			due, submitted = o.DueAt.UTC().Format(time.DateTime), o.SubmittedAt.UTC().Format(time.DateTime)
			if o.Raw != nil && o.Score != nil {
				raw, penalty = Decimal(o.Raw.Points), Decimal(math.Round((o.Raw.Points-o.Score.Points)*1e4)/1e4)
			}
		}
		return []string{
			a.name(), due, submitted, o.ID, last, first, o.Email, raw, penalty, o.points(), Decimal(a.full(o)),
		}
	}
	return newSheet(w, row, []string{
		"assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
		"raw_score", "late_submission_penalty", "score", "max_score",
	})
}

// names takes "Ada King Lovelace" and "Lovelace, Ada King" apart.
func names(full string) (first, last string) {
	if last, first, ok := strings.Cut(full, ","); ok {
		return strings.TrimSpace(first), strings.TrimSpace(last)
	}
	full = strings.TrimSpace(full)
	if i := strings.LastIndex(full, " "); i >= 0 {
		return strings.TrimSpace(full[:i]), full[i+1:]
	}
	return "", full
}
