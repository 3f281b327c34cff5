package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"math"
	"net/url"
	"path"
	"strings"

	"github.com/labctl/labctl/grade"
)

//go:embed page/index.html
var indexHTML string

var indexPage = pageTemplate(indexHTML)

// Index is the page about a class for its instructor. Add takes every result, and Write writes the page; what it holds
// of single students is bounded.
type Index struct {
	Assignment Assignment
	Engine     string
	Digest     string // of the lab
	Objectives []Rate
	Mistakes   []Tally           // most frequent first
	Titles     map[string]string // of mistakes, by ID; those without one are shown by ID
	Mutants    []MutantFound     // most frequent first
	Similar    *Similar          // nil: nobody asked

	counts   map[grade.Status]int
	late     int
	percents [101]int // scores, in whole percents
	sum      float64
	troubles troubles
	students int
	rows     bytes.Buffer // of the table
}

// Rate says how many met an objective.
type Rate struct {
	Task, Objective string
	Met, Of         int
}

// Tally says how many submissions hold a mistake.
type Tally struct {
	ID string
	N  int
}

// MutantFound is a mutant of the lab's solution that students handed in.
type MutantFound struct {
	Message, Object, Task string
	Answers               int // gave this very answer
	Outcomes              int // gave none of the mutants' answers, but their objectives came out as this one's
	Alike                 int // mutants that come out like this one, itself among them
}

// Similar is what the page says about submissions that are alike.
type Similar struct {
	Note   string
	Groups []SimilarGroup
	More   int // groups that similarity.json has beside
}

// SimilarGroup are submissions that are alike, and what the most similar two of them share.
type SimilarGroup struct {
	Students []StudentLink
	Count    int
	More     int    // students that are not listed
	Equal    bool   // all files are equal
	Score    string // of the most similar two
	Reasons  []string
}

// StudentLink is a student as pages name one: by ID and name, with a link to the feedback if there is any.
type StudentLink struct{ ID, Name, Page string }

// NewStudentLink names a student whose files are in dir; "" if there are none.
func NewStudentLink(id, name, dir string) StudentLink {
	l := StudentLink{ID: xmlClean(id), Name: xmlClean(name), Page: PageIn(dir)}
	if l.Name == l.ID {
		l.Name = ""
	}
	return l
}

// indexRow is a student in the page's table.
type indexRow struct {
	ID, Name, Page        string // Page is where the feedback is, "": nowhere
	Status, Class         string
	Points, Percent, Note string
	Bar                   bar
}

// What of single students the page shows; the rest is in other files.
const (
	indexStudents = 10000
	indexMistakes = 12
	indexMutants  = 12
	IndexSimilar  = 25 // groups
	IndexMembers  = 12 // of a group
)

// Add takes a result, in the order of the table, whose student's files are in dir, relative to the page; ""
// if there are none.
func (x *Index) Add(o *Result, dir string) error {
	if x.counts == nil {
		x.counts = map[grade.Status]int{}
	}
	x.counts[o.Status]++
	if o.Late != "" {
		x.late++
	}
	if o.Score != nil {
		x.percents[int(min(max(o.Score.Percent, 0), 100))]++
		x.sum += o.Score.Percent
	}
	x.troubles.add(o, dir)
	if x.students++; x.students > indexStudents {
		return nil
	}
	return indexPage().ExecuteTemplate(&x.rows, "row", rowOf(o, dir))
}

// rowOf is the row of a result.
func rowOf(o *Result, dir string) indexRow {
	r := indexRow{ID: xmlClean(o.ID), Name: xmlClean(o.Name), Page: PageIn(dir)}
	r.Status, r.Class = statusWords(o.Status)
	if o.Score != nil {
		r.Points, r.Percent = points(o.Score.Points, o.Score.Max), number(o.Score.Percent)
		r.Bar = barOf(o.Score.Percent, 100)
		r.Bar.Class = "all"
		if !o.Score.Passed {
			r.Bar.Class = "bad"
		}
	}
	if o.Late != "" {
		r.Note = "late"
	}
	return r
}

// PageIn is the address of the feedback in a student's folder, whose name may hold what has a meaning in
// addresses; "" if there is no folder.
func PageIn(dir string) string {
	if dir == "" {
		return ""
	}
	return (&url.URL{Path: path.Join(dir, feedbackFile)}).EscapedPath()
}

const feedbackFile = "feedback.html"

// indexView is what the page shows.
type indexView struct {
	Title, Lab, Engine, Digest, PassMark string
	Selected                             string // tasks, if only some were graded
	Tiles                                []tile
	Plot                                 *plot
	Tasks                                []indexTask
	Mistakes                             []indexMistake
	Mutants                              []indexMutant
	Similar                              *Similar
	Troubles                             []*trouble
	MoreTroubles                         int // students with other reasons
	MoreMistakes, MoreStudents           int
}

type tile struct{ Value, Label, Class string }

type indexTask struct {
	Title      string
	Objectives []indexObjective
}

type indexObjective struct {
	Title, Percent string
	Hidden         string // why there is no rate
	Met, Of        int
	Bar            bar
}

type indexMutant struct {
	MutantFound
	TaskTitle string
	N         int
	Bar       bar
}

type indexMistake struct {
	Title, ID string
	N         int
	Bar       bar
}

// plot is the histogram, in the coordinates of its picture.
type plot struct {
	Label string
	Bars  []plotBar
	Ticks []plotTick
	Mark  string
}

type plotBar struct {
	N                 int
	Label, Class      string
	X, Y, H, Mid, Top string
}

type plotTick struct{ X, Label string }

// Write writes the page.
func (x *Index) Write(w io.Writer) error {
	v := x.view()
	page := indexPage()
	err := page.Execute(w, v)
	if err == nil {
		_, err = x.rows.WriteTo(w)
	}
	if err == nil {
		err = page.ExecuteTemplate(w, "foot", v)
	}
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func (x *Index) view() *indexView {
	lab := x.Assignment.Lab
	scored := 0
	for _, n := range x.percents {
		scored += n
	}
	v := &indexView{Title: x.Assignment.name(), Lab: lab.Name, Engine: x.Engine, Digest: x.Digest,
		PassMark: number(lab.PassMark), Selected: strings.Join(taskTitles(lab, x.Assignment.Tasks), ", ")}
	v.Troubles, v.MoreTroubles = x.troubles.list()
	v.MoreStudents = max(x.students-indexStudents, 0)
	v.Tiles = x.tiles(scored)
	if scored > 0 {
		v.Plot = x.plot(scored)
	}
	titles := map[string]string{}
	for i := range lab.Tasks {
		for _, o := range lab.Tasks[i].Objectives {
			titles[lab.Tasks[i].Name+"/"+o.Name] = cmp.Or(o.Title, o.Name)
		}
		titles[lab.Tasks[i].Name] = cmp.Or(lab.Tasks[i].Title, lab.Tasks[i].Name)
	}
	for _, r := range x.Objectives {
		title := titles[r.Task]
		if len(v.Tasks) == 0 || v.Tasks[len(v.Tasks)-1].Title != title {
			v.Tasks = append(v.Tasks, indexTask{Title: title})
		}
		task := &v.Tasks[len(v.Tasks)-1]
		task.Objectives = append(task.Objectives, r.row(titles[r.Task+"/"+r.Objective], scored))
	}
	v.Similar = x.Similar
	for i, m := range x.Mutants[:min(len(x.Mutants), indexMutants)] {
		n := m.Answers + m.Outcomes
		v.Mutants = append(v.Mutants, indexMutant{m, cmp.Or(titles[m.Task], m.Task), n,
			barOf(float64(n), float64(x.Mutants[0].Answers+x.Mutants[0].Outcomes))})
		v.Mutants[i].Bar.Class = "plain"
	}
	v.MoreMistakes = max(len(x.Mistakes)-indexMistakes, 0)
	for _, m := range x.Mistakes[:min(len(x.Mistakes), indexMistakes)] {
		t := indexMistake{Title: cmp.Or(x.Titles[m.ID], m.ID), N: m.N,
			Bar: barOf(float64(m.N), float64(max(x.Mistakes[0].N, 1)))}
		t.Bar.Class = "plain"
		if t.Title != m.ID {
			t.ID = m.ID
		}
		v.Mistakes = append(v.Mistakes, t)
	}
	return v
}

// tiles are the counts at the top of the page, of which scored have a score.
func (x *Index) tiles(scored int) []tile {
	var all []tile
	add := func(n int, label, class string) {
		if n == 0 {
			class = ""
		}
		all = append(all, tile{fmt.Sprint(n), label, class})
	}
	add(x.students, "submissions", "")
	add(x.counts[grade.Passed], "passed", "good")
	add(x.counts[grade.Failed], "not passed", "bad")
	add(x.counts[grade.Refused], "refused", "bad")
	add(x.counts[grade.Errored], "not graded", "warn")
	if x.late > 0 {
		add(x.late, "late", "")
	}
	if scored > 0 {
		all = append(all,
			tile{number(math.Floor(10*x.sum/float64(scored))/10) + " %", "mean", ""},
			tile{fmt.Sprint(x.median(scored)) + " %", "median", ""})
	}
	return all
}

// row is the row of an objective in a class of which scored have a score.
func (r *Rate) row(title string, scored int) indexObjective {
	o := indexObjective{Title: title, Met: r.Met, Of: r.Of}
	if r.Of == 0 {
		o.Hidden = "hidden in the reports"
		if scored == 0 {
			o.Hidden = "nobody was graded"
		}
		return o
	}
	o.Bar = barOf(float64(r.Met), float64(r.Of))
	o.Percent = fmt.Sprint(100 * r.Met / r.Of)
	switch {
	case r.Met*2 < r.Of:
		o.Bar.Class = "bad"
	case r.Met*5 >= r.Of*4:
		o.Bar.Class = "all"
	}
	return o
}

// median of the scores, in whole percents; of an even number the lower middle.
func (x *Index) median(scored int) int {
	for percent, n := range x.percents {
		if scored -= 2 * n; n > 0 && scored <= 0 {
			return percent
		}
	}
	return 100
}

// plot draws bars of five percent each; the last holds 95 to 100.
func (x *Index) plot(scored int) *plot {
	const bars, left, width, bottom, height = 20, 20.0, 30.0, 200.0, 165.0
	var n [bars]int
	most := 0
	for percent, count := range x.percents {
		i := min(percent/5, bars-1)
		n[i] += count
		most = max(most, n[i])
	}
	mark := x.Assignment.Lab.PassMark
	p := &plot{Mark: number(left + mark/100*bars*width),
		Label: fmt.Sprintf("How many of %d scored how many percent", scored)}
	for i := range n {
		low, high := i*5, i*5+4
		if i == bars-1 {
			high = 100
		}
		h := height * float64(n[i]) / float64(max(most, 1))
		b := plotBar{N: n[i], Label: fmt.Sprintf("%d to %d %%: %d", low, high, n[i]), Class: "hi", H: number(h),
			Y: number(bottom - h),
			X: number(left + float64(i)*width + 2), Mid: number(left + (float64(i)+.5)*width), Top: number(bottom - h - 5)}
		if float64(low) < mark {
			b.Class = "lo"
		}
		p.Bars = append(p.Bars, b)
	}
	for _, percent := range []int{0, 25, 50, 75, 100} {
		p.Ticks = append(p.Ticks, plotTick{number(left + float64(percent)/100*bars*width), fmt.Sprintf("%d %%", percent)})
	}
	return p
}
