package student

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// inspectFlags let a command look at a running lab instead of a submission.
type inspectFlags struct {
	cli.LiveFlags
	live bool
}

func (f *inspectFlags) register(app *cli.App, cmd *cobra.Command) {
	f.LiveFlags.Register(app, cmd)
	cmd.Flags().BoolVar(&f.live, "live", false, "probe the running lab instead of a submission")
	if cmd.Flags().Lookup("submission") != nil {
		cmd.MarkFlagsMutuallyExclusive("live", "submission")
	}
	if cmd.Flags().Lookup("task") != nil {
		cmd.MarkFlagsMutuallyExclusive("live", "task")
	}
}

// liveLab is a running lab, with what is in force in it.
type liveLab struct {
	cli.RunningLab
	sub   *submission.Submission
	state *engine.State
}

// openInspected opens the running instance of a lab. Close what it returns.
func openInspected(ctx context.Context, a *cli.App, flags *inspectFlags, engine *cli.EngineFlags,
	lab *labs.Lab) (*liveLab, error) {
	cfg, err := engine.Config()
	if err != nil {
		return nil, err
	}
	r, err := a.OpenLab(ctx, cli.OpenOptions{
		Flags: &flags.LiveFlags, Instance: cmp.Or(flags.Instance, lab.Name), Lab: lab, Command: "labctl",
		Semantics: cfg.Semantics, Observe: true,
	})
	if err != nil {
		return nil, err
	}
	o := &liveLab{RunningLab: r}
	if err := o.read(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return o, nil
}

// read reads what is in force now.
func (o *liveLab) read(ctx context.Context) error {
	grader, err := grade.NewGrader(o.Lab())
	if err != nil {
		return err
	}
	files, err := o.Engine().Files(ctx)
	if err != nil {
		return cli.LiveError(ctx, err)
	}
	progress, err := o.Progress()
	if err != nil {
		return err
	}
	if o.sub, err = grader.Rules.ReadRunning(files, progress.Current, manifest.DefaultLimits()); err != nil {
		return err
	}
	states, err := grader.Rules.Checkpoints(o.sub)
	if err != nil {
		return err
	}
	now := *states[0]
	now.Task = "" // it is no checkpoint, but the lab as it is now
	o.state = &now
	return nil
}

// table probes every connection of the lab.
func (o *liveLab) table(ctx context.Context) (*flow.Table, error) {
	t, err := flow.Tabulate(ctx, o.Engine(), o.state, engine.Connections(o.Lab()))
	if err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	t.Title = "the running lab " + o.Name()
	t.Subject = t.Title + ", now"
	return t, nil
}

// explain probes a connection, and tries out with the rule model what would change it.
func (o *liveLab) explain(ctx context.Context, probe engine.Probe) (*flow.Explanation, error) {
	explanation, err := flow.Explain(ctx, o.Model(), o.state, probe)
	if err != nil {
		return nil, err
	}
	prober, err := o.Engine().At(ctx, o.state)
	if err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	found, err := prober.Probe(ctx, []engine.Probe{probe})
	if err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	if found[0].Error != "" {
		return nil, cli.InfraError{Err: fmt.Errorf("probe %s to %s: %s", probe.From, engine.TargetName(probe.To),
			found[0].Error)}
	}
	explanation.Probed = &flow.Probed{Verdict: found[0].Verdict, Seen: found[0].Seen, Flow: found[0].Flow}
	return explanation, nil
}
