package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// What the process's exit code says; course platforms branch on it.
const (
	exitPassed      = 0
	exitBelowMark   = 1 // graded, below the pass mark; or a check (fmt, test) that found something
	exitUsage       = 2 // wrong use of labctl, or a lab that is in error
	exitInfra       = 3 // the machine or cluster failed: nobody's fault, worth another try
	exitRefused     = 4 // the submission was refused, nothing was graded
	exitInterrupted = 130
)

// statusError ends the process with a code after everything was said: nothing more is printed.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// infraError is a failure of the machine or the cluster.
type infraError struct{ err error }

func (e infraError) Error() string { return e.err.Error() }
func (e infraError) Unwrap() error { return e.err }

// exitCode prints what err has to say and returns the code that the process ends with. It is the only
// place that knows which error means which code.
func (a *app) exitCode(ctx context.Context, err error) int {
	var (
		status   statusError
		infra    infraError
		problems manifest.Problems
	)
	switch {
	case err == nil:
		return exitPassed
	case errors.As(err, &status):
		return int(status)
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		a.errorf("interrupted")
		return exitInterrupted
	case errors.As(err, &problems):
		a.errorf("%v", err)
		return exitRefused
	case errors.As(err, &infra):
		a.errorf("%v", err)
		return exitInfra
	default:
		a.errorf("%v", err)
		return exitUsage
	}
}
