package manifest

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
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
		text := &schema{Type: "string"}
		r.add(name, unexpected(jsonType(v), text), typeHint(&fieldPath{}, v, jsonType(v), text))
		return ""
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.add(name, fmt.Sprintf("Invalid value: %q: it contains control characters", shorten(s, maxName)), "")
		return ""
	}
	if len(s) > maxName {
		r.add(name, fmt.Sprintf("%s has %d bytes, and names have at most %d", name, len(s), maxName), "")
		return ""
	}
	return s
}

func headerHint(root *node, name string) string {
	hint := ""
	eachField(root, func(key string, _, _ *node) {
		switch message, remedy := pasted(key + ":"); {
		case key != name && strings.EqualFold(key, name):
			hint = fmt.Sprintf("write %s, not %s: case matters", name, key)
		case message != "" && hint == "":
			hint = fmt.Sprintf("%q is %s: %s", shorten(key, maxShownKey), message, remedy)
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
	for i := range knownKinds {
		if k := &knownKinds[i]; strings.EqualFold(k.name, name) {
			return k.name
		}
	}
	for i := range knownKinds {
		k := &knownKinds[i]
		if slices.Contains(k.versions, apiVersion) && apiVersion != "v1" && apiVersion != "apps/v1" &&
			didYouMean(name, []string{k.name}) != "" {
			return k.name
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
