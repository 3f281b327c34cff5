package manifest

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a manifest, with its file and line.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`             // from 1; 0 for the whole file
	Object  string `json:"object,omitempty"` // "NetworkPolicy default/allow-frontend"
	Field   string `json:"field,omitempty"`  // "spec.ingress[0].from[1].podSelector"
	Message string `json:"message"`          // close to the words of the API server
	Hint    string `json:"hint,omitempty"`   // what to do, "did you mean …"

	limit bool // a limit is exceeded
	more  int  // the number of problems that were left out
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Object != "" {
		b.WriteString(p.Object + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is every problem found, in the order of files and lines. It is an error when not empty.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns p as an error, or nil if there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// MaxProblems is how many problems of a submission are reported, and maxProblemBytes how long they may be together.
const (
	MaxProblems     = 100
	maxProblemBytes = 40_000
)

// Trim puts exceeded limits first and keeps so many problems that there are no more than MaxProblems, of a bounded
// length; the last says how many were left out.
func (p Problems) Trim() Problems {
	var limits, others Problems
	more := 0
	for _, x := range p {
		switch {
		case x.more > 0:
			more += x.more
		case x.limit:
			limits = append(limits, x)
		default:
			others = append(others, x)
		}
	}
	kept := append(limits, others...)
	most := MaxProblems
	if more > 0 || len(kept) > most {
		most-- // one line says how many more there are
	}
	size := 0
	for i := range kept {
		if size += len(kept[i].String()); i >= most || i > 0 && size > maxProblemBytes {
			more += len(kept) - i
			kept = kept[:i]
			break
		}
	}
	if more == 0 {
		return kept
	}
	what := "problems"
	if more == 1 {
		what = "problem"
	}
	return append(kept, Problem{Message: fmt.Sprintf("… and %d more %s", more, what), more: more})
}
