package labs

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// This file decodes tasks, objectives and what they ask for.

func (s *scope) task(n *node, lab *Lab) {
	n.checkName()
	t := Task{
		Name:         n.name,
		Title:        n.strOr("title", n.name),
		Instructions: n.str("instructions"),
		DependsOn:    n.strs("depends_on"),
		Visibility:   Visibility(n.str("visibility")),
		Range:        n.block.DefRange,
	}
	if strings.HasSuffix(t.Instructions, ".md") && !strings.ContainsAny(t.Instructions, " \n") {
		s.errorf(n.rng("instructions"), "A path as text",
			"Students would read %q. For what the file holds, write file(%q).", t.Instructions, t.Instructions)
	}
	for _, old := range lab.Tasks {
		if old.Name == t.Name {
			s.duplicate(n, "task", old.Range.Filename, old.Range.Start.Line)
		}
	}
	if t.Name == "delete" {
		s.errorf(n.nameRange(), "Reserved name",
			"A folder \"delete\" of a submission holds what was deleted, so no task can have that name.")
	}
	t.Hints = s.hints(n)
	for _, c := range n.children("setup") {
		t.Setup = append(t.Setup, s.setup(c)...)
	}
	t.Mistakes = s.mistakes(n.children("mistake"))
	for _, c := range n.children("objective") {
		o := s.objective(c, &t)
		for _, old := range t.Objectives {
			if old.Name == o.Name {
				s.duplicate(c, "objective", old.Range.Filename, old.Range.Start.Line)
			}
		}
		t.Objectives = append(t.Objectives, o)
	}
	if len(t.Objectives) == 0 && !n.hasBlock("objective") {
		s.errorf(n.block.DefRange, "No objective",
			"The task %q has no objective, so it cannot be graded. Add one: objective \"NAME\" { points = 10 … }.",
			t.Name)
	}
	lab.Tasks = append(lab.Tasks, t)
	s.taskNodes = append(s.taskNodes, n)
}

// hasBlock reports whether there is a block of the type, or one that has been reported and left out.
func (n *node) hasBlock(typ string) bool {
	return slices.ContainsFunc(n.kids, func(b *hcl.Block) bool { return b.Type == typ }) ||
		hasLeftOut(n.block.Body, n.spec, typ)
}

func (s *scope) hints(n *node) []Hint {
	var hints []Hint
	for _, c := range n.children("hint") {
		h := Hint{Name: c.name, Text: c.str("text"), Cost: c.num("cost")}
		if c.has("text") && strings.TrimSpace(h.Text) == "" {
			s.errorf(c.rng("text"), "Empty hint", "The hint %q has no text.", h.Name)
		}
		c.checkName()
		if slices.ContainsFunc(hints, func(old Hint) bool { return old.Name == h.Name }) {
			s.errorf(c.nameRange(), "Duplicate hint", "There is already a hint %q.", h.Name)
		}
		hints = append(hints, h)
	}
	return hints
}

func (s *scope) setup(n *node) []Setup {
	var list []Setup
	for _, action := range []string{"apply", "delete"} {
		if !n.has(action) {
			continue
		}
		s.manifests(n, action, action == "delete")
		list = append(list, Setup{Action: action, Manifests: n.strs(action), Range: n.block.DefRange})
	}
	for _, c := range n.children("label") {
		name := c.block.Labels[0]
		if !s.knownNamespace(name) {
			s.errorf(c.labelRange(), "Unknown namespace", "The lab has no namespace %q.%s", name,
				declareNamespace(name, s.namespaceNamesKnown()))
		}
		list = append(list, Setup{
			Action: "label", Namespace: name, Labels: c.checkLabels("labels"), Range: c.block.DefRange,
		})
	}
	if len(list) == 0 && !n.given("apply") && !n.given("delete") && !n.hasBlock("label") {
		s.warnf(n.block.DefRange, "Empty setup", "This setup changes nothing; it takes apply, delete and label.")
	}
	return list
}

func (s *scope) objective(n *node, t *Task) Objective {
	n.checkName()
	o := Objective{
		Name:        n.name,
		Title:       n.strOr("title", n.name),
		Description: n.str("description"),
		Points:      n.num("points"),
		Bonus:       n.bool("bonus"),
		Partial:     Partial(n.str("partial")),
		Visibility:  Visibility(n.strOr("visibility", string(t.Visibility))),
		DependsOn:   n.strs("depends_on"),
		Hints:       s.hints(n),
		Range:       n.block.DefRange,
	}
	o.Mistakes = s.mistakes(n.children("mistake"))
	o.Checks = s.checks(n, o.Name)
	s.objectiveNodes[n.block.DefRange.String()+o.Name] = n
	return o
}
