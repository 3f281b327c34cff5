package main

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

func newTestCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		engine   engineFlags
		output   outputFlag
	)
	cmd := &cobra.Command{
		Use:   "test [LAB]",
		Short: "Prove that a lab grades right: its samples score as declared, and no mutant of the solution passes unnoticed",
		Long: `Prove that a lab grades right, offline: every sample scores what it declares, the starter does not pass, and
every mutation of the solution (a rule, peer or port dropped, a selector widened, …) that changes some
connection of the lab costs points. A mutant that survives names the connection no objective watches.

Exit code: 0 all hold, 1 some do not.`,
		Example: `  labctl test networkpolicy
  labctl test mylab/ -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.load(labArg(args))
			if err != nil {
				return err
			}
			eng, err := engine.open(lab)
			if err != nil {
				return err
			}
			rep, err := grade.TestLab(cmd.Context(), lab, eng)
			if err != nil {
				return err
			}
			if output.json() {
				err = app.writeJSON(rep)
			} else {
				err = report.Test(app.out, rep, app.style())
			}
			if err == nil && !rep.Passed {
				return statusError(exitBelowMark)
			}
			return err
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	output.register(cmd)
	return cmd
}
