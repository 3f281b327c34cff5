package labs

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Mistake is a mistake block: how the author tells that a student made a certain mistake. It explains objectives that are
// missed, and costs nothing.
type Mistake struct {
	Name      string // unique in the lab
	Title     string
	Kind      string // of the objects that When sees; empty: any
	Namespace string // of the same; empty: any
	When      string // CEL, as the condition of an object block
	Message   string
	Hint      string
	Range     hcl.Range
	Written   hcl.Range // of When
}

func (s *scope) mistakes(nodes []*node) []Mistake {
	var list []Mistake
	for _, n := range nodes {
		m := Mistake{
			Name:    n.name,
			Title:   n.strOr("title", n.name),
			When:    s.condition(n, "when"),
			Message: strings.TrimSpace(n.str("message")),
			Hint:    strings.TrimSpace(n.str("hint")),
			Range:   n.block.DefRange,
			Written: n.rng("when"),
		}
		m.Kind, m.Namespace = s.objectsOf(n)
		n.checkName()
		if first, ok := s.mistakeRanges[m.Name]; ok {
			s.duplicate(n, "mistake", first.Filename, first.Start.Line)
		} else {
			s.mistakeRanges[m.Name] = n.block.DefRange
		}
		list = append(list, m)
	}
	return list
}

// About reports whether When sees objects of a kind in a namespace.
func (m *Mistake) About(kind, namespace string) bool {
	return (m.Kind == "" || m.Kind == kind) && (m.Namespace == "" || m.Namespace == namespace)
}
