package labs

import (
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
			s.errorf(n.rng("namespace"), "One namespace", "namespace takes one namespace.")
		}
	}
	return kind, namespace
}

// condition decodes an attribute with a CEL expression.
func (s *scope) condition(n *node, attr string) string {
	text := strings.TrimSpace(n.str(attr))
	if n.has(attr) {
		if err := CheckCondition(text); err != nil {
			s.errorf(n.rng(attr), "Invalid "+attr, "The CEL expression does not compile: %s.",
				strings.TrimSuffix(err.Error(), "."))
		}
	}
	return text
}
