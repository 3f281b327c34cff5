package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// What the process's exit code says; course platforms branch on it.
const (
	exitPassed    = 0
	exitBelowMark = 1 // graded, below the pass mark; or a check (fmt, diff, test) that found something
	exitUsage     = 2 // wrong use of labctl, or a lab that is in error
	exitInfra     = 3 // the machine or cluster failed: nobody's fault, worth another try
	exitRefused   = 4 // the submission was refused, nothing was graded
	// a worker of a Job failed, and another try would fail too; not 2, with which the Go runtime ends a crash
	exitFinal       = 64
	exitInterrupted = 130
)

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
func end(a *cli.App, cmd *cobra.Command, err error) int {
	if out, ok := a.Out.(*cli.CheckedWriter); ok && out.Err != nil {
		fmt.Fprintf(a.Err, "labctl: write the result: %v\n", out.Err)
		return exitInfra
	}
	if err == nil {
		return exitPassed
	}
	var said cli.Reported
	if errors.As(err, &said) {
		return codeOf(said.Err)
	}
	code := codeOf(err)
	// Whatever an interruption broke off, and however that put it.
	if ctx := cmd.Context(); code == exitInterrupted || ctx != nil && ctx.Err() != nil {
		code, err = exitInterrupted, errors.New("interrupted")
	}
	var lab cli.LabError
	if errors.As(err, &lab) {
		// What cannot be written to standard error has nowhere else to go.
		_ = lab.Diags.WriteText(a.Err, uint(a.ErrTerm.Width), a.ErrTerm.Color)
	}
	message := "labctl: " + textOf(err)
	fmt.Fprintln(a.Err, strings.Join(report.Wrap(message, a.ErrTerm.Wrap()), "\n"))
	if f := cmd.Flags().Lookup("output"); f != nil && f.Value.String() == "json" {
		_ = a.WriteJSON(describe(err, code))
	}
	return code
}

// codeOf is the only place that knows which error means which code.
func codeOf(err error) int {
	var (
		infra   cli.InfraError
		final   cli.FinalError
		refused *engine.Refused
	)
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, cli.ErrBelowMark):
		return exitBelowMark
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &final):
		return exitFinal
	case errors.As(err, &infra):
		return exitInfra
	}
	return exitUsage
}

// errorBytes is how much of an error is printed: it may repeat what was handed in.
const errorBytes = 16 << 10

// textOf is what is printed of an error. What an operating system says about a file is put into words.
func textOf(err error) string {
	text := err.Error()
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		text = strings.Replace(text, of.Error(), fileError(of), 1)
	}
	// What cobra says of flags that exclude each other.
	if _, set, exclusive := strings.Cut(text, "] are set none of the others can be; ["); exclusive {
		set, _, _ = strings.Cut(set, "]")
		text = "--" + strings.Join(strings.Fields(set), " and --") + " cannot be used together"
	}
	return wording.Shorten(text, errorBytes)
}

func fileError(err *fs.PathError) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err.Path + " does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to use " + err.Path
	case errors.Is(err, syscall.ENOTDIR):
		return err.Path + ": a part of this path is a file, not a directory"
	case errors.Is(err, syscall.EISDIR):
		return err.Path + " is a directory, not a file"
	}
	return err.Error()
}

// describeFailure puts an error into the form of -o json.
func describeFailure(err error) any { return describe(err, codeOf(err)) }

func describe(err error, code int) failure {
	f := failure{FormatVersion: 1, Error: failureBody{
		ExitCode: code, Message: textOf(err), Problems: []manifest.Problem{},
		Diagnostics: []labs.Diagnostic{},
	}}
	var problems manifest.Problems
	if errors.As(err, &problems) {
		f.Error.Problems = grade.BoundProblems(problems)
	}
	var lab cli.LabError
	if errors.As(err, &lab) {
		f.Error.Diagnostics = lab.Diags.List()
	}
	return f
}
