package labs

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// node is an instance of a block, with its attributes evaluated.
type node struct {
	s     *scope
	spec  *schema.Block
	block *hcl.Block
	name  string  // the label, with the key of for_each behind it, or the attribute "name"
	key   *string // of for_each
	each  *each

	attrs  map[string]*hcl.Attribute
	vals   map[string]cty.Value // known, of the attribute's type; an attribute that is null is left out
	broken map[string]bool      // attributes that are there but have no value, which has been reported
	bad    bool                 // something about the block itself has been reported
	kids   hcl.Blocks
	// elements are the places of the elements of lists of strings.
	elements map[string][]hcl.Range
}

// instances decodes a block: into one node or, with for_each, one a key, in the order of the keys. It
// returns false where it cannot say which instances there are.
func (s *scope) instances(block *hcl.Block, spec *schema.Block, in *each) ([]*node, bool) {
	before := len(s.diags.Diagnostics)
	content := s.content(block.Body, spec)
	if s.blocks > maxBlocks {
		return nil, false
	}
	base := node{s: s, spec: spec, block: block, each: in, bad: s.diags.Diagnostics[before:].HasErrors()}
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
		s.errorf(forEach.Expr.Range(), "Invalid for_each",
			"for_each takes a map, or a set or list of strings; %s.", problem)
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
		if spec.Named() {
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
		s.errorf(block.DefRange, "Too many blocks", "With these the lab has %d blocks; the maximum is %d.",
			s.blocks, maxBlocks)
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
				return nil, nil, "this one has an element that is not a string"
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

// bodySchema is the schema of a block in the form that the HCL parser takes.
func bodySchema(b *schema.Block) *hcl.BodySchema {
	var body hcl.BodySchema
	for _, a := range b.Attributes {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required})
	}
	if b.ForEach {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: "for_each"})
	}
	for _, nested := range b.Blocks {
		body.Blocks = append(body.Blocks, hcl.BlockHeaderSchema{Type: nested.Type, LabelNames: nested.Labels})
	}
	return &body
}

// fill evaluates the attributes and checks them against the schema.
func (n *node) fill() {
	n.vals, n.broken, n.elements = map[string]cty.Value{}, map[string]bool{}, map[string][]hcl.Range{}
	for i := range n.spec.Attributes {
		spec := &n.spec.Attributes[i]
		attr := n.attrs[spec.Name]
		if attr == nil {
			continue
		}
		v, ok := n.value(spec, attr)
		switch {
		case !ok:
			n.broken[spec.Name] = true
		case !v.IsNull():
			n.vals[spec.Name] = v
		}
	}
	for i := range n.spec.Attributes {
		spec := &n.spec.Attributes[i]
		if p := spec.CheckExcluded(n.given); p != nil {
			n.s.errorf(n.rng(spec.Name), p.Summary, "%s", p.Detail)
		}
	}
	if n.spec.Named() && n.has("name") {
		n.name = n.str("name")
	}
}

// value evaluates an attribute. It returns false if there is no usable value, which has been reported.
func (n *node) value(spec *schema.Attribute, attr *hcl.Attribute) (cty.Value, bool) {
	v := n.s.eval(attr.Expr, n.each)
	if !v.IsKnown() {
		return v, false
	}
	if v.IsNull() {
		if spec.Required {
			n.s.errorf(attr.Expr.Range(), "Missing value", "%s of %s block is required; it is null here.",
				spec.Name, wording.Article(n.spec.Type))
		}
		return v, !spec.Required
	}
	if spec.Type == schema.StringList {
		v, ok := n.stringList(spec, attr, v)
		return v, ok && n.check(spec, v)
	}
	if typ := ctyType(spec.Type); typ != cty.NilType {
		converted, err := convert.Convert(v, typ)
		if _, isRef := refOf(v); err != nil || isRef && typ.IsMapType() {
			n.s.errorf(attr.Expr.Range(), "Wrong type", "%s takes %s; %s.%s", spec.Name, typeName(typ), notOfType(v, typ),
				hintName(v))
			return v, false
		}
		if !converted.IsWhollyKnown() {
			return v, false
		}
		if hasNull(converted) {
			n.s.errorf(attr.Expr.Range(), "Missing value", "%s contains null.", spec.Name)
			return v, false
		}
		v = converted
	}
	return v, n.check(spec, v)
}

// stringList is the value of an attribute that takes strings: one, a list, or a list of lists. It returns false if there is
// none, which has been reported.
func (n *node) stringList(spec *schema.Attribute, attr *hcl.Attribute, v cty.Value) (cty.Value, bool) {
	all := attr.Expr.Range()
	if hasNull(v) {
		n.s.errorf(all, "Missing value", "%s contains null.", spec.Name)
		return v, false
	}
	items, ok := flattenLists(v, attr.Expr, all)
	list := make([]cty.Value, 0, len(items))
	n.elements[spec.Name] = nil
	for i, it := range items {
		text, err := convert.Convert(it.val, cty.String)
		if err != nil {
			which := "this is"
			if it.rng == all && len(items) > 1 {
				which = fmt.Sprintf("element %d is", i+1)
			}
			n.s.errorf(it.rng, "Wrong type", "%s takes strings; %s %s.%s", spec.Name, which, describe(it.val), hintName(it.val))
			ok = false
			continue
		}
		list = append(list, text)
		n.elements[spec.Name] = append(n.elements[spec.Name], it.rng)
	}
	if len(list) == 0 {
		return cty.ListValEmpty(cty.String), ok
	}
	return cty.ListVal(list), ok
}

// check checks a value, or each element of a list, against the schema and reports what is wrong.
func (n *node) check(spec *schema.Attribute, v cty.Value) bool {
	if v.Type() != stringList {
		problem := spec.Check(checkable(v))
		if problem != nil {
			n.s.errorf(n.rng(spec.Name), problem.Summary, "%s", problem.Detail)
		}
		return problem == nil
	}
	ok := true
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, e := it.Element()
		if problem := spec.Check(e.AsString()); problem != nil {
			n.s.errorf(n.elementRange(spec.Name, i), problem.Summary, "%s", problem.Detail)
			ok = false
		}
	}
	return ok
}

// ctyType is the type that values of an attribute are converted to; cty.NilType where the decoder of the block
// looks at them itself.
func ctyType(t schema.Type) cty.Type {
	switch t {
	case schema.String:
		return cty.String
	case schema.Number, schema.Whole:
		return cty.Number
	case schema.Bool:
		return cty.Bool
	case schema.StringMap:
		return stringMap
	}
	return cty.NilType
}

// checkable is a value in the form that schema.Attribute.Check takes; nil for types that it does not check.
func checkable(v cty.Value) any {
	switch v.Type() {
	case cty.String, cty.Number:
		return goValue(v)
	case stringMap:
		return stringsOf(v)
	}
	return nil
}

// notOfType says what a value is that cannot be converted to the type of its attribute, or which element of it cannot.
func notOfType(v cty.Value, typ cty.Type) string {
	if _, isRef := refOf(v); isRef || typ.IsPrimitiveType() || !v.CanIterateElements() {
		return "this is " + describe(v)
	}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if _, err := convert.Convert(element, typ.ElementType()); err == nil {
			continue
		}
		if key.Type() == cty.Number {
			i, _ := wholeNumber(key)
			return fmt.Sprintf("element %d is %s", i+1, describe(element))
		}
		return fmt.Sprintf("%s is %s", goValue(key), describe(element))
	}
	return "this is " + describe(v)
}

func hintName(v cty.Value) string {
	if r, ok := refOf(v); ok && (r.kind == refApp || r.kind == refNamespace || r.kind == refExternal) {
		return " Add .name for its name."
	}
	return ""
}

// has reports whether the attribute has a value.
func (n *node) has(attr string) bool {
	_, ok := n.vals[attr]
	return ok
}

// isEmpty reports whether the attribute is a list without elements.
func (n *node) isEmpty(attr string) bool {
	v, ok := n.vals[attr]
	return ok && v.CanIterateElements() && v.LengthInt() == 0
}

// given reports whether the attribute is set, to any value.
func (n *node) given(attr string) bool { return n.has(attr) || n.broken[attr] }

// rng returns the range of the attribute's value, or of the block's header.
func (n *node) rng(attr string) hcl.Range {
	if a := n.attrs[attr]; a != nil {
		return a.Expr.Range()
	}
	return n.block.DefRange
}

// labelRange returns the range of the i-th label.
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

// The functions below return the value of an attribute, or its default in the schema; where that depends on
// something else, the caller gives it (…Or).

func (n *node) str(attr string) string {
	def, _ := n.attribute(attr).Default.(string)
	return n.strOr(attr, def)
}

func (n *node) strOr(attr, def string) string {
	if v, ok := n.vals[attr]; ok {
		return v.AsString()
	}
	return def
}

func (n *node) bool(attr string) bool {
	def, _ := n.attribute(attr).Default.(bool)
	return n.boolOr(attr, def)
}

func (n *node) boolOr(attr string, def bool) bool {
	if v, ok := n.vals[attr]; ok {
		return v.True()
	}
	return def
}

func (n *node) num(attr string) float64 {
	if v, ok := n.vals[attr]; ok {
		f, _ := v.AsBigFloat().Float64()
		return f
	}
	switch def := n.attribute(attr).Default.(type) {
	case int:
		return float64(def)
	case float64:
		return def
	}
	return 0
}

// optionalNum is nil without the attribute.
func (n *node) optionalNum(attr string) *float64 {
	if !n.has(attr) {
		return nil
	}
	f := n.num(attr)
	return &f
}

func (n *node) int(attr string) int {
	def, _ := n.attribute(attr).Default.(int)
	return n.intOr(attr, def)
}

func (n *node) intOr(attr string, def int) int {
	if v, ok := n.vals[attr]; ok {
		i, _ := wholeNumber(v)
		return i
	}
	return def
}

func (n *node) strs(attr string) []string {
	v, ok := n.vals[attr]
	if !ok {
		def, _ := n.attribute(attr).Default.([]string)
		return slices.Clone(def)
	}
	var list []string
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		list = append(list, e.AsString())
	}
	return list
}

func (n *node) strMap(attr string) map[string]string {
	if v, ok := n.vals[attr]; ok {
		return stringsOf(v)
	}
	return nil
}

// attribute is the attribute in the schema of the block, which has it: everything else is a bug in the decoder.
func (n *node) attribute(name string) *schema.Attribute {
	a := n.spec.Attribute(name)
	if a == nil {
		panic(fmt.Sprintf("a %s block has no attribute %q", n.spec.Type, name))
	}
	return a
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

// elementRange returns the range of the i-th element of a list attribute.
func (n *node) elementRange(attr string, i int) hcl.Range {
	if places := n.elements[attr]; i < len(places) {
		return places[i]
	}
	a := n.attrs[attr]
	if tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && i < len(tuple.Exprs) {
		return tuple.Exprs[i].Range()
	}
	return a.Expr.Range()
}

// children decodes the nested blocks of a type, in order. A node without such blocks in its schema has none.
func (n *node) children(typ string) []*node {
	spec := n.spec.Block(typ)
	var nodes []*node
	var first *hcl.Block
	for _, b := range n.kids {
		if b.Type != typ || spec == nil {
			continue
		}
		if spec.Once && first != nil {
			n.s.errorf(b.DefRange, "Block repeated", "There can be only one %s block in %s; the first is on line %d.",
				typ, wording.Article(n.spec.Type), first.DefRange.Start.Line)
			continue
		}
		first = b
		more, _ := n.s.instances(b, spec, n.each)
		nodes = append(nodes, more...)
	}
	return nodes
}

// child decodes the nested block of a type that may occur once. Without one it is empty: everything in it has its
// default.
func (n *node) child(typ string) *node {
	if nodes := n.children(typ); len(nodes) > 0 {
		return nodes[0]
	}
	return n.s.empty(n.spec.Block(typ))
}

// empty is a block that is not in the lab.
func (s *scope) empty(spec *schema.Block) *node {
	return &node{s: s, spec: spec, block: &hcl.Block{Type: spec.Type}}
}

// checkName checks the name of a block that becomes the name of an object, or of a folder.
func (n *node) checkName() {
	if n.broken["name"] {
		return
	}
	if problem := invalidName(n.name, wording.Article(n.spec.Type), checkLabel); problem != "" {
		n.s.errorf(n.nameRange(), "Invalid name", "%s", problem)
		n.s.refuse(n.name)
	}
}

// checkLabels checks Kubernetes labels.
func (n *node) checkLabels(attr string) map[string]string {
	labels := n.strMap(attr)
	for _, key := range sortedKeys(labels) {
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			n.s.errorf(n.rng(attr), "Invalid label", `%q cannot be the key of a label: it has 1 to 63 letters, digits, "-", "_" and ".", begins and ends with a letter or digit, and may follow a DNS name and "/".`, key)
		}
		if problems := validation.IsValidLabelValue(labels[key]); len(problems) > 0 {
			n.s.errorf(n.rng(attr), "Invalid label", `%q cannot be the value of the label %q: it has at most 63 letters, digits, "-", "_" and ".", and begins and ends with a letter or digit.`, labels[key], key)
		}
	}
	return labels
}
