package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/labctl/labctl/grade"
)

// tap writes a result in version 13 of the Test Anything Protocol (https://testanything.org), the newest
// that Perl's prove takes: a test point an objective that is not hidden. What could not be checked makes the
// run bail out.
func tap(w io.Writer, _ *Assignment, o *Result) error {
	var b strings.Builder
	b.WriteString("TAP version 13\n")
	objectives := o.objectives()
	if o.Report == nil {
		b.WriteString("1..1\n")
		if o.Status == grade.Refused {
			b.WriteString("not ok 1 - " + tapText("the submission is one that the lab takes") + "\n")
			tapDiagnostic(&b, "fail", strings.Join(o.problems(), "\n"))
		}
	} else {
		fmt.Fprintf(&b, "1..%d\n", len(objectives))
	}
	for i := range objectives {
		obj := &objectives[i]
		title := tapText(obj.title())
		switch obj.Status {
		case grade.Met:
			fmt.Fprintf(&b, "ok %d - %s\n", i+1, title)
		case grade.Error:
			fmt.Fprintf(&b, "not ok %d - %s\n", i+1, title)
			tapDiagnostic(&b, "error", o.explained(obj))
		default:
			fmt.Fprintf(&b, "not ok %d - %s\n", i+1, title)
			tapDiagnostic(&b, "fail", o.explained(obj))
		}
	}
	if o.Status == grade.Errored {
		b.WriteString("Bail out! " + tapText(o.Message) + "\n")
	} else if o.Score != nil {
		fmt.Fprintf(&b, "# %s\n", tapText(o.summary()))
		for _, note := range o.notes() {
			fmt.Fprintf(&b, "# %s\n", tapText(note))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tapText is text in a line: # would begin a directive.
func tapText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `#`, `\#`).Replace(oneLine(s))
}

// tapDiagnostic writes the YAML block behind a test point; a string of JSON is one of YAML too.
func tapDiagnostic(b *strings.Builder, severity, message string) {
	text, _ := json.Marshal(message) // a string has a JSON form
	fmt.Fprintf(b, "  ---\n  severity: %s\n  message: %s\n  ...\n", severity, text)
}

// oneLine takes line breaks and other control characters out of text.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029
	}), " ")
}
