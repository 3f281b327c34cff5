package student

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

func NewMatrixCommand(app *cli.App) *cobra.Command {
	var (
		labFlags   cli.LabFlags
		engine     cli.EngineFlags
		output     cli.OutputFlag
		submission string
		tasks      []string
		all        bool
		inspect    inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "matrix [LAB]",
		Short: "Show which of a lab's connections get through, as a table",
		Long: `Show which of a lab's connections get through, as a table. labctl uses the policies at the end of the last task, or of
the tasks that --task names. Without --submission it uses the lab as students receive it, and with --live the running
lab.

The picture of -o svg is light or dark as the reader prefers. -o dot draws a node for each app, in its namespace, and
an arrow for what gets through.`,
		Example: `  labctl matrix networkpolicy --submission answers/
  labctl matrix networkpolicy --submission answers/ --all -o csv
  labctl matrix networkpolicy --submission answers/ -o svg >table.svg
  labctl matrix networkpolicy --live
  labctl matrix networkpolicy -o dot | dot -Tpng >graph.png`,
		Args:              labAndNoMore,
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.Load(cli.LabOf(args, submission))
			if err != nil {
				return err
			}
			var tables []*flow.Table
			if inspect.live {
				o, err := openInspected(cmd.Context(), app, &inspect, &engine, lab)
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
				run, err := prepare(app, lab, submission, tasks, &engine)
				if err != nil {
					return err
				}
				if all {
					tasks = cli.TaskList(lab)
				}
				if tables, err = run.tables(cmd.Context(), tasks); err != nil {
					return err
				}
			}
			switch output.Value {
			case "json":
				return app.WriteJSON(struct {
					FormatVersion int           `json:"format_version"`
					Lab           labSummary    `json:"lab"`
					Tables        []*flow.Table `json:"tables"`
				}{1, labSummary{lab.Name, lab.Digest}, tables})
			case "csv":
				return report.TablesCSV(app.Out, tables)
			case "svg":
				return report.TablesSVG(app.Out, tables)
			case "dot":
				return report.TablesDOT(app.Out, tables, lab)
			}
			for i, t := range tables {
				if i > 0 {
					fmt.Fprintln(app.Out)
				}
				if err := report.Table(app.Out, t, app.Style()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	output.Register(cmd, "csv", "svg", "dot")
	registerSubmission(cmd, &submission)
	cli.RegisterTasks(cmd, &tasks, "use the policies at the end of this `TASK` (default: the last task); repeatable")
	cmd.Flags().BoolVar(&all, "all", false, "print a table for every task")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	inspect.register(app, cmd)
	return cmd
}
