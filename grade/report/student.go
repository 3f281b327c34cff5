package report

import (
	"fmt"
	"slices"

	"github.com/labctl/labctl/grade"
)

const (
	notYours = "This submission was not graded, because of a fault that is not yours. It is not 0 points: ask " +
		"the course staff to grade it again."
	notGradable  = "This submission could not be graded: %s. It is not 0 points: ask the course staff what to do."
	nothingFound = "Nothing to grade: "
	// notChecked stands for what an engine says of a check that it could not carry out.
	notChecked = "a fault of the grading, not of the answer"
)

// redactForStudent returns the result as its student may read it. An error speaks of the machine that
// graded, of its files and addresses; in its place stands whose fault it is and what to do.
func (o *Result) redactForStudent() *Result {
	if o.Status != grade.Errored {
		return o
	}
	shown := *o
	shown.Message, shown.Problems = notYours, nil
	if o.StudentMessage != "" {
		shown.Message = fmt.Sprintf(notGradable, o.StudentMessage)
	}
	if o.Report != nil {
		r := *o.Report
		r.Tasks = slices.Clone(r.Tasks)
		for i := range r.Tasks {
			hideErrors(&r.Tasks[i])
		}
		shown.Report = &r
	}
	return &shown
}

// hideErrors takes the words of errors out of a task's checks, without touching those that it was copied from.
func hideErrors(t *grade.TaskReport) {
	t.Objectives = slices.Clone(t.Objectives)
	for i := range t.Objectives {
		o := &t.Objectives[i]
		o.Checks = slices.Clone(o.Checks)
		for j := range o.Checks {
			if o.Checks[j].Error != "" {
				o.Checks[j].Error = notChecked
			}
		}
	}
}

// notes are what is to be said of a grade as a whole, in sentences: what lateness cost, and that there was
// nothing to grade.
func (o *Result) notes() []string {
	var notes []string
	if o.Late != "" {
		notes = append(notes, "Late: "+o.Late+".")
	}
	if o.Message != "" && (o.Status == grade.Passed || o.Status == grade.Failed) {
		notes = append(notes, nothingFound+o.Message+".")
	}
	return notes
}
