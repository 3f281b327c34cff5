package labs

import (
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// Check is a block of an objective that is graded: *Expectation, *Matrix, *Invariant or *ObjectAssertion.
type Check interface {
	// Type is the type of the block: "expect".
	Type() string
	// At is where the block is.
	At() hcl.Range
	// Connections lists the connections that the block names, whatever it expects of them; nil if it is about
	// something else. The lab needs the nodes that they name, and `labctl up` tries them without policies.
	Connections() []Pair
}

// Pair is a connection: a source and a target.
type Pair struct {
	From Source
	To   Target
}

// pairs are the connections from every source to every target.
func pairs(from []Source, to []Target) []Pair {
	all := make([]Pair, 0, len(from)*len(to))
	for _, f := range from {
		for _, t := range to {
			all = append(all, Pair{f, t})
		}
	}
	return all
}

// checkDecoders decode the blocks of schema.CheckKinds.
var checkDecoders = map[string]func(*scope, *node) Check{
	"expect":    (*scope).expect,
	"matrix":    (*scope).matrix,
	"invariant": (*scope).invariant,
	"object":    (*scope).object,
}

// checks decodes the blocks of an objective that are graded.
func (s *scope) checks(n *node, objective string) []Check {
	var all []Check
	kinds := schema.CheckKinds()
	for _, kind := range kinds {
		var names []string
		for _, c := range n.children(kind) {
			all = append(all, checkDecoders[kind](s, c))
			if !slices.Contains(c.spec.Labels, "name") {
				continue
			}
			if slices.Contains(names, c.name) {
				s.errorf(c.nameRange(), "Duplicate "+kind, "There is already %s %q.", wording.Article(kind), c.name)
			}
			names = append(names, c.name)
		}
	}
	if !slices.ContainsFunc(kinds, n.hasBlock) {
		s.errorf(n.block.DefRange, "Nothing to grade", "The objective %q has nothing to grade. Add %s block.",
			objective, wording.Article(wording.Or(kinds)))
	}
	return all
}
