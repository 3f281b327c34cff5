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
		Kind:      n.str("kind"),
		Condition: strings.TrimSpace(n.str("condition")),
		Message:   n.str("message"),
		Range:     n.block.DefRange,
	}
	n.checkName()
	if n.has("kind") {
		s.checkKind(a.Kind, n.rng("kind"))
	}
	if n.has("namespace") {
		if names := s.namespaceNames(n, "namespace"); len(names) == 1 {
			a.Namespace = names[0]
		} else if len(names) > 1 {
			s.errorf(n.rng("namespace"), "One namespace", "namespace takes one namespace.")
		}
	}
	if n.has("condition") {
		if err := CheckCondition(a.Condition); err != nil {
			s.errorf(n.rng("condition"), "Invalid condition", "The CEL expression does not compile: %s.",
				strings.TrimSuffix(err.Error(), "."))
		}
	}
	return a
}
