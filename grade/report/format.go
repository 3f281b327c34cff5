package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// Format is a way to hand on outcomes: to a course platform, to a build server, to people. A new one is a file with its
// writer and a line in Formats.
type Format struct {
	Name  string
	About string // a line for --help
	// File is the file of one submission, in its student's folder, and One writes it. "": there is none.
	File string
	One  func(w io.Writer, a *Assignment, o *Outcome) error
	// ClassFile is the file of a run, and Class begins it. "": there is none.
	ClassFile string
	Class     func(w io.Writer, a *Assignment) ClassWriter
	// Detail says that the class's file tells more than grades: it needs the outcomes' reports.
	Detail bool
}

// ClassWriter writes outcomes into one file, one by one, in the order in which they come.
type ClassWriter interface {
	Add(o *Outcome) error
	Close() error
}

// Formats lists what --format takes, by name.
func Formats() []Format {
	return []Format{
		{Name: "canvas-csv", About: "Canvas gradebook import", ClassFile: "canvas.csv", Class: canvas},
		{Name: "github", About: "annotations and a job summary of GitHub Actions", File: "github.txt", One: github, ClassFile: "github.txt", Class: githubClass, Detail: true},
		{Name: "gradescope", About: "results.json of a Gradescope autograder", File: "gradescope.json", One: gradescope},
		{Name: "html", About: "a page for the student", File: feedbackFile, One: HTML},
		{Name: "junit", About: "JUnit XML, a test suite a student", ClassFile: "junit.xml", Class: junitClass, Detail: true},
		{Name: "markdown", About: "Markdown for people", File: "report.md", One: Markdown, ClassFile: "summary.md", Class: markdownClass},
		{Name: "moodle-csv", About: "Moodle grading worksheet", ClassFile: "moodle.csv", Class: moodle, Detail: true},
		{Name: "nbgrader-csv", About: "the columns of nbgrader's export", ClassFile: "nbgrader.csv", Class: nbgrader},
		{Name: "prairielearn", About: "results.json of a PrairieLearn external grader", File: "prairielearn.json", One: prairielearn},
		{Name: "tap", About: "Test Anything Protocol, version 14", File: "report.tap", One: tap},
	}
}

// FormatNames lists the names of the formats.
func FormatNames() []string {
	var names []string
	for _, f := range Formats() {
		names = append(names, f.Name)
	}
	return names
}

// FindFormat returns the format of a name.
func FindFormat(name string) (*Format, error) {
	all := Formats()
	i := slices.IndexFunc(all, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no format %q: want one of %s", name, strings.Join(FormatNames(), ", "))
	}
	return &all[i], nil
}

// Single writes one outcome on its own: as the format's file of one submission, or else as a class of one.
func (f *Format) Single(w io.Writer, a *Assignment, o *Outcome) error {
	if f.One != nil {
		return f.One(w, a, o)
	}
	c := f.Class(w, a)
	if err := c.Add(o); err != nil {
		return err
	}
	return c.Close()
}

// Assignment is what all outcomes of a run have in common.
type Assignment struct {
	Lab  *labs.Lab
	Name string // of the column or assignment on the platform; "": the lab's title
}

func (a *Assignment) name() string { return cmp.Or(a.Name, a.Lab.Title, a.Lab.Name) }

// max is what the assignment is worth where no outcome says it: bonus objectives aside.
func (a *Assignment) max() float64 {
	sum := 0.0
	for i := range a.Lab.Tasks {
		for _, o := range a.Lab.Tasks[i].Objectives {
			if !o.Bonus {
				sum += o.Points
			}
		}
	}
	return sum
}

// visibility is when the lab lets students see an objective.
func (a *Assignment) visibility(task, objective string) labs.Visibility {
	for i := range a.Lab.Tasks {
		t := &a.Lab.Tasks[i]
		if t.Name != task {
			continue
		}
		for _, o := range t.Objectives {
			if o.Name == objective {
				return cmp.Or(o.Visibility, t.Visibility)
			}
		}
	}
	return ""
}

// Status is what became of a submission in a word.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"  // below the pass mark
	Refused Status = "refused" // nothing was graded, for reasons that are the student's: 0 points
	Errored Status = "error"   // ours: no grade. Never 0 points
)

// Outcome is what became of one submission.
type Outcome struct {
	ID, Name, Email string // of the student, as far as they are known
	Status          Status
	// Message is that of an error, or why it was refused, and may have several lines; of a grade, why there was nothing to grade.
	Message string
	// Told is what of an error its student may read, since what was handed in is to blame; "": nothing. See toStudent.
	Told     string
	Problems []manifest.Problem
	Score    *grade.Score // nil: no grade
	// Late says in a sentence what lateness cost: Score is what is left of Raw. "": nothing.
	Late               string
	Raw                *grade.Score
	SubmittedAt, DueAt time.Time     // known where Late is
	Report             *grade.Report // nil if it was refused or could not be graded
	// Root is where the submission lies, for places that name its files from elsewhere; "" if nobody needs to know.
	Root string
}

// OutcomeOf puts the report of a submission, or the error that there is instead, into an Outcome.
func OutcomeOf(rep *grade.Report, err error) Outcome {
	if rep == nil {
		return Outcome{Status: Errored, Message: err.Error()}
	}
	o := Outcome{Status: Status(rep.Status), Report: rep}
	if o.Status == Errored {
		o.Message = couldNotCheck
		return o
	}
	score := rep.Score
	o.Score, o.Message = &score, rep.Nothing()
	return o
}

// RefusedOutcome is the Outcome of a submission that the lab does not take.
func RefusedOutcome(a *Assignment, refused *grade.Refused) Outcome {
	return Outcome{
		Status: Refused, Message: refused.Error(), Problems: refused.Problems,
		Score: &grade.Score{Max: a.max(), PassMark: a.Lab.PassMark},
	}
}

const couldNotCheck = "a check could not be carried out, so there is no grade yet: this is not the submission's fault"

// who is the student in a word: never empty.
func (o *Outcome) who() string { return cmp.Or(o.ID, o.Name, o.Email, "submission") }

// summary is the grade in a line; notes say more of it.
func (o *Outcome) summary() string {
	return fmt.Sprintf("%s: %s points, %s%%; the pass mark is %s%%", o.Status, points(o.Score.Points, o.Score.Max), number(o.Score.Percent), number(o.Score.PassMark))
}

// reasons tells why a submission was refused or could not be graded, a reason a line.
func (o *Outcome) reasons() []string {
	if len(o.Problems) == 0 {
		return []string{cmp.Or(o.Message, "nobody said why")}
	}
	lines := make([]string, len(o.Problems))
	for i := range o.Problems {
		lines[i] = o.Problems[i].String()
	}
	return lines
}

// objective is one objective of an outcome, with its task.
type objective struct {
	*grade.ObjectiveReport
	task *grade.TaskReport
}

// objectives lists the objectives of the outcome's report, in order. Hidden ones are not among them: neither a name nor a
// count may give them away.
func (o *Outcome) objectives() []objective {
	if o.Report == nil {
		return nil
	}
	var all []objective
	for i := range o.Report.Tasks {
		t := &o.Report.Tasks[i]
		for j := range t.Objectives {
			if t.Objectives[j].Status != grade.Hidden {
				all = append(all, objective{&t.Objectives[j], t})
			}
		}
	}
	return all
}

// title is the objective's title behind its task's.
func (o *objective) title() string {
	return cmp.Or(o.task.Title, o.task.Name) + ": " + cmp.Or(o.Title, o.Name)
}

// blockers names what an objective waits for; what is hidden has no name.
func blockers(o *grade.ObjectiveReport) string {
	return cmp.Or(strings.Join(o.BlockedBy, ", "), "what it depends on")
}

const hiddenNote = "what is hidden counts too"

// hides says whether an objective of the task counts without being told.
func hides(t *grade.TaskReport) bool {
	return slices.ContainsFunc(t.Objectives, func(o grade.ObjectiveReport) bool { return o.Status == grade.Hidden })
}

// explained tells in lines of plain text why an objective missed; "" if it did not.
func (o *Outcome) explained(obj *objective) string { return o.explainedIn(obj, pipeWidth) }

// explainedIn is explained with lines of at most width columns; 0: of any length.
func (o *Outcome) explainedIn(obj *objective, width int) string {
	p := &page{Style: Style{Width: width}}
	v := taskView{page: p, task: obj.task.Name, findings: o.Report.Findings, told: map[string]bool{}, alone: true}
	v.checks(obj.ObjectiveReport)
	lines := strings.Split(strings.TrimRight(p.b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], checkIndent)
	}
	return strings.Join(lines, "\n")
}

// pipeWidth is where lines of text in a file are wrapped.
const pipeWidth = 100

// remarks lists the findings that no check of the report names: what was noticed beside them.
func remarks(r *grade.Report) []grade.Finding {
	shown := map[string]bool{}
	for _, t := range r.Tasks {
		for _, o := range t.Objectives {
			for _, c := range o.Checks {
				if !c.Passed && c.Mistake != "" {
					shown[c.Mistake] = true
				}
			}
		}
	}
	var rest []grade.Finding
	for _, f := range r.Findings {
		if !shown[f.ID] {
			rest = append(rest, f)
		}
	}
	return rest
}
