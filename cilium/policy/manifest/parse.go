package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Parse decodes and checks every object of the files. It returns the objects without a problem, in the
// order of the files, and every problem of every object, in the order of files and lines. Objects of a
// kind that is not Known are returned undecoded, with what their metadata says.
//
// An object that the API server would refuse has a problem; one without a problem carries the API
// server's defaults where the engine reads them (policyTypes, protocols, target ports).
func Parse(files []File, lim Limits) ([]*Object, Problems) {
	return (*Memory)(nil).Parse(files, lim)
}

// ParseRefs reads manifests of which only kind, namespace and name count, such as those of objects to
// delete: the rest of an object is not looked at, and apiVersion may be missing.
func ParseRefs(files []File, lim Limits) ([]*Object, Problems) {
	return parse(files, parser{lim: lim.orDefault(), refsOnly: true})
}

func parse(files []File, p parser) ([]*Object, Problems) {
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
	memory    *Memory // not of refs
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
