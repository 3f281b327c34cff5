package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

// Parse decodes and checks every object of the files. It returns the objects without a problem, in the
// order of the files, and every problem of every object, in the order of files and lines. Objects of a
// kind that is not Known are returned undecoded, with what their metadata says.
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
	objects   []*Object
	problems  Problems
}

func (p *parser) parseFile(f File) {
	docs, errs := documents(f)
	for _, e := range errs {
		p.problems = append(p.problems, Problem{File: f.Name, Line: e.line, Message: e.message, Hint: e.hint})
	}
	for _, d := range docs {
		p.document(d, "", "")
	}
}

// document handles one object, or each item of a list. The items of a NetworkPolicyList need no kind of
// their own: apiVersion and kind stand for those that are missing.
func (p *parser) document(d document, apiVersion, kind string) {
	r := &objectReport{doc: d}
	if p.documents++; p.documents > p.lim.Documents {
		if p.documents == p.lim.Documents+1 {
			p.problems = append(p.problems, Problem{File: p.file, Line: d.line(d.root), Message: fmt.Sprintf("more than %d objects", p.lim.Documents)})
		}
		return
	}
	defer func() {
		if e := recover(); e != nil {
			r.add("", fmt.Sprintf("the object cannot be read: %v", e), "")
			p.finish(r)
		}
	}()
	d.root = resolveAlias(d.root)
	if d.root.Kind != yaml.MappingNode {
		r.add("", "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata", "")
		p.finish(r)
		return
	}
	if items, listVersion, itemKind := listItems(d.root); items != nil {
		p.documents--
		if items.Kind != yaml.SequenceNode {
			r.add("items", "items must be a list", "")
			p.finish(r)
			return
		}
		for _, item := range items.Content {
			if itemKind == "" {
				listVersion = ""
			}
			p.document(document{root: item, offset: d.offset}, listVersion, itemKind)
		}
		return
	}
	o := p.object(d, r, apiVersion, kind)
	r.object = o
	if p.finish(r) && o != nil {
		p.objects = append(p.objects, o)
	}
}

// finish files the object's problems and reports whether there were none.
func (p *parser) finish(r *objectReport) bool {
	for _, f := range r.findings {
		pr := Problem{File: p.file, Line: f.line, Field: f.field, Message: f.message, Hint: f.hint}
		if r.object != nil {
			if r.object.Kind != "" {
				pr.Object = strings.TrimSpace(r.object.Ref().String())
			}
		}
		p.problems = append(p.problems, pr)
	}
	return len(r.findings) == 0
}

// objectReport collects the problems of one object.
type objectReport struct {
	doc      document
	object   *Object
	findings []finding
}

// add notes a problem with the field, on the field's line.
func (r *objectReport) add(field, message, hint string) {
	line := positions{root: r.doc.root, offset: r.doc.offset}.lineOf(field)
	r.findings = append(r.findings, finding{line: line, field: field, message: message, hint: hint})
}

// listItems returns the items of a List, and of a typed list the kind of its items.
func listItems(root *yaml.Node) (items *yaml.Node, apiVersion, itemKind string) {
	_, k := lookup(root, "kind", 0)
	if k == nil || !strings.HasSuffix(k.Value, "List") || k.Value == "AllowList" {
		return nil, "", ""
	}
	if _, items = lookup(root, "items", 0); items == nil {
		return nil, "", ""
	}
	if _, v := lookup(root, "apiVersion", 0); v != nil {
		apiVersion = v.Value
	}
	return resolveAlias(items), apiVersion, strings.TrimSuffix(k.Value, "List")
}

func (p *parser) object(d document, r *objectReport, apiVersion, kindName string) *Object {
	o := &Object{File: p.file, Line: d.line(d.root), positions: positions{root: d.root, offset: d.offset}}
	c := converter{doc: d, lim: p.lim, buf: make([]byte, 0, 1024)}
	c.value(d.root)
	r.findings = append(r.findings, c.findings...)
	if c.stopped {
		return o
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(c.buf, &head); err != nil {
		r.add("", err.Error(), "")
		return o
	}
	if head.APIVersion == "" {
		head.APIVersion = apiVersion
	}
	if head.Kind == "" {
		head.Kind = kindName
	}
	o.APIVersion, o.Kind = head.APIVersion, head.Kind
	o.Name, o.Namespace, o.Labels = head.Metadata.Name, head.Metadata.Namespace, head.Metadata.Labels
	o.JSON = c.buf
	if o.Kind == "" {
		r.add("kind", "the object has no kind", "")
	}
	if o.APIVersion == "" && !p.refsOnly {
		r.add("apiVersion", "the object has no apiVersion", "")
	}
	k, known := lookupKind(o.Kind)
	if known && k.namespaced && o.Namespace == "" {
		o.Namespace = metav1.NamespaceDefault
	}
	if o.Name == "" {
		r.add("metadata.name", "Required value: name or generateName is required", "")
	}
	if !known || p.refsOnly || len(r.findings) > 0 {
		return o
	}
	v := k.new()
	strict, err := json.UnmarshalStrict(c.buf, v)
	if err != nil {
		r.add("", err.Error(), "")
		return o
	}
	for _, e := range strict {
		r.add("", e.Error(), "")
	}
	o.Value = v
	if k.check != nil {
		k.check(o, r)
	}
	return o
}
