package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

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
	if p.memory.recall(o, inherited) {
		return
	}
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
	if len(r.findings) == 0 {
		p.memory.keep(o, inherited)
	}
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
func related(a, b string) bool { return within(a, b) || within(b, a) }

func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// strictField finds the field in an error such as: unknown field "spec.foo".
func strictField(err error) string {
	s := err.Error()
	if i, j := strings.IndexByte(s, '"'), strings.LastIndexByte(s, '"'); i >= 0 && j > i {
		return s[i+1 : j]
	}
	return ""
}
