package student

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/report"
)

// formatFlag is --format of `labctl grade`: NAME prints to standard output, NAME=FILE writes a file. It may be given
// more than once.
type formatFlag struct {
	outputs []formatOutput
}

type formatOutput struct {
	*report.Format
	file string // "": standard output
}

func (f *formatFlag) register(cmd *cobra.Command) {
	cmd.Flags().Var(f, "format", "also write the result to a file, as `NAME=FILE`, or print it in the format NAME: "+
		strings.Join(report.FormatNames(), ", ")+"; repeatable")
	cli.CompleteFormats(cmd)
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
		return fmt.Errorf("%s: name a file after the =", value)
	}
	if file == "" && f.prints() {
		return errors.New("only one format can be printed; write the others to files, as NAME=FILE")
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
func (f *formatFlag) write(a *cli.App, assignment *report.Assignment, o *report.Result, student string) error {
	for _, out := range f.outputs {
		var text bytes.Buffer
		of := *o
		if out.ByStudent {
			of.ID = student
			if o.ID != "" && out.Name == cli.FormatMoodle { // --student names the participant
				of.Platform = string(intake.Moodle)
			}
		}
		if err := out.Single(&text, assignment, &of); err != nil {
			return fmt.Errorf("--format %s: %w", out.Name, err)
		}
		if out.file == "" {
			if _, err := a.Out.Write(text.Bytes()); err != nil {
				return err
			}
		} else if err := os.WriteFile(out.file, text.Bytes(), 0o644); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--format %s: cannot write %s: there is no folder %s", out.Name, out.file, filepath.Dir(out.file))
		} else if err != nil {
			return cli.InfraError{Err: fmt.Errorf("--format %s: %w", out.Name, err)}
		}
		if out.Name == cli.FormatGitHub {
			if err := errors.Join(
				cli.JobFile("GITHUB_STEP_SUMMARY", func(w io.Writer) error { return writeMarkdown(w, assignment, o) }),
				cli.JobFile("GITHUB_OUTPUT", func(w io.Writer) error { return stepOutputs(w, o) }),
			); err != nil {
				return err
			}
		}
	}
	return nil
}

// stepOutputs tells later steps of a GitHub Actions job how it came out. What has no grade has empty points.
func stepOutputs(w io.Writer, o *report.Result) error {
	points, most, percent := "", "", ""
	if o.Score != nil {
		points, most, percent = report.Decimal(o.Score.Points), report.Decimal(o.Score.Max),
			report.Decimal(o.Score.Percent)
	}
	_, err := fmt.Fprintf(w, "status=%s\npoints=%s\nmax=%s\npercent=%s\n", o.Status, points, most, percent)
	return err
}

// outcome puts what grading a submission came to into the form that formats take; ok is false for an error of use,
// which is no outcome.
func outcome(assignment *report.Assignment, submission string, rep *grade.Report,
	err error) (o report.Result, ok bool) {
	var refused *engine.Refused
	switch {
	case errors.As(err, &refused):
		o = report.RefusedResult(assignment, refused)
		if partly := (partlyRefused{}); errors.As(err, &partly) {
			o.Advice = partly.advice()
		}
	case err != nil && !cli.IsInfra(err):
		return o, false
	default:
		o = report.ResultOf(rep, err)
	}
	if info, err := os.Stat(submission); err == nil && info.IsDir() {
		o.Root = filepath.ToSlash(cmp.Or(filepath.Clean(submission), "."))
	} else if err == nil {
		o.Root = filepath.ToSlash(filepath.Dir(submission))
	}
	return o, true
}

// writeMarkdown writes what became of a submission for the summary of a job.
func writeMarkdown(w io.Writer, assignment *report.Assignment, o *report.Result) error {
	markdown, err := report.FindFormat(cli.FormatMarkdown)
	if err != nil {
		return err
	}
	return markdown.WriteOne(w, assignment, o)
}
