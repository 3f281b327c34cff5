package labs

import (
	"fmt"
	"time"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// This file is about due dates and attempts, which apply to classes (labctl batch) only.

// DefaultLate returns the values of a lab without a late block.
func DefaultLate() Late {
	var l Late
	setDefaults("late", l.field)
	return l
}

// DefaultAttempts returns the values of a lab without an attempts block.
func DefaultAttempts() Attempts {
	var a Attempts
	setDefaults("attempts", a.field)
	return a
}

// ParseDuration reads a duration as Go writes it, with days before it if there are any: "90m", "3d", "1d12h".
func ParseDuration(text string) (time.Duration, error) { return schema.ParseDuration(text) }

// Set sets the value of one attribute of the block, as the lab would.
func (l *Late) Set(attr, value string) error { return parseInto("late", attr, value, l.field(attr)) }

// field points to what an attribute of the block sets.
func (l *Late) field(attr string) any {
	switch attr {
	case "grace":
		return &l.Grace
	case "penalty":
		return &l.Penalty
	case "per":
		return &l.Per
	case "max":
		return &l.Max
	case "cutoff":
		return &l.Cutoff
	}
	return nil
}

// Check returns an error if the settings contradict each other.
func (l *Late) Check() error {
	if l.Cutoff > 0 && l.Cutoff < l.Grace {
		return fmt.Errorf("the cutoff (%s) comes before the end of the grace (%s)", l.Cutoff, l.Grace)
	}
	return nil
}

// Set sets the value of one attribute of the block, as the lab would.
func (a *Attempts) Set(attr, value string) error {
	return parseInto("attempts", attr, value, a.field(attr))
}

// field points to what an attribute of the block sets.
func (a *Attempts) field(attr string) any {
	switch attr {
	case "limit":
		return &a.Limit
	case "counts":
		return &a.Counts
	}
	return nil
}

// parseInto sets the field of an attribute from text.
func parseInto(block, attr, text string, field any) error {
	spec := schema.Lab().Block(block)
	a := spec.Attribute(attr)
	if a == nil {
		return fmt.Errorf("there is no setting %q: it must be %s.%s",
			attr, anyOf(spec.Names()), wording.DidYouMean(attr, spec.Names()))
	}
	value, err := a.Parse(text)
	if err != nil {
		return err
	}
	assign(field, value)
	return nil
}

func setDefaults(block string, field func(attr string) any) {
	for _, a := range schema.Lab().Block(block).Attributes {
		if a.Default != nil {
			assign(field(a.Name), a.Default)
		}
	}
}

// assign sets a field from a value that has been checked.
func assign(field, value any) {
	switch f := field.(type) {
	case *time.Duration:
		text, _ := value.(string)
		*f, _ = ParseDuration(text)
	case *float64:
		switch v := value.(type) {
		case float64:
			*f = v
		case int:
			*f = float64(v)
		}
	case *int:
		*f, _ = value.(int)
	case *Counts:
		text, _ := value.(string)
		*f = Counts(text)
	default:
		panic(fmt.Sprintf("no field of %T", field))
	}
}

func (s *scope) late(n *node, lab *Lab) {
	lab.Late = DefaultLate()
	n.fields(lab.Late.field)
	if lab.Late.Check() != nil {
		s.errorf(n.rng("cutoff"), "Invalid cutoff", "The cutoff (%s) comes before the end of the grace (%s).",
			n.str("cutoff"), n.str("grace"))
	}
}

func (s *scope) attempts(n *node, lab *Lab) {
	lab.Attempts = DefaultAttempts()
	n.fields(lab.Attempts.field)
}

// fields sets the field of each attribute that has a value.
func (n *node) fields(field func(attr string) any) {
	for _, a := range n.spec.Attributes {
		if v, ok := n.vals[a.Name]; ok {
			assign(field(a.Name), goValue(v))
		}
	}
}
