// Package schema is the lab language as data: its blocks, their attributes, and for each attribute its type,
// default, bounds, choices and documentation, stated once. Package labs decodes by it, the providers of clusters
// check and complete their settings by it, and the tables of docs/lab-language.md are written from it. It decodes
// nothing itself.
package schema

// Type is the type of an attribute's value, as the documentation names it.
type Type string

// Types whose values are converted and checked without knowing the rest of the lab.
const (
	String     Type = "string"
	Number     Type = "number"
	Whole      Type = "whole number"
	Bool       Type = "bool"
	StringList Type = "list of strings"
	StringMap  Type = "map of strings"
)

// Types of references and of values that may have several types: the decoder of the block looks at them itself.
const (
	Anything     Type = "list"
	Apps         Type = "list of apps"
	Namespace    Type = "namespace"
	Namespaces   Type = "list of namespaces"
	Cells        Type = "list of cells"
	Ports        Type = "list of numbers"
	NameOrNumber Type = "number or string"
	Map          Type = "map"
	TypeExpr     Type = "type"
	Constant     Type = "constant"
)

// Attribute describes one attribute of a block.
type Attribute struct {
	Name     string
	Type     Type
	Doc      string // what it means, in Markdown, without a full stop; choices and bounds are added from below
	Required bool

	// Default is the value without the attribute: a string, bool, int, float64 or []string; nil if there is none.
	Default any
	// DefaultDoc describes, in Markdown, a default that is not a fixed value: "the name".
	DefaultDoc string

	Min, Max float64  // bounds of a number, inclusive; both 0: no bounds
	Choices  []Choice // the only values of a string; nil: any
	Refused  []Choice // values that one could expect among the choices; Doc says, in a sentence, why they are not
	Format   *Format  // what a string must look like, or a map; nil: anything
	NonEmpty bool     // a string that is given must not be ""
	// Excludes names an attribute that must not be given together with this one, which says the same already.
	Excludes string
}

// Choice is a value that an attribute may have.
type Choice struct {
	Value string
	Doc   string // what it means; empty where the value says it
}

// Block describes a type of block, or the file itself, whose Blocks are those at the top level.
type Block struct {
	Type       string
	Labels     []string // what the labels are, for messages: "name"
	LabelOneOf []Choice // the only values of the label; nil: any
	Attributes []Attribute
	Blocks     []*Block

	// ForEach says that the block takes for_each. The label is then the first part of the instances' names.
	ForEach bool
	Once    bool // at most one such block in its parent
	// Refused are attributes that an author may expect and that labctl does not have, with the reason.
	Refused map[string]string
	// Free says that the block takes any attributes (locals).
	Free bool
	// ByLabel are the blocks that replace this one, by label: the cluster block has one for each provider.
	ByLabel map[string]*Block
}

// Attribute returns the attribute of that name, or nil.
func (b *Block) Attribute(name string) *Attribute {
	for i := range b.Attributes {
		if b.Attributes[i].Name == name {
			return &b.Attributes[i]
		}
	}
	return nil
}

// Names returns the names of the attributes.
func (b *Block) Names() []string {
	names := make([]string, len(b.Attributes))
	for i, a := range b.Attributes {
		names[i] = a.Name
	}
	return names
}

// Block returns the nested block of that type, or nil.
func (b *Block) Block(typ string) *Block {
	for _, nested := range b.Blocks {
		if nested.Type == typ {
			return nested
		}
	}
	return nil
}

// Named reports whether the label is a name that the attribute "name" may override.
func (b *Block) Named() bool { return b.Attribute("name") != nil }

// Values returns the choices' values; nil if the attribute takes any.
func (a *Attribute) Values() []string { return Values(a.Choices) }

// Values returns the values of choices; nil for none.
func Values(choices []Choice) []string {
	var values []string
	for _, c := range choices {
		values = append(values, c.Value)
	}
	return values
}

// oneOf are choices that need no explanation.
func oneOf(values ...string) []Choice {
	choices := make([]Choice, len(values))
	for i, v := range values {
		choices[i].Value = v
	}
	return choices
}
