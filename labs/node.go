package labs

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// node is an instance of a block, with its attributes evaluated.
type node struct {
	s     *scope
	spec  *blockSpec
	block *hcl.Block
	name  string  // the label, with the key of for_each behind it, or the attribute "name"
	key   *string // of for_each
	each  *each

	attrs  map[string]*hcl.Attribute
	vals   map[string]cty.Value // known, of the attribute's type; an attribute that is null is left out
	broken map[string]bool      // attributes that are there but have no value, which has been reported
	bad    bool                 // something about the block itself has been reported
	kids   hcl.Blocks
}

// instances decodes a block: into one node or, with for_each, one a key, in the order of the keys. It
// returns false where it cannot say which instances there are.
func (s *scope) instances(block *hcl.Block, spec *blockSpec, in *each) ([]*node, bool) {
	content, diags := block.Body.Content(spec.hclSchema())
	s.diags.add(diags...)

	if s.blocks > maxBlocks {
		return nil, false
	}
	base := node{s: s, spec: spec, block: block, each: in, bad: diags.HasErrors()}
	if len(block.Labels) > 0 {
		base.name = block.Labels[0]
	}
	base.attrs = content.Attributes
	base.kids = content.Blocks

	forEach := content.Attributes["for_each"]
	if forEach == nil {
		s.countBlocks(block, 1)
		n := base
		n.fill()
		return []*node{&n}, true
	}
	v := s.eval(forEach.Expr, in)
	if !v.IsKnown() {
		return nil, false
	}
	keys, values, problem := forEachItems(v)
	if problem != "" {
		s.errorf(forEach.Expr.Range(), "Invalid for_each", "for_each takes a map, or a set or list of strings; %s.", problem)
		return nil, false
	}
	if !s.countBlocks(block, len(keys)) {
		return nil, false
	}
	var nodes []*node
	for i := range keys {
		n := base
		n.key = &keys[i]
		n.each = &each{key: cty.StringVal(keys[i]), value: values[i]}
		if spec.named {
			n.name += "-" + keys[i]
		}
		n.fill()
		nodes = append(nodes, &n)
	}
	return nodes, true
}

// countBlocks bounds the instances that for_each within for_each makes.
func (s *scope) countBlocks(block *hcl.Block, n int) bool {
	before := s.blocks
	s.blocks += n
	if before <= maxBlocks && s.blocks > maxBlocks {
		s.errorf(block.DefRange, "Too many blocks", "With these the lab has %d blocks, more than %d.", s.blocks, maxBlocks)
	}
	return s.blocks <= maxBlocks
}

// forEachItems lists the instances that the value of a for_each asks for.
func forEachItems(v cty.Value) (keys []string, values []cty.Value, problem string) {
	if v.IsNull() {
		return nil, nil, "this is null"
	}
	t := v.Type()
	if !v.CanIterateElements() {
		return nil, nil, "this is " + describe(v)
	}
	if v.LengthInt() > maxInstances {
		return nil, nil, fmt.Sprintf("this has %d elements, more than %d", v.LengthInt(), maxInstances)
	}
	isMap := t.IsMapType() || t.IsObjectType()
	if _, ok := refOf(v); ok {
		return nil, nil, "this is " + describe(v)
	}
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if !isMap {
			if value.IsNull() || !value.IsKnown() || value.Type() != cty.String {
				return nil, nil, "this one has an element that is no string"
			}
			key = value
		}
		if slices.Contains(keys, key.AsString()) {
			return nil, nil, fmt.Sprintf("this one has %q twice", key.AsString())
		}
		keys = append(keys, key.AsString())
		values = append(values, value)
	}
	return keys, values, ""
}

// fill evaluates the attributes.
func (n *node) fill() {
	n.vals, n.broken = map[string]cty.Value{}, map[string]bool{}
	specs := n.spec.attrs
	if n.spec.named {
		specs = append(slices.Clip(specs), attrSpec{name: "name", typ: cty.String})
	}
	for _, spec := range specs {
		attr := n.attrs[spec.name]
		if attr == nil {
			continue
		}
		v := n.s.eval(attr.Expr, n.each)
		if !v.IsKnown() {
			n.broken[spec.name] = true
			continue
		}
		if v.IsNull() {
			if spec.required {
				n.s.errorf(attr.Expr.Range(), "Missing value", "%s of %s block is required; it is null here.", spec.name, article(n.spec.typ))
				n.broken[spec.name] = true
			}
			continue
		}
		if spec.typ != cty.NilType {
			converted, err := convert.Convert(v, spec.typ)
			if _, isRef := refOf(v); isRef && err == nil && spec.typ.IsMapType() {
				err = fmt.Errorf("this is %s", describe(v))
			}
			if err != nil {
				n.s.errorf(attr.Expr.Range(), "Wrong type", "%s takes %s: %v.%s", spec.name, typeName(spec.typ), err, hintName(v))
				n.broken[spec.name] = true
				continue
			}
			if !converted.IsWhollyKnown() {
				n.broken[spec.name] = true
				continue
			}
			if hasNull(converted) {
				n.s.errorf(attr.Expr.Range(), "Missing value", "%s holds a null.", spec.name)
				n.broken[spec.name] = true
				continue
			}
			v = converted
		}
		n.vals[spec.name] = v
	}
	if n.spec.named && n.has("name") {
		n.name = n.str("name", "")
	}
}

func typeName(t cty.Type) string {
	switch t {
	case cty.String:
		return "a string"
	case cty.Number:
		return "a number"
	case cty.Bool:
		return "true or false"
	case stringList:
		return "a list of strings"
	case numberList:
		return "a list of numbers"
	case stringMap:
		return "a map of strings"
	case cty.DynamicPseudoType:
		return "null"
	}
	switch {
	case t.IsTupleType(), t.IsListType():
		return "a list"
	case t.IsSetType():
		return "a set"
	case t.IsObjectType(), t.IsMapType():
		return "a map"
	}
	return t.FriendlyName()
}

func hintName(v cty.Value) string {
	if r, ok := refOf(v); ok && (r.kind == refApp || r.kind == refNamespace || r.kind == refExternal) {
		return fmt.Sprintf(" This is %s; its name is in its attribute name.", describe(v))
	}
	return ""
}

func hasNull(v cty.Value) bool {
	if v.IsNull() {
		return true
	}
	if v.CanIterateElements() {
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); e.IsNull() {
				return true
			}
		}
	}
	return false
}

// has reports whether the attribute has a value.
func (n *node) has(attr string) bool {
	_, ok := n.vals[attr]
	return ok
}

// given reports whether the attribute stands there, with whatever value.
func (n *node) given(attr string) bool { return n.has(attr) || n.broken[attr] }

// rng is where the attribute's value stands, or the block's header.
func (n *node) rng(attr string) hcl.Range {
	if a := n.attrs[attr]; a != nil {
		return a.Expr.Range()
	}
	return n.block.DefRange
}

// labelRange is where the i-th label stands.
func (n *node) labelRange() hcl.Range {
	if len(n.block.LabelRanges) > 0 {
		return n.block.LabelRanges[0]
	}
	return n.block.DefRange
}

// nameRange is where the instance's name comes from.
func (n *node) nameRange() hcl.Range {
	if n.has("name") {
		return n.rng("name")
	}
	return n.labelRange()
}

func (n *node) str(attr, def string) string {
	if v, ok := n.vals[attr]; ok {
		return v.AsString()
	}
	return def
}

func (n *node) bool(attr string, def bool) bool {
	if v, ok := n.vals[attr]; ok {
		return v.True()
	}
	return def
}

// num returns a number within bounds.
func (n *node) num(attr string, low, high, def float64) float64 {
	v, ok := n.vals[attr]
	if !ok {
		return def
	}
	f, _ := v.AsBigFloat().Float64()
	if f < low || f > high {
		n.s.errorf(n.rng(attr), "Out of range", "%s is from %v to %v; this is %v.", attr, low, high, f)
		return def
	}
	return f
}

// int returns a whole number within bounds.
func (n *node) int(attr string, low, high, def int) int {
	v, ok := n.vals[attr]
	if !ok {
		return def
	}
	i, ok := wholeNumber(v)
	if !ok || i < low || i > high {
		n.s.errorf(n.rng(attr), "Out of range", "%s is a whole number from %d to %d; this is %s.", attr, low, high, numberText(v))
		return def
	}
	return i
}

func wholeNumber(v cty.Value) (int, bool) {
	i, acc := v.AsBigFloat().Int64()
	return int(i), acc == big.Exact
}

func numberText(v cty.Value) string { return v.AsBigFloat().Text('g', 20) }

func (n *node) strs(attr string) []string {
	v, ok := n.vals[attr]
	if !ok {
		return nil
	}
	var list []string
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		list = append(list, e.AsString())
	}
	return list
}

func (n *node) strMap(attr string) map[string]string {
	v, ok := n.vals[attr]
	if !ok {
		return nil
	}
	m := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		m[k.AsString()] = e.AsString()
	}
	return m
}

// oneOf returns a string that is one of the choices.
func (n *node) oneOf(attr, def string, choices ...string) string {
	v := n.str(attr, def)
	if n.has(attr) && !slices.Contains(choices, v) {
		n.s.errorf(n.rng(attr), "Invalid "+attr, "%s is %s; this is %q.%s", attr, oneOf(choices), v, didYouMean(v, choices))
		return def
	}
	return v
}

// items returns the value of an attribute as a flat list; false means that part of it is unknown.
func (n *node) items(attr string) ([]item, bool) {
	v, ok := n.vals[attr]
	if !ok {
		return nil, !n.broken[attr]
	}
	a := n.attrs[attr]
	return flatten(v, a.Expr, a.Expr.Range())
}

// elementRange is where the i-th element of a list attribute stands.
func (n *node) elementRange(attr string, i int) hcl.Range {
	a := n.attrs[attr]
	if tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && i < len(tuple.Exprs) {
		return tuple.Exprs[i].Range()
	}
	return a.Expr.Range()
}

// children decodes the nested blocks of a type, in order.
func (n *node) children(typ string) []*node {
	spec := n.spec.block(typ)
	var nodes []*node
	var first *hcl.Block
	for _, b := range n.kids {
		if b.Type != typ {
			continue
		}
		if spec.once && first != nil {
			n.s.errorf(b.DefRange, "Block repeated", "There is at most one %s block in %s; one is on line %d.", typ, article(n.spec.typ), first.DefRange.Start.Line)
			continue
		}
		first = b
		more, _ := n.s.instances(b, spec, n.each)
		nodes = append(nodes, more...)
	}
	return nodes
}
