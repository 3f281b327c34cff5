package labs

import (
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// ObjectAssertion is an object block: a CEL expression over the objects in force.
type ObjectAssertion struct {
	Name      string
	Kind      string // "NetworkPolicy"
	Namespace string
	Condition string // CEL; variables: objects (list), namespaces (map of labels)
	Message   string
	Range     hcl.Range
	Written   hcl.Range // of Condition
}

// Type implements Check.
func (o *ObjectAssertion) Type() string { return "object" }

// At implements Check.
func (o *ObjectAssertion) At() hcl.Range { return o.Range }

// Connections implements Check: an object block is about manifests.
func (o *ObjectAssertion) Connections() []Pair { return nil }

func (s *scope) object(n *node) Check {
	a := &ObjectAssertion{
		Name:      n.name,
		Condition: s.condition(n, "condition"),
		Message:   n.str("message"),
		Range:     n.block.DefRange,
		Written:   n.rng("condition"),
	}
	a.Kind, a.Namespace = s.objectsOf(n)
	n.checkName()
	return a
}

// objectsOf decodes which objects a CEL expression of a block sees.
func (s *scope) objectsOf(n *node) (kind, namespace string) {
	if kind = n.str("kind"); n.has("kind") {
		s.checkKind(kind, n.rng("kind"))
	}
	if n.has("namespace") {
		if names := s.namespaceNames(n, "namespace"); len(names) == 1 {
			namespace = names[0]
		} else if len(names) > 1 {
			s.errorf(n.rng("namespace"), "Too many namespaces", "namespace takes one namespace.")
		}
	}
	return kind, namespace
}

// condition decodes an attribute with a CEL expression.
func (s *scope) condition(n *node, attr string) string {
	text := n.str(attr)
	if n.has(attr) {
		if wrong := (*ConditionError)(nil); errors.As(CheckCondition(text), &wrong) {
			s.errorf(s.lineOf(n.rng(attr), wrong.Line), "Invalid "+attr, "The CEL expression does not compile: %s.", wrong.Reason)
		}
	}
	return strings.TrimSpace(text)
}

// lineOf is the range of a line of a heredoc, counted from 1. Of another expression it is the whole.
func (s *scope) lineOf(rng hcl.Range, line int) hcl.Range {
	if !strings.HasPrefix(s.textAt(&rng), "<<") {
		return rng
	}
	lines := strings.SplitAfter(s.textAt(&rng), "\n")
	if line >= len(lines) {
		return rng
	}
	start := hcl.Pos{Line: rng.Start.Line + line, Column: 1, Byte: rng.Start.Byte + len(strings.Join(lines[:line], ""))}
	text := strings.TrimRight(lines[line], "\r\n")
	end := hcl.Pos{Line: start.Line, Column: len([]rune(text)) + 1, Byte: start.Byte + len(text)}
	return hcl.Range{Filename: rng.Filename, Start: start, End: end}
}
