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
	return NewParser(lim).Parse(files)
}

// ParseRefs reads manifests of which only kind, namespace and name count, such as those of objects to
// delete: the rest of an object is not looked at, and apiVersion may be missing.
func ParseRefs(files []File, lim Limits) ([]*Object, Problems) {
	return NewParser(lim).ParseRefs(files)
}

// A Parser reads several sets of files that share one set of limits: what one of them uses up is gone for the next, and
// after a limit is exceeded it reads nothing more. It is not safe for concurrent use.
type Parser struct {
	memory *Memory // of Parse; nil: none
	counts *counts
}

// NewParser returns a Parser that has read nothing yet.
func NewParser(lim Limits) *Parser { return (*Memory)(nil).Parser(lim) }

// Parse is the function of the same name, within what is left of the parser's limits.
func (p *Parser) Parse(files []File) ([]*Object, Problems) {
	return (&parser{counts: p.counts, memory: p.memory}).parse(files)
}

// ParseRefs is the function of the same name, within what is left of the parser's limits.
func (p *Parser) ParseRefs(files []File) ([]*Object, Problems) {
	return (&parser{counts: p.counts, refsOnly: true}).parse(files)
}

func (p *parser) parse(files []File) ([]*Object, Problems) {
	for _, f := range files {
		if p.exceeded {
			break
		}
		p.file, p.text = f.Name, f.Data
		from := len(p.problems)
		p.parseFile(f)
		slices.SortStableFunc(p.problems[from:], func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	}
	if p.more > 0 {
		p.problems = append(p.problems, Problem{more: p.more})
	}
	return p.objects, p.problems.Trim()
}

// counts are how much of the limits is used up.
type counts struct {
	survey survey // of all documents
	retry  int    // bytes parsed again

	documents, rules, entries int
	broken                    int64 // bytes that do not parse
	exceeded                  bool  // a limit is: nothing else is read
}

type parser struct {
	*counts
	refsOnly bool
	memory   *Memory // not of refs
	file     string
	text     []byte // of the file

	objects  []*Object
	problems Problems
	more     int // problems that are not kept
}

func (p *parser) parseFile(f File) {
	for d, e := range documents(f, &p.retry) {
		r := &report{doc: d}
		switch {
		case !p.countDocument(r):
		case e != nil:
			r.findings.add(finding{line: e.line, message: e.message, hint: e.hint})
			p.countBroken(r, e.size)
		case d.root != nil:
			if bad := p.survey.document(d.root); bad != nil {
				p.refuse(r, bad)
				break
			}
			p.document(d, typeMeta{})
		}
		p.finish(r)
		if p.exceeded {
			return
		}
	}
}

func (p *parser) refuse(r *report, bad *refusal) {
	if _, exceeded := bad.err.(*LimitError); exceeded {
		p.exceed(r, bad.at, bad.err)
		return
	}
	r.findings.add(finding{line: r.doc.line(bad.at), message: bad.err.Error()})
}

// countDocument counts a document or an item of a list, and reports whether it may still be looked at.
func (p *parser) countDocument(r *report) bool {
	if p.exceeded {
		return false
	}
	if p.documents++; p.documents > p.survey.lim.Documents {
		p.exceed(r, r.doc.root, exceeds("max-documents",
			"more than %d documents and items of lists, including empty ones", p.survey.lim.Documents))
	}
	return !p.exceeded
}

// countBroken counts text that does not parse. Nobody knows what is in it, so no other limit bounds what reading it
// costs.
func (p *parser) countBroken(r *report, size int64) {
	most := p.survey.lim.TotalBytes / 8
	if p.broken += size; p.broken > most {
		p.exceed(r, nil,
			exceeds("max-bytes", "more than %d bytes are not valid YAML or JSON, an eighth of what may be read", most))
	}
}

func (r *report) notAnObject() {
	if message, hint := pasted(r.doc.root.value); message != "" {
		r.add("", message, hint)
		return
	}
	hint := ""
	if m := tightColon.FindStringSubmatch(firstWord(r.doc.root)); m != nil {
		hint = colonMissing + ": write " + m[2] + ": " + m[3]
	}
	r.add("", "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata", hint)
}

// typeMeta is what an object says it is. The items of a NetworkPolicyList need not say it themselves.
type typeMeta struct{ apiVersion, kind string }

// document handles one object, or each item of a list.
func (p *parser) document(d document, inherited typeMeta) {
	r := &report{doc: d, object: &Object{
		File: p.file, Line: d.line(d.root), positions: positions{root: d.root, offset: d.offset},
	}}
	defer p.finish(r)
	defer func() {
		// The last resort: a library that cannot stand what a student wrote.
		if e := recover(); e != nil {
			r.add("", fmt.Sprintf("the object cannot be read: %v", e), "")
		}
	}()
	if d.root.kind != mappingNode {
		r.notAnObject()
		return
	}
	if items, item := listItems(d.root); items != nil {
		r.object = nil
		p.list(d, r, items, item)
		return
	}
	p.decode(r, inherited)
}

// keepProblems is how many problems are kept until they are sorted and trimmed.
const keepProblems = 10 * MaxProblems

// finish keeps the object, or files what is wrong with it.
func (p *parser) finish(r *report) {
	if r.findings.none() {
		if r.object != nil {
			p.objects = append(p.objects, r.object)
		}
		return
	}
	name := printable(r.name())
	p.more += r.findings.more
	for _, f := range r.findings.list {
		if len(p.problems) >= keepProblems && !f.limit {
			p.more++
			continue
		}
		p.problems = append(p.problems, Problem{
			File: p.file, Line: f.line, Object: name, Field: f.field, Message: cmp.Or(f.plain, inWords(f.message, f.field)),
			Hint: f.hint, limit: f.limit,
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
			if n = resolveAlias(n); !p.countDocument(r) {
				break
			}
			p.document(document{root: n, offset: d.offset, plain: d.plain}, item)
		}
	case !isNull(items):
		r.add("items", "items must be a list", typeHint(&fieldPath{}, items, jsonType(items), &schema{Type: "array"}))
	}
	// The other keys of the list only have to be unambiguous.
	c := converter{doc: d}
	wrapper := *d.root
	wrapper.content = slices.Clone(wrapper.content)
	for i := 0; i+1 < len(wrapper.content); i += 2 {
		if wrapper.content[i].value == "items" {
			wrapper.content[i+1] = &node{kind: scalarNode, value: "null"}
		}
	}
	c.value(&wrapper)
	r.findings.addAll(c.findings)
}
