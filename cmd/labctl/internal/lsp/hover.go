package lsp

import (
	"fmt"
	"strings"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

const forEachDoc = "One instance of the block per element of a map, or of a set or list of strings. The block refers to the element as `each.key` and `each.value`."

// describeAttribute describes an attribute in Markdown.
func describeAttribute(a *schema.Attribute) string {
	text := fmt.Sprintf("**%s** (%s)\n\n%s.", a.Name, a.Type, strings.TrimSuffix(a.Meaning(), "."))
	switch def := a.DefaultText(); {
	case a.Required:
		text += "\n\nRequired."
	case def != "—":
		text += "\n\nDefault: " + def
	}
	return text
}

// describeBlock describes a type of block in Markdown.
func describeBlock(b *schema.Block) string {
	var s strings.Builder
	fmt.Fprintf(&s, "**%s** (block)\n", b.Type)
	for _, label := range b.Labels {
		fmt.Fprintf(&s, "\nLabel: %s", label)
	}
	for _, c := range b.LabelOneOf {
		fmt.Fprintf(&s, "\n- `\"%s\"`", c.Value)
		if c.Doc != "" {
			s.WriteString(": " + c.Doc)
		}
	}
	if b.ForEach {
		s.WriteString("\n\nTakes `for_each`.")
	}
	if len(b.Attributes) > 0 {
		s.WriteString("\n\n| Attribute | Meaning | Default |\n|---|---|---|\n")
		for i := range b.Attributes {
			a := &b.Attributes[i]
			fmt.Fprintf(&s, "| `%s` | %s | %s |\n", a.Name, cell(a.Meaning()), cell(a.DefaultText()))
		}
	}
	if len(b.Blocks) > 0 {
		nested := make([]string, len(b.Blocks))
		for i, n := range b.Blocks {
			nested[i] = "`" + n.Type + "`"
		}
		fmt.Fprintf(&s, "\nBlocks: %s\n", wording.And(nested))
	}
	return s.String()
}

// cell is text in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// hoverAt says what is at a place of a lab file, or nil.
func hoverAt(doc *document, x *index, offset int) *hover {
	if o := x.at(doc.path, offset); o != nil {
		return &hover{markdown(x.describe(o.name)), doc.span(o.start, o.end)}
	}
	start, end := wordAt(doc.s, offset)
	if start == end {
		return nil
	}
	word := doc.s[start:end]
	p := placeAt(doc.s, end)
	spec := p.schema()
	if spec == nil {
		return nil
	}
	found := func(text string) *hover { return &hover{markdown(text), doc.span(start, end)} }
	switch {
	case p.attr == "" && len(p.header) > 1:
		if b := spec.Block(p.header[0].text); b != nil {
			return hoverChoice(b.LabelOneOf, word, found)
		}
	case p.attr == "":
		if a := spec.Attribute(word); a != nil && !strings.HasPrefix(strings.TrimLeft(doc.s[end:], " \t"), "{") {
			return found(describeAttribute(a))
		}
		if b := spec.Block(word); b != nil {
			return found(describeBlock(b))
		}
		if a := spec.Attribute(word); a != nil {
			return found(describeAttribute(a))
		}
		if word == "for_each" && spec.ForEach {
			return found("**for_each**\n\n" + forEachDoc)
		}
	default:
		if a := p.attribute(); a != nil {
			return hoverChoice(a.Choices, word, found)
		}
	}
	return nil
}

func hoverChoice(choices []schema.Choice, word string, found func(string) *hover) *hover {
	for _, c := range choices {
		if c.Value == word && c.Doc != "" {
			return found(fmt.Sprintf("`\"%s\"`: %s", c.Value, c.Doc))
		}
	}
	return nil
}

// describe says what a name stands for.
func (x *index) describe(n name) string {
	kind := n.kind
	switch kind {
	case "var":
		kind = "variable"
	case "local":
		kind = "local value"
	}
	text := fmt.Sprintf("**%s** `%s`", kind, n.label)
	switch {
	case n.kind == "objective":
		text += fmt.Sprintf(" of the task `%s`", n.parent)
	case n.kind == "port":
		text += fmt.Sprintf(" of the app `%s`", n.parent)
	}
	if d := x.declaration(n); d == nil {
		text += "\n\nThe lab does not declare it."
	} else if d.detail != "" {
		text += "\n\n" + d.detail
	}
	return text
}

// wordAt returns the word around a byte.
func wordAt(s string, offset int) (start, end int) {
	inWord := func(c byte) bool {
		return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	start, end = offset, offset
	for start > 0 && inWord(s[start-1]) {
		start--
	}
	for end < len(s) && inWord(s[end]) {
		end++
	}
	return start, end
}
