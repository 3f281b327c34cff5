package manifest

import "fmt"

// Limits bound what is read and parsed. A field that is zero takes its value from DefaultLimits, so the
// zero value is the default.
type Limits struct {
	Files     int // files of a directory
	Documents int // documents of all files together, empty ones too, and the items of Lists counted each
	Depth     int // directories below the one named, and levels of nesting in a document
	Nodes     int // values of all documents together, each use of an alias and each repeated key counted in full
	Rules     int // ingress and egress rules of all policies together
	// items of the lists and of the matchLabels in all policies together: peers, ports, ranges, labels …
	Entries   int
	FileBytes int64 // bytes of one file
	// TotalBytes bounds all files of one call together, and their text with aliases expanded.
	TotalBytes int64
}

// DefaultLimits are for files that the user vouches for, such as those of a lab: far above what a lab or a
// cluster's export needs, and far below what hurts.
func DefaultLimits() Limits {
	return Limits{
		Files:      2000,
		Documents:  20_000,
		Depth:      64,
		Nodes:      2_000_000,
		Rules:      200_000,
		Entries:    1_000_000,
		FileBytes:  16 << 20,
		TotalBytes: 64 << 20,
	}
}

// SubmissionLimits are for what students hand in. The solution of the tutorial lab has 12 files, 3 KB, 250 values,
// 7 rules and 36 entries.
func SubmissionLimits() Limits {
	return Limits{
		Files:      1000,
		Documents:  1000,
		Depth:      64,
		Nodes:      50_000,
		Rules:      1000,
		Entries:    5000,
		FileBytes:  512 << 10,
		TotalBytes: 4 << 20,
	}
}

// orDefault fills in the fields that are zero.
func (l Limits) orDefault() Limits { return l.Or(DefaultLimits()) }

// Or fills in the fields that are zero from d.
func (l Limits) Or(d Limits) Limits {
	or := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&l.Files, d.Files)
	or(&l.Documents, d.Documents)
	or(&l.Depth, d.Depth)
	or(&l.Nodes, d.Nodes)
	or(&l.Rules, d.Rules)
	or(&l.Entries, d.Entries)
	if l.FileBytes <= 0 {
		l.FileBytes = d.FileBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = d.TotalBytes
	}
	return l
}

// LimitError says which of the Limits is exceeded.
type LimitError struct {
	Limit   string // as the flags of the command line call it, such as "max-values"
	Message string
}

func (e *LimitError) Error() string { return e.Message + " (the limit " + e.Limit + ")" }

func exceeds(limit, format string, args ...any) *LimitError {
	return &LimitError{Limit: limit, Message: fmt.Sprintf(format, args...)}
}
