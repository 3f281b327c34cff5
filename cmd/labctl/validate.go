package main

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// diagnosticsFormat is the version of the JSON of `labctl validate`.
const diagnosticsFormat = 1

// validation is what `labctl validate` says; its JSON is a contract (docs/cli.md).
type validation struct {
	FormatVersion int               `json:"format_version"`
	Valid         bool              `json:"valid"`
	Errors        int               `json:"errors"`
	Warnings      int               `json:"warnings"`
	Diagnostics   []labs.Diagnostic `json:"diagnostics"`
}

func newValidateCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		engine   engineFlags
		output   outputFlag
	)
	cmd := &cobra.Command{
		Use:   "validate [LAB]",
		Short: "Check a lab: all errors at once, and warnings about objectives that prove nothing",
		Long: `Check a lab: all errors at once, each with its place in the file, and warnings about objectives that prove
nothing (what the starter meets already, what is asked twice, what cannot be asked).

Exit code: 0 valid, perhaps with warnings; 2 the lab has errors.`,
		Example: `  labctl validate
  labctl validate mylab/ -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, diags, err := labFlags.read(labArg(args))
			if err != nil {
				return err
			}
			if !diags.HasErrors() {
				eng, err := engine.open(lab)
				if err != nil {
					return err
				}
				warnings, err := grade.Lint(cmd.Context(), lab, eng)
				if err != nil {
					return err
				}
				diags.Add(warnings...)
			}
			if err := app.writeValidation(diags, output.json()); err != nil {
				return err
			}
			if diags.HasErrors() {
				return statusError(exitUsage)
			}
			return nil
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	output.register(cmd)
	return cmd
}

func (a *app) writeValidation(diags *labs.Diagnostics, asJSON bool) error {
	v := validation{FormatVersion: diagnosticsFormat, Diagnostics: diags.List()}
	for _, d := range diags.Diagnostics {
		if d.Severity == hcl.DiagError {
			v.Errors++
		} else {
			v.Warnings++
		}
	}
	v.Valid = v.Errors == 0
	if asJSON {
		return a.writeJSON(v)
	}
	if err := diags.WriteText(a.out, uint(a.terminal.width), a.terminal.color); err != nil {
		return err
	}
	switch {
	case !v.Valid:
		fmt.Fprintf(a.out, "Not valid: %s, %s.\n", count(v.Errors, "error"), count(v.Warnings, "warning"))
	case v.Warnings > 0:
		fmt.Fprintf(a.out, "Valid, with %s.\n", count(v.Warnings, "warning"))
	default:
		fmt.Fprintln(a.out, "Valid.")
	}
	return nil
}

// count is "1 error", "2 errors".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
