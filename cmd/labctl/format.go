package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// formatFlag is --format of `labctl grade`: NAME prints to standard output, NAME=FILE writes a file. It may be given more
// than once.
type formatFlag struct {
	outputs []formatOutput
}

type formatOutput struct {
	*report.Format
	file string // "": standard output
}

func (f *formatFlag) register(cmd *cobra.Command) {
	cmd.Flags().Var(f, "format", "also write the result as `NAME=FILE`, or print it as NAME instead of the text: "+strings.Join(report.FormatNames(), ", ")+"; may be given more than once")
	completeFormats(cmd)
}

func completeFormats(cmd *cobra.Command) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(report.FormatNames(), cobra.ShellCompDirectiveNoFileComp))
}

func (f *formatFlag) String() string { return "" }
func (f *formatFlag) Type() string   { return "format" }

func (f *formatFlag) Set(value string) error {
	name, file, named := strings.Cut(value, "=")
	format, err := report.FindFormat(name)
	if err != nil {
		return err
	}
	if named && file == "" {
		return fmt.Errorf("%s: the file has no name", value)
	}
	if file == "" && f.prints() {
		return errors.New("only one format can be printed: give the others a file, as NAME=FILE")
	}
	f.outputs = append(f.outputs, formatOutput{format, file})
	return nil
}

// prints says whether a format goes to standard output.
func (f *formatFlag) prints() bool {
	for _, o := range f.outputs {
		if o.file == "" {
			return true
		}
	}
	return false
}

// write writes what became of a submission in every format. What was not graded because it was refused, or because the
// machine failed, is written too, so that a platform has something to show.
func (f *formatFlag) write(a *app, lab *labs.Lab, o *report.Outcome) error {
	assignment := &report.Assignment{Lab: lab}
	for _, out := range f.outputs {
		var text bytes.Buffer
		if err := out.Single(&text, assignment, o); err != nil {
			return fmt.Errorf("--format %s: %w", out.Name, err)
		}
		if out.file == "" {
			if _, err := a.out.Write(text.Bytes()); err != nil {
				return err
			}
		} else if err := os.WriteFile(out.file, text.Bytes(), 0o644); err != nil {
			return infraError{fmt.Errorf("--format %s: %w", out.Name, err)}
		}
		if out.Name == formatGitHub {
			if err := errors.Join(
				jobFile("GITHUB_STEP_SUMMARY", func(w io.Writer) error { return report.Markdown(w, assignment, o) }),
				jobFile("GITHUB_OUTPUT", func(w io.Writer) error { return stepOutputs(w, o) }),
			); err != nil {
				return err
			}
		}
	}
	return nil
}

// Formats that are more than a file: with the first, what the second writes goes into the job's summary.
const (
	formatGitHub   = "github"
	formatMarkdown = "markdown"
)

// stepOutputs tells later steps of a GitHub Actions job how it came out. What has no grade has empty points.
func stepOutputs(w io.Writer, o *report.Outcome) error {
	points, most, percent := "", "", ""
	if o.Score != nil {
		points, most, percent = report.Decimal(o.Score.Points), report.Decimal(o.Score.Max), report.Decimal(o.Score.Percent)
	}
	_, err := fmt.Fprintf(w, "status=%s\npoints=%s\nmax=%s\npercent=%s\n", o.Status, points, most, percent)
	return err
}

// jobFile adds to a file that GitHub Actions names in a variable, such as the job's summary; elsewhere it does nothing.
func jobFile(variable string, write func(io.Writer) error) (err error) {
	name := os.Getenv(variable)
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return infraError{fmt.Errorf("write $%s: %w", variable, err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// outcome puts what grading a submission came to into the form that formats take; ok is false for an error of use, which
// is no outcome.
func outcome(lab *labs.Lab, submission string, rep *grade.Report, err error) (o report.Outcome, ok bool) {
	var refused *grade.Refused
	switch {
	case errors.As(err, &refused):
		o = report.RefusedOutcome(&report.Assignment{Lab: lab}, refused)
	case err != nil && codeOf(err) != exitInfra:
		return o, false
	default:
		o = report.OutcomeOf(rep, err)
	}
	if info, err := os.Stat(submission); err == nil && info.IsDir() {
		o.Root = filepath.ToSlash(cmp.Or(filepath.Clean(submission), "."))
	} else if err == nil {
		o.Root = filepath.ToSlash(filepath.Dir(submission))
	}
	return o, true
}
