package student

import (
	"context"
	"errors"
	"fmt"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

func NewDiffCommand(app *cli.App) *cobra.Command {
	var (
		labFlags    cli.LabFlags
		engineFlags cli.EngineFlags
		output      cli.OutputFlag
		task        string
		inspect     inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "diff LAB A [B]",
		Short: "List the connections on which two submissions differ",
		Long: `List the connections that one submission allows and the other does not, at the end of each task, or of the one that
--task names. It does not matter how the policies are written or named. With --live, labctl compares the submission with
the running lab, by default at the end of its current task.

Exit code: 0 no difference; 1 some connections differ.`,
		Example: `  labctl diff networkpolicy answers/ last-week/
  labctl diff networkpolicy answers/ last-week/ --task 6
  labctl diff networkpolicy answers/ last-week/ -o json
  labctl diff networkpolicy answers/ --live`,
		Args: func(cmd *cobra.Command, args []string) error {
			if inspect.live {
				return cli.Args(2, 2)(cmd, args)
			}
			if len(args) == 2 {
				given := shellescape.QuoteCommand(args)
				return fmt.Errorf("the second submission is missing: labctl diff %s OTHER, or, for the running lab, labctl diff %s --live",
					given, given)
			}
			return cli.Args(3, 3)(cmd, args)
		},
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab, cli.CompleteDir, cli.CompleteDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !inspect.live && args[1] == "-" && args[2] == "-" {
				return errors.New("only one of the two submissions can be standard input")
			}
			lab, err := labFlags.Load(args[0])
			if err != nil {
				return err
			}
			a, err := prepare(app, lab, args[1], named(task), &engineFlags)
			if err != nil {
				return err
			}
			other, where := "", "at every checkpoint"
			var diffs []flow.Difference
			if inspect.live {
				other, where = "the running lab", "as it is now"
				diffs, err = diffLive(cmd.Context(), app, a, task, &inspect, &engineFlags)
			} else {
				other = args[2]
				var b *labRun
				if b, err = prepare(app, lab, other, named(task), &engineFlags); err == nil {
					where, diffs, err = diffFiles(cmd.Context(), a, b, task)
				}
			}
			if err != nil {
				return err
			}
			if output.Json() {
				err = app.WriteJSON(struct {
					FormatVersion int               `json:"format_version"`
					Lab           labSummary        `json:"lab"`
					A             string            `json:"a"`
					B             string            `json:"b"`
					Differences   []flow.Difference `json:"differences"`
				}{1, labSummary{lab.Name, lab.Digest}, args[1], other, diffs})
			} else {
				err = report.Differences(app.Out, args[1], other, where, diffs, app.Style())
			}
			if err == nil && len(diffs) > 0 {
				return cli.Reported{Err: cli.ErrBelowMark}
			}
			return err
		},
	}
	labFlags.Register(cmd)
	engineFlags.RegisterSemantics(cmd)
	output.Register(cmd)
	registerTask(cmd, &task)
	cmd.Flags().Lookup("task").Usage = "compare at the end of this `TASK` only (default: of every task)"
	// --live and --task belong together here.
	inspect.LiveFlags.Register(app, cmd)
	cmd.Flags().BoolVar(&inspect.live, "live", false, "compare with the running lab, by probing it")
	return cmd
}

// diffFiles compares two submissions at the end of a task, or of every task if none is named. where says which.
func diffFiles(ctx context.Context, a, b *labRun, task string) (where string, _ []flow.Difference, err error) {
	where = "at every checkpoint"
	if task != "" {
		for _, run := range []*labRun{a, b} {
			state, err := run.state(task)
			if err != nil {
				return "", nil, err
			}
			run.states = []*engine.State{state}
		}
		where = "at the end of " + a.states[0].Task
	}
	diffs, err := flow.Diff(ctx, a.engine, a.states, b.states, engine.Connections(a.lab))
	return where, diffs, err
}

// diffLive holds what a submission comes to at a task against the running lab.
func diffLive(ctx context.Context, a *cli.App, run *labRun, task string, flags *inspectFlags,
	engineFlags *cli.EngineFlags) ([]flow.Difference, error) {
	o, err := openInspected(ctx, a, flags, engineFlags, run.lab)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if task == "" {
		progress, err := o.Progress()
		if err != nil {
			return nil, err
		}
		task = progress.Current
	}
	state, err := run.state(task)
	if err != nil {
		return nil, err
	}
	want, err := flow.Tabulate(ctx, run.engine, state, engine.Connections(run.lab))
	if err != nil {
		return nil, err
	}
	found, err := o.table(ctx)
	if err != nil {
		return nil, err
	}
	return flow.Compare(want, found), nil
}
