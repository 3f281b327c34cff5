package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// runLiveBatch grades in running labs.
func (a *app) runLiveBatch(ctx context.Context, o *batchOptions, nameOrDir string, entries []batch.Entry) (sum *batch.Summary, err error) {
	lab := o.cfg.Grader.Lab()
	ref, err := o.lab.ref(nameOrDir, lab)
	if err != nil {
		return nil, err
	}
	rules, err := o.engine.config()
	if err != nil {
		return nil, err
	}
	pool, err := a.openPool(ctx, &o.live, lab, ref, rules.Semantics, o.engine.chosen() == engineBoth)
	if err != nil {
		return nil, infra(ctx, err)
	}
	defer func() {
		if left := pool.close(ctx); left != nil {
			a.log().Error("the labs of the pool are not all gone", "error", left)
			err = cmp.Or[error](err, infraError{left})
		}
	}()
	o.cfg.Engine = liveName{o.cfg.Engine, o.engine.chosen()}
	o.cfg.Grade, o.cfg.Workers = pool.Grade, pool.Size()
	return a.runBatch(ctx, o, entries)
}

// liveTimeout is how long one submission may take live, by default: some checkpoints, each with its settling and probes, and a lab
// that is mended meanwhile.
const liveTimeout = 10 * time.Minute

// poolOptions say in which labs a class is graded live.
type poolOptions struct {
	live liveFlags
	size int    // 0: the running lab; otherwise so many of its own
	on   string // the provider of their clusters
	keep bool   // leave them when the class is graded
}

// pool is the labs that a class is graded in.
type pool struct {
	*batch.Pool
	app  *app
	m    *provision.Manager
	made []string // instances that this run brought up
}

// openPool brings the labs up that a class is graded in, or takes the one that runs. both also asks the offline engine.
func (a *app) openPool(ctx context.Context, o *poolOptions, lab *labs.Lab, ref provision.LabRef, semantics policy.Semantics, both bool) (*pool, error) {
	p := &pool{app: a}
	name := cmp.Or(o.live.name, lab.Name)
	names := []string{name}
	if o.size > 0 {
		names = nil
		for i := range o.size {
			names = append(names, fmt.Sprintf("%s-pool-%d", name, i+1))
		}
	}
	var running []batch.RunningLab
	for _, name := range names {
		l := &poolLab{app: a, name: name, own: o.size > 0, lab: lab, flags: &o.live, semantics: semantics, both: both}
		l.up = provision.UpOptions{Lab: lab, Ref: ref, Name: name, On: o.on, Tool: toolVersion()}
		var err error
		if l.grader, err = grade.NewGrader(lab); err != nil {
			return nil, err
		}
		if l.m, err = a.manager(&o.live.site); err != nil {
			return nil, err
		}
		p.m = l.m
		_, err = l.m.Store.Read(name)
		switch {
		case o.size == 0 && err != nil:
			return nil, fmt.Errorf("%w: bring it up with labctl up, let --pool make labs, or grade with --offline", err)
		case o.size > 0 && errors.Is(err, provision.ErrNoInstance):
			p.made = append(p.made, name)
		}
		running = append(running, l)
	}
	if o.keep {
		p.made = nil
	}
	if o.size > 0 {
		if err := p.bringUp(ctx, running); err != nil {
			return nil, errors.Join(err, p.close(ctx))
		}
	}
	p.Pool = batch.NewPool(running, a.log())
	return p, nil
}

// bringUp makes all labs, two at a time: more clusters that start at once only slow each other down.
func (p *pool) bringUp(ctx context.Context, running []batch.RunningLab) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, l := range running {
		group.Go(func() error {
			start := p.app.now()
			fmt.Fprintf(p.app.err, "bringing up the lab %s\n", l.Name())
			if err := l.Mend(ctx); err != nil {
				return fmt.Errorf("bring up the lab %s: %w", l.Name(), err)
			}
			fmt.Fprintf(p.app.err, "the lab %s is ready (%.0f s)\n", l.Name(), p.app.now().Sub(start).Seconds())
			return nil
		})
	}
	return group.Wait()
}

// close takes down the labs that were made for this class, also after Ctrl-C: the results are in the journal.
func (p *pool) close(ctx context.Context) error {
	if p.Pool != nil {
		p.Pool.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	var errs []error
	for _, name := range p.made {
		if err := p.m.Down(ctx, nil, name); err != nil && !errors.Is(err, provision.ErrNoInstance) {
			errs = append(errs, fmt.Errorf("take down the lab %s (labctl down does it again): %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// poolLab implements batch.RunningLab with an instance.
type poolLab struct {
	app       *app
	m         *provision.Manager
	name      string
	own       bool // of this pool, and not somebody's running lab: it may be made anew
	lab       *labs.Lab
	grader    *grade.Grader
	flags     *liveFlags
	up        provision.UpOptions
	semantics policy.Semantics
	both      bool
}

func (l *poolLab) Name() string { return l.name }

// Grade implements batch.RunningLab.
func (l *poolLab) Grade(ctx context.Context, sub *grade.Submission, opts grade.Options) (*grade.Report, error) {
	r, err := l.app.openRunning(ctx, l.flags, l.name, "labctl batch", l.lab, l.semantics, false)
	if err != nil {
		return nil, err
	}
	var eng grade.Engine = r.engine
	if l.both {
		eng = grade.Both(r.engine, r.model)
	}
	rep, err := l.app.gradeSubmission(ctx, r, l.grader, sub, eng, opts)
	var unready *notReady
	if errors.As(err, &unready) {
		return nil, fmt.Errorf("the lab is not ready: %s", strings.ReplaceAll(err.Error(), "\n", "; ")) // and no *grade.Refused
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
		return fmt.Errorf("look whether the reset is complete: %w", err)
	}
	var what []string
	what = append(append(append(what, left.Deleted...), left.Labels...), left.Restored...)
	if len(what) > 0 {
		return fmt.Errorf("the reset was not complete: %s", strings.Join(what, ", "))
	}
	return nil
}

// Mend implements batch.RunningLab: up makes what is missing, and if that does not help, everything.
func (l *poolLab) Mend(ctx context.Context) error {
	_, err := l.m.Up(ctx, l.up)
	if err == nil {
		_, err = l.m.Reset(ctx, l.lab, l.name, false)
	}
	if err == nil || ctx.Err() != nil || !l.own {
		return err
	}
	l.app.log().Warn("the lab is made anew", "lab", l.name, "error", err)
	if gone := l.m.Down(ctx, l.lab, l.name); gone != nil && !errors.Is(gone, provision.ErrNoInstance) {
		return errors.Join(err, gone)
	}
	_, err = l.m.Up(ctx, l.up)
	return err
}

// liveName lends its name to results; grading itself is the pool's.
type liveName struct {
	grade.Engine
	name string
}

func (n liveName) Name() string { return n.name }
