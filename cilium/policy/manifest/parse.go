package manifest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
)

// Parse decodes and checks every object of the files. It returns the objects without a problem, in the
// order of the files, and every problem of every object, in the order of files and lines. Objects of a
// kind that is not Known are returned undecoded, with what their metadata says.
//
// An object that the API server would refuse has a problem; one without a problem carries the API
// server's defaults where the engine reads them (policyTypes, protocols, target ports).
func Parse(files []File, lim Limits) ([]*Object, Problems) {
	return parse(files, lim, false)
}

// ParseRefs reads manifests of which only kind, namespace and name count, such as those of objects to
// delete: the rest of an object is not looked at, and apiVersion may be missing.
func ParseRefs(files []File, lim Limits) ([]*Object, Problems) {
	return parse(files, lim, true)
}

func parse(files []File, lim Limits, refsOnly bool) ([]*Object, Problems) {
	p := parser{lim: lim.orDefault(), refsOnly: refsOnly}
	for _, f := range files {
		p.file = f.Name
		from := len(p.problems)
		p.parseFile(f)
		slices.SortStableFunc(p.problems[from:], func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	}
	return p.objects, p.problems
}

type parser struct {
	lim       Limits
	refsOnly  bool
	file      string
	documents int
	nodes     int // of all documents
	retry     int // bytes parsed again
	objects   []*Object
	problems  Problems
}

func (p *parser) parseFile(f File) {
	docs, errs := documents(f, &p.retry)
	for _, e := range errs {
		p.problems = append(p.problems, Problem{File: f.Name, Line: e.line, Message: e.message, Hint: e.hint})
	}
	for _, d := range docs {
		p.document(d, typeMeta{})
	}
}

// typeMeta is what an object says it is. The items of a NetworkPolicyList need not say it themselves.
type typeMeta struct{ apiVersion, kind string }

// document handles one object, or each item of a list.
func (p *parser) document(d document, inherited typeMeta) {
	d.root = resolveAlias(d.root)
	r := &report{doc: d, object: &Object{File: p.file, Line: d.line(d.root), positions: positions(d)}}
	defer p.finish(r)
	defer func() {
		// The last resort: a library that cannot stand what a student wrote.
		if e := recover(); e != nil {
			r.add("", fmt.Sprintf("the object cannot be read: %v", e), "")
		}
	}()
	if d.root.kind != mappingNode {
		r.add("", "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata", "")
		return
	}
	if items, item := listItems(d.root); items != nil {
		r.object = nil
		p.list(d, r, items, item)
		return
	}
	if p.nodes > p.lim.Nodes {
		r.object = nil // said so already
		return
	}
	if p.documents++; p.documents > p.lim.Documents {
		r.object = nil
		if p.documents == p.lim.Documents+1 {
			r.add("", fmt.Sprintf("more than %d objects", p.lim.Documents), "")
		}
		return
	}
	p.decode(r, inherited)
}

// finish keeps the object, or files what is wrong with it.
func (p *parser) finish(r *report) {
	if len(r.findings) == 0 {
		if r.object != nil {
			p.objects = append(p.objects, r.object)
		}
		return
	}
	name := printable(r.name())
	for _, f := range r.findings {
		p.problems = append(p.problems, Problem{
			File: p.file, Line: f.line, Object: name, Field: printable(f.field), Message: printable(f.message), Hint: printable(f.hint),
		})
	}
}

// printable is s as it can be shown: what a student writes ends up in terminals and reports.
func printable(s string) string {
	const maxLen = 2000
	if len(s) > maxLen {
		s = strings.ToValidUTF8(s[:maxLen], "") + " …"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// name is what messages call the object, as far as it has a name.
func (r *report) name() string {
	switch o := r.object; {
	case o == nil || o.Kind == "":
		return ""
	case o.Name == "":
		return o.Kind
	default:
		return o.Ref().String()
	}
}

// listItems returns the items of a List, and for a NetworkPolicyList and its like what the items are.
func listItems(root *node) (items *node, item typeMeta) {
	kind, isString := stringField(root, "kind")
	if !isString || !strings.HasSuffix(kind, "List") {
		return nil, typeMeta{}
	}
	if _, items = lookup(root, "items"); items == nil {
		return nil, typeMeta{}
	}
	if kind != "List" {
		item.kind = strings.TrimSuffix(kind, "List")
		item.apiVersion, _ = stringField(root, "apiVersion")
	}
	return resolveAlias(items), item
}

func (p *parser) list(d document, r *report, items *node, item typeMeta) {
	switch {
	case items.kind == sequenceNode:
		for _, n := range items.content {
			p.document(document{root: n, offset: d.offset}, item)
		}
	case !isNull(items):
		r.add("items", "items must be a list", typeHint(items, jsonType(items), &schema{Type: "array"}))
	}
	// The other keys of the list only have to be unambiguous.
	c := converter{doc: d, lim: p.lim, nodes: p.nodes}
	wrapper := *d.root
	wrapper.content = slices.Clone(wrapper.content)
	for i := 0; i+1 < len(wrapper.content); i += 2 {
		if wrapper.content[i].value == "items" {
			wrapper.content[i+1] = &node{kind: scalarNode, value: "null"}
		}
	}
	c.value(&wrapper)
	p.nodes = c.nodes
	r.findings = append(r.findings, c.findings...)
}

// decode fills in the report's object.
func (p *parser) decode(r *report, inherited typeMeta) {
	o := r.object
	c := converter{doc: r.doc, lim: p.lim, buf: make([]byte, 0, 1024), nodes: p.nodes, typeMeta: inherited}
	c.value(r.doc.root)
	p.nodes = c.nodes
	r.findings = append(r.findings, c.findings...)
	if c.stopped {
		return
	}
	o.JSON = c.buf
	o.APIVersion = r.header("apiVersion", inherited.apiVersion, !p.refsOnly)
	o.Kind = r.header("kind", inherited.kind, true)
	k, known := lookupKind(o.Kind)
	if known && k.otherProject(o.APIVersion) {
		known = false
	}
	if known && (o.APIVersion != "" && !slices.Contains(k.versions, o.APIVersion)) && !p.refsOnly {
		r.add("apiVersion", fmt.Sprintf("no matches for kind %q in version %q", o.Kind, o.APIVersion), "write apiVersion: "+k.versions[0])
	}
	if !known && o.Kind != "" {
		if name := nearKind(o.Kind, o.APIVersion); name != "" {
			r.add("kind", fmt.Sprintf("no matches for kind %q in version %q", o.Kind, o.APIVersion), fmt.Sprintf("did you mean %q?", name))
		}
	}
	if !known || p.refsOnly || o.Kind == "" {
		p.metadataOnly(r, k, known)
		return
	}
	p.value(r, k)
}

// header reads one of apiVersion and kind.
func (r *report) header(name, inherited string, required bool) string {
	s, ok := stringField(r.doc.root, name)
	switch _, v := lookup(r.doc.root, name); {
	case v == nil || isNull(v) || s == "" && ok:
		if inherited != "" {
			return inherited
		}
		if required {
			r.add(name, fmt.Sprintf("the object has no %s", name), headerHint(r.doc.root, name))
		}
	case !ok:
		v := resolveAlias(v)
		r.add(name, fmt.Sprintf("cannot unmarshal %s into a field of type string", goName(jsonType(v))), typeHint(v, jsonType(v), &schema{Type: "string"}))
		return ""
	}
	return s
}

func headerHint(root *node, name string) string {
	hint := ""
	eachField(root, func(key string, _, _ *node) {
		if key != name && strings.EqualFold(key, name) {
			hint = fmt.Sprintf("write %s, not %s: case matters", name, key)
		}
	})
	if hint != "" {
		return hint
	}
	if name == "kind" {
		return "such as kind: NetworkPolicy"
	}
	return "such as apiVersion: networking.k8s.io/v1"
}

// nearKind finds the kind that a misspelt one is meant to be.
func nearKind(name, apiVersion string) string {
	for _, known := range knownKinds() {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	for _, known := range knownKinds() {
		if k, _ := lookupKind(known); slices.Contains(k.versions, apiVersion) && apiVersion != "v1" && apiVersion != "apps/v1" && didYouMean(name, []string{known}) != "" {
			return known
		}
	}
	return ""
}

// metadataOnly reads name, namespace and labels of an object that is not decoded.
func (p *parser) metadataOnly(r *report, k kind, known bool) {
	o := r.object
	var head struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(o.JSON, &head); err != nil {
		c := checker{doc: r.doc, lim: p.lim}
		if _, meta := lookup(r.doc.root, "metadata"); meta != nil {
			c.path.pushKey("metadata")
			c.check(schemaOf(reflect.TypeFor[metav1.ObjectMeta]()), meta, meta)
		}
		r.findings = append(r.findings, typeFindings(c.findings)...)
		if len(r.findings) == 0 {
			r.add("metadata", err.Error(), "")
		}
		return
	}
	o.Name, o.Namespace, o.Labels = head.Metadata.Name, head.Metadata.Namespace, head.Metadata.Labels
	if known {
		p.checkMetadata(r, k, &head.Metadata)
	} else if o.Name == "" && o.Kind != "" {
		r.missingName(&head.Metadata)
	}
}

// typeFindings leaves out unknown fields.
func typeFindings(all []finding) (types []finding) {
	for _, f := range all {
		if !f.unknown {
			types = append(types, f)
		}
	}
	return types
}

func (r *report) missingName(m *metav1.ObjectMeta) {
	if m.GenerateName != "" {
		r.add("metadata.name", "Required value: generateName is only for objects that are created, not applied", "give the object a name")
		return
	}
	r.add("metadata.name", "Required value: name or generateName is required", "")
}

// value decodes the object into its Go type and checks it.
func (p *parser) value(r *report, k kind) {
	o := r.object
	v := k.new()
	c := checker{doc: r.doc, lim: p.lim}
	if k.schema != nil {
		// Cilium's types decode themselves, and not all of them survive what the schema refuses.
		c.check(k.schema(), r.doc.root, r.doc.root)
		if len(typeFindings(c.findings)) > 0 {
			r.findings = append(r.findings, c.findings...)
			p.metadataOnly(r, k, true)
			return
		}
	}
	strict, err := json.UnmarshalStrict(o.JSON, v)
	if k.schema == nil && (err != nil || len(strict) > 0) {
		c.check(schemaOf(reflect.TypeOf(v)), r.doc.root, r.doc.root)
	}
	r.findings = append(r.findings, c.findings...)
	if len(c.findings) == 0 {
		for _, e := range append(strict, err) {
			if e != nil { // the decoder knows better than the schema
				r.add(strictField(e), strings.TrimPrefix(e.Error(), "json: "), "")
			}
		}
	}
	if err != nil {
		v = k.new()
		if !decodeWithout(r.doc, p.lim, c.misfits, v) {
			p.metadataOnly(r, k, true)
			return
		}
	}
	m := v.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
	o.Name, o.Namespace, o.Labels = m.Name, m.Namespace, m.Labels
	p.checkMetadata(r, k, m)
	if k.check != nil {
		broken := typeFindings(c.findings)
		for _, e := range k.check(v) {
			if !slices.ContainsFunc(broken, func(f finding) bool { return related(f.field, e.Field) }) {
				r.addError(e, fieldErrorHint(e))
			}
		}
	}
	o.Value = v
}

// decodeWithout decodes an object without the values that do not fit, so that the rest can be checked.
func decodeWithout(d document, lim Limits, misfits []*node, v any) bool {
	c := converter{doc: d, lim: lim, leaveOut: misfits}
	c.value(d.root)
	return json.UnmarshalCaseSensitivePreserveInts(c.buf, v) == nil
}

// related reports whether one field path contains the other.
func related(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// strictField finds the field in an error such as: unknown field "spec.foo".
func strictField(err error) string {
	s := err.Error()
	if i, j := strings.IndexByte(s, '"'), strings.LastIndexByte(s, '"'); i >= 0 && j > i {
		return s[i+1 : j]
	}
	return ""
}

// checkMetadata applies the rules for names, namespaces, labels and the like.
func (p *parser) checkMetadata(r *report, k kind, m *metav1.ObjectMeta) {
	o := r.object
	if k.namespaced && m.Namespace == "" {
		m.Namespace = metav1.NamespaceDefault
	}
	o.Namespace = m.Namespace
	nameMissing := m.Name == ""
	if nameMissing && !r.has("metadata.name") && !r.has("metadata") {
		r.missingName(m)
	}
	for _, e := range apivalidation.ValidateObjectMeta(m, k.namespaced, k.checkName, field.NewPath("metadata")) {
		if nameMissing && e.Field == "metadata.name" {
			continue
		}
		hint := fieldErrorHint(e)
		if e.Field == "metadata.namespace" && !k.namespaced {
			hint = k.name + " is not namespaced: leave the namespace out"
		}
		r.addError(e, hint)
	}
	if !k.namespaced {
		o.Namespace = ""
	}
}

// report collects the problems of one object.
type report struct {
	doc      document
	object   *Object
	findings []finding
}

// add notes a problem with the field, on the field's line.
func (r *report) add(path, message, hint string) {
	line := positions{root: r.doc.root, offset: r.doc.offset}.lineOf(path)
	r.findings = append(r.findings, finding{line: line, field: path, message: message, hint: hint})
}

// addError notes a problem that Kubernetes' own checks found. For a label they name the whole map: the
// line is that of the entry with the bad key or value.
func (r *report) addError(e *field.Error, hint string) {
	pos := positions{root: r.doc.root, offset: r.doc.offset}
	n, line := pos.find(e.Field)
	if bad, ok := e.BadValue.(string); ok && n != nil {
		if n = resolveAlias(n); n.kind == mappingNode {
			eachField(n, func(name string, key, value *node) {
				if name == bad || resolveAlias(value).value == bad {
					line = key.line + pos.offset
				}
			})
		}
	}
	r.findings = append(r.findings, finding{line: line, field: e.Field, message: e.ErrorBody(), hint: hint})
}

// has reports whether there is a problem with the very field.
func (r *report) has(path string) bool {
	return slices.ContainsFunc(r.findings, func(f finding) bool { return f.field == path })
}

// stringField returns the value of a top-level key, if it is a string.
func stringField(root *node, name string) (string, bool) {
	_, v := lookup(root, name)
	if v == nil {
		return "", false
	}
	if v = resolveAlias(v); v.kind != scalarNode {
		return "", false
	}
	kind, text, ok := resolveScalar(v)
	return text, ok && kind == scalarString
}
