package student

import (
	"context"
	"errors"
	"fmt"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
)

// gradeRunning grades a running lab as the student left it.
func gradeRunning(ctx context.Context, a *cli.App, o *gradeOptions, args []string) (*grade.Report, error) {
	cfg, err := o.engine.Config()
	if err != nil {
		return nil, err
	}
	name := o.live.Instance
	if name == "" && len(args) > 0 {
		name = args[0]
	}
	r, err := a.OpenLab(ctx, cli.OpenOptions{
		Flags: &o.live, Instance: name, Command: "labctl grade", Semantics: cfg.Semantics, Observe: true,
	})
	if err != nil {
		return nil, orSubmission(err)
	}
	defer r.Close()
	grader, err := grade.NewGrader(r.Lab())
	if err != nil {
		return nil, err
	}
	progress, err := r.Progress()
	if err != nil {
		return nil, err
	}
	current := progress.Current
	opts := o.opts
	if opts.Tasks, err = cli.ResolveTasks(r.Lab(), opts.Tasks); err != nil {
		return nil, err
	}
	if opts.Hints, err = cli.ResolveHints(r.Lab(), opts.Hints); err != nil {
		return nil, err
	}
	switch {
	case o.all:
	case len(opts.Tasks) == 0:
		opts.Tasks = []string{current}
	default:
		current = opts.Tasks[len(opts.Tasks)-1]
	}
	if err := r.Ready(ctx); err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	files, err := r.Engine().Files(ctx)
	if err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	sub, err := grader.Rules.ReadRunning(files, current, manifest.DefaultLimits())
	if err != nil {
		return nil, err
	}
	var eng engine.Engine = &snapshot{Engine: r.Engine()}
	if o.engine.Chosen() == cli.EngineBoth {
		eng = engine.Both(eng, r.Model())
	}
	rep, err := grader.Grade(ctx, sub, eng, opts)
	if err == nil {
		err = r.Engine().Undisturbed(ctx)
	}
	if err != nil {
		return nil, cli.LiveError(ctx, err)
	}
	rep.Tampering = r.Engine().Tampering()
	return rep, r.Save(rep, a.Now())
}

// orSubmission adds to the error that there is no such instance what else can be graded.
func orSubmission(err error) error {
	var which *cli.WhichInstanceError
	if errors.As(err, &which) {
		return fmt.Errorf("%w (or name what to grade with --submission)", err)
	}
	return err
}
