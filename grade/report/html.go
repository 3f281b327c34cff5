package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// What all pages have in common. That they fetch and run nothing stands in headHTML.
var (
	//go:embed page/head.html
	headHTML string
	//go:embed page/style.css
	styleCSS string
	//go:embed page/bar.svg
	barSVG string
)

//go:embed page/feedback.html
var feedbackHTML string

// pageTemplate parses a page, once.
func pageTemplate(text string) func() *template.Template {
	return sync.OnceValue(func() *template.Template {
		t := template.Must(template.New("page").Parse(text))
		template.Must(t.New("head.html").Parse(headHTML))
		template.Must(t.New("style.css").Parse(styleCSS))
		template.Must(t.New("bar").Parse(barSVG))
		return t
	})
}

var feedbackPage = pageTemplate(feedbackHTML)

// HTML writes a page for the student: one file that needs nothing else and runs nothing.
func HTML(w io.Writer, a *Assignment, o *Outcome) error {
	var out bytes.Buffer
	if err := feedbackPage().Execute(&out, feedbackOf(a, o)); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err := io.WriteString(w, xmlClean(out.String()))
	return err
}

// feedback is what the page shows; it computes nothing.
type feedback struct {
	Title, Who, Verdict, Class string
	Percent, Points, PassMark  string
	Ring                       *ring
	Notes                      []string
	Selected                   string
	ReasonsTitle, ReasonsText  string
	Reasons                    [][]span
	Tasks                      []taskPage
	Remarks                    []mistakeNote
	Footer                     string
}

// ring is the share earned as an arc, with the pass mark on it.
type ring struct {
	Class, Dash string
	Mark        string // degrees from the top
}

// bar is a share of 100.
type bar struct{ Class, Share string }

type taskPage struct {
	Number        int
	Title, Points string
	Bar           bar
	Attempted     bool
	Hints         []hintNote
	Objectives    []objectivePage
	Hides         bool
	Matrix        *matrix
}

type hintNote struct{ Name, Cost string }

type objectivePage struct {
	Title, Points, Status, Icon, Blocked string
	Bonus                                bool
	Reasons                              []reason
}

// reason is why some checks missed, all for the same one.
type reason struct {
	Asked          []askedNote
	Error, Because string
	Why            [][]span
	Mistake        *mistakeNote
	Hint           string
}

type askedNote struct{ Name, From, To, Expected, Got string }

type mistakeNote struct {
	Title   string
	Message []span
	Place   string
	Hint    string
}

// span is a piece of a sentence; Code is the name and line of a file.
type span struct {
	Text string
	Code bool
}

func feedbackOf(a *Assignment, o *Outcome) *feedback {
	o = o.toStudent()
	f := &feedback{
		Title: a.name(), Who: strings.Join(compact(o.Name, o.ID, o.Email), " · "), Notes: o.notes(),
		Footer: fmt.Sprintf("labctl · %s · %s", a.Lab.Name, a.Lab.Digest),
	}
	f.Verdict, f.Class = statusWords(o.Status)
	if o.Score != nil {
		f.Percent, f.Points, f.PassMark = number(o.Score.Percent), points(o.Score.Points, o.Score.Max), number(o.Score.PassMark)
		f.Ring = &ring{Class: f.Class, Mark: number(o.Score.PassMark * 3.6)}
		if o.Score.Percent > 0 {
			f.Ring.Dash = number(min(o.Score.Percent, 100))
		}
	}
	switch o.Status {
	case Refused:
		f.ReasonsTitle = "What the lab does not take"
		f.ReasonsText = "Nothing was graded. Mend this and hand in again."
	case Errored:
		f.ReasonsTitle = "Why there is no grade"
		f.ReasonsText = o.Message
	}
	if o.Status == Refused {
		for _, text := range o.reasons() {
			f.Reasons = append(f.Reasons, spans(text))
		}
	}
	if o.Report == nil {
		return f
	}
	f.Selected = strings.Join(o.Report.Selected, ", ")
	for i := range o.Report.Tasks {
		f.Tasks = append(f.Tasks, taskPageOf(a, o, i))
	}
	for _, x := range remarks(o.Report) {
		f.Remarks = append(f.Remarks, *noteOf(&x))
	}
	return f
}

func statusWords(s Status) (verdict, class string) {
	switch s {
	case Passed:
		return "passed", "good"
	case Failed:
		return "not passed", "bad"
	case Refused:
		return "refused", "bad"
	}
	return "not graded", "warn"
}

// compact drops what is empty or said before.
func compact(texts ...string) []string {
	var out []string
	for _, t := range texts {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func barOf(earned, most float64) bar {
	share := 100.0
	if most > 0 {
		share = min(100*earned/most, 100)
	}
	b := bar{Class: "some", Share: number(share)}
	switch {
	case share >= 100:
		b.Class = "all"
	case share <= 0:
		b.Class = "none"
	}
	return b
}

func taskPageOf(a *Assignment, o *Outcome, i int) taskPage {
	t := &o.Report.Tasks[i]
	p := taskPage{
		Number: taskNumber(a.Lab, o.Report, i), Title: cmp.Or(t.Title, t.Name), Points: points(t.Score.Points, t.Score.Max),
		Bar: barOf(t.Score.Points, t.Score.Max), Attempted: t.Attempted || o.Report.Submission.Layout == labs.LayoutFlat,
		Hides: hides(t), Matrix: matrixOf(t),
	}
	for _, h := range t.Hints {
		p.Hints = append(p.Hints, hintNote{h.Name, plainPoints(h.Cost)})
	}
	for j := range t.Objectives {
		if x := &t.Objectives[j]; x.Status != grade.Hidden {
			p.Objectives = append(p.Objectives, objectivePageOf(o, t.Name, x))
		}
	}
	return p
}

// objectiveIcons draw an objective's outcome on a disc of 20 by 20.
var objectiveIcons = map[grade.ObjectiveStatus]string{
	grade.Met: "M5.5 10.5l3 3 6-7", grade.Partly: "M10 5v10M5 10h10", grade.Missed: "M6.5 6.5l7 7M13.5 6.5l-7 7",
	grade.Blocked: "M6 10h8", grade.Error: "M10 5v6M10 14.4v.2",
}

// reasonsShown is how many reasons of one objective are told; further checks that missed are only listed.
const reasonsShown = 5

func objectivePageOf(o *Outcome, task string, x *grade.ObjectiveReport) objectivePage {
	p := objectivePage{
		Title: cmp.Or(x.Title, x.Name), Points: points(*x.Points, x.Max), Status: string(x.Status), Icon: objectiveIcons[x.Status], Bonus: x.Bonus,
	}
	if x.Status == grade.Blocked {
		p.Blocked = blockers(x)
		return p
	}
	var missed []*grade.Check
	for i := range x.Checks {
		if c := &x.Checks[i]; !c.Passed {
			missed = append(missed, c)
		}
	}
	for len(missed) > 0 {
		first, rest := missed[0], missed[:0:0]
		r := reasonOf(o, task, x.Name, first)
		if len(p.Reasons) >= reasonsShown {
			r = reason{}
		}
		for _, c := range missed {
			if c == first || sameReason(c, first) || len(p.Reasons) >= reasonsShown {
				r.Asked = append(r.Asked, askedOf(c))
			} else {
				rest = append(rest, c)
			}
		}
		p.Reasons = append(p.Reasons, r)
		missed = rest
	}
	return p
}

func reasonOf(o *Outcome, task, objective string, c *grade.Check) reason {
	r := reason{Error: c.Error, Because: c.Because, Hint: c.Hint}
	if c.Why != nil {
		text := c.Why.Text
		if c.Mistake != "" {
			text = text[:min(len(text), sentencesWithMistake)]
		}
		for _, sentence := range text {
			r.Why = append(r.Why, spans(sentence))
		}
	}
	findings := o.Report.Findings
	i := slices.IndexFunc(findings, func(f grade.Finding) bool {
		return f.ID == c.Mistake && f.Task == task && f.Objective == objective
	})
	if i < 0 {
		i = slices.IndexFunc(findings, func(f grade.Finding) bool { return f.ID == c.Mistake })
	}
	if c.Mistake != "" && i >= 0 {
		r.Mistake = noteOf(&findings[i])
		if r.Hint == r.Mistake.Hint {
			r.Mistake.Hint = ""
		}
	}
	return r
}

func askedOf(c *grade.Check) askedNote {
	n := askedNote{Name: c.Name, From: c.From, To: c.To}
	if n.To == "" {
		n.Name, n.To = "", cmp.Or(c.Name, string(c.Kind))
	}
	if c.Expected != "" {
		n.Expected = word(c.Expected)
		if c.Verdict != "" {
			n.Got = word(c.Verdict)
		}
	}
	return n
}

func noteOf(f *grade.Finding) *mistakeNote {
	n := &mistakeNote{Title: f.Title, Message: spans(f.Message), Hint: f.Hint}
	if at := grade.Place(f.File, f.Line); !strings.Contains(f.Message, at) {
		n.Place = at
	}
	return n
}

var place = regexp.MustCompile(`[^\s()"]+\.(?:ya?ml|json):\d+`)

// spans sets the names of files with lines apart from the rest of a sentence.
func spans(text string) []span {
	var all []span
	at := 0
	for _, m := range place.FindAllStringIndex(text, -1) {
		if m[0] > at {
			all = append(all, span{Text: text[at:m[0]]})
		}
		all = append(all, span{text[m[0]:m[1]], true})
		at = m[1]
	}
	if at < len(text) {
		all = append(all, span{Text: text[at:]})
	}
	return all
}
