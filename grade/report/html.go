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
		t := template.Must(template.New("page").Funcs(template.FuncMap{"meaning": meaningOf}).Parse(text))
		template.Must(t.New("head.html").Parse(headHTML))
		template.Must(t.New("style.css").Parse(styleCSS))
		template.Must(t.New("bar").Parse(barSVG))
		return t
	})
}

var feedbackPage = pageTemplate(feedbackHTML)

// writeFeedback writes a page for the student: one file that needs nothing else and runs nothing.
func writeFeedback(w io.Writer, a *Assignment, o *Result) error {
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
	Reasons                              []reasonNote
}

// reasonNote is a reason whose texts are cut into spans.
type reasonNote struct {
	Asked          []asked
	Error, Because string
	Why            [][]span
	Mistake        *mistakeNote
	Hint           template.HTML
}

type mistakeNote struct {
	Title   string
	Message []span
	Place   string
	Hint    template.HTML
}

// span is a piece of a sentence; Code is the name and line of a file.
type span struct {
	Text string
	Code bool
}

func feedbackOf(a *Assignment, o *Result) *feedback {
	f := &feedback{
		Title: a.name(), Who: strings.Join(compact(o.Name, o.ID, o.Email), " · "), Notes: o.notes(),
		Footer: fmt.Sprintf("labctl · %s · %s", a.Lab.Name, a.Lab.Digest),
	}
	f.Verdict, f.Class = statusWords(o.Status)
	if o.Score != nil {
		f.Percent, f.Points, f.PassMark = number(o.Score.Percent), points(o.Score.Points, o.Score.Max),
			number(o.Score.PassMark)
		f.Ring = &ring{Class: f.Class, Mark: number(o.Score.PassMark * 3.6)}
		if o.Score.Percent > 0 {
			f.Ring.Dash = number(min(o.Score.Percent, 100))
		}
	}
	switch o.Status {
	case grade.Refused:
		f.ReasonsTitle = "Why your submission was rejected"
		f.ReasonsText = "Nothing was graded. Fix these problems and resubmit."
		if o.Advice != "" {
			f.ReasonsText += " " + o.Advice + "."
		}
	case grade.Errored:
		f.ReasonsTitle = "Why there is no grade"
		f.ReasonsText = o.Message
	}
	if o.Status == grade.Refused {
		for _, text := range o.problems() {
			f.Reasons = append(f.Reasons, spans(text))
		}
	}
	if o.Report == nil {
		return f
	}
	f.Selected = strings.Join(taskTitles(a.Lab, o.Report.Selected), ", ")
	for i := range o.Report.Tasks {
		f.Tasks = append(f.Tasks, taskPageOf(a, o, i))
	}
	for _, x := range remarks(o.Report) {
		f.Remarks = append(f.Remarks, *noteOf(&x))
	}
	return f
}

// taskTitles are the titles of tasks, for people who know no names.
func taskTitles(lab *labs.Lab, names []string) []string {
	titles := slices.Clone(names)
	for i, name := range names {
		if at := lab.TaskIndex(name); at >= 0 {
			titles[i] = cmp.Or(lab.Tasks[at].Title, name)
		}
	}
	return titles
}

func statusWords(s grade.Status) (verdict, class string) {
	switch s {
	case grade.Passed:
		return "passed", "good"
	case grade.Failed:
		return "not passed", "bad"
	case grade.Refused:
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

func taskPageOf(a *Assignment, o *Result, i int) taskPage {
	t := &o.Report.Tasks[i]
	p := taskPage{
		Number: taskNumber(a.Lab, o.Report, i), Title: cmp.Or(t.Title, t.Name), Points: points(t.Score.Points, t.Score.Max),
		Bar: barOf(t.Score.Points, t.Score.Max), Attempted: t.Attempted || o.Report.Submission.Layout == labs.LayoutFlat,
		Hides: hides(t), Matrix: matrixOf(t),
	}
	for _, h := range t.Hints {
		p.Hints = append(p.Hints, hintNote{h.Name, Points(h.Cost)})
	}
	for _, x := range shown(t) {
		p.Objectives = append(p.Objectives, objectivePageOf(o, t.Name, x))
	}
	return p
}

// objectiveIcons draw an objective's outcome on a disc of 20 by 20.
var objectiveIcons = map[grade.ObjectiveStatus]string{
	grade.Met: "M5.5 10.5l3 3 6-7", grade.Partly: "M10 5v10M5 10h10", grade.Missed: "M6.5 6.5l7 7M13.5 6.5l-7 7",
	grade.Blocked: "M6 10h8", grade.Error: "M10 5v6M10 14.4v.2",
}

func objectivePageOf(o *Result, task string, x *grade.ObjectiveReport) objectivePage {
	p := objectivePage{
		Title: cmp.Or(x.Title, x.Name), Points: points(*x.Points, x.Max), Status: string(x.Status),
		Icon:  objectiveIcons[x.Status],
		Bonus: x.Bonus,
	}
	if x.Status == grade.Blocked {
		p.Blocked = blockers(o.Report, task, x)
	}
	for _, r := range reasonsOf(o.Report, task, x) {
		p.Reasons = append(p.Reasons, reasonNoteOf(&r))
	}
	return p
}

func reasonNoteOf(r *reason) reasonNote {
	n := reasonNote{Asked: r.Asked, Error: r.Error, Because: r.Because, Hint: proseHTML(r.Hint)}
	for _, sentence := range r.Why {
		n.Why = append(n.Why, spans(sentence))
	}
	if r.Mistake != nil {
		n.Mistake = noteOf(r.Mistake)
	}
	return n
}

func noteOf(f *grade.Finding) *mistakeNote {
	return &mistakeNote{Title: f.Title, Message: spans(f.Message), Place: placeOf(f), Hint: proseHTML(f.Hint)}
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
