package manifest

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
)

// metadataOnly reads name, namespace and labels of an object that is not decoded.
func (p *parser) metadataOnly(r *report, k kind, known bool) {
	o := r.object
	var head struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(o.JSON, &head); err != nil {
		c := checker{doc: r.doc}
		if _, meta := lookup(r.doc.root, "metadata"); meta != nil {
			c.path.pushKey("metadata")
			c.check(schemaOf(reflect.TypeFor[metav1.ObjectMeta]()), meta, meta)
		}
		r.findings.addAll(c.findings.ofTypes())
		if r.findings.none() {
			r.add("metadata", err.Error(), "")
		}
		return
	}
	o.Name, o.Namespace, o.Labels = head.Metadata.Name, head.Metadata.Namespace, head.Metadata.Labels
	if known {
		p.checkMetadata(r, k, &head.Metadata)
		return
	}
	if o.Name == "" && o.Kind != "" {
		r.missingName(&head.Metadata)
	}
	for _, f := range []struct{ name, value string }{{"metadata.name", o.Name}, {"metadata.namespace", o.Namespace}} {
		if len(f.value) > maxName {
			r.add(f.name, fmt.Sprintf("Too long: may not be more than %d bytes", maxName), "")
		}
		if strings.ContainsFunc(f.value, unicode.IsControl) {
			r.add(f.name, fmt.Sprintf("Invalid value: %q: it contains control characters",
				shorten(f.value, maxName)), "")
		}
	}
}

// maxName is the most bytes that the name of anything has: an object, a namespace, a kind, an API group and version.
const maxName = validation.DNS1123SubdomainMaxLength

func (r *report) missingName(m *metav1.ObjectMeta) {
	if m.GenerateName != "" {
		r.add("metadata.name", "Required value: generateName is only for objects that are created, not applied",
			"give the object a name")
		return
	}
	r.add("metadata.name", "Required value: name or generateName is required", "")
}

// checkMetadata applies the rules for names, namespaces, labels and the like.
func (p *parser) checkMetadata(r *report, k kind, m *metav1.ObjectMeta) {
	o := r.object
	if k.namespaced && m.Namespace == "" {
		m.Namespace = metav1.NamespaceDefault
	}
	o.Namespace = m.Namespace
	nameMissing := m.Name == ""
	nameRule := k.checkName
	if nameRule == nil {
		nameRule = apivalidation.NameIsDNSSubdomain
	}
	if nameMissing && !r.has("metadata.name") && !r.has("metadata") && !r.misspelt("metadata.name") {
		r.missingName(m)
	}
	for _, e := range apivalidation.ValidateObjectMeta(m, k.namespaced, nameRule, field.NewPath("metadata")) {
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
