package author

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/report"
)

func NewTestCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		engine   cli.EngineFlags
		output   cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "test [LAB]",
		Short: "Test that a lab grades its samples and mutants of its solution correctly",
		Long: `Test that a lab grades correctly, offline. Every sample must get the score that it declares, miss the objectives and
be told the mistake that it declares, and the starter files must not pass. Every mutant of the solution (without a rule,
peer or port, with a wider selector, …) that changes a connection must lose points. For a mutant that does not, labctl
names the connection that no objective checks.

Exit code: 0 all tests pass; 1 some fail.`,
		Example: `  labctl test networkpolicy
  labctl test mylab/ -o json`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.Load(cli.LabArg(args))
			if err != nil {
				return err
			}
			eng, err := engine.Open(lab)
			if err != nil {
				return err
			}
			rep, err := labtest.Test(cmd.Context(), lab, eng)
			if err != nil {
				return err
			}
			if output.Json() {
				err = app.WriteJSON(rep)
			} else {
				err = report.Test(app.Out, rep, app.Style())
			}
			if err == nil && !rep.Passed {
				return cli.Reported{Err: cli.ErrBelowMark}
			}
			return err
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	output.Register(cmd)
	return cmd
}
