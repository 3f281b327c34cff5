package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// What the process's exit code says; course platforms branch on it.
const (
	exitPassed      = 0
	exitBelowMark   = 1 // graded, below the pass mark; or a check (fmt, diff, test) that found something
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

// failure is what a command with -o json prints instead of its result; its JSON is a contract (docs/cli.md).
type failure struct {
	FormatVersion int         `json:"format_version"`
	Error         failureBody `json:"error"`
}

type failureBody struct {
	ExitCode    int                `json:"exit_code"`
	Message     string             `json:"message"`
	Problems    []manifest.Problem `json:"problems"`    // of the submission
	Diagnostics []labs.Diagnostic  `json:"diagnostics"` // of the lab
}

// end says what err has to say and returns the code that the process ends with.
func (a *app) end(cmd *cobra.Command, err error) int {
	if out, ok := a.out.(*checkedWriter); ok && out.err != nil {
		fmt.Fprintf(a.err, "labctl: write the result: %v\n", out.err)
		return exitInfra
	}
	if err == nil {
		return exitPassed
	}
	var status statusError
	if errors.As(err, &status) {
		return int(status)
	}
	code := codeOf(err)
	// Whatever an interruption broke off, and however that put it.
	if ctx := cmd.Context(); code == exitInterrupted || ctx != nil && ctx.Err() != nil {
		code, err = exitInterrupted, errors.New("interrupted")
	}
	var lab labError
	if errors.As(err, &lab) {
		// What cannot be written to standard error has nowhere else to go.
		_ = lab.diags.WriteText(a.err, pipeWidth, false)
	}
	fmt.Fprintf(a.err, "labctl: %v\n", err)
	if f := cmd.Flags().Lookup("output"); f != nil && f.Value.String() == "json" {
		_ = a.writeJSON(describe(err, code))
	}
	return code
}

// codeOf is the only place that knows which error means which code.
func codeOf(err error) int {
	var (
		infra   infraError
		refused *grade.Refused
	)
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &infra):
		return exitInfra
	}
	return exitUsage
}

func describe(err error, code int) failure {
	f := failure{FormatVersion: 1, Error: failureBody{
		ExitCode: code, Message: err.Error(), Problems: []manifest.Problem{}, Diagnostics: []labs.Diagnostic{},
	}}
	var problems manifest.Problems
	if errors.As(err, &problems) {
		f.Error.Problems = problems
	}
	var lab labError
	if errors.As(err, &lab) {
		f.Error.Diagnostics = lab.diags.List()
	}
	return f
}
