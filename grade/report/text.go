// Package report shows the results of grading to people and programs. It computes nothing: every line
// comes from the data that the JSON holds too.
package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// Text writes the report for a student: task by task what was met, and for each check that missed what
// was expected, what happened and why.
func Text(w io.Writer, r *grade.Report, style Style) error {
	p := &page{Style: style, explained: map[string]bool{}}
	p.line("", p.bold(r.Lab.Title)+p.dim(fmt.Sprintf(" · %s · %s engine", r.Lab.Name, r.Engine)))
	p.tasks(r)
	p.findings(r)
	p.blank()
	for i, t := range r.Tampering {
		if i == 0 {
			p.line("", p.yellow("The lab is not as it was deployed; nothing of this earned anything:"))
		}
		p.line("  ", t.Object+": "+t.Message)
	}
	if text := probers(r.Probers); text != "" {
		p.line("", p.dim(text))
	}
	if why := r.EmptyReason(); why != "" {
		p.line("", p.yellow(nothingFound+why+"."))
	} else if others := r.Submission.Others(5); others != "" {
		p.line("", p.dim("Not read, since they are no manifests (*.yaml, *.yml, *.json): "+others))
	}
	p.line("", Summary(r, style))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// taskNumber is the place of the report's task i in the lab, also when only some tasks were graded; lab may be nil.
func taskNumber(lab *labs.Lab, r *grade.Report, i int) int {
	if lab != nil {
		if at := lab.TaskIndex(r.Tasks[i].Name); at >= 0 {
			i = at
		}
	}
	return i + 1
}

// tasks writes the tasks, in as much detail as the style asks for.
func (p *page) tasks(r *grade.Report) {
	open := firstOpen(r)
	if len(r.Selected) > 0 && (p.Detail == BegunTasks || len(r.Tasks) == 1) {
		p.Detail = AllTasks // what somebody asks for is shown
	}
	if p.Detail == OpenTask && open >= 0 { // first, so that it is on any screen
		p.blank()
		p.task(r, open)
	}
	brief, some := false, false
	for i := range r.Tasks {
		if p.Detail == OpenTask && i == open {
			continue
		}
		full := p.Detail == AllTasks || p.Detail == BegunTasks && (i == open || r.Tasks[i].Attempted)
		if full || !brief {
			p.blank()
		}
		if full {
			p.task(r, i)
		} else {
			p.taskRow(r, i)
		}
		brief, some = !full, some || !full
	}
	if some && !(r.Score.Passed && r.Score.Points >= r.Score.Max) {
		p.blank()
		p.line("", p.dim("--all-tasks shows every task in full."))
	}
}

// firstOpen is the index of the first task with an objective that is not met, or -1.
func firstOpen(r *grade.Report) int {
	return slices.IndexFunc(r.Tasks, func(t grade.TaskReport) bool {
		return slices.ContainsFunc(t.Objectives, func(o grade.ObjectiveReport) bool {
			return !o.Bonus && o.Status != grade.Met && o.Status != grade.Hidden
		})
	})
}

// taskRow writes a task and its points in one line.
func (p *page) taskRow(r *grade.Report, i int) {
	t := &r.Tasks[i]
	text := p.bold(cmp.Or(t.Title, t.Name)) + p.dim(" · "+t.Name)
	if !t.Attempted {
		text += p.dim(" (nothing submitted)")
	}
	number := taskNumber(r.LabFile(), r, i)
	p.row(fmt.Sprintf("%2d  ", number), text, points(t.Score.Points, t.Score.Max))
	p.emptyFiles(t.EmptyFiles)
}

// emptyFiles says of files why nothing was read from them, also beside others that count: who forgot to uncomment one
// file of a task sees only that its effect is missing.
func (p *page) emptyFiles(files []grade.EmptyFile) {
	for _, f := range files {
		if f.File == "" { // how many more there are
			p.line("    ", f.Why)
			continue
		}
		p.line("    ", fmt.Sprintf("%s: %s", submission.Printable(f.File), f.Why))
	}
}

// task writes a task in full.
func (p *page) task(r *grade.Report, i int) {
	p.taskRow(r, i)
	t := &r.Tasks[i]
	for _, h := range t.Hints {
		p.line("    ", p.dim(fmt.Sprintf("hint %s taken: −%s", h.Name, Points(h.Cost))))
	}
	v := taskView{page: p, report: r, task: t.Name, said: map[string]bool{}}
	for i := range t.Objectives {
		v.objective(&t.Objectives[i])
	}
}

// taskView writes a task's objectives, and remembers what it has said in order not to repeat it.
type taskView struct {
	*page
	report *grade.Report
	task   string
	said   map[string]bool
	alone  bool // the text is not part of a report: nothing is "above"
}

const (
	objectiveIndent = "    "
	checkIndent     = "        "
	detailIndent    = "          "
)

func (v *taskView) objective(o *grade.ObjectiveReport) {
	title := cmp.Or(o.Title, o.Name)
	if o.Bonus {
		title += v.dim(" (bonus)")
	}
	earned := v.dim("hidden")
	if o.Points != nil {
		earned = points(*o.Points, o.Max)
	}
	v.row(objectiveIndent+StatusMark(o.Status, v.Style)+" ", title, earned)
	v.reasons(o)
}

// reasons writes why an objective was missed.
func (v *taskView) reasons(o *grade.ObjectiveReport) {
	if o.Status == grade.Blocked {
		v.line(checkIndent, v.dim("counts once "+blockers(v.report, v.task, o)+" is met"))
	}
	for _, x := range reasonsFor(v.report, v.task, o, v.Lab) {
		v.reason(o.Name, &x)
	}
}

func (v *taskView) reason(objective string, x *reason) {
	for i := range x.Asked {
		v.line(checkIndent, v.asked(&x.Asked[i]))
		v.explainWords(&x.Asked[i])
	}
	if x.Error != "" {
		v.line(detailIndent, v.yellow("could not be checked: ")+x.Error)
	}
	if x.Because != "" && v.first("because", objective, x.Because) {
		v.line(detailIndent, x.Because)
	}
	why := x.Why
	if len(why) > 0 && !v.first("why", why...) {
		why = []string{v.dim("for the same reason as above")}
	}
	for i, sentence := range why {
		label := "        "
		if i == 0 {
			label = v.dim("why     ")
		}
		v.line(detailIndent+label, sentence)
	}
	v.mistake(objective, x)
}

// explainWords says what verdicts mean, where a report first has them.
func (v *taskView) explainWords(a *asked) {
	if v.alone {
		return
	}
	for _, word := range []string{a.Expected, a.Observed} {
		if meaning := meaningOf(word); meaning != "" && !v.explained[word] {
			v.explained[word] = true
			v.line(detailIndent, v.dim(word+": "+meaning))
		}
	}
}

// mistake writes the mistake and the hint, in full where the mistake was found first.
func (v *taskView) mistake(objective string, x *reason) {
	if x.Mistake == nil {
		if x.Hint != "" && v.first("hint", x.Hint) {
			v.line(detailIndent+v.cyan("hint    "), x.Hint)
		}
		return
	}
	f := x.Mistake
	again := !v.first("mistake", f.ID, x.Hint) || !v.alone && f.Task != "" &&
		(f.Task != v.task || f.Objective != objective)
	text := v.finding(f)
	switch {
	case again && f.Task == v.task:
		text = f.Title + v.dim(" (as above)")
	case again && f.Task != "":
		text = f.Title + v.dim(" (as in "+f.Task+")")
	}
	v.line(detailIndent+v.yellow("mistake "), text)
	if x.Hint != "" && !again {
		v.line(detailIndent+v.cyan("hint    "), x.Hint)
	}
}

// first reports whether something is said for the first time in the task.
func (v *taskView) first(kind string, what ...string) bool {
	key := kind + "\x00" + strings.Join(what, "\x00")
	if v.said[key] {
		return false
	}
	v.said[key] = true
	return true
}

// finding is a mistake in a line: its name, what is meant, and where it stands.
func (p *page) finding(f *grade.Finding) string {
	text := p.bold(f.Title)
	if f.Message != "" {
		text += ": " + f.Message
	}
	if at := placeOf(f); at != "" {
		text += p.dim(" (" + at + ")")
	}
	return text
}

// asked is one check in a line: its subject, and what was expected and observed.
func (p *page) asked(a *asked) string {
	text := p.bold(a.subject())
	if a.Expected != "" {
		text += ": expected " + p.green(a.Expected)
	}
	if a.Observed != "" {
		text += ", got " + p.red(a.Observed)
	}
	return text
}

// findings writes what was noticed besides the missed checks.
func (p *page) findings(r *grade.Report) {
	head := false
	for _, f := range remarks(r) {
		if !head {
			p.blank()
			p.line("", p.bold("Also noticed"))
			head = true
		}
		p.line(p.yellow("  → "), p.finding(&f))
		if f.Hint != "" {
			p.line("    ", p.cyan("hint  ")+f.Hint)
		}
	}
}

// Summary is the score in one line.
func Summary(r *grade.Report, style Style) string {
	s := r.Score
	verdict := style.red("not passed")
	switch {
	case r.Status == grade.Errored:
		verdict = style.yellow("not to be relied on: some checks could not be carried out")
	case s.Passed:
		verdict = style.green("passed")
	}
	text := fmt.Sprintf("%s %s of %s, %s%%; pass mark %s%%: %s", style.bold("Score"),
		number(s.Points), Points(s.Max), number(s.Percent), number(s.PassMark), style.bold(verdict))
	if len(r.Selected) > 0 {
		text += style.dim(" (only " + strings.Join(r.Selected, ", ") + ")")
	}
	return text
}

// StatusMark is an objective's outcome in one character.
func StatusMark(s grade.ObjectiveStatus, style Style) string {
	switch s {
	case grade.Met:
		return style.green("✓")
	case grade.Partly:
		return style.yellow("◐")
	case grade.Missed:
		return style.red("✗")
	case grade.Blocked:
		return style.dim("–")
	case grade.Error:
		return style.yellow("!")
	}
	return style.dim("?")
}

// Words for verdicts whose names are none.
const (
	dnsFailure  = "a DNS failure"
	errorAnswer = "an error answer"
)

// word is a verdict in a sentence.
func word(v verdict.Verdict) string {
	switch v {
	case verdict.DNSFailed:
		return dnsFailure
	case verdict.AppError:
		return errorAnswer
	case verdict.ProbeError:
		return "no result"
	}
	return string(v)
}

// meaningOf says what a word of verdicts means to whoever tries to connect; "" for those that speak for themselves.
func meaningOf(word string) string {
	switch word {
	case string(verdict.Denied):
		return "the connection must not get through; dropped and rejected both count"
	case string(verdict.Dropped):
		return "no answer comes, and the client times out"
	case string(verdict.Rejected):
		return "the connection is refused at once"
	case dnsFailure:
		return "the name does not resolve, so no connection is tried"
	case errorAnswer:
		return "the connection works, but the answer is an error"
	}
	return ""
}

func points(earned, max float64) string { return number(earned) + " / " + number(max) }

// Points is "1 point" or "2.5 points".
func Points(n float64) string {
	if n == 1 {
		return "1 point"
	}
	return number(n) + " points"
}
