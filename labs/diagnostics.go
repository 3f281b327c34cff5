package labs

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/internal/wording"
)

// Diagnostics are the errors and warnings about a lab, with the sources that they point into.
type Diagnostics struct {
	hcl.Diagnostics
	files map[string]*hcl.File
}

// Diagnostic is one diagnostic as JSON. Lines and columns count from 1; 0 means the lab as a whole.
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

// UnsetVariable is the Extra of a diagnostic about a variable without a value. Its name says which.
type UnsetVariable struct{ Name string }

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

// Add adds diagnostics that were found elsewhere, for example by a lint, and keeps the order.
func (d *Diagnostics) Add(more ...*hcl.Diagnostic) {
	d.add(more...)
	d.sort()
}

// HasErrors reports whether there is an error among the diagnostics.
func (d *Diagnostics) HasErrors() bool { return d != nil && d.Diagnostics.HasErrors() }

// Err returns the errors as one error, or nil.
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

// List returns the diagnostics for machines.
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

// anyOf lists names for a message: `"a", "b" or "c"`.
func anyOf(names []string) string { return wording.Or(wording.Quote(names)) }

// allOf lists names for a message: `"a", "b" and "c"`.
func allOf(names []string) string { return wording.And(wording.Quote(names)) }

func sortedKeys[M ~map[string]V, V any](m M) []string {
	return slices.Sorted(maps.Keys(m))
}

func join(list []string) string { return strings.Join(list, ", ") }
