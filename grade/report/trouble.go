package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade"
)

// troubles are the results that somebody has to look after: without a grade, refused, or with nothing to
// grade. They are grouped by reason, and what is held of them is bounded.
type troubles struct {
	groups map[string]*trouble
	order  []*trouble
	more   int // results whose reason came after the last group that is held
}

// trouble is one reason with the students whom it concerns.
type trouble struct {
	Status, Class string
	Reason        string // without what differs from student to student
	Students      []troubledStudent
	Count, More   int
	rank          int // errors first
}

// Who names the first students, for the line that heads the list.
func (t *trouble) Who() string {
	const shown = 4
	var names []string
	for _, s := range t.Students[:min(len(t.Students), shown)] {
		names = append(names, cmp.Or(s.Name, s.ID))
	}
	who := strings.Join(names, ", ")
	if more := t.Count - len(names); more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	return who
}

type troubledStudent struct {
	StudentLink
	Message string // the first line, if it says more than the reason
}

const (
	troubleReasons  = 40
	troubleStudents = 50 // of a reason
)

// add takes a result whose student's files are in dir.
func (t *troubles) add(o *Result, dir string) {
	rank, reason, ok := troubleOf(o)
	if !ok {
		return
	}
	if t.groups == nil {
		t.groups = map[string]*trouble{}
	}
	status, class := statusWords(o.Status)
	key := status + " " + reason
	g := t.groups[key]
	if g == nil {
		if len(t.order) == troubleReasons {
			t.more++
			return
		}
		g = &trouble{Status: status, Class: class, Reason: xmlClean(reason), rank: rank}
		t.groups[key] = g
		t.order = append(t.order, g)
	}
	if g.Count++; g.Count > troubleStudents {
		g.More++
		return
	}
	s := troubledStudent{StudentLink: NewStudentLink(o.ID, o.Name, dir)}
	if message := oneLine(firstReason(o)); message != reason {
		s.Message = xmlClean(message)
	}
	g.Students = append(g.Students, s)
}

// list is what to show: errors first, then what concerns most.
func (t *troubles) list() (groups []*trouble, more int) {
	groups = slices.Clone(t.order)
	slices.SortStableFunc(groups, func(a, b *trouble) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.Count, a.Count))
	})
	return groups, t.more
}

// troubleOf says why a result needs to be looked after, in words that others with the same trouble share.
func troubleOf(o *Result) (rank int, reason string, ok bool) {
	switch {
	case o.Status == grade.Errored:
		return 0, common(oneLine(firstReason(o))), true
	case o.Status == grade.Refused && len(o.Problems) > 0:
		return 1, common(oneLine(o.Problems[0].Message)), true
	case o.Status == grade.Refused:
		return 1, common(oneLine(firstReason(o))), true
	case o.Message != "": // there was nothing to grade
		return 2, common(oneLine(o.Message)), true
	}
	return 0, "", false
}

func firstReason(o *Result) string {
	if o.Status == grade.Errored || o.Status == grade.Refused {
		return o.problems()[0]
	}
	return o.Message
}

// individual is what of a reason concerns one student: texts in quotes, names of files (no patterns), and numbers.
var individual = regexp.MustCompile(`; files found: .*|"[^"]*"|\S*/\S*|[^\s(*]+\.(?:ya?ml|json|zip|tar|gz|tgz)\b:?|\b\d[\d.,]*\b`)

// common is a reason without what is individual.
func common(reason string) string { return individual.ReplaceAllString(reason, "…") }
