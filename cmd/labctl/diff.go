package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

func newDiffCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		engine   engineFlags
		output   outputFlag
	)
	cmd := &cobra.Command{
		Use:   "diff LAB A B",
		Short: "List the connections that two submissions treat differently",
		Long: `List the connections that two submissions treat differently, at each task's checkpoint. How the policies are
written or named makes no difference.

Exit code: 0 they are alike, 1 they differ.`,
		Example: `  labctl diff networkpolicy answers/ last-week/
  labctl diff networkpolicy answers/ last-week/ -o json`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: completeArgs(completeLab, completeDir, completeDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "-" && args[2] == "-" {
				return errors.New("only one of the two submissions can be standard input")
			}
			lab, err := labFlags.load(args[0])
			if err != nil {
				return err
			}
			a, err := app.prepare(lab, args[1], &engine)
			if err != nil {
				return err
			}
			b, err := app.replay(lab, args[2])
			if err != nil {
				return err
			}
			diffs, err := flow.Diff(cmd.Context(), a.engine, a.states, b, grade.Flows(lab))
			if err != nil {
				return err
			}
			if output.json() {
				err = app.writeJSON(struct {
					FormatVersion int               `json:"format_version"`
					Lab           labSummary        `json:"lab"`
					A             string            `json:"a"`
					B             string            `json:"b"`
					Differences   []flow.Difference `json:"differences"`
				}{1, labSummary{lab.Name, lab.Digest}, args[1], args[2], diffs})
			} else {
				err = report.Differences(app.out, args[1], args[2], diffs, app.style())
			}
			if err == nil && len(diffs) > 0 {
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
