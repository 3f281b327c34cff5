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
	c := converter{doc: r.doc, buf: make([]byte, 0, 1024), typeMeta: inherited}
	c.value(r.doc.root)
	r.findings.addAll(c.findings)
	o.JSON = c.buf
	if c.second {
		// What follows is another object, and every field of it would be wrong here.
		o.Kind, _ = stringField(r.doc.root, "kind")
		k, known := lookupKind(o.Kind)
		p.metadataOnly(r, k, known)
		return
	}
	if p.memory.recall(o, inherited) {
		p.countPolicy(r, &c)
		return
	}
	if r.forAnotherProgram() || !r.doc.plain && r.lookalikes(p.text) {
		return
	}
	if r.blanks() {
		o.Kind, _ = stringField(r.doc.root, "kind")
		return
	}
	o.APIVersion = r.header("apiVersion", inherited.apiVersion, !p.refsOnly)
	o.Kind = r.header("kind", inherited.kind, true)
	k, known := lookupKind(o.Kind)
	foreign := known && k.otherProject(o.APIVersion)
	known = known && !foreign
	if known && o.APIVersion != "" && !slices.Contains(k.versions, o.APIVersion) && !p.refsOnly {
		message := fmt.Sprintf("no matches for kind %q in version %q", o.Kind, o.APIVersion)
		if project := otherPolicyProject(o.APIVersion); project != "" {
			message += fmt.Sprintf(": %s's is not modelled", project)
		}
		r.add("apiVersion", message, "write apiVersion: "+k.versions[0])
	}
	if !known && !foreign && o.Kind != "" {
		if name := nearKind(o.Kind, o.APIVersion); name != "" {
			r.add("kind", fmt.Sprintf("no matches for kind %q in version %q", o.Kind, o.APIVersion),
				fmt.Sprintf("did you mean %q?", name))
		}
	}
	if !known || p.refsOnly || o.Kind == "" {
		p.metadataOnly(r, k, known)
		return
	}
	if p.countPolicy(r, &c); p.exceeded {
		return
	}
	p.value(r, k)
	if r.findings.none() {
		p.memory.keep(o, inherited)
	}
}

// countPolicy counts what the converter found in a policy.
func (p *parser) countPolicy(r *report, c *converter) {
	if !IsPolicy(r.object.Kind) || p.exceeded {
		return
	}
	p.rules += c.rules
	p.entries += c.entries
	switch {
	case p.rules > p.survey.lim.Rules:
		p.exceed(r, r.doc.root, exceeds("max-rules", "more than %d ingress and egress rules in all policies",
			p.survey.lim.Rules))
	case p.entries > p.survey.lim.Entries:
		p.exceed(r, r.doc.root,
			exceeds("max-entries",
				"more than %d peers, address ranges, ports, labels and other entries in the rules of all policies",
				p.survey.lim.Entries))
	}
}

// exceed notes that a limit is exceeded: the rest is not read.
func (p *parser) exceed(r *report, at *node, err error) {
	p.exceeded = true
	r.findings.list = append(r.findings.list, finding{line: r.doc.line(at), message: err.Error(), limit: true})
}

// value decodes the object into its Go type and checks it.
func (p *parser) value(r *report, k kind) {
	o := r.object
	v := k.new()
	c := checker{doc: r.doc}
	if k.schema != nil {
		// Cilium's types decode themselves, and not all of them survive what the schema refuses.
		c.check(k.schema(), r.doc.root, r.doc.root)
		if types := c.findings.ofTypes(); !types.none() {
			r.addCauses(c.findings)
			p.metadataOnly(r, k, true)
			return
		}
	}
	strict, err := json.UnmarshalStrict(o.JSON, v)
	strict = slices.DeleteFunc(strict, func(e error) bool { return within(strictField(e), "status") })
	if k.schema == nil && (err != nil || len(strict) > 0) {
		c.check(schemaOf(reflect.TypeOf(v)), r.doc.root, r.doc.root)
	}
	r.addCauses(c.findings)
	if c.findings.none() {
		for _, e := range append(strict, err) {
			if e != nil { // the decoder knows better than the schema
				r.add(strictField(e), strings.TrimPrefix(e.Error(), "json: "), "")
			}
		}
	}
	if err != nil {
		v = k.new()
		if !decodeWithout(r.doc, c.misfits, v) {
			p.metadataOnly(r, k, true)
			return
		}
	}
	m := v.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
	o.Name, o.Namespace, o.Labels = m.Name, m.Namespace, m.Labels
	p.checkMetadata(r, k, m)
	if k.check != nil {
		r.addErrors(k.check(v), c.findings)
	}
	o.Value = v
}

// decodeWithout decodes an object without the values that do not fit, so that the rest can be checked.
func decodeWithout(d document, misfits map[*node]bool, v any) bool {
	c := converter{doc: d, leaveOut: misfits}
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
