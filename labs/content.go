package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// content takes a body apart by its schema. Unknown attributes and blocks are reported with those that there are.
func (s *scope) content(body hcl.Body, spec *schema.Block) *hcl.BodyContent {
	content, diags := body.Content(bodySchema(spec))
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		s.diags.add(diags...)
		return content
	}
	meant := map[string]bool{} // attributes that are there under a misspelt name
	for _, a := range native.Attributes {
		if spec.Attribute(a.Name) == nil {
			meant[wording.Meant(a.Name, spec.Names())] = true
		}
	}
	for _, b := range native.Blocks {
		if isLeftOut(b, spec) {
			for _, label := range b.Labels {
				s.refuse(label)
			}
		}
	}
	for _, d := range diags {
		if name, ok := requiredArgument(d); ok && meant[name] {
			continue
		}
		s.reword(d, spec)
		s.diags.add(d)
	}
	return content
}

// reword puts what HCL says about a block into the words of the lab language.
func (s *scope) reword(d *hcl.Diagnostic, spec *schema.Block) {
	kind, of, _ := strings.Cut(d.Summary, " for ")
	switch name := s.textAt(d.Subject); {
	case kind == "Unsupported argument":
		d.Summary, d.Detail = "Unknown attribute", unknownAttribute(name, spec)
	case kind == "Unsupported block type":
		d.Summary, d.Detail = "Unknown block", unknownBlock(name, spec)
	case kind == "Missing required argument":
		if name, ok := requiredArgument(d); ok {
			d.Summary, d.Detail = "Missing attribute", fmt.Sprintf("%s needs the attribute %s.", blockName(spec), name)
		}
	case spec.Block(of) != nil && strings.HasPrefix(kind, "Missing "):
		d.Summary, d.Detail = "Missing label", labelsOf(spec.Block(of))
	case spec.Block(of) != nil && kind == "Extraneous label":
		d.Summary, d.Detail = "Too many labels", labelsOf(spec.Block(of))
	}
}

// labelsOf says which labels a block takes.
func labelsOf(spec *schema.Block) string {
	text := fmt.Sprintf("%s is written %s", blockName(spec), blockHeader(spec))
	if values := schema.Values(spec.LabelOneOf); len(values) > 0 {
		return text + fmt.Sprintf(", where %s is %s.", strings.ToUpper(spec.Labels[0]), anyOf(values))
	}
	return text + "."
}

// isLeftOut reports whether HCL reports a block and leaves it out: its type is unknown, or it has too few or too many labels.
func isLeftOut(b *hclsyntax.Block, in *schema.Block) bool {
	spec := in.Block(b.Type)
	return spec == nil || len(b.Labels) != len(spec.Labels)
}

// hasLeftOut reports whether a body has a block that was left out and is, or probably means, one of a type.
func hasLeftOut(body hcl.Body, spec *schema.Block, typ string) bool {
	native, ok := body.(*hclsyntax.Body)
	return ok && slices.ContainsFunc(native.Blocks, func(b *hclsyntax.Block) bool {
		if !isLeftOut(b, spec) {
			return false
		}
		unknown := spec.Block(b.Type) == nil
		return b.Type == typ || unknown && wording.Meant(b.Type, blockTypes(spec)) == typ ||
			unknown && slices.Contains(homesOf(b.Type, spec.Block(typ)), typ)
	})
}

// requiredArgument is the name of the attribute that a diagnostic of HCL misses.
func requiredArgument(d *hcl.Diagnostic) (string, bool) {
	if d.Summary != "Missing required argument" {
		return "", false
	}
	_, rest, ok := strings.Cut(d.Detail, `"`)
	name, _, closed := strings.Cut(rest, `"`)
	return name, ok && closed
}

// textAt is the text of a range.
func (s *scope) textAt(rng *hcl.Range) string {
	if rng == nil || s.diags.files[rng.Filename] == nil || !rng.CanSliceBytes(s.diags.files[rng.Filename].Bytes) {
		return ""
	}
	return string(rng.SliceBytes(s.diags.files[rng.Filename].Bytes))
}

func unknownAttribute(name string, spec *schema.Block) string {
	if why := spec.Refused[name]; why != "" {
		return why
	}
	names := attributeNames(spec)
	text := fmt.Sprintf("%s has no attribute %q.", blockName(spec), name)
	if spec.Block(name) != nil {
		return text + fmt.Sprintf(" %s is a block: %s.", name, blockHeader(spec.Block(name)))
	}
	hint := wording.DidYouMean(name, names)
	if block := spec.Block(wording.Meant(name, blockTypes(spec))); hint == "" && block != nil {
		hint = fmt.Sprintf(" Did you mean the block %s?", blockHeader(block))
	}
	if homes := attributeHomes(name, spec); hint == "" && len(homes) > 0 {
		hint = fmt.Sprintf(" %s is an attribute of %s.", name, wording.Or(homes))
	}
	return text + hint + takes(names, blockTypes(spec))
}

func unknownBlock(name string, spec *schema.Block) string {
	types := blockTypes(spec)
	text := fmt.Sprintf("%s has no block %q.", blockName(spec), name)
	switch {
	case slices.Contains(attributeNames(spec), name):
		return text + fmt.Sprintf(" %s is an attribute: %s = ….", name, name)
	case schema.Lab().Block(name) != nil:
		text += fmt.Sprintf(" A %s block is at the top level of the file; is a closing brace (}) missing before this line?", name)
	}
	if homes := homesOf(name, schema.Lab()); len(homes) > 0 && schema.Lab().Block(name) == nil {
		for i, home := range homes {
			homes[i] = wording.Article(home) + " block"
		}
		return text + fmt.Sprintf(" It belongs in %s.", wording.Or(homes)) + takes(attributeNames(spec), types)
	}
	return text + wording.DidYouMean(name, types) + takes(attributeNames(spec), types)
}

// homesOf are the types of the blocks in a block, at any depth and itself, that blocks of a type can be in.
func homesOf(typ string, in *schema.Block) []string {
	if in == nil {
		return nil
	}
	var homes []string
	if in.Block(typ) != nil && in.Type != "" {
		homes = append(homes, in.Type)
	}
	for _, b := range in.Blocks {
		for _, home := range homesOf(typ, b) {
			if !slices.Contains(homes, home) {
				homes = append(homes, home)
			}
		}
	}
	return homes
}

// attributeHomes are the nested blocks of a block that have an attribute.
func attributeHomes(name string, spec *schema.Block) []string {
	var homes []string
	for _, b := range spec.Blocks {
		if spec.Type != "" && b.Attribute(name) != nil {
			homes = append(homes, "its "+b.Type+" blocks")
		}
	}
	return homes
}

// takes lists what there can be in a block.
func takes(attributes, blocks []string) string {
	var parts []string
	for _, list := range []struct {
		noun  string
		names []string
	}{{"attribute", attributes}, {"block", blocks}} {
		switch len(list.names) {
		case 0:
		case 1:
			parts = append(parts, "the "+list.noun+" "+list.names[0])
		default:
			parts = append(parts, "the "+list.noun+"s "+wording.And(list.names))
		}
	}
	if len(parts) == 0 {
		return " It takes no attributes and no blocks."
	}
	return " It takes " + strings.Join(parts, ", and ") + "."
}

func attributeNames(spec *schema.Block) []string {
	names := spec.Names()
	if spec.ForEach {
		names = append(names, "for_each")
	}
	return names
}

func blockTypes(spec *schema.Block) []string {
	var types []string
	for _, b := range spec.Blocks {
		types = append(types, b.Type)
	}
	return types
}

// blockName begins a sentence about a block.
func blockName(spec *schema.Block) string {
	if spec.Type == "" {
		return "A lab file"
	}
	article := wording.Article(spec.Type)
	return strings.ToUpper(article[:1]) + article[1:] + " block"
}

// blockHeader shows how a block is written: `objective "NAME" { … }`.
func blockHeader(spec *schema.Block) string {
	text := spec.Type
	for _, label := range spec.Labels {
		text += fmt.Sprintf(" %q", strings.ToUpper(label))
	}
	return text + " { … }"
}
