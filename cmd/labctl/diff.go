package main

import (
	"context"
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
		task     string
		inspect  inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "diff LAB A [B]",
		Short: "List the connections that two submissions, or one and the running lab, treat differently",
		Long: `List the connections that two submissions treat differently, at each task's checkpoint. How the policies are
written or named makes no difference. With --live the second one is the running lab as it is, and the
first one's checkpoint is that of --task, by default the task that the running lab is at.

Exit code: 0 they are alike, 1 they differ.`,
		Example: `  labctl diff networkpolicy answers/ last-week/
  labctl diff networkpolicy answers/ last-week/ -o json
  labctl diff networkpolicy answers/ --live`,
		Args: func(cmd *cobra.Command, args []string) error {
			if inspect.live {
				return cobra.ExactArgs(2)(cmd, args)
			}
			return cobra.ExactArgs(3)(cmd, args)
		},
		ValidArgsFunction: completeArgs(completeLab, completeDir, completeDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !inspect.live && args[1] == "-" && args[2] == "-" {
				return errors.New("only one of the two submissions can be standard input")
			}
			if !inspect.live && task != "" {
				return errors.New("--task goes with --live: two submissions are compared at every task")
			}
			lab, err := labFlags.load(args[0])
			if err != nil {
				return err
			}
			a, err := app.prepare(lab, args[1], &engine)
			if err != nil {
				return err
			}
			other, where := "", "at every checkpoint"
			var diffs []flow.Difference
			if inspect.live {
				other, where = "the running lab", "as it is now"
				diffs, err = app.diffLive(cmd.Context(), a, task, &inspect, &engine)
			} else {
				other = args[2]
				var b []*grade.State
				if b, err = app.replay(lab, other); err == nil {
					diffs, err = flow.Diff(cmd.Context(), a.engine, a.states, b, grade.Flows(lab))
				}
			}
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
				}{1, labSummary{lab.Name, lab.Digest}, args[1], other, diffs})
			} else {
				err = report.Differences(app.out, args[1], other, where, diffs, app.style())
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
	registerTask(cmd, &task)
	// --live and --task belong together here.
	inspect.liveFlags.register(cmd)
	cmd.Flags().BoolVar(&inspect.live, "live", false, "compare with the running lab as it is, by probing it")
	return cmd
}

// diffLive holds what a submission comes to at a task against the running lab.
func (a *app) diffLive(ctx context.Context, run *labRun, task string, flags *inspectFlags, engine *engineFlags) ([]flow.Difference, error) {
	o, err := a.inspect(ctx, flags, engine, run.lab)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if task == "" {
		task = o.inst.State.CurrentTask(taskList(o.lab))
	}
	state, err := run.state(task)
	if err != nil {
		return nil, err
	}
	want, err := flow.Tabulate(ctx, run.engine, state, grade.Flows(run.lab))
	if err != nil {
		return nil, err
	}
	found, err := o.table(ctx)
	if err != nil {
		return nil, err
	}
	return flow.Compare(want, found), nil
}
