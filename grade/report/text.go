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
		p.task(i+1, &r.Tasks[i], r.Findings)
	}
	p.findings(r)
	p.blank()
	p.line("", Summary(r, style))
	_, err := io.WriteString(w, p.b.String())
	return err
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
	told := map[string]bool{}
	for i := range t.Objectives {
		p.objective(&t.Objectives[i], findings, told)
	}
}

// objective writes one objective; told holds what was said in this task already, and need not be again.
func (p *page) objective(o *grade.ObjectiveReport, findings []grade.Finding, told map[string]bool) {
	title := o.Title
	if title == "" {
		title = o.Name
	}
	if o.Bonus {
		title += p.dim(" (bonus)")
	}
	earned := p.dim("hidden")
	if o.Points != nil {
		earned = points(*o.Points, o.Max)
	}
	p.row("    "+StatusMark(o.Status, p.Style)+" ", title, earned)
	if len(o.BlockedBy) > 0 {
		p.line("        ", p.dim("counts once "+strings.Join(o.BlockedBy, ", ")+" is met"))
	}
	var missed []*grade.Check
	for i := range o.Checks {
		if c := &o.Checks[i]; !c.Passed {
			missed = append(missed, c)
		}
	}
	for len(missed) > 0 {
		// Checks that missed for one and the same reason are told together.
		n := 1
		for n < len(missed) && sameReason(missed[0], missed[n]) {
			n++
		}
		p.checks(missed[:n], findings, told)
		missed = missed[n:]
	}
}

// sameReason reports whether a and b missed for the same reason, one that was told.
func sameReason(a, b *grade.Check) bool {
	return a.Why != nil && b.Why != nil && len(a.Why.Text) > 0 && slices.Equal(a.Why.Text, b.Why.Text) &&
		a.Mistake == b.Mistake && a.Hint == b.Hint && a.Because == b.Because && a.Error == b.Error
}

// checks writes checks that missed for the same reason.
func (p *page) checks(same []*grade.Check, findings []grade.Finding, told map[string]bool) {
	const indent = "        "
	c := same[0]
	for _, c := range same {
		p.line(indent, p.asked(c))
	}
	if c.Error != "" {
		p.line(indent+"  ", p.yellow("could not be checked: ")+c.Error)
	}
	if c.Because != "" {
		p.line(indent+"  ", c.Because)
	}
	if c.Why != nil {
		why := strings.Join(c.Why.Text, "\n")
		if told[why] && len(same) == 1 {
			why = p.dim("for the same reason as above")
		} else {
			told[why] = true
		}
		for i, text := range strings.Split(why, "\n") {
			prefix := indent + "  "
			if i == 0 {
				prefix += p.dim("why     ")
			} else {
				prefix += "        "
			}
			p.line(prefix, text)
		}
	}
	p.mistake(indent+"  ", c, findings, told)
}

func (p *page) mistake(indent string, c *grade.Check, findings []grade.Finding, told map[string]bool) {
	if c.Mistake == "" && c.Hint == "" {
		return
	}
	key := "mistake\x00" + c.Mistake + "\x00" + c.Hint
	title := c.Mistake
	var message, at string
	if i := slices.IndexFunc(findings, func(f grade.Finding) bool { return f.ID == c.Mistake && f.Hint == c.Hint }); i >= 0 {
		title, message, at = findings[i].Title, findings[i].Message, grade.Place(findings[i].File, findings[i].Line)
	}
	if told[key] {
		if title != "" {
			p.line(indent+p.yellow("mistake "), title+p.dim(" (as above)"))
		}
		return
	}
	told[key] = true
	if title != "" {
		text := p.bold(title)
		if message != "" {
			text += ": " + message
		}
		if at != "" && !strings.Contains(message, at) {
			text += p.dim(" (" + at + ")")
		}
		p.line(indent+p.yellow("mistake "), text)
	}
	if c.Hint != "" {
		p.line(indent+p.cyan("hint    "), c.Hint)
	}
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
	shown := map[string]bool{}
	for _, t := range r.Tasks {
		for _, o := range t.Objectives {
			for _, c := range o.Checks {
				if !c.Passed && c.Mistake != "" {
					shown[c.Mistake+"\x00"+c.Hint] = true
				}
			}
		}
	}
	head := false
	for _, f := range r.Findings {
		if shown[f.ID+"\x00"+f.Hint] {
			continue
		}
		if !head {
			p.blank()
			p.line("", p.bold("Also noticed"))
			head = true
		}
		at := grade.Place(f.File, f.Line)
		text := f.Title
		if f.Message != "" {
			text += ": " + f.Message
		}
		if at != "" && !strings.Contains(f.Message, at) {
			text += p.dim(" (" + at + ")")
		}
		p.line(p.yellow("  → "), text)
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
