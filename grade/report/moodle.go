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
	row := func(o *Result) []string {
		points, status := "", "Submitted for grading"
		if o.Score != nil {
			points = Decimal(min(o.Score.Points, o.Score.Max))
		}
		return []string{
			o.participant(), cmp.Or(o.Name, o.ID), o.Email, status, points, Decimal(a.full(o)), "Yes", "", "",
			strings.ReplaceAll(html.EscapeString(o.comment()), "\n", "<br>"),
		}
	}
	return newSheet(w, row, []string{
		"Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
		"Last modified (submission)", "Last modified (grade)", "Feedback comments",
	})
}

// participant is Moodle's identifier of a student, which is known from its downloads alone: any other number
// could be another student's.
func (o *Result) participant() string {
	if o.Platform != "moodle" {
		return ""
	}
	return "Participant " + o.ID
}

// comment says what was missed, and of each objective the first reason; the student's page explains all of them. For an
// error, which says nothing about the student, there is none.
func (o *Result) comment() string {
	switch o.Status {
	case grade.Errored:
		return ""
	case grade.Refused:
		return "The submission was refused:\n" + strings.Join(o.problems(), "\n")
	}
	var missed []string
	for _, obj := range o.objectives() {
		if obj.Status == grade.Met {
			continue
		}
		missed = append(missed, obj.title()+" ("+points(*obj.Points, obj.Max)+")")
		if reasons := o.reasons(&obj); len(reasons) > 0 {
			first := reasons[0]
			first.Asked = first.Asked[:1]
			missed = append(missed, first.lines()...)
		}
	}
	if len(missed) == 0 {
		return strings.Join(append(o.notes(), "All objectives that are shown were met."), "\n")
	}
	return strings.Join(slices.Concat(o.notes(), []string{"Not met:"}, missed), "\n")
}

// mistake is the title of the first mistake that an objective's checks were missed for; "" if none was recognized.
func (o *Result) mistake(obj *objective) string {
	for _, x := range o.reasons(obj) {
		if x.Mistake != nil {
			return x.Mistake.Title
		}
	}
	return ""
}
