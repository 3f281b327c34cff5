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
		if spec.Block(b.Type) == nil {
			for _, label := range b.Labels {
				s.misspelt[label] = true
			}
		}
	}
	for _, d := range diags {
		switch name := s.textAt(d.Subject); d.Summary {
		case "Unsupported argument":
			d.Summary, d.Detail = "Unknown attribute", unknownAttribute(name, spec)
		case "Unsupported block type":
			d.Summary, d.Detail = "Unknown block", unknownBlock(name, spec)
		case "Missing required argument":
			if name, ok := requiredArgument(d); ok && meant[name] {
				continue
			}
		}
		s.diags.add(d)
	}
	return content
}

// hasMisspelt reports whether a body has a block whose unknown type probably means typ.
func hasMisspelt(body hcl.Body, spec *schema.Block, typ string) bool {
	native, ok := body.(*hclsyntax.Body)
	return ok && slices.ContainsFunc(native.Blocks, func(b *hclsyntax.Block) bool {
		return spec.Block(b.Type) == nil && wording.Meant(b.Type, blockTypes(spec)) == typ
	})
}

// requiredArgument is the name of the attribute that a diagnostic of HCL misses.
func requiredArgument(d *hcl.Diagnostic) (string, bool) {
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
	return text + wording.DidYouMean(name, names) + takes(names, blockTypes(spec))
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
	return text + wording.DidYouMean(name, types) + takes(attributeNames(spec), types)
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
		return " It is empty."
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
