package manifest

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// schema says what an object must look like. It is either a CRD's (the subset of OpenAPI v3 that the
// CRDs in schemas/ use, decoded from there) or made from a Go type (schemaOf).
//
// The API server checks custom resources with k8s.io/apiextensions-apiserver. Linked in, that package
// adds 14 MB to the binary (CEL, metrics, its own YAML) and the 400 KB of CRD it wants take 50 ms to
// read; it also knows no lines. So its rules are written down here, and TestSchemaAgreesWithAPIServer
// holds both against each other.
type schema struct {
	Type       string             `json:"type,omitempty"`
	Properties map[string]*schema `json:"properties,omitempty"`
	Required   []string           `json:"required,omitempty"`
	Items      *schema            `json:"items,omitempty"`
	Values     *schema            `json:"additionalProperties,omitempty"`

	Enum          []string `json:"enum,omitempty"`
	Pattern       string   `json:"pattern,omitempty"`
	Format        string   `json:"format,omitempty"`
	MinLength     *int     `json:"minLength,omitempty"`
	MaxLength     *int     `json:"maxLength,omitempty"`
	MinItems      *int     `json:"minItems,omitempty"`
	MaxItems      *int     `json:"maxItems,omitempty"`
	MinProperties *int     `json:"minProperties,omitempty"`
	MaxProperties *int     `json:"maxProperties,omitempty"`
	Minimum       *int64   `json:"minimum,omitempty"`
	Maximum       *int64   `json:"maximum,omitempty"`
	Default       any      `json:"default,omitempty"`

	// AnyOf and OneOf only ever say which properties must be there.
	AnyOf []alternative `json:"anyOf,omitempty"`
	OneOf []alternative `json:"oneOf,omitempty"`

	IntOrString bool      `json:"x-kubernetes-int-or-string,omitempty"`
	ListType    string    `json:"x-kubernetes-list-type,omitempty"`
	Rules       []celRule `json:"x-kubernetes-validations,omitempty"`

	// Anything allows any value at all.
	Anything bool `json:"x-kubernetes-preserve-unknown-fields,omitempty"`

	pattern func() *regexp.Regexp // compiles Pattern, once

	// goType is set in the schema of a Go type: what encoding/json calls the type in its errors.
	goType string
	// accepts decides for the Go types that decode themselves, such as quantities and times.
	accepts func(json []byte) error
}

type alternative struct {
	Required []string `json:"required,omitempty"`
}

type celRule struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// checker walks an object along its schema and reports what does not fit, in the words of the API server.
type checker struct {
	doc      document
	path     fieldPath
	levels   []level
	findings findings
	misfits  map[*node]bool // the values of a type that does not fit
}

func (c *checker) misfit(n *node) {
	if c.misfits == nil {
		c.misfits = map[*node]bool{}
	}
	c.misfits[n] = true
}

// check reports what in n does not fit s. key is the node on whose line n stands.
func (c *checker) check(s *schema, key, n *node) {
	n = resolveAlias(n)
	if s.Anything {
		return
	}
	got := jsonType(n)
	if s.goType != "" {
		c.checkGo(s, key, n, got)
		return
	}
	if !s.allows(got) {
		c.misfit(n)
		want, is := s.wantedType(), got
		if s.Format != "" && got != "string" && got != "array" && got != "null" {
			// In this case the API server speaks of the formats, not of the types.
			want, is = s.Format, map[string]string{"integer": "int64", "number": "float64"}[got]
		}
		c.file(key, field.TypeInvalid(nil, is, fmt.Sprintf("%s in body must be of type %s: %q", c.where(), want, is)),
			finding{plain: unexpected(got, s), hint: typeHint(&c.path, n, got, s)})
		return
	}
	switch got {
	case "object":
		c.object(s, key, n)
	case "array":
		c.array(s, key, n)
	case "string":
		c.string(s, key, n)
	case "integer", "number":
		c.number(s, key, n)
	}
	for _, r := range s.Rules {
		if holds, ok := celRules[r.Rule]; ok && !holds(n) {
			e := field.Invalid(nil, describe(n, got), r.Message)
			c.findings.add(finding{line: c.doc.line(key), field: c.path.String(), message: e.ErrorBody(), rule: true})
		}
	}
}

// enter notes that what follows is inside of an object.
func (c *checker) enter(s *schema, n *node) {
	item := len(c.path.elems) > 0 && !c.path.elems[len(c.path.elems)-1].isKey
	c.levels = append(c.levels, level{s, n, item})
}

// wantedType is the type as messages show it.
func (s *schema) wantedType() string {
	if s.IntOrString {
		return "integer,string"
	}
	return s.Type
}

func (s *schema) allows(got string) bool {
	switch {
	case s.IntOrString:
		return got == "integer" || got == "string"
	case s.Type == "number":
		return got == "number" || got == "integer"
	}
	return s.Type == "" || s.Type == got
}

func (c *checker) object(s *schema, key, n *node) {
	present := map[string]bool{}
	meant := map[string]bool{} // the fields that unknown ones probably stand for
	properties := 0
	c.enter(s, n)
	eachField(n, func(name string, k, v *node) {
		child := s.Properties[name]
		if child == nil {
			child = s.Values
		}
		if child != nil && isNull(v) && !child.Anything && child.Default == nil {
			return // dropped before validation
		}
		c.path.pushKey(name)
		switch {
		case child != nil:
			present[name] = true
			properties++
			c.check(child, k, v)
		case s.Properties != nil || s.Values == nil && s.Type == "object":
			meant[c.unknownField(name, k, v)] = true
		}
		c.path.pop()
	})
	c.levels = c.levels[:len(c.levels)-1]
	for _, name := range s.Required {
		if !present[name] {
			c.missing(name, key, meant)
		}
	}
	c.alternatives(s, key, present, meant)
	if s.MinProperties != nil && properties < *s.MinProperties {
		c.invalid(key, properties, "%s in body should have at least %d properties", c.where(), *s.MinProperties)
	}
	if s.MaxProperties != nil && properties > *s.MaxProperties {
		c.add(key, field.TooMany(nil, properties, *s.MaxProperties))
	}
}

func (c *checker) alternatives(s *schema, key *node, present, meant map[string]bool) {
	count := func(alts []alternative, there ...map[string]bool) (n int) {
		for _, a := range alts {
			if !slices.ContainsFunc(a.Required, func(name string) bool {
				return !slices.ContainsFunc(there, func(m map[string]bool) bool { return m[name] })
			}) {
				n++
			}
		}
		return n
	}
	none := func(alts []alternative, message string, f finding) {
		f.follows = count(alts, present, meant) > 0
		c.file(key, field.Invalid(nil, "", fmt.Sprintf(message, c.where())), f)
	}
	if len(s.AnyOf) > 0 && !s.IntOrString && count(s.AnyOf, present) == 0 {
		f := finding{hint: "give at least one of " + namesOf(s.AnyOf)}
		if s.Properties["ingressDeny"] != nil { // a Cilium policy's specification, which newcomers leave empty to close
			f.plain = "a policy needs at least one rule: one of " + namesOf(s.AnyOf)
			f.hint = "ingress: [{}] lets nobody in, egress: [{}] lets nobody out"
		}
		none(s.AnyOf, "%q must validate at least one schema (anyOf)", f)
	}
	if len(s.OneOf) == 0 {
		return
	}
	switch n := count(s.OneOf, present); {
	case n == 0:
		none(s.OneOf, "%q must validate one and only one schema (oneOf). Found none valid",
			finding{hint: "give one of " + namesOf(s.OneOf)})
	case n > 1:
		c.addHint(key,
			field.Invalid(nil, "",
				fmt.Sprintf("%q must validate one and only one schema (oneOf). Found %d valid alternatives",
					c.where(), n)), "give only one of "+namesOf(s.OneOf))
	}
}

func namesOf(alts []alternative) string {
	var names []string
	for _, a := range alts {
		names = append(names, a.Required...)
	}
	return strings.Join(names, ", ")
}

func (c *checker) array(s *schema, key, n *node) {
	if s.MinItems != nil && len(n.content) < *s.MinItems {
		c.invalid(key, len(n.content), "%s in body should have at least %d items", c.where(), *s.MinItems)
	}
	if s.MaxItems != nil && len(n.content) > *s.MaxItems {
		c.add(key, field.TooMany(nil, len(n.content), *s.MaxItems))
	}
	if s.Items == nil {
		return
	}
	seen := map[string]bool{}
	for i, item := range n.content {
		c.path.pushIndex(i)
		c.check(s.Items, item, item)
		if it := resolveAlias(item); s.ListType == "set" && it.kind == scalarNode {
			if seen[it.value] {
				c.add(item, field.Duplicate(nil, it.value))
			}
			seen[it.value] = true
		}
		c.path.pop()
	}
}

func (c *checker) string(s *schema, key, n *node) {
	_, text, _ := resolveScalar(n)
	length := utf8.RuneCountInString(text)
	if s.MaxLength != nil && length > *s.MaxLength {
		c.add(key, field.TooLong(nil, "", *s.MaxLength))
	}
	if s.MinLength != nil && length < *s.MinLength {
		c.invalid(key, text, "%s in body should be at least %d chars long", c.where(), *s.MinLength)
	}
	if s.Pattern != "" && !s.pattern().MatchString(text) {
		f := finding{hint: patternHint(&c.path, text, s.Pattern)}
		if f.hint != "" { // which says more than a regular expression
			f.plain = field.Invalid(nil, text, "it is not written as this field needs it").ErrorBody()
		}
		c.file(key, field.Invalid(nil, text, fmt.Sprintf("%s in body should match '%s'", c.where(), s.Pattern)), f)
	}
	if !validFormat(s.Format, text) {
		c.addHint(key, field.Invalid(nil, text,
			fmt.Sprintf("%s in body must be of type %s: %q", c.where(), s.Format, text)), formatHint(s.Format, text))
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		c.addHint(key, field.NotSupported(nil, text, s.Enum), enumHint(&c.path, text, s.Enum))
	}
}

func (c *checker) number(s *schema, key, n *node) {
	_, text, _ := resolveScalar(n)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return
	}
	var shown any = v
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		shown = i
	}
	if s.Maximum != nil && v > float64(*s.Maximum) {
		c.invalid(key, shown, "%s in body should be less than or equal to %d", c.where(), *s.Maximum)
	}
	if s.Minimum != nil && v < float64(*s.Minimum) {
		c.invalid(key, shown, "%s in body should be greater than or equal to %d", c.where(), *s.Minimum)
	}
	if s.Format == "int32" && (v > math.MaxInt32 || v < math.MinInt32) {
		c.invalid(key, "", "Checked value must be of type integer with format int32 in %s", c.where())
	}
}

// missing reports a required property that is not there, on the line of the object that lacks it.
func (c *checker) missing(name string, key *node, meant map[string]bool) {
	c.path.pushKey(name)
	c.file(key, field.Required(nil, ""), finding{follows: meant[name]})
	c.path.pop()
}

// unknownField reports a field that the innermost level does not have, and returns the one that was probably meant.
func (c *checker) unknownField(name string, k, v *node) (meant string) {
	if c.path.elems[0].key == "status" {
		return "" // the cluster writes it, perhaps in an older or newer version
	}
	if c.findings.full() {
		c.findings.more++
		return ""
	}
	hint, meant := unknownFieldHint(name, v, c.levels)
	c.findings.add(finding{
		line: c.doc.line(k), field: c.path.String(), unknown: true,
		message: fmt.Sprintf("unknown field %q", name), hint: hint,
	})
	return meant
}

func (c *checker) invalid(key *node, value any, format string, args ...any) {
	c.add(key, field.Invalid(nil, value, fmt.Sprintf(format, args...)))
}

func (c *checker) add(key *node, e *field.Error) { c.addHint(key, e, "") }

func (c *checker) addHint(key *node, e *field.Error, hint string) {
	c.file(key, e, finding{hint: hint})
}

// file completes a finding about the current value, and adds it.
func (c *checker) file(key *node, e *field.Error, f finding) {
	if c.findings.full() {
		c.findings.more++
		return
	}
	f.line, f.field, f.message = c.doc.line(key), c.path.String(), e.ErrorBody()
	c.findings.add(f)
}

// where names the value in a message; the API server says "<nil>" of the object itself.
func (c *checker) where() string { return c.path.String() }

// jsonType is the type of the JSON that n becomes: object, array, string, integer, number, boolean, null.
func jsonType(n *node) string {
	switch n.kind {
	case mappingNode:
		return "object"
	case sequenceNode:
		return "array"
	}
	switch kind, text, _ := resolveScalar(n); kind {
	case scalarNull:
		return "null"
	case scalarBool:
		return "boolean"
	case scalarNumber:
		if strings.ContainsAny(text, ".eE") {
			return "number"
		}
		return "integer"
	}
	return "string"
}

func isNull(n *node) bool {
	n = resolveAlias(n)
	return n.kind == scalarNode && jsonType(n) == "null"
}

func describe(n *node, jsonType string) any {
	if n.kind == scalarNode {
		return n.value
	}
	return jsonType
}

// eachField calls f for every key of a mapping as the JSON has it: with merged keys, and the first of two
// equal ones.
func eachField(n *node, f func(name string, key, value *node)) {
	seen := map[string]bool{}
	var walk func(n *node, depth int)
	walk = func(n *node, depth int) {
		n = resolveAlias(n)
		if depth > 100 {
			return
		}
		if n.kind == sequenceNode {
			for _, m := range n.content {
				walk(m, depth+1)
			}
			return
		}
		if n.kind != mappingNode {
			return
		}
		for i := 0; i+1 < len(n.content); i += 2 {
			k := resolveAlias(n.content[i])
			if isMergeKey(k) || k.kind != scalarNode {
				continue
			}
			if _, name, _ := resolveScalar(k); !seen[name] {
				seen[name] = true
				f(name, n.content[i], n.content[i+1])
			}
		}
		for i := 0; i+1 < len(n.content); i += 2 {
			if isMergeKey(n.content[i]) {
				walk(n.content[i+1], depth+1)
			}
		}
	}
	walk(n, 0)
}

// validFormat knows the string formats that the CRDs use and the API server checks; others pass.
func validFormat(format, text string) bool {
	switch format {
	case "cidr":
		_, _, err := net.ParseCIDR(text)
		return err == nil
	case "date-time":
		_, err := time.Parse(time.RFC3339, text)
		return err == nil
	}
	return true
}
