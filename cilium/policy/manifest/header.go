package manifest

import (
	"fmt"
	"slices"
	"strings"
)

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
