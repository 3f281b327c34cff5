package report

import (
	"cmp"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade"
)

// moodle writes the offline grading worksheet of a Moodle assignment. The identifier holds the number that Moodle puts
// into the names of downloaded submissions. Moodle leaves out rows without a grade, and those above the maximum: so
// bonus points count up to it. Comments are HTML there.
func moodle(w io.Writer, a *Assignment) ClassWriter {
	row := func(o *Outcome) []string {
		points, status := "", "Submitted for grading"
		if o.Score != nil {
			points = Decimal(min(o.Score.Points, o.Score.Max))
		}
		return []string{
			"Participant " + o.ID, cmp.Or(o.Name, o.ID), o.Email, status, points, Decimal(a.full(o)), "Yes", "", "",
			strings.ReplaceAll(html.EscapeString(o.comment()), "\n", "<br>"),
		}
	}
	return newSheet(w, row, []string{
		"Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
		"Last modified (submission)", "Last modified (grade)", "Feedback comments",
	})
}

// comment says in a few lines what was missed. Of an error, which says nothing of the student, there is none.
func (o *Outcome) comment() string {
	switch o.Status {
	case Errored:
		return ""
	case Refused:
		return "The submission was refused:\n" + strings.Join(o.reasons(), "\n")
	}
	lines := o.notes()
	missed := len(lines)
	for _, obj := range o.objectives() {
		if obj.Status == grade.Met {
			continue
		}
		line := obj.title() + " (" + points(*obj.Points, obj.Max) + ")"
		if f := o.mistakeOf(&obj); f != nil {
			line += ": " + f.Title
		}
		lines = append(lines, line)
	}
	if len(lines) == missed {
		lines = append(lines, "Everything that is shown was met.")
	} else {
		lines = slices.Insert(lines, missed, "Not met:")
	}
	return strings.Join(lines, "\n")
}

// mistakeOf is the first classic mistake behind an objective's misses; nil if none was recognised.
func (o *Outcome) mistakeOf(obj *objective) *grade.Finding {
	for i := range obj.Checks {
		c := &obj.Checks[i]
		if c.Passed || c.Mistake == "" {
			continue
		}
		for j := range o.Report.Findings {
			if f := &o.Report.Findings[j]; f.ID == c.Mistake {
				return f
			}
		}
	}
	return nil
}
