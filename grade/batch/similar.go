package batch

import (
	"cmp"
	"container/heap"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

// The files about similar submissions.
const (
	similarityJSON = "similarity.json"
	similarityCSV  = "similarity.csv"
)

// Similarity says which submissions have in common what few have. It is a help to look, not a verdict.
type Similarity struct {
	FormatVersion int             `json:"format_version"`
	Lab           grade.LabReport `json:"lab"`
	Note          string          `json:"note"`
	Submissions   int             `json:"submissions"` // that were compared
	// Groups are submissions whose files are equal byte for byte, names included.
	Groups []EqualGroup `json:"groups"`
	// Pairs are the most similar others, most similar first: at most 1000. Of a group only the first student is compared.
	Pairs []SimilarPair `json:"pairs"`
}

// EqualGroup is a number of equal submissions.
type EqualGroup struct {
	Students []string `json:"students"` // the first 50
	Count    int      `json:"count"`
	Percent  float64  `json:"percent"` // what they scored
}

// SimilarPair is two submissions with what they share. Score adds up how rare that is, in bits; it compares pairs of one
// class, and nothing else.
type SimilarPair struct {
	A        string   `json:"a"`
	B        string   `json:"b"`
	Score    float64  `json:"score"`
	Answers  []string `json:"answers"` // tasks with the same answer, but for names, order and formatting
	Wrong    []string `json:"wrong"`   // those of them that lost points
	Rules    int      `json:"rules"`   // rules in common in other tasks
	Names    []string `json:"names"`   // that both gave to policies
	Mistakes []string `json:"mistakes"`
	Reasons  []string `json:"reasons"` // the same in words
}

const similarityNote = "A help to look, not a verdict: who learns together often writes the same. What many share, and what the lab itself gives, is left out; the rarer something is, the more it counts."

const (
	maxPairs      = 1000
	groupStudents = 50
	// A trait that more share is no sign: this bounds the pairs to look at by a constant for each trait of a student.
	rarest, rareShare, mostRare = 4, 20, 25
)

// traitKind says what a trait is, and with that how much it says.
type traitKind byte

const (
	traitAnswer traitKind = iota
	traitRule
	traitName
	traitMistake
)

// trait is something that submissions can have in common.
type trait struct {
	kind  traitKind
	task  string
	text  string
	wrong bool // somebody who has it lost points in its task
	held  []int32
	n     int
}

// comparison collects the traits of a class. It holds some numbers and an ID for each student, nothing else.
type comparison struct {
	known   *grade.Known
	given   map[string]bool
	ids     []string
	traits  []trait
	byKey   map[string]int32
	of      [][]int32            // the traits of each student
	digests map[string]*equality // by digest of the files
}

type equality struct {
	first int32
	group EqualGroup
}

func newComparison(known *grade.Known) *comparison {
	c := &comparison{known: known, given: map[string]bool{}, byKey: map[string]int32{}, digests: map[string]*equality{}}
	for _, a := range known.Given {
		for kind, texts := range traitsOf(&a) {
			for _, text := range texts {
				c.given[traitKey(kind, a.Task, text)] = true
			}
		}
	}
	return c
}

func traitsOf(a *grade.Answer) map[traitKind][]string {
	return map[traitKind][]string{traitAnswer: {a.Digest}, traitRule: a.Parts, traitName: a.Names}
}

// traitKey tells traits apart: an answer is one to a task; a rule or a name is the same wherever it stands.
func traitKey(kind traitKind, task, text string) string {
	if kind != traitAnswer {
		task = ""
	}
	return string(rune('a'+kind)) + task + "\x00" + text
}

// add takes the result of a student.
func (c *comparison) add(res *Result) {
	if len(res.Answers) == 0 || res.Score == nil {
		return
	}
	student := int32(len(c.ids))
	c.ids, c.of = append(c.ids, res.ID), append(c.of, nil)
	if !slices.Contains(c.known.Digests, res.Digest) {
		e := c.digests[res.Digest]
		if e == nil {
			e = &equality{first: student, group: EqualGroup{Percent: res.Score.Percent}}
			c.digests[res.Digest] = e
		}
		if e.group.Count++; e.group.Count <= groupStudents {
			e.group.Students = append(e.group.Students, res.ID)
		}
		if e.first != student {
			return // the first stands for all
		}
	}
	lost := map[string]bool{}
	for _, t := range res.Tasks {
		lost[t.Name] = t.Points < t.Max
		lost[""] = lost[""] || lost[t.Name] // a flat submission answers all tasks at once
	}
	for i := range res.Answers {
		a := &res.Answers[i]
		for _, kind := range []traitKind{traitAnswer, traitRule, traitName} {
			for _, text := range traitsOf(a)[kind] {
				c.note(student, kind, a.Task, text, lost[a.Task])
			}
		}
	}
	mistakes := slices.Clone(res.Mistakes)
	slices.Sort(mistakes)
	for _, id := range slices.Compact(mistakes) {
		c.note(student, traitMistake, "", id, true)
	}
}

func (c *comparison) note(student int32, kind traitKind, task, text string, wrong bool) {
	key := traitKey(kind, task, text)
	if c.given[key] {
		return
	}
	i, ok := c.byKey[key]
	if !ok {
		i = int32(len(c.traits))
		c.byKey[key] = i
		c.traits = append(c.traits, trait{kind: kind, task: task, text: text})
	}
	t := &c.traits[i]
	t.n++
	t.wrong = t.wrong || wrong
	if len(t.held) <= mostRare {
		t.held = append(t.held, student)
	}
	c.of[student] = append(c.of[student], i)
}

// rare is how many may share a trait for it to say something.
func (c *comparison) rare() int { return min(max(len(c.ids)/rareShare, rarest), mostRare) }

// weight is how much it says that two share a trait, in bits; 0: nothing.
func (c *comparison) weight(t *trait) float64 {
	if t.n < 2 || t.n > c.rare() {
		return 0
	}
	bits := math.Log2(float64(len(c.ids)) / float64(t.n))
	switch {
	case t.kind == traitAnswer && t.wrong:
		return 1.5 * bits
	case t.kind == traitAnswer:
		return bits / 2
	case t.kind == traitRule && t.wrong, t.kind == traitName, t.kind == traitMistake:
		return bits / 2
	}
	return bits / 8 // a rule of a right answer
}

// result compares. The work grows with the students, each with those few who share something rare with him.
func (c *comparison) result(lab grade.LabReport) *Similarity {
	s := &Similarity{FormatVersion: FormatVersion, Lab: lab, Note: similarityNote, Submissions: len(c.ids), Groups: []EqualGroup{}, Pairs: []SimilarPair{}}
	for _, e := range c.digests {
		if e.group.Count > 1 {
			s.Groups = append(s.Groups, e.group)
		}
	}
	slices.SortFunc(s.Groups, func(a, b EqualGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Students[0], b.Students[0]))
	})
	least := 5 + 1.5*math.Log2(float64(max(len(c.ids), 1)))
	var best pairs
	scores := map[int32]float64{}
	for a := range c.of {
		clear(scores)
		for _, i := range c.of[a] {
			t := &c.traits[i]
			w := c.weight(t)
			if w == 0 {
				continue
			}
			for _, b := range t.held {
				if b > int32(a) {
					scores[b] += w
				}
			}
		}
		for b, score := range scores {
			if score < least {
				continue
			}
			heap.Push(&best, pair{int32(a), b, score})
			if len(best) > maxPairs {
				heap.Pop(&best)
			}
		}
	}
	slices.SortFunc(best, func(a, b pair) int { return b.compare(a) })
	for _, p := range best {
		s.Pairs = append(s.Pairs, c.describe(p))
	}
	return s
}

// pair is two students with what they share.
type pair struct {
	a, b  int32
	score float64
}

// compare puts the less similar pair first.
func (p pair) compare(o pair) int {
	return cmp.Or(cmp.Compare(p.score, o.score), cmp.Compare(o.a, p.a), cmp.Compare(o.b, p.b))
}

// pairs is a heap with the least similar pair on top.
type pairs []pair

func (p pairs) Len() int           { return len(p) }
func (p pairs) Less(i, j int) bool { return p[i].compare(p[j]) < 0 }
func (p pairs) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *pairs) Push(x any)        { *p = append(*p, x.(pair)) }
func (p *pairs) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

// describe says what a pair shares.
func (c *comparison) describe(p pair) SimilarPair {
	out := SimilarPair{
		A: c.ids[p.a], B: c.ids[p.b], Score: math.Round(p.score*10) / 10,
		Answers: []string{}, Wrong: []string{}, Names: []string{}, Mistakes: []string{}, Reasons: []string{},
	}
	others := 0 // submissions with the rarest of the answers, the pair included
	rules := map[string]int{}
	for _, i := range c.of[p.a] {
		t := &c.traits[i]
		if c.weight(t) == 0 || !slices.Contains(c.of[p.b], i) {
			continue
		}
		switch t.kind {
		case traitAnswer:
			task := cmp.Or(t.task, "all")
			out.Answers = append(out.Answers, task)
			if t.wrong {
				out.Wrong = append(out.Wrong, task)
			}
			if others == 0 || t.n < others {
				others = t.n
			}
		case traitRule:
			rules[cmp.Or(t.task, "all")]++
		case traitName:
			if !slices.Contains(out.Names, t.text) {
				out.Names = append(out.Names, t.text)
			}
		case traitMistake:
			out.Mistakes = append(out.Mistakes, t.text)
		}
	}
	for task, n := range rules {
		if !slices.Contains(out.Answers, task) {
			out.Rules += n
		}
	}
	if n := len(out.Answers); n > 0 {
		text := fmt.Sprintf("the same answer, but for names, order and formatting, in %s", strings.Join(out.Answers, ", "))
		switch {
		case others > 3:
			text += fmt.Sprintf("; %d others too", others-2)
		case others == 3:
			text += "; one other too"
		case n > 1:
			text += "; one of these nobody else has"
		default:
			text += "; nobody else has it"
		}
		out.Reasons = append(out.Reasons, text)
	}
	if len(out.Wrong) > 0 {
		out.Reasons = append(out.Reasons, "these lost points: "+strings.Join(out.Wrong, ", "))
	}
	if out.Rules > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf("%d rare rules in common in other answers", out.Rules))
	}
	if len(out.Names) > 0 {
		out.Reasons = append(out.Reasons, "the same rare names of policies: "+strings.Join(out.Names, ", "))
	}
	if len(out.Mistakes) > 0 {
		out.Reasons = append(out.Reasons, "the same rare mistakes: "+strings.Join(out.Mistakes, ", "))
	}
	return out
}

// write writes the files.
func (s *Similarity) write(replace func(string, func(io.Writer) error) error) error {
	return errors.Join(
		replace(similarityJSON, func(w io.Writer) error { return writeJSON(w, s) }),
		replace(similarityCSV, func(w io.Writer) error {
			out := csv.NewWriter(w)
			rows := [][]string{{"kind", "a", "b", "score", "equal_answers", "of_them_wrong", "reason"}}
			for _, g := range s.Groups {
				for _, b := range g.Students[1:] {
					rows = append(rows, []string{"equal", report.Cell(g.Students[0]), report.Cell(b), "", "", "", "the files are equal byte for byte"})
				}
			}
			for _, p := range s.Pairs {
				rows = append(rows, []string{
					"similar", report.Cell(p.A), report.Cell(p.B), report.Decimal(p.Score), fmt.Sprint(len(p.Answers)), fmt.Sprint(len(p.Wrong)),
					report.Cell(strings.Join(p.Reasons, "; ")),
				})
			}
			return out.WriteAll(rows)
		}),
	)
}
