package labs

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
)

// Diagnostics is everything that is wrong, or doubtful, with a lab, with the sources that it points into.
type Diagnostics struct {
	hcl.Diagnostics
	files map[string]*hcl.File
}

// Diagnostic is one diagnostic as JSON. Lines and columns count from 1; 0 stands for the lab as a whole.
type Diagnostic struct {
	Severity  string `json:"severity"` // error, warning
	Summary   string `json:"summary"`
	Detail    string `json:"detail"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Snippet   string `json:"snippet"` // the line, without its end
}

func newDiagnostics() *Diagnostics {
	return &Diagnostics{files: map[string]*hcl.File{}}
}

func (d *Diagnostics) add(more ...*hcl.Diagnostic) {
	d.Diagnostics = append(d.Diagnostics, more...)
}

func (d *Diagnostics) merge(other *Diagnostics) {
	d.add(other.Diagnostics...)
	maps.Copy(d.files, other.files)
}

// Add appends diagnostics that were found elsewhere (by a lint, say) and keeps the order.
func (d *Diagnostics) Add(more ...*hcl.Diagnostic) {
	d.add(more...)
	d.sort()
}

// HasErrors reports whether there is an error among the diagnostics.
func (d *Diagnostics) HasErrors() bool { return d != nil && d.Diagnostics.HasErrors() }

// Err is the errors as one error, or nil.
func (d *Diagnostics) Err() error {
	if !d.HasErrors() {
		return nil
	}
	return d.Diagnostics
}

// sort orders by file, line and column and drops repetitions, which for_each makes.
func (d *Diagnostics) sort() {
	slices.SortStableFunc(d.Diagnostics, func(a, b *hcl.Diagnostic) int {
		ra, rb := rangeOf(a), rangeOf(b)
		return cmp.Or(
			cmp.Compare(ra.Filename, rb.Filename),
			cmp.Compare(ra.Start.Line, rb.Start.Line),
			cmp.Compare(ra.Start.Column, rb.Start.Column),
			cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
	d.Diagnostics = slices.CompactFunc(d.Diagnostics, func(a, b *hcl.Diagnostic) bool {
		return rangeOf(a) == rangeOf(b) && a.Severity == b.Severity && a.Summary == b.Summary && a.Detail == b.Detail
	})
}

func rangeOf(d *hcl.Diagnostic) hcl.Range {
	if d.Subject == nil {
		return hcl.Range{}
	}
	return *d.Subject
}

// WriteText writes the diagnostics for people, each with its snippet. Width 0 means no wrapping.
func (d *Diagnostics) WriteText(w io.Writer, width uint, color bool) error {
	if d == nil {
		return nil
	}
	return hcl.NewDiagnosticTextWriter(w, d.files, width, color).WriteDiagnostics(d.Diagnostics)
}

// List is the diagnostics for machines.
func (d *Diagnostics) List() []Diagnostic {
	list := []Diagnostic{}
	if d == nil {
		return list
	}
	for _, diag := range d.Diagnostics {
		rng := rangeOf(diag)
		one := Diagnostic{
			Severity: "error", Summary: diag.Summary, Detail: diag.Detail,
			File: rng.Filename, Line: rng.Start.Line, Column: rng.Start.Column,
			EndLine: rng.End.Line, EndColumn: rng.End.Column,
		}
		if diag.Severity == hcl.DiagWarning {
			one.Severity = "warning"
		}
		if f := d.files[rng.Filename]; f != nil && rng.Start.Line > 0 {
			lines := strings.SplitN(string(f.Bytes), "\n", rng.Start.Line+1)
			if len(lines) >= rng.Start.Line {
				one.Snippet = strings.ToValidUTF8(strings.TrimRight(lines[rng.Start.Line-1], "\r"), "\uFFFD")
			}
		}
		list = append(list, one)
	}
	return list
}

func errorDiag(rng *hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: rng}
}

func warningDiag(rng *hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: detail, Subject: rng}
}

// didYouMean is ` Did you mean "x"?` for the nearest of the names, or what there is to choose from.
func didYouMean(given string, names []string) string {
	most := max(2, len(given)/4) // with more edits it is another word
	if len(given) < 4 {
		most = 1
	}
	best, distance := "", most+1
	for _, name := range names {
		if n := levenshtein.Distance(given, name, nil); n < distance && n < len(name) {
			best, distance = name, n
		}
	}
	if best != "" {
		return fmt.Sprintf(" Did you mean %q?", best)
	}
	return ""
}

// oneOf lists the names for a message: "a, b or c".
func oneOf(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	switch len(quoted) {
	case 0:
		return "nothing"
	case 1:
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

func sortedKeys[M ~map[string]V, V any](m M) []string {
	return slices.Sorted(maps.Keys(m))
}
