// Package similarity says which submissions of a class have in common what few have. It compares fingerprints of what they
// say, not their text, and leaves out what the lab itself says. Its results are hints where to look, not verdicts.
package similarity

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade"
)

// FormatVersion is the version of the Report's JSON. It goes up when a field is removed or changes its meaning.
const FormatVersion = 1

// Report says which submissions have in common what few have. Its JSON is a contract (docs/batch.md).
type Report struct {
	FormatVersion int             `json:"format_version"`
	Lab           grade.LabReport `json:"lab"`
	Note          string          `json:"note"`
	Submissions   int             `json:"submissions"` // that were compared
	// Groups are submissions whose files are equal byte for byte, names included.
	Groups []Group `json:"groups"`
	// Pairs are the most similar others, most similar first: at most 1000. Of a group only the first student is compared.
	Pairs []Pair `json:"pairs"`
	// Clusters join what groups and pairs connect, the most similar first: at most 1000.
	Clusters []Cluster `json:"clusters"`
}

// Cluster is a number of students who are connected by equal files or by pairs, all pairs that were found included.
type Cluster struct {
	Students []string `json:"students"` // the first 50, in order
	Names    []string `json:"names"`    // of these students; "" where nobody said
	Count    int      `json:"count"`
	Score    float64  `json:"score"`   // of the most similar pair; 0: all files are equal
	Equal    int      `json:"equal"`   // the most students whose files are equal byte for byte; 0: none
	Reasons  []string `json:"reasons"` // what the most similar pair shares
}

// Group is a number of equal submissions.
type Group struct {
	Students []string `json:"students"` // the first 50
	Count    int      `json:"count"`
	Percent  float64  `json:"percent"` // what they scored
}

// Pair is two submissions with what they share. Score adds up how rare that is, in bits; it compares pairs of one
// class, and nothing else.
type Pair struct {
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

const note = "A hint where to look, not a verdict: students who learn together often write the same. What many submissions share, and what the lab itself contains, does not count; the rarer something is, the more it counts."

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
	lost  int // of those who have it, how many lost points in its task
	held  []int32
	n     int
	last  int32 // who had it last, plus one
	given bool  // the lab itself has it
	slip  bool  // it is the answer of a mutant of the solution
}

// wrong says whether a trait is a mistake. A task may lose points for what an earlier one left, so most have to.
func (t *trait) wrong() bool { return 2*t.lost > t.n }

// Submission is what is compared of a student's submission.
type Submission struct {
	ID, Name string // of the student; Name may be ""
	Digest   string // of the files: equal submissions have the same
	Percent  float64
	Answers  []Answer
	// LostPoints names the tasks in which the submission lost points.
	LostPoints map[string]bool
	Mistakes   []string // IDs of findings
}

// Comparison collects what the submissions of a class say. It holds some numbers, an ID and a name for each student, nothing
// else.
type Comparison struct {
	known      *Known
	given      map[string]bool // by traitKey
	slips      map[string]bool // the answers of mutants, likewise
	ids, names []string
	traits     []trait
	byKey      map[string]int32
	of         [][]int32            // the traits of each student; of answers also those that the lab gives
	digests    map[string]*equality // by digest of the files
	grouped    map[int32]bool       // who is in one of digests
}

type equality struct {
	first int32
	all   []int32
	group Group
}

// NewComparison returns a comparison of a class without submissions. known is what the lab itself says.
func NewComparison(known *Known) *Comparison {
	c := &Comparison{
		known: known, given: map[string]bool{}, slips: map[string]bool{}, byKey: map[string]int32{},
		digests: map[string]*equality{}, grouped: map[int32]bool{},
	}
	for i := range known.Mutants {
		a := &known.Mutants[i].Answer
		c.slips[traitKey(traitAnswer, a.Task, a.Digest)] = true
	}
	for _, a := range known.Given {
		for kind, texts := range traitsOf(&a) {
			for _, text := range texts {
				c.given[traitKey(kind, a.Task, text)] = true
			}
		}
	}
	return c
}

func traitsOf(a *Answer) map[traitKind][]string {
	return map[traitKind][]string{traitAnswer: {a.Digest}, traitRule: a.Parts, traitName: a.Names}
}

// traitKey tells traits apart: an answer is one to a task; a rule or a name is the same wherever it stands.
func traitKey(kind traitKind, task, text string) string {
	if kind != traitAnswer {
		task = ""
	}
	return string(rune('a'+kind)) + task + "\x00" + text
}

// Add takes the submission of a student; one without answers is not compared.
func (c *Comparison) Add(sub *Submission) {
	if len(sub.Answers) == 0 {
		return
	}
	student := int32(len(c.ids))
	c.ids, c.names, c.of = append(c.ids, sub.ID), append(c.names, sub.Name), append(c.of, nil)
	if !slices.Contains(c.known.Digests, sub.Digest) {
		e := c.digests[sub.Digest]
		if e == nil {
			e = &equality{first: student, group: Group{Percent: sub.Percent}}
			c.digests[sub.Digest] = e
		}
		e.all = append(e.all, student)
		c.grouped[student] = true
		if e.group.Count++; e.group.Count <= groupStudents {
			e.group.Students = append(e.group.Students, sub.ID)
		}
		if e.first != student {
			return // the first stands for all
		}
	}
	lost := func(task string) bool {
		if task == "" { // a flat submission answers all tasks at once
			return len(sub.LostPoints) > 0
		}
		return sub.LostPoints[task]
	}
	for i := range sub.Answers {
		a := &sub.Answers[i]
		for _, kind := range []traitKind{traitAnswer, traitRule, traitName} {
			for _, text := range traitsOf(a)[kind] {
				c.note(student, kind, a.Task, text, lost(a.Task))
			}
		}
	}
	mistakes := slices.Clone(sub.Mistakes)
	slices.Sort(mistakes)
	for _, id := range slices.Compact(mistakes) {
		c.note(student, traitMistake, "", id, true)
	}
}

func (c *Comparison) note(student int32, kind traitKind, task, text string, wrong bool) {
	key := traitKey(kind, task, text)
	if c.given[key] && kind != traitAnswer {
		return
	}
	i, ok := c.byKey[key]
	if !ok {
		i = int32(len(c.traits))
		c.byKey[key] = i
		c.traits = append(c.traits, trait{kind: kind, task: task, text: text, given: c.given[key], slip: c.slips[key]})
	}
	t := &c.traits[i]
	if t.last == student+1 {
		return // he has it in another task too
	}
	t.last = student + 1
	t.n++
	if wrong {
		t.lost++
	}
	if len(t.held) <= mostRare {
		t.held = append(t.held, student)
	}
	c.of[student] = append(c.of[student], i)
}

// rare is how many may share a trait for it to say something.
func (c *Comparison) rare() int { return min(max(len(c.ids)/rareShare, rarest), mostRare) }

// bits is how unlikely it is that a student who copied from nobody has a trait, as far as the others of the class tell: the two who
// share it do not count, and somebody else might have had it.
func (c *Comparison) bits(t *trait) float64 {
	unseen := 1.0
	if t.wrong() {
		unseen = .5 // there are more ways to be wrong
	}
	return math.Log2(float64(len(c.ids)) / (float64(t.n-2) + unseen))
}

// What two answers, a rule or a name say.
const (
	wrongAnswer = 1  // of its bits
	slip        = .5 // a wrong answer that is the solution with one change: others come to it too
	uniqueSlip  = .8 // the same, and nobody else did
	rightAnswer = .5 // whoever understands the task may come to it, and writes all tasks in his way
	wrongRule   = .5 // in answers that differ otherwise; the rarest of a task
	rightRule   = .2
	sameName    = .15 // of a policy
	mistakeID   = .3  // where no answer is the same and wrong
	mostNames   = 6   // that count
	otherAnswer = 1.5 // bits taken off: who copies a submission rarely answers a task anew
)

// interesting says whether a trait is a reason to compare those who have it.
func (c *Comparison) interesting(t *trait) bool { return !t.given && t.n >= 2 && t.n <= c.rare() }

// weight is how much it says at most that two share a trait.
func (c *Comparison) weight(t *trait) float64 {
	switch {
	case t.given:
		return 0
	case t.kind == traitAnswer && t.wrong() && t.slip && t.n == 2:
		return uniqueSlip * c.bits(t)
	case t.kind == traitAnswer && t.wrong() && t.slip:
		return slip * c.bits(t)
	case t.kind == traitAnswer && t.wrong():
		return wrongAnswer * c.bits(t)
	case t.kind == traitAnswer && c.interesting(t):
		return rightAnswer * c.bits(t) * c.bits(t) / math.Log2(float64(len(c.ids)))
	case t.kind == traitAnswer:
		return 0
	case t.kind == traitRule && t.wrong():
		return wrongRule * c.bits(t)
	case t.kind == traitRule:
		return rightRule * c.bits(t)
	case t.kind == traitName:
		return sameName * c.bits(t)
	}
	return mistakeID * c.bits(t)
}

// student is one whom others are held against.
type studentTraits struct {
	of    int32
	has   []int32 // by trait: of+1 if the student has it
	tasks map[string]bool
	// common is what the answers of the student say that many have: a rare trait is needed beside it.
	common float64
}

func (c *Comparison) look(at *studentTraits, student int32) {
	at.of, at.common = student, 0
	clear(at.tasks)
	for _, i := range c.of[student] {
		at.has[i] = student + 1
		if t := &c.traits[i]; t.kind == traitAnswer {
			at.tasks[t.task] = true
			if !c.interesting(t) {
				at.common += max(c.weight(t), 0)
			}
		}
	}
}

// score adds up what two students share, task by task, and takes off where they differ.
func (c *Comparison) score(with *studentTraits, other int32) float64 {
	score, rule, mistakes := 0.0, 0.0, 0.0
	names, common := 0, 0
	differs, wrong := false, false
	for _, i := range c.of[other] {
		t := &c.traits[i]
		same := with.has[i] == with.of+1
		switch {
		case t.kind == traitAnswer:
			score, rule = score+rule, 0
			if with.tasks[t.task] {
				common++
			}
			if differs = !same; differs {
				score -= otherAnswer
				continue
			}
			score += c.weight(t)
			wrong = wrong || t.wrong() && !t.given
		case !same || !c.interesting(t):
		case t.kind == traitRule && differs: // the rarest of a task counts
			rule = max(rule, c.weight(t))
		case t.kind == traitName && names < mostNames:
			names++
			score += c.weight(t)
		case t.kind == traitMistake:
			mistakes += c.weight(t)
		}
	}
	score += rule - otherAnswer*float64(len(with.tasks)-common) // tasks that only one has answered
	if !wrong {
		score += mistakes
	}
	return score
}

// least is the score from which on a pair is reported: in a larger class more of them come about by chance.
func (c *Comparison) least() float64 { return max(5, math.Log2(float64(max(len(c.ids), 1)))-3) }

// Report compares all submissions that were added, of a lab. The work grows with the number of students: each is compared
// with the few who share something rare.
func (c *Comparison) Report(lab grade.LabReport) *Report {
	s := &Report{
		FormatVersion: FormatVersion, Lab: lab, Note: note, Submissions: len(c.ids),
		Groups: []Group{}, Pairs: []Pair{}, Clusters: []Cluster{},
	}
	for _, e := range c.digests {
		if e.group.Count > 1 {
			s.Groups = append(s.Groups, e.group)
		}
	}
	slices.SortFunc(s.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Students[0], b.Students[0]))
	})
	joined := newClusters(len(c.ids))
	best := c.compare(joined)
	slices.SortFunc(best, func(a, b pair) int { return b.compare(a) })
	for _, p := range best {
		s.Pairs = append(s.Pairs, c.describe(p))
	}
	s.Clusters = c.clusters(joined)
	return s
}

// compare returns the most similar pairs, and joins all that are similar.
func (c *Comparison) compare(joined *clusters) pairs {
	least := c.least()
	var best pairs
	rare := map[int32]float64{} // what each other student shares that few have
	student := studentTraits{has: make([]int32, len(c.traits)), tasks: map[string]bool{}}
	for a := range int32(len(c.of)) {
		clear(rare)
		for _, i := range c.of[a] {
			t := &c.traits[i]
			if !c.interesting(t) {
				continue
			}
			for _, b := range t.held {
				if b > a {
					rare[b] += c.weight(t)
				}
			}
		}
		if len(rare) == 0 {
			continue
		}
		c.look(&student, a)
		for b, shared := range rare {
			if shared+student.common < least {
				continue
			}
			p := pair{a, b, c.score(&student, b)}
			if p.score < least {
				continue
			}
			joined.join(p)
			heap.Push(&best, p)
			if len(best) > maxPairs {
				heap.Pop(&best)
			}
		}
	}
	return best
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
func (c *Comparison) describe(p pair) Pair {
	out := Pair{
		A: c.ids[p.a], B: c.ids[p.b], Score: math.Round(p.score*10) / 10,
		Answers: []string{}, Wrong: []string{}, Names: []string{}, Mistakes: []string{}, Reasons: []string{},
	}
	others := 0 // submissions with the rarest of the answers, the pair included
	rules := map[string]int{}
	for _, i := range c.of[p.a] {
		t := &c.traits[i]
		if !c.interesting(t) || !slices.Contains(c.of[p.b], i) {
			continue
		}
		switch t.kind {
		case traitAnswer:
			task := cmp.Or(t.task, "all")
			out.Answers = append(out.Answers, task)
			if t.wrong() {
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
		text := fmt.Sprintf("the same answer, apart from names, order and formatting, in %s", strings.Join(out.Answers, ", "))
		switch {
		case others > 3:
			text += fmt.Sprintf("; %d others too", others-2)
		case others == 3:
			text += "; one other too"
		case n > 1:
			text += "; no other submission has one of these"
		default:
			text += "; no other submission has it"
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

// equalReason says how many of a cluster have equal files.
func equalReason(equal, of int) string {
	if equal == of {
		return "the files are equal byte for byte"
	}
	return fmt.Sprintf("the files of %d of them are equal byte for byte", equal)
}
