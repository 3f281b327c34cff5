package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// finding is a problem that does not know its file and object yet.
type finding struct {
	line    int
	field   string
	message string // as the API server says it
	plain   string // instead of message, in plain words; "": see inWords
	hint    string
	rule    bool // a CRD's CEL rule
	unknown bool // an unknown field, which does not keep the rest from being checked
	follows bool // from an unknown field: what is missing is there, under another name
	limit   bool // a limit is exceeded
}

// findings are those of one object: the first ones, and how many there are beyond them.
type findings struct {
	list []finding
	more int
}

// full reports whether another finding would only be counted; who asks may spare itself the words.
func (f *findings) full() bool { return len(f.list) >= MaxProblems }

func (f *findings) add(x finding) {
	if f.full() {
		f.more++
		return
	}
	x.field, x.message, x.hint = printable(x.field), printable(x.message), printable(x.hint)
	x.plain = printable(x.plain)
	f.list = append(f.list, x)
}

func (f *findings) addAll(more findings) {
	for _, x := range more.list {
		f.add(x)
	}
	f.more += more.more
}

func (f *findings) none() bool { return len(f.list) == 0 }

// ofTypes leaves out unknown fields.
func (f *findings) ofTypes() (types findings) {
	for _, x := range f.list {
		if !x.unknown {
			types.add(x)
		}
	}
	return types
}

// report collects the problems of one object.
type report struct {
	doc      document
	object   *Object
	findings findings
}

// add notes a problem with the field, on the field's line.
func (r *report) add(path, message, hint string) {
	if r.findings.full() {
		r.findings.more++
		return
	}
	line := positions{root: r.doc.root, offset: r.doc.offset}.lineOf(path)
	r.findings.add(finding{line: line, field: path, message: message, hint: hint})
}

// addCauses adds what does not fit a schema, without what follows from something else: from an unknown field, or from a
// value that is not the YAML that was meant.
func (r *report) addCauses(more findings) {
	said := slices.Clone(r.findings.list)
	emptied := slices.ContainsFunc(more.list, func(f finding) bool { return f.unknown && f.field == "metadata.spec" })
	for _, x := range more.list {
		if emptied && x.unknown && x.hint == belongsUnder(x.field, []string{"spec"}) {
			continue // once spec is indented less, it is where it belongs
		}
		if x.unknown && slices.ContainsFunc(said, func(f finding) bool { return strings.EqualFold(x.field, f.field) }) {
			continue // header said that it is missing, and why
		}
		if !x.follows && !slices.ContainsFunc(said, func(f finding) bool { return f.field != "" && within(x.field, f.field) }) {
			r.findings.add(x)
		}
	}
	r.findings.more += more.more
}

// addErrors notes what Kubernetes' own checks found, but for what follows from the findings before: from a value of the
// wrong type, or a field under another name.
func (r *report) addErrors(errs field.ErrorList, before findings) {
	said := "" // the hint to the error before, with its field: what mends both is said once
	for _, e := range errs {
		hint := fieldErrorHint(e)
		same := hint != "" && said == e.Field+hint
		said = e.Field + hint
		if !same && !slices.ContainsFunc(before.list, func(f finding) bool {
			if f.unknown {
				return e.Type == field.ErrorTypeRequired && within(f.field, e.Field) ||
					e.Type == field.ErrorTypeInvalid && fmt.Sprint(e.BadValue) == "" && parentOf(f.field) == parentOf(e.Field)
			}
			return related(f.field, e.Field)
		}) {
			r.addError(e, hint)
		}
	}
}

// parentOf is the path of the object that has a field.
func parentOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '.'))] }

// addError notes a problem that Kubernetes' own checks found. For a label they name the whole map: the
// line is that of the entry with the bad key or value.
func (r *report) addError(e *field.Error, hint string) {
	if r.findings.full() {
		r.findings.more++
		return
	}
	pos := positions{root: r.doc.root, offset: r.doc.offset}
	n, line := pos.find(e.Field)
	if bad, ok := e.BadValue.(string); ok && n != nil {
		if key := entryWith(resolveAlias(n), bad); key != nil {
			line = key.line + pos.offset
		}
	}
	r.findings.add(finding{line: line, field: e.Field, message: e.ErrorBody(), hint: hint})
}

// entryWith returns the key of the last entry of a mapping whose key or value is the text; merged ones are left out. An
// error about the mapping as a whole has no text: it is placed at the last entry that is a mapping itself, which is
// what came on top.
func entryWith(n *node, text string) *node {
	for i := len(n.content) - 2; n.kind == mappingNode && i >= 0; i -= 2 {
		if resolveAlias(n.content[i]).value == text || resolveAlias(n.content[i+1]).value == text {
			return n.content[i]
		}
	}
	return nil
}

// has reports whether there is a problem with the very field.
func (r *report) has(path string) bool {
	return slices.ContainsFunc(r.findings.list, func(f finding) bool { return f.field == path })
}

// misspelt reports whether the very field is there under its name in other letters.
func (r *report) misspelt(path string) bool {
	return slices.ContainsFunc(r.findings.list, func(f finding) bool {
		return f.unknown && strings.EqualFold(f.field, path)
	})
}

const (
	maxShown    = 1600 // bytes of one text of a problem: the patterns of Cilium's CRDs are long
	maxShownKey = 100  // bytes of a key in a field's path
)

// shorten leaves out the middle of a text of more than most bytes.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most*2/3], "") + " … " + strings.ToValidUTF8(s[len(s)-most/3:], "")
}

// printable is s as it can be shown, on one line: what a student writes ends up in terminals, reports and the logs of
// workflows, where a line of its own could be taken for a command.
func printable(s string) string {
	s = shorten(s, maxShown)
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsControl(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		case unprintable(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || invisible(r)
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
