package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/labs"
)

// inspectFlags let a command look at a running lab instead of a submission.
type inspectFlags struct {
	liveFlags
	live bool
}

func (f *inspectFlags) register(cmd *cobra.Command) {
	f.liveFlags.register(cmd)
	cmd.Flags().BoolVar(&f.live, "live", false, "look at the running lab as it is, by probing it")
	if cmd.Flags().Lookup("submission") != nil {
		cmd.MarkFlagsMutuallyExclusive("live", "submission")
	}
	if cmd.Flags().Lookup("task") != nil {
		cmd.MarkFlagsMutuallyExclusive("live", "task")
	}
}

// inspected is a running lab that is looked at, with what is in force in it.
type inspected struct {
	*running
	sub   *grade.Submission
	state *grade.State
}

// inspect opens the running instance of a lab. Close what it returns.
func (a *app) inspect(ctx context.Context, flags *inspectFlags, engine *engineFlags, lab *labs.Lab) (*inspected, error) {
	cfg, err := engine.config()
	if err != nil {
		return nil, err
	}
	r, err := a.openRunning(ctx, &flags.liveFlags, cmp.Or(flags.name, lab.Name), "labctl", lab, cfg.Semantics, true)
	if err != nil {
		return nil, err
	}
	o := &inspected{running: r}
	if err := o.read(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return o, nil
}

// read reads what is in force now.
func (o *inspected) read(ctx context.Context) error {
	grader, err := grade.NewGrader(o.lab)
	if err != nil {
		return err
	}
	files, err := o.engine.Files(ctx)
	if err != nil {
		return liveError(ctx, err)
	}
	current := o.inst.State.CurrentTask(taskList(o.lab))
	if o.sub, err = grader.ReadRunning(files, current, manifest.DefaultLimits()); err != nil {
		return err
	}
	states, err := grader.Checkpoints(o.sub)
	if err != nil {
		return err
	}
	now := *states[0]
	now.Task = "" // it is no checkpoint, but this moment
	o.state = &now
	return nil
}

// table probes every connection of the lab.
func (o *inspected) table(ctx context.Context) (*flow.Table, error) {
	t, err := flow.Tabulate(ctx, o.engine, o.state, grade.Flows(o.lab))
	if err != nil {
		return nil, liveError(ctx, err)
	}
	t.Title = "the running lab " + o.name
	return t, nil
}

// explain probes a connection, and tries out with the rule model what would change it.
func (o *inspected) explain(ctx context.Context, probe grade.Probe) (*flow.Explanation, error) {
	explanation, err := flow.Explain(ctx, o.model, o.state, probe)
	if err != nil {
		return nil, err
	}
	prober, err := o.engine.At(ctx, o.state)
	if err != nil {
		return nil, liveError(ctx, err)
	}
	found, err := prober.Probe(ctx, []grade.Probe{probe})
	if err != nil {
		return nil, liveError(ctx, err)
	}
	if found[0].Error != "" {
		return nil, infraError{fmt.Errorf("probe %s to %s: %s", probe.From, grade.TargetName(probe.To), found[0].Error)}
	}
	explanation.Probed = &flow.Probed{Verdict: found[0].Verdict, Seen: found[0].Seen, Flow: found[0].Flow}
	return explanation, nil
}
