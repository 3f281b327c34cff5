package author

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/internal/wording"
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

func NewValidateCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		engine   cli.EngineFlags
		output   cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "validate [LAB]",
		Short: "Check a lab for errors",
		Long: `Check a lab: report all errors, with file and line, and warn about objectives that prove nothing: those that the
starter files already meet, that another objective repeats, or that cannot be checked. The CEL expressions of the lab
are tried on its starter files, its samples and an empty submission.

Exit code: 0 valid, perhaps with warnings; 2 the lab has errors.`,
		Example: `  labctl validate
  labctl validate mylab/ -o json`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, diags, err := labFlags.Read(cli.LabArg(args))
			if err != nil {
				return err
			}
			if !diags.HasErrors() {
				eng, err := engine.Open(lab)
				if err != nil {
					return err
				}
				warnings, err := labtest.Lint(cmd.Context(), lab, eng)
				if err != nil {
					return err
				}
				diags.Add(warnings...)
			}
			if err := writeValidation(app, diags, output.Json()); err != nil {
				return err
			}
			if diags.HasErrors() {
				return cli.Reported{Err: cli.LabError{Diags: diags}}
			}
			return nil
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	output.Register(cmd)
	return cmd
}

func newValidation(diags *labs.Diagnostics) validation {
	v := validation{FormatVersion: diagnosticsFormat, Diagnostics: diags.List()}
	for _, d := range v.Diagnostics {
		if d.Severity == "error" {
			v.Errors++
		} else {
			v.Warnings++
		}
	}
	v.Valid = v.Errors == 0
	return v
}

func writeValidation(a *cli.App, diags *labs.Diagnostics, asJSON bool) error {
	v := newValidation(diags)
	if asJSON {
		return a.WriteJSON(v)
	}
	return writeDiagnostics(a, a.Out, diags, &v)
}

// writeDiagnostics writes diagnostics for people, and what they come to.
func writeDiagnostics(a *cli.App, out io.Writer, diags *labs.Diagnostics, v *validation) error {
	if err := diags.WriteText(out, uint(a.Terminal.Width), a.Terminal.Color); err != nil {
		return err
	}
	switch {
	case !v.Valid:
		fmt.Fprintf(out, "Not valid: %s, %s.\n", wording.Count(v.Errors, "error"),
			wording.Count(v.Warnings, "warning"))
	case v.Warnings > 0:
		fmt.Fprintf(out, "Valid, with %s.\n", wording.Count(v.Warnings, "warning"))
	default:
		fmt.Fprintln(out, "Valid.")
	}
	return nil
}
