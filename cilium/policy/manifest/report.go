package manifest

import (
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

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

// typeFindings leaves out unknown fields.
func typeFindings(all []finding) (types []finding) {
	for _, f := range all {
		if !f.unknown {
			types = append(types, f)
		}
	}
	return types
}
