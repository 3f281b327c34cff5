package labs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// variables decodes the variable blocks and gives each its value: the default, unless opts has another. It returns the values given, as text, for the digest.
func (s *scope) variables(blocks hcl.Blocks, opts LoadOptions) map[string]string {
	vars := map[string]*variable{}
	var order []*variable
	spec := schema.Lab().Block("variable")
	for _, b := range blocks {
		name := b.Labels[0]
		if old := vars[name]; old != nil {
			s.errorf(b.LabelRanges[0], "Duplicate variable", "There is already a variable %q, in %s on line %d.",
				name, old.node.block.DefRange.Filename, old.node.block.DefRange.Start.Line)
			continue
		}
		if !hclsyntax.ValidIdentifier(name) {
			s.errorf(b.LabelRanges[0], "Invalid name",
				"%q cannot be the name of a variable: use letters, digits, _ and -, and begin with a letter.", name)
			continue
		}
		v := s.variable(b, spec)
		vars[name] = v
		order = append(order, v)
		s.vars[name] = cty.DynamicVal
	}
	given := s.givenValues(vars, opts)
	for _, v := range order {
		s.vars[v.name] = v.value
		if !v.set {
			if !v.node.broken["default"] && !v.node.broken["type"] {
				d := errorDiag(&v.node.block.DefRange, "No value for a variable",
					fmt.Sprintf("The variable %q has no default, and no value was given.", v.name))
				d.Extra = UnsetVariable{v.name}
				s.diags.add(d)
			}
			s.vars[v.name] = cty.DynamicVal
		}
	}
	s.declared = order
	return given
}

// variable decodes a variable block. Its expressions see nothing: they are evaluated before everything else.
func (s *scope) variable(b *hcl.Block, spec *schema.Block) *variable {
	content := s.content(b.Body, spec)
	v := &variable{name: b.Labels[0], typ: cty.DynamicPseudoType, value: cty.DynamicVal}
	v.node = &node{s: s, spec: spec, block: b, attrs: content.Attributes, kids: content.Blocks,
		vals: map[string]cty.Value{}, broken: map[string]bool{}}
	if a := content.Attributes["type"]; a != nil {
		typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
		for _, d := range diags {
			d.Summary = "Invalid type"
			d.Detail += " The types are string, number, bool, any, list(TYPE), set(TYPE), map(TYPE), tuple([TYPE, …]) and object({ NAME = TYPE, … })."
		}
		s.diags.add(diags...)
		v.node.broken["type"] = diags.HasErrors()
		if !diags.HasErrors() {
			v.typ, v.optional = typ, defaults
		}
	}
	if value, ok := s.constant(content.Attributes["description"]); ok && value.Type() != cty.String {
		s.errorf(v.node.rng("description"), "Wrong type", "description takes a string; this is %s.", describe(value))
	}
	if a := content.Attributes["default"]; a != nil {
		v.node.broken["default"] = true
		if value, ok := s.constant(a); ok {
			s.setVariable(v, value, a.Expr.Range(), "The default")
		}
	}
	return v
}

// constant evaluates an attribute of a variable block, which cannot refer to anything.
func (s *scope) constant(a *hcl.Attribute) (cty.Value, bool) {
	if a == nil {
		return cty.NilVal, false
	}
	if refs := a.Expr.Variables(); len(refs) > 0 {
		s.errorf(refs[0].SourceRange(), "Not a constant",
			"%s of a variable cannot refer to anything: variables are set first. Use a local value for computed values.", a.Name)
		return cty.NilVal, false
	}
	v := s.eval(a.Expr, nil)
	return v, v.IsKnown()
}

// setVariable converts a value to the variable's type.
func (s *scope) setVariable(v *variable, value cty.Value, rng hcl.Range, what string) {
	if v.optional != nil && !value.IsNull() {
		value = v.optional.Apply(value)
	}
	converted, err := convert.Convert(value, v.typ)
	if err != nil {
		problem := fmt.Sprintf("%s of the variable %q must have the type %s", what, v.name, typeexpr.TypeString(v.typ))
		if v.typ.IsPrimitiveType() {
			problem += fmt.Sprintf("; this is %s.", describe(value))
		} else {
			problem += fmt.Sprintf(": %v.", err)
		}
		s.diags.add(errorDiag(rangeOrNil(rng), "Wrong type", problem))
		v.set, v.value = true, cty.DynamicVal
		return
	}
	v.set, v.value = true, converted
}

func rangeOrNil(rng hcl.Range) *hcl.Range {
	if rng.Filename == "" {
		return nil
	}
	return &rng
}

// givenValues applies opts.VarFiles and then opts.Vars.
func (s *scope) givenValues(vars map[string]*variable, opts LoadOptions) map[string]string {
	given := map[string]string{}
	names := sortedKeys(vars)
	set := func(name string, value cty.Value, rng hcl.Range, what string) {
		v := vars[name]
		s.setVariable(v, value, rng, what)
		if v.value.IsKnown() {
			if text, err := ctyjson.Marshal(v.value, v.value.Type()); err == nil {
				given[name] = string(text)
			}
		}
	}
	unknown := func(name string, rng *hcl.Range) {
		s.diags.add(errorDiag(rng, "Unknown variable",
			fmt.Sprintf("The lab has no variable %q.%s", name, wording.DidYouMean(name, names))))
	}
	for _, file := range opts.VarFiles {
		values, ranges := s.readVarFile(file)
		for _, name := range sortedKeys(values) {
			rng := ranges[name]
			if vars[name] == nil {
				unknown(name, rangeOrNil(rng))
				continue
			}
			set(name, values[name], rng, "The value")
		}
	}
	for _, name := range sortedKeys(opts.Vars) {
		if vars[name] == nil {
			unknown(name, nil)
			continue
		}
		text := opts.Vars[name]
		value := cty.StringVal(text)
		if vars[name].typ != cty.String {
			parsed, ok := s.parseVar(name, text, vars[name].typ)
			if !ok {
				vars[name].set, vars[name].value = true, cty.DynamicVal
				continue
			}
			value = parsed
		}
		set(name, value, hcl.Range{}, "The given value")
	}
	return given
}

// parseVar reads the value of a variable that is not a string. A variable of any type also takes plain text.
func (s *scope) parseVar(name, text string, typ cty.Type) (cty.Value, bool) {
	source := "the value of " + name
	data := []byte(text)
	s.diags.files[source] = &hcl.File{Bytes: data}
	rng, bad := firstInvalidUTF8(data, source)
	if bad || len(data) > maxHCLBytes {
		s.errorf(rng, "Invalid value", "The value of %q is not UTF-8 text, or is too long.", name)
		return cty.DynamicVal, false
	}
	if d := checkTokens(data, source); d != nil {
		s.diags.add(d)
		return cty.DynamicVal, false
	}
	expr, diags := hclsyntax.ParseExpression(data, source, hcl.InitialPos)
	if !diags.HasErrors() {
		var value cty.Value
		if value, diags = expr.Value(&hcl.EvalContext{}); !diags.HasErrors() && tooLarge(value) == "" {
			return value, true
		}
	}
	if typ == cty.DynamicPseudoType {
		return cty.StringVal(text), true
	}
	end := hcl.Pos{Line: 1, Column: len(data) + 1, Byte: len(data)}
	s.errorf(hcl.Range{Filename: source, Start: hcl.InitialPos, End: end},
		"Invalid value", "The variable %q is %s; %q is not an expression of that type.",
		name, typeexpr.TypeString(typ), shorten(text, 60))
	return cty.DynamicVal, false
}

// readVarFile reads a file of values.
func (s *scope) readVarFile(name string) (map[string]cty.Value, map[string]hcl.Range) {
	fail := func(format string, args ...any) (map[string]cty.Value, map[string]hcl.Range) {
		s.diags.add(errorDiag(nil, "Cannot read a variable file",
			fmt.Sprintf("%s: %s.", name, fmt.Sprintf(format, args...))))
		return nil, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return fail("%v", plainError(err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return fail("it is not a regular file of at most %d bytes", maxFileBytes)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fail("%v", plainError(err))
	}
	source := filepath.ToSlash(name)
	if strings.EqualFold(filepath.Ext(name), ".json") {
		typ, err := ctyjson.ImpliedType(data)
		if err != nil || !typ.IsObjectType() {
			return fail("it must be a JSON object with a value for each variable (%v)", err)
		}
		v, err := ctyjson.Unmarshal(data, typ)
		if err != nil {
			return fail("%v", err)
		}
		return v.AsValueMap(), map[string]hcl.Range{}
	}
	f, diags := parseFile(data, source)
	s.diags.files[source] = &hcl.File{Bytes: data}
	s.diags.add(diags...)
	if f == nil {
		return nil, nil
	}
	s.diags.files[source] = f
	attrs, diags := f.Body.JustAttributes()
	s.diags.add(diags...)
	values, ranges := map[string]cty.Value{}, map[string]hcl.Range{}
	for _, attr := range sortedKeys(attrs) {
		v, diags := attrs[attr].Expr.Value(&hcl.EvalContext{})
		s.diags.add(diags...)
		if !diags.HasErrors() {
			values[attr], ranges[attr] = v, attrs[attr].Expr.Range()
		}
	}
	return values, ranges
}

// validate runs the validation blocks of the variables that have a value.
func (s *scope) validate() {
	for _, v := range s.declared {
		if !v.set {
			continue
		}
		for _, c := range v.node.children("validation") {
			if c.has("condition") && !c.bool("condition") {
				s.errorf(c.rng("condition"), "Invalid value for a variable", "The variable %q: %s", v.name,
					c.strOr("error_message", "its value is not valid."))
			}
		}
	}
}
