package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// pool is the labs that a class is graded in.
type pool struct {
	*batch.Pool
	app  *cli.App
	m    *provision.Manager
	lab  *labs.Lab
	made []string // instances that this run brought up
}

// OpenPool implements cli.RunningLabs. It brings the labs up that a class is graded in, or takes the one that runs.
func (l Labs) OpenPool(ctx context.Context, o cli.PoolOptions) (cli.Pool, error) {
	p, err := openPool(ctx, l.App, &o)
	if err != nil {
		return nil, infra(ctx, err)
	}
	return p, nil
}

func openPool(ctx context.Context, a *cli.App, o *cli.PoolOptions) (*pool, error) {
	p := &pool{app: a, lab: o.Lab}
	ref, err := labRef(o.LabFlags, o.LabArg, o.Lab)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(o.Flags.Instance, o.Lab.Name)
	names := []string{name}
	if o.Size > 0 {
		names = nil
		for i := range o.Size {
			names = append(names, fmt.Sprintf("%s-pool-%d", name, i+1))
		}
	}
	spend := once(o.Size, agreement(a, o.Yes, term.IsTerminal(int(os.Stdin.Fd()))))
	var members []batch.RunningLab
	for _, name := range names {
		l := &poolLab{
			app: a, name: name, own: o.Size > 0, lab: o.Lab, flags: o.Flags, semantics: o.Semantics, both: o.Both,
		}
		l.up = provision.UpOptions{Lab: o.Lab, Ref: ref, Name: name, On: o.On, Tool: cli.ToolVersion(), Spend: spend}
		var err error
		if l.grader, err = grade.NewGrader(o.Lab); err != nil {
			return nil, err
		}
		if l.m, err = newManager(a, &siteFlags{config: o.Flags.Config}); err != nil {
			return nil, err
		}
		p.m = l.m
		_, err = l.m.Store.Read(name)
		switch {
		case o.Size == 0 && err != nil:
			return nil, fmt.Errorf(
				"%w; create it with labctl up, create labs with --pool, or grade with --engine offline", err)
		case o.Size > 0 && errors.Is(err, provision.ErrNoInstance):
			p.made = append(p.made, name)
		}
		members = append(members, l)
	}
	if o.Keep {
		p.made = nil
	}
	if o.Size > 0 {
		if err := p.bringUp(ctx, members); err != nil {
			return nil, errors.Join(err, p.Close(ctx))
		}
	}
	p.Pool = batch.NewPool(members, a.Log())
	return p, nil
}

// once asks for the cost of all labs of a pool before the first is created.
func once(size int, ask func(string, provision.Cost) error) func(string, provision.Cost) error {
	var asked sync.Once
	var answer error
	return func(what string, cost provision.Cost) error {
		asked.Do(func() {
			cost.Hourly *= float64(max(size, 1))
			if size > 1 {
				what = fmt.Sprintf("%s and %d more like it", what, size-1)
			}
			answer = ask(what, cost)
		})
		return answer
	}
}

// bringUp makes all labs, two at a time: more clusters that start at once only slow each other down.
func (p *pool) bringUp(ctx context.Context, members []batch.RunningLab) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, l := range members {
		group.Go(func() error {
			start := p.app.Now()
			fmt.Fprintf(p.app.Err, "creating the lab %s\n", l.Name())
			if err := l.Repair(ctx); err != nil {
				return fmt.Errorf("create the lab %s: %w", l.Name(), err)
			}
			fmt.Fprintf(p.app.Err, "the lab %s is ready (%.0f s)\n", l.Name(), p.app.Now().Sub(start).Seconds())
			return nil
		})
	}
	return group.Wait()
}

// Close takes down the labs that were made for this class, also after Ctrl-C: the results are in the journal.
func (p *pool) Close(ctx context.Context) error {
	if p.Pool != nil {
		p.Pool.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	var errs []error
	for _, name := range p.made {
		if err := p.m.Down(ctx, p.lab, name); err != nil && !errors.Is(err, provision.ErrNoInstance) {
			errs = append(errs, fmt.Errorf("delete the lab %s: %w (retry with: labctl down --instance %s)",
				name, err, name))
		}
	}
	return errors.Join(errs...)
}

// poolLab implements batch.RunningLab with an instance.
type poolLab struct {
	app       *cli.App
	m         *provision.Manager
	name      string
	own       bool // of this pool, and not somebody's running lab: it may be made anew
	lab       *labs.Lab
	grader    *grade.Grader
	flags     *cli.LiveFlags
	up        provision.UpOptions
	semantics policy.Semantics
	both      bool
}

func (l *poolLab) Name() string { return l.name }

// Grade implements batch.RunningLab.
func (l *poolLab) Grade(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error) {
	r, err := openRunning(ctx, l.app,
		&cli.OpenOptions{Flags: l.flags, Instance: l.name, Lab: l.lab, Command: "labctl batch", Semantics: l.semantics})
	if err != nil {
		return nil, err
	}
	rep, err := r.Grade(ctx, l.grader, sub, l.both, opts)
	var unready *notReady
	if errors.As(err, &unready) {
		// and no *engine.Refused
		return nil, fmt.Errorf("the lab is not ready: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if err != nil {
		return nil, err
	}
	return rep, l.clean(ctx)
}

// clean makes sure that nothing of a submission is left for the next.
func (l *poolLab) clean(ctx context.Context) error {
	left, err := l.m.Reset(ctx, l.lab, l.name, false)
	if err != nil {
		return fmt.Errorf("verify the reset: %w", err)
	}
	var what []string
	what = append(append(append(what, left.Deleted...), left.Labels...), left.Restored...)
	if len(what) > 0 {
		return fmt.Errorf("the reset was incomplete: %s", strings.Join(what, ", "))
	}
	return nil
}

// Repair implements batch.RunningLab: up makes what is missing, and if that does not help, everything.
func (l *poolLab) Repair(ctx context.Context) error {
	_, err := l.m.Up(ctx, l.up)
	if err == nil {
		_, err = l.m.Reset(ctx, l.lab, l.name, false)
	}
	if err == nil || ctx.Err() != nil || !l.own {
		return err
	}
	l.app.Log().Warn("recreating the lab", "lab", l.name, "error", err)
	if gone := l.m.Down(ctx, l.lab, l.name); gone != nil && !errors.Is(gone, provision.ErrNoInstance) {
		return errors.Join(err, gone)
	}
	_, err = l.m.Up(ctx, l.up)
	return err
}
