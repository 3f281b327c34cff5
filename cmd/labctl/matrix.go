package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

func newMatrixCommand(app *app) *cobra.Command {
	var (
		labFlags   labFlags
		engine     engineFlags
		output     outputFlag
		submission string
		tasks      []string
		all        bool
		inspect    inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "matrix [LAB]",
		Short: "Show which of a lab's connections get through, as a truth table",
		Long: `Show which of a lab's connections get through, as a truth table: the state at the end of the last task, or
of those that --task names. Without --submission it is the lab as it is handed out.`,
		Example: `  labctl matrix networkpolicy --submission answers/
  labctl matrix networkpolicy --submission answers/ --all -o csv
  labctl matrix networkpolicy --submission answers/ -o svg >table.svg
  labctl matrix networkpolicy --live
  labctl matrix networkpolicy -o dot | dot -Tpng >graph.png`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.load(labArg(args))
			if err != nil {
				return err
			}
			var tables []*flow.Table
			if inspect.live {
				o, err := app.inspect(cmd.Context(), &inspect, &engine, lab)
				if err != nil {
					return err
				}
				defer o.Close()
				table, err := o.table(cmd.Context())
				if err != nil {
					return err
				}
				tables = []*flow.Table{table}
			} else {
				run, err := app.prepare(lab, submission, &engine)
				if err != nil {
					return err
				}
				if all {
					tasks = taskList(lab)
				}
				if tables, err = run.tables(cmd.Context(), tasks); err != nil {
					return err
				}
			}
			switch output.value {
			case "json":
				return app.writeJSON(struct {
					FormatVersion int           `json:"format_version"`
					Lab           labSummary    `json:"lab"`
					Tables        []*flow.Table `json:"tables"`
				}{1, labSummary{lab.Name, lab.Digest}, tables})
			case "csv":
				return report.TablesCSV(app.out, tables)
			case "svg":
				return report.TablesSVG(app.out, tables)
			case "dot":
				return report.TablesDOT(app.out, tables)
			}
			for i, t := range tables {
				if i > 0 {
					fmt.Fprintln(app.out)
				}
				if err := report.Table(app.out, t, app.style()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	output.register(cmd, "csv", "svg", "dot")
	registerSubmission(cmd, &submission)
	registerTasks(cmd, &tasks, "the checkpoint of this `TASK`; may be given more than once; default the last task")
	cmd.Flags().BoolVar(&all, "all", false, "the checkpoints of all tasks")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	inspect.register(cmd)
	return cmd
}
