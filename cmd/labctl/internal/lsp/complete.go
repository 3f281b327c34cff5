package lsp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// completer proposes what can be written at a place.
type completer struct {
	place
	index    *index
	doc      *document
	offset   int
	snippets bool // the editor takes snippets
	items    []completionItem
}

// traversed matches the reference in front of the cursor: its steps, and the one that is being written.
var traversed = regexp.MustCompile(`((?:[\pL_][\pL\pN_-]*\.)*)([\pL_][\pL\pN_-]*)?$`)

func (c *completer) complete() []completionItem {
	c.items = []completionItem{}
	spec := c.schema()
	if spec == nil {
		return c.items
	}
	switch {
	case c.attr != "":
		c.value(c.attribute())
	case len(c.header) > 0 && c.header[len(c.header)-1].quoted && c.quoted:
		c.label(spec)
	case len(c.header) == 0:
		c.body(spec, c.offset)
	case len(c.header) == 1 && c.header[0].end == c.offset:
		c.body(spec, c.header[0].start)
	}
	return c.items
}

// add proposes an item in place of the text from start to the cursor.
func (c *completer) add(item completionItem, start int, text string) {
	item.TextEdit = &textEdit{c.doc.span(start, c.offset), text}
	item.SortText = fmt.Sprintf("%03d", len(c.items))
	c.items = append(c.items, item)
}

// body proposes the attributes and blocks that a body can still have.
func (c *completer) body(spec *schema.Block, start int) {
	for i := range spec.Attributes {
		a := &spec.Attributes[i]
		if c.given[a.Name] {
			continue
		}
		c.snippet(completionItem{Label: a.Name, Kind: kindProperty, Detail: string(a.Type), Documentation: markdown(describeAttribute(a))},
			start, a.Name+" = ", c.valueSnippet(a))
	}
	if spec.ForEach && !c.given["for_each"] {
		c.snippet(completionItem{Label: "for_each", Kind: kindProperty, Detail: "map or set of strings", Documentation: markdown(forEachDoc)},
			start, "for_each = ", "$0")
	}
	for _, b := range spec.Blocks {
		if b.Once && c.given[b.Type] {
			continue
		}
		plain := b.Type + " "
		snippet := ""
		for i, label := range b.Labels {
			if b.LabelOneOf != nil && i == 0 {
				snippet += fmt.Sprintf(`"${%d|%s|}" `, i+1, strings.Join(schema.Values(b.LabelOneOf), ","))
			} else {
				snippet += fmt.Sprintf(`"${%d:%s}" `, i+1, label)
			}
		}
		c.snippet(completionItem{Label: b.Type, Kind: kindModule, Detail: "block", Documentation: markdown(describeBlock(b))},
			start, plain, snippet+"{\n  $0\n}")
	}
}

// snippet proposes text and, if the editor takes snippets, what follows it.
func (c *completer) snippet(item completionItem, start int, text, snippet string) {
	if c.snippets {
		item.InsertTextFormat = 2
		text += snippet
	}
	c.add(item, start, text)
}

func (c *completer) valueSnippet(a *schema.Attribute) string {
	switch {
	case a.Choices != nil && a.Type == schema.String:
		return `"${1|` + strings.Join(a.Values(), ",") + `|}"$0`
	case a.Type == schema.String:
		return `"$1"$0`
	case a.Type == schema.Bool:
		return "${1|true,false|}$0"
	case a.Type == schema.StringList:
		return `["$1"]$0`
	case a.Type == schema.StringMap, a.Type == schema.Map:
		return "{\n  $0\n}"
	}
	return "$0"
}

// label proposes the labels that a block can have.
func (c *completer) label(spec *schema.Block) {
	block := spec.Block(c.header[0].text)
	if block == nil || len(c.header) != 2 {
		return
	}
	start := c.header[1].start
	for _, choice := range block.LabelOneOf {
		c.add(completionItem{Label: choice.Value, Kind: kindValue, Documentation: docOf(choice.Doc)}, start, choice.Value)
	}
	if block.Type == "label" {
		c.names("namespace", "", start)
	}
}

func docOf(text string) *markup {
	if text == "" {
		return nil
	}
	return markdown(text)
}

// value proposes what the value of an attribute can be; attr is nil for one that the schema does not have.
func (c *completer) value(attr *schema.Attribute) {
	before := c.doc.s[:c.offset]
	if c.quoted {
		c.stringValue(attr, before)
		return
	}
	m := traversed.FindStringSubmatch(before)
	start := c.offset - len(m[2])
	if m[1] != "" {
		c.steps(strings.Split(strings.TrimSuffix(m[1], "."), "."), start)
		return
	}
	if attr != nil {
		for _, choice := range attr.Choices {
			c.add(completionItem{Label: `"` + choice.Value + `"`, Kind: kindValue, Documentation: docOf(choice.Doc)}, start,
				`"`+choice.Value+`"`)
		}
		if attr.Type == schema.Bool {
			c.add(completionItem{Label: "true", Kind: kindValue}, start, "true")
			c.add(completionItem{Label: "false", Kind: kindValue}, start, "false")
		}
	}
	for _, root := range referenceRoots {
		for _, o := range c.index.declared(root) {
			text := root + "." + o.label
			c.add(completionItem{Label: text, Kind: kindReference, Detail: o.detail}, start, text)
		}
	}
	if c.inForEach() {
		c.add(completionItem{Label: "each.key", Kind: kindVariable}, start, "each.key")
		c.add(completionItem{Label: "each.value", Kind: kindVariable}, start, "each.value")
	}
	for _, f := range labs.FunctionNames() {
		c.snippet(completionItem{Label: f, Kind: kindFunction, Detail: "function"}, start, f+"(", "$0)")
	}
}

// inForEach reports whether a block around the cursor can have for_each.
func (c *completer) inForEach() bool {
	for i := range c.blocks {
		if b := schemaOf(c.blocks[:i+1]); b != nil && b.ForEach {
			return true
		}
	}
	return false
}

// stringValue proposes what a string can be.
func (c *completer) stringValue(attr *schema.Attribute, before string) {
	if attr == nil {
		return
	}
	start := strings.LastIndexAny(before, "\"\n") + 1
	for _, choice := range attr.Choices {
		c.add(completionItem{Label: choice.Value, Kind: kindValue, Documentation: docOf(choice.Doc)}, start, choice.Value)
	}
	switch {
	case attr.Name == "depends_on" && len(c.blocks) == 1:
		c.names("task", "", start)
	case attr.Name == "depends_on" && len(c.blocks) == 2 && len(c.blocks[0].labels) > 0:
		task := c.blocks[0].labels[0]
		c.names("objective", task, start)
		for _, o := range c.index.declared("objective") {
			if o.parent != task {
				text := o.parent + "/" + o.label
				c.add(completionItem{Label: text, Kind: kindReference, Detail: o.detail}, start, text)
			}
		}
	case attr.Type == schema.Namespace || attr.Type == schema.Namespaces:
		c.names("namespace", "", start)
	}
}

// names proposes the names of a kind.
func (c *completer) names(kind, parent string, start int) {
	for _, o := range c.index.declared(kind) {
		if o.parent == parent {
			c.add(completionItem{Label: o.label, Kind: kindReference, Detail: o.detail}, start, o.label)
		}
	}
}

// steps proposes what can follow the steps of a reference.
func (c *completer) steps(steps []string, start int) {
	root := steps[0]
	switch {
	case len(steps) == 1 && slices.Contains(referenceRoots, root):
		c.names(root, "", start)
	case len(steps) == 1 && root == "each":
		c.add(completionItem{Label: "key", Kind: kindVariable}, start, "key")
		c.add(completionItem{Label: "value", Kind: kindVariable}, start, "value")
	case len(steps) == 2:
		for _, attr := range labs.ReferenceAttributes(root) {
			c.add(completionItem{Label: attr, Kind: kindProperty}, start, attr)
		}
	case len(steps) == 3 && root == "app" && steps[2] == "port":
		c.names("port", steps[1], start)
	}
}
