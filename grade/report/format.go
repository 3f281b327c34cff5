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
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Format is a way to hand on results: to a course platform, to a build server, to people. A new one is a file with its
// writer and a line in Formats.
type Format struct {
	Name  string
	About string // a line for --help
	// File is the file of one submission, in its student's folder: see WriteOne. "": there is none.
	File string
	// ClassFile is the file of a run, which is for the Audience: see Begin. "": there is none.
	ClassFile string
	Audience  Audience
	// Detail says that the class's file tells more than grades: it needs the results' reports.
	Detail bool
	// ByStudent says that a platform finds the student by what stands in the file: it needs an ID.
	ByStudent bool

	one   func(w io.Writer, a *Assignment, o *Result) error
	class func(w io.Writer, a *Assignment) ClassWriter
}

// Audience is who reads a file.
type Audience string

const (
	Staff    Audience = "staff"    // sees everything
	Students Audience = "students" // do not see what an error says of the machine that graded
)

// ClassWriter writes results into one file, one by one, in the order in which they come.
type ClassWriter interface {
	Add(o *Result) error
	Close() error
}

// Formats lists what --format takes, by name.
func Formats() []Format {
	return []Format{
		{Name: "canvas-csv", About: "Canvas gradebook import", ClassFile: "canvas.csv", Audience: Staff,
			class: canvas, ByStudent: true},
		{Name: "github", About: "annotations and a job summary of GitHub Actions", File: "github.txt", one: github,
			ClassFile: "github.txt", Audience: Staff, class: githubClass, Detail: true},
		{Name: "gradescope", About: "results.json of a Gradescope autograder", File: "gradescope.json", one: gradescope},
		{Name: "html", About: "a page for the student", File: feedbackFile, one: writeFeedback},
		{Name: "junit", About: "JUnit XML, a test suite a student", ClassFile: "junit.xml", Audience: Staff,
			class: junitClass, Detail: true},
		{Name: "markdown", About: "Markdown for people", File: "report.md", one: markdownOne, ClassFile: "summary.md",
			Audience: Staff, class: markdownClass},
		{Name: "moodle-csv", About: "Moodle grading worksheet", ClassFile: "moodle.csv", Audience: Students,
			class: moodle, Detail: true, ByStudent: true},
		{Name: "nbgrader-csv", About: "the columns of nbgrader's export", ClassFile: "nbgrader.csv", Audience: Staff,
			class: nbgrader, ByStudent: true},
		{Name: "prairielearn", About: "results.json of a PrairieLearn external grader", File: "prairielearn.json",
			one: prairielearn},
		{Name: "tap", About: "Test Anything Protocol, version 13", File: "report.tap", one: tap},
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

// WriteOne writes the file of one submission, which its student reads. The format must have one.
func (f *Format) WriteOne(w io.Writer, a *Assignment, o *Result) error {
	return f.one(w, a, o.redactForStudent())
}

// Begin begins the file of a run. The format must have one.
func (f *Format) Begin(w io.Writer, a *Assignment) ClassWriter {
	c := f.class(w, a)
	if f.Audience == Students {
		return redacted{c}
	}
	return c
}

// redacted writes results as students may see them.
type redacted struct{ ClassWriter }

func (r redacted) Add(o *Result) error { return r.ClassWriter.Add(o.redactForStudent()) }

// Single writes one result on its own: as the format's file of one submission, or else as a class of one.
func (f *Format) Single(w io.Writer, a *Assignment, o *Result) error {
	if f.File != "" {
		return f.WriteOne(w, a, o)
	}
	c := f.Begin(w, a)
	if err := c.Add(o); err != nil {
		return err
	}
	return c.Close()
}

// Assignment is what all results of a run have in common.
type Assignment struct {
	Lab  *labs.Lab
	Name string // of the column or assignment on the platform; "": the lab's title
	// Tasks are those that were graded; none: all of them.
	Tasks []string
}

func (a *Assignment) name() string { return cmp.Or(a.Name, a.Lab.Title, a.Lab.Name) }

// max is what the tasks that were graded are worth, bonus objectives aside.
func (a *Assignment) max() float64 { return grade.MaxPoints(a.Lab, a.Tasks) }

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

// Result is what became of one submission.
type Result struct {
	ID, Name, Email string // of the student, as far as they are known
	// Platform is the one whose number the ID is: "canvas", "moodle" or another; "": nobody said that it is one.
	Platform string
	Status   grade.Status
	// Message is that of an error, or why it was refused, and may have several lines; of a grade, why there
	// was nothing to grade.
	Message string
	// StudentMessage is what of an error its student may read, since what was handed in is to blame; "":
	// nothing. See redactForStudent.
	StudentMessage string
	Problems       []manifest.Problem
	// Advice is what can be graded of a submission that was refused, in a sentence without its full stop; "": nothing.
	Advice string
	Score  *grade.Score // nil: no grade
	// Late says in a sentence what lateness cost: Score is what is left of Raw. "": nothing.
	Late               string
	Raw                *grade.Score
	SubmittedAt, DueAt time.Time     // known where Late is
	Report             *grade.Report // nil if it was refused or could not be graded
	// Counted is the score of another attempt, which counts instead of Score; nil: Score counts.
	Counted *Counted
	// Root is where the submission lies, for places that name its files from elsewhere; "" if nobody needs to know.
	Root string
}

// Counted is a score that counts although a later attempt has another one.
type Counted struct {
	Points float64
	Note   string // a sentence that says so
}

// ResultOf puts the report of a submission, or the error that there is instead, into an Result.
func ResultOf(rep *grade.Report, err error) Result {
	if rep == nil {
		return Result{Status: grade.Errored, Message: err.Error()}
	}
	o := Result{Status: rep.Status, Report: rep}
	if o.Status == grade.Errored {
		o.Message = couldNotCheck
		return o
	}
	score := rep.Score
	o.Score, o.Message = &score, rep.EmptyReason()
	return o
}

// RefusedResult is the Result of a submission that the lab does not take.
func RefusedResult(a *Assignment, refused *engine.Refused) Result {
	bounded := &engine.Refused{Problems: grade.BoundProblems(refused.Problems)}
	return Result{
		Status: grade.Refused, Message: bounded.Error(), Problems: bounded.Problems,
		Score: &grade.Score{Max: a.max(), PassMark: a.Lab.PassMark},
	}
}

const couldNotCheck = "a check could not be run, so there is no grade yet: this is not the submission's fault"

// who is the student in a word: never empty.
func (o *Result) who() string { return cmp.Or(o.ID, o.Name, o.Email, "submission") }

// summary is the grade in a line; notes say more of it.
func (o *Result) summary() string {
	return fmt.Sprintf("%s: %s points, %s%%; the pass mark is %s%%", o.Status, points(o.Score.Points, o.Score.Max),
		number(o.Score.Percent), number(o.Score.PassMark))
}

// problems says why a submission was refused or could not be graded, one problem per line. It is never empty.
func (o *Result) problems() []string {
	if len(o.Problems) == 0 {
		return []string{cmp.Or(o.Message, "no reason given")}
	}
	lines := make([]string, len(o.Problems))
	for i := range o.Problems {
		lines[i] = o.Problems[i].String()
	}
	return lines
}

// objective is one objective of a result, with its task.
type objective struct {
	*grade.ObjectiveReport
	task *grade.TaskReport
}

// shown lists the objectives of a task that are not hidden, in order: neither a name nor a count may reveal the others.
func shown(t *grade.TaskReport) []*grade.ObjectiveReport {
	var list []*grade.ObjectiveReport
	for i := range t.Objectives {
		if o := &t.Objectives[i]; o.Status != grade.Hidden {
			list = append(list, o)
		}
	}
	return list
}

// hides reports whether a task has hidden objectives.
func hides(t *grade.TaskReport) bool { return len(shown(t)) < len(t.Objectives) }

const hiddenNote = "hidden objectives count towards the score"

// objectives lists the objectives of the result's report that are not hidden, in order.
func (o *Result) objectives() []objective {
	if o.Report == nil {
		return nil
	}
	var all []objective
	for i := range o.Report.Tasks {
		t := &o.Report.Tasks[i]
		for _, obj := range shown(t) {
			all = append(all, objective{obj, t})
		}
	}
	return all
}

// title is the objective's title behind its task's.
func (o *objective) title() string {
	return cmp.Or(o.task.Title, o.task.Name) + ": " + cmp.Or(o.Title, o.Name)
}

// blockers names what an objective of a task waits for, by titles; what is hidden has no name.
func blockers(r *grade.Report, task string, o *grade.ObjectiveReport) string {
	if len(o.BlockedBy) == 0 {
		return "what it depends on"
	}
	names := make([]string, len(o.BlockedBy))
	for i, by := range o.BlockedBy {
		names[i] = titleOf(r, task, by)
	}
	return wording.And(names)
}

// titleOf is what people call "task/objective" or "task", in quotes; seen from another task, with its number.
func titleOf(r *grade.Report, from, name string) string {
	task, objective, _ := strings.Cut(name, "/")
	i := slices.IndexFunc(r.Tasks, func(t grade.TaskReport) bool { return t.Name == task })
	if i < 0 {
		return name // it was not graded
	}
	t := &r.Tasks[i]
	title := cmp.Or(t.Title, t.Name)
	if at := slices.IndexFunc(t.Objectives, func(o grade.ObjectiveReport) bool { return o.Name == objective }); at >= 0 {
		title = cmp.Or(t.Objectives[at].Title, objective)
	}
	if task == from {
		return fmt.Sprintf("%q", title)
	}
	return fmt.Sprintf("%q of task %d", title, taskNumber(r.LabFile(), r, i))
}

// reasons lists why an objective was missed.
func (o *Result) reasons(obj *objective) []reason {
	return reasonsOf(o.Report, obj.task.Name, obj.ObjectiveReport)
}

// explained says in lines of plain text why an objective was missed; "" if it was not.
func (o *Result) explained(obj *objective) string {
	p := &page{Style: Style{Width: pipeWidth}}
	v := taskView{page: p, report: o.Report, task: obj.task.Name, said: map[string]bool{}, alone: true}
	v.reasons(obj.ObjectiveReport)
	lines := strings.Split(strings.TrimRight(p.b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], checkIndent)
	}
	return strings.Join(lines, "\n")
}

// pipeWidth is where lines of text in a file are wrapped.
const pipeWidth = 100
