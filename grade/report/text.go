// Package report shows the outcomes of grading to people and programs. It computes nothing: every line
// comes from the data that the JSON holds too.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// Text writes the report for a student: task by task what was met, and for each check that missed what
// was expected, what happened and why.
func Text(w io.Writer, r *grade.Report, style Style) error {
	p := &page{Style: style}
	p.line("", p.bold(r.Lab.Title)+p.dim(fmt.Sprintf(" · %s · %s engine", r.Lab.Name, r.Engine)))
	for i := range r.Tasks {
		p.blank()
		p.task(taskNumber(r.LabFile(), r, i), &r.Tasks[i], r.Findings)
	}
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
	if why := r.Nothing(); why != "" {
		p.line("", p.yellow(nothingFound+why+"."))
	}
	p.line("", Summary(r, style))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// taskNumber is the place of the report's task i in the lab, also when only some tasks were graded; lab may be nil.
func taskNumber(lab *labs.Lab, r *grade.Report, i int) int {
	if lab != nil {
		if at := slices.IndexFunc(lab.Tasks, func(t labs.Task) bool { return t.Name == r.Tasks[i].Name }); at >= 0 {
			i = at
		}
	}
	return i + 1
}

func (p *page) task(number int, t *grade.TaskReport, findings []grade.Finding) {
	title := t.Title
	if title == "" {
		title = t.Name
	}
	text := p.bold(title) + p.dim(" · "+t.Name)
	if !t.Attempted {
		text += p.dim(" (nothing submitted)")
	}
	p.row(fmt.Sprintf("%2d  ", number), text, points(t.Score.Points, t.Score.Max))
	for _, h := range t.Hints {
		p.line("    ", p.dim(fmt.Sprintf("hint %s taken: −%s", h.Name, plainPoints(h.Cost))))
	}
	v := taskView{page: p, task: t.Name, findings: findings, told: map[string]bool{}}
	for i := range t.Objectives {
		v.objective(&t.Objectives[i])
	}
}

// taskView writes a task's objectives and remembers what it said, so as not to say it again.
type taskView struct {
	*page
	task     string
	findings []grade.Finding
	told     map[string]bool
	alone    bool // what is written stands without the rest of the report: nothing is "above"
}

// reasonsTold is how many different reasons an objective's misses are explained with; further misses are
// only listed, and -o json has everything.
const reasonsTold = 3

// sentencesWithMistake is how much of the account is told where the mistake has a name: what decided, and
// what came nearest. `labctl explain` tells the rest.
const sentencesWithMistake = 2

const (
	objectiveIndent = "    "
	checkIndent     = "        "
	detailIndent    = "          "
)

func (v *taskView) objective(o *grade.ObjectiveReport) {
	title := o.Title
	if title == "" {
		title = o.Name
	}
	if o.Bonus {
		title += v.dim(" (bonus)")
	}
	earned := v.dim("hidden")
	if o.Points != nil {
		earned = points(*o.Points, o.Max)
	}
	v.row(objectiveIndent+StatusMark(o.Status, v.Style)+" ", title, earned)
	v.checks(o)
}

// checks writes what an objective asked and did not get, and why.
func (v *taskView) checks(o *grade.ObjectiveReport) {
	if o.Status == grade.Blocked {
		// What it asks is moot until then.
		v.line(checkIndent, v.dim("counts once "+blockers(o)+" is met"))
		return
	}
	var missed []*grade.Check
	for i := range o.Checks {
		if c := &o.Checks[i]; !c.Passed {
			missed = append(missed, c)
		}
	}
	for reasons := 0; len(missed) > 0; reasons++ {
		// Checks that missed for one and the same reason are told together.
		first, rest := missed[0], missed[:0:0]
		for _, c := range missed {
			if c == first || sameReason(c, first) {
				v.line(checkIndent, v.asked(c))
			} else {
				rest = append(rest, c)
			}
		}
		if reasons < reasonsTold {
			v.reason(o.Name, first)
		}
		missed = rest
	}
}

// sameReason reports whether a and b missed for the same reason, one that was told: one mistake, or one account.
func sameReason(a, b *grade.Check) bool {
	if a.Mistake != "" || b.Mistake != "" {
		return a.Mistake == b.Mistake && a.Hint == b.Hint
	}
	return a.Why != nil && b.Why != nil && len(a.Why.Text) > 0 && slices.Equal(a.Why.Text, b.Why.Text) &&
		a.Because == b.Because && a.Error == b.Error
}

// reason writes why a check missed.
func (v *taskView) reason(objective string, c *grade.Check) {
	if c.Error != "" {
		v.line(detailIndent, v.yellow("could not be checked: ")+c.Error)
	}
	if c.Because != "" && v.first("because", objective, c.Because) {
		v.line(detailIndent, c.Because)
	}
	if c.Why != nil && len(c.Why.Text) > 0 {
		text := c.Why.Text
		if !v.first("why", text...) {
			text = []string{v.dim("for the same reason as above")}
		} else if c.Mistake != "" {
			text = text[:min(len(text), sentencesWithMistake)]
		}
		for i, sentence := range text {
			label := "        "
			if i == 0 {
				label = v.dim("why     ")
			}
			v.line(detailIndent+label, sentence)
		}
	}
	v.mistake(objective, c)
}

// mistake names the classic mistake behind a miss, in full where it was found first.
func (v *taskView) mistake(objective string, c *grade.Check) {
	if c.Mistake == "" && c.Hint == "" {
		return
	}
	text, again := c.Mistake, !v.first("mistake", c.Mistake, c.Hint)
	i := slices.IndexFunc(v.findings, func(f grade.Finding) bool {
		return f.ID == c.Mistake && f.Task == v.task && f.Objective == objective
	})
	if i < 0 {
		again = again || !v.alone
		i = slices.IndexFunc(v.findings, func(f grade.Finding) bool { return f.ID == c.Mistake })
	}
	if i >= 0 {
		f := &v.findings[i]
		switch {
		case !again:
			text = v.finding(f)
		case f.Task == v.task:
			text = f.Title + v.dim(" (as above)")
		default:
			text = f.Title + v.dim(" (as in "+f.Task+")")
		}
	}
	if text != "" {
		v.line(detailIndent+v.yellow("mistake "), text)
	}
	if c.Hint != "" && !again {
		v.line(detailIndent+v.cyan("hint    "), c.Hint)
	}
}

// first reports whether something is said for the first time in the task.
func (v *taskView) first(kind string, what ...string) bool {
	key := kind + "\x00" + strings.Join(what, "\x00")
	if v.told[key] {
		return false
	}
	v.told[key] = true
	return true
}

// finding is a mistake in a line: its name, what is meant, and where it stands.
func (p *page) finding(f *grade.Finding) string {
	text := p.bold(f.Title)
	if f.Message != "" {
		text += ": " + f.Message
	}
	if at := grade.Place(f.File, f.Line); at != "" && !strings.Contains(f.Message, at) {
		text += p.dim(" (" + at + ")")
	}
	return text
}

// asked is one check in a line: what, expected and found.
func (p *page) asked(c *grade.Check) string {
	subject := c.Name
	if c.From != "" || c.To != "" {
		subject = strings.TrimSpace(c.From + " → " + c.To)
		if c.Name != "" {
			subject = c.Name + ": " + subject
		}
	}
	text := p.bold(subject)
	if c.Expected != "" {
		text += ": expected " + p.green(word(c.Expected))
		if c.Verdict != "" {
			text += ", got " + p.red(word(c.Verdict))
		}
	}
	return text
}

// findings writes what was noticed beside the checks that missed.
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
		number(s.Points), plainPoints(s.Max), number(s.Percent), number(s.PassMark), style.bold(verdict))
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

// word is a verdict in a sentence.
func word(v labs.Verdict) string {
	switch v {
	case labs.DNSFailed:
		return "a DNS failure"
	case labs.AppError:
		return "an error answer"
	case labs.ProbeError:
		return "no result"
	}
	return string(v)
}

func points(earned, max float64) string { return number(earned) + " / " + number(max) }

func plainPoints(n float64) string {
	if n == 1 {
		return "1 point"
	}
	return number(n) + " points"
}
