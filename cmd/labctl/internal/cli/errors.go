package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/labs"
)

// Reported ends a command whose output already says what is wrong: nothing more is printed.
type Reported struct{ Err error }

func (r Reported) Error() string { return r.Err.Error() }
func (r Reported) Unwrap() error { return r.Err }

// ErrBelowMark says that a submission was graded below the pass mark, or that a check (fmt, diff, test) found
// something.
var ErrBelowMark = errors.New("below the pass mark")

// InfraError is a failure of the machine or the cluster.
type InfraError struct{ Err error }

func (e InfraError) Error() string { return e.Err.Error() }
func (e InfraError) Unwrap() error { return e.Err }

// IsInfra reports whether an error is one of the machine or the cluster, and no interruption.
func IsInfra(err error) bool {
	var infra InfraError
	var final FinalError
	return errors.As(err, &infra) && !errors.As(err, &final) && !errors.Is(err, context.Canceled)
}

// FinalError is a failure of a worker that another try would not help.
type FinalError struct{ Err error }

func (e FinalError) Error() string { return e.Err.Error() }
func (e FinalError) Unwrap() error { return e.Err }

// LabError is a lab with errors in its files.
type LabError struct{ Diags *labs.Diagnostics }

func (e LabError) Error() string {
	n := 0
	for _, d := range e.Diags.Diagnostics {
		if d.Severity == hcl.DiagError {
			n++
		}
	}
	if n == 1 {
		return "the lab has an error"
	}
	return fmt.Sprintf("the lab has %d errors", n)
}
