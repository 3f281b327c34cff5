package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// Labs opens this user's lab instances: it implements cli.RunningLabs.
type Labs struct{ App *cli.App }

// Instances implements cli.RunningLabs.
func (l Labs) Instances() ([]string, error) { return store().Names() }

// Open implements cli.RunningLabs.
func (l Labs) Open(ctx context.Context, o cli.OpenOptions) (cli.RunningLab, error) {
	if o.Instance == "" {
		var err error
		if o.Instance, err = choose(store(), "", nil); err != nil {
			return nil, err
		}
	}
	r, err := openRunning(ctx, l.App, &o)
	if err != nil {
		return nil, err // and no *running that is nil
	}
	return r, nil
}

// running implements cli.RunningLab.
type running struct {
	app      *cli.App
	manager  *provision.Manager
	inst     *provision.Instance // under its lock; nil when it was unlocked
	name     string
	lab      *labs.Lab
	client   *kube.Client
	engine   *live.Engine
	model    *offline.Engine
	instance live.Instance
}

// openRunning connects to an instance and locks it.
func openRunning(ctx context.Context, a *cli.App, o *cli.OpenOptions) (*running, error) {
	manager, err := newManager(a, &siteFlags{config: o.Flags.Config})
	if err != nil {
		return nil, err
	}
	err = recoverLab(ctx, a, manager, o)
	var inst *provision.Instance
	if err == nil {
		inst, err = manager.Store.Open(ctx, o.Instance, o.Command)
	}
	if errors.Is(err, provision.ErrNoInstance) {
		if o.Lab == nil {
			return nil, fmt.Errorf("%w; --submission DIR takes answers from files and needs none", err)
		}
		return nil, fmt.Errorf("%w; --offline needs none", err)
	}
	if err != nil {
		return nil, infra(ctx, err)
	}
	r := &running{app: a, manager: manager.ForInstance(inst.State), inst: inst, name: o.Instance, lab: o.Lab}
	if err := r.open(ctx, o); err != nil {
		inst.Close()
		return nil, err
	}
	return r, nil
}

// recoverLab waits for a lab whose nodes were just restarted.
func recoverLab(ctx context.Context, a *cli.App, manager *provision.Manager, o *cli.OpenOptions) error {
	lab := o.Lab
	if lab == nil {
		st, err := manager.Store.Read(o.Instance)
		if err != nil {
			return err
		}
		if lab, err = st.Lab.Load(cli.Release); err != nil {
			return err
		}
	}
	m := *manager
	m.Report = func(e provision.Event) {
		if e.Kind == provision.Began {
			a.Log().Info("waiting for the lab, whose nodes were restarted", "phase", e.Phase)
		}
	}
	return m.Recover(ctx, lab, o.Instance, o.Command)
}

func (r *running) open(ctx context.Context, o *cli.OpenOptions) error {
	st := r.inst.State
	if st.Before == nil {
		return fmt.Errorf("lab instance %q is not complete; finish it with: labctl up %s", r.name, st.Lab.Source)
	}
	if len(st.Suspended) > 0 {
		return cli.InfraError{Err: fmt.Errorf("an up was interrupted before it restored the policies of instance %q; complete it with: labctl up %s",
			r.name, st.Lab.Source)}
	}
	if r.lab == nil {
		lab, err := st.Lab.Load(cli.Release)
		if err != nil {
			return err
		}
		r.lab = lab
	}
	if r.lab.Name != st.Lab.Name {
		return fmt.Errorf("instance %q belongs to lab %q, not to %q; choose another with --instance",
			r.name, st.Lab.Name, r.lab.Name)
	}
	if r.lab.Digest != st.Lab.Digest {
		r.app.Log().Warn("the lab's files have changed since the instance was created; update it with labctl up",
			"instance", r.name)
	}
	var err error
	if r.client, err = kube.Open(r.inst.Kubeconfig(), ""); err != nil {
		return cli.InfraError{Err: err}
	}
	uid, err := r.client.UID(ctx)
	if err != nil {
		return cli.InfraError{Err: err}
	}
	if uid != st.Cluster.UID {
		return cli.InfraError{Err: fmt.Errorf("the cluster at %s is not the one in which instance %q was created",
			r.client.Config.Host, r.name)}
	}
	if r.model, err = offline.New(r.lab, policy.Config{Semantics: o.Semantics}); err != nil {
		return err
	}
	if r.instance, err = r.describe(ctx); err != nil {
		return err
	}
	r.engine, err = live.Open(ctx, live.Config{
		Client: r.client, Lab: r.lab, Instance: r.instance, Model: r.model, Observe: o.Observe,
		NoHubble: o.Flags.NoHubble, Timeout: o.Flags.ConnectTimeout, Log: r.app.Log(),
		RestoreHint: "labctl reset restores the lab",
	})
	if err != nil {
		return cli.InfraError{Err: err}
	}
	return nil
}

func (r *running) Name() string           { return r.name }
func (r *running) Lab() *labs.Lab         { return r.lab }
func (r *running) Engine() cli.LiveEngine { return r.engine }
func (r *running) Model() engine.Engine   { return r.model }

// describe tells the engine what it must know of the instance.
func (r *running) describe(ctx context.Context) (live.Instance, error) {
	st := r.inst.State
	deployed, err := r.manager.Deployed(r.lab, st)
	if err != nil {
		return live.Instance{}, err
	}
	owns, err := r.manager.Scope(st, r.lab)
	if err != nil {
		return live.Instance{}, err
	}
	d := live.Instance{
		Name: r.name, Scope: *owns, NamespaceLabels: st.Labels(r.lab, owns), AppImage: r.manager.Settings.AppImage,
		Externals: map[string][]string{}, Broken: map[live.Connection]string{}, Deployed: deployed,
		Prepare: r.manager.UseImages,
	}
	for i := range r.lab.Externals {
		ext := &r.lab.Externals[i]
		d.Externals[ext.Name] = st.Addresses(ctx, ext)
	}
	for _, c := range st.Baseline {
		if c.Verdict != verdict.Allowed {
			d.Broken[live.Connection{From: c.From, To: c.To, Protocol: c.Protocol}] = string(c.Verdict)
		}
	}
	return d, nil
}

// Close ends the connections and releases the instance.
func (r *running) Close() {
	if r.engine != nil {
		r.engine.Close()
	}
	if r.inst != nil {
		r.inst.Close()
	}
}

// Unlock implements cli.RunningLab.
func (r *running) Unlock() error {
	err := r.inst.Close()
	r.inst = nil
	if err != nil {
		return cli.InfraError{Err: err}
	}
	return nil
}

// Progress implements cli.RunningLab.
func (r *running) Progress() (cli.Progress, error) {
	var st *provision.State
	if r.inst != nil {
		st = r.inst.State
	} else {
		var err error
		if st, err = r.manager.Store.Read(r.name); err != nil {
			return cli.Progress{}, err
		}
	}
	p := cli.Progress{Current: st.CurrentTask(cli.TaskList(r.lab)), Begun: st.Task != "", Done: map[string]bool{}}
	for task, done := range st.Progress {
		p.Done[task] = done.Done
	}
	return p, nil
}

// Begin implements cli.RunningLab.
func (r *running) Begin(ctx context.Context, task string, state *engine.State) error {
	if err := r.engine.Begin(ctx, state); err != nil {
		return cli.LiveError(ctx, err)
	}
	r.inst.State.Task = task
	if err := r.inst.Save(); err != nil {
		return cli.InfraError{Err: err}
	}
	return nil
}

// Drops implements cli.RunningLab.
func (r *running) Drops(fn func(cli.Drop)) (cancel func()) {
	return r.engine.Drops(func(d hubble.Drop) {
		at := d.Flow.GetTime().AsTime()
		fn(cli.Drop{
			Connection: fmt.Sprint(d.Source.Addr(), d.Destination, d.Protocol), Time: at,
			Text: at.Local().Format(time.TimeOnly) + "  " + hubble.Summarize(d.Flow).String(),
		})
	})
}

// Grade implements cli.RunningLab.
func (r *running) Grade(ctx context.Context, grader *grade.Grader, sub *submission.Submission, both bool,
	opts grade.Options) (rep *grade.Report, err error) {
	defer func() {
		// Also after Ctrl-C; the second one ends the process.
		r.Close()
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, resetErr := r.manager.Reset(clean, r.lab, r.name, false)
		if resetErr != nil && r.client.WaitAPI(clean, time.Minute) == nil {
			// The API server was away for a moment, or it cannot be done at all.
			_, resetErr = r.manager.Reset(clean, r.lab, r.name, false)
		}
		if resetErr != nil {
			err = errors.Join(err,
				cli.InfraError{Err: fmt.Errorf(
					"reset the lab after grading: %w (retry with: labctl reset --instance %s)", resetErr, r.name)})
		}
	}()
	if _, err = r.resetFirst(ctx); err != nil {
		return nil, cli.LiveError(ctx, &notReady{err})
	}
	if err = r.Ready(ctx); err != nil {
		return nil, cli.LiveError(ctx, &notReady{err})
	}
	var eng engine.Engine = r.engine
	if both {
		eng = engine.Both(r.engine, r.model)
	}
	if rep, err = grader.Grade(ctx, sub, eng, opts); rep != nil {
		rep.Tampering = r.engine.Tampering()
	}
	if err == nil {
		err = r.engine.Undisturbed(ctx)
	}
	stats := r.engine.Stats()
	r.app.Log().Debug("probed", "probes", stats.Probes, "execs", stats.Execs, "bytes", stats.Bytes, "retries",
		stats.Retries,
		"apply", stats.Applied, "settle", stats.Settled, "probe", stats.Probed)
	return rep, cli.LiveError(ctx, err)
}

// notReady says that nothing was graded: the lab could not be reset, or is not what was deployed.
type notReady struct{ err error }

func (e *notReady) Error() string { return e.err.Error() }
func (e *notReady) Unwrap() error { return e.err }

// resetFirst takes away what is in the lab, so that the submission alone is graded.
func (r *running) resetFirst(ctx context.Context) (*provision.Reset, error) {
	// Reset takes the lock itself.
	if err := r.inst.Close(); err != nil {
		return nil, err
	}
	done, err := r.manager.Reset(ctx, r.lab, r.name, false)
	if err != nil {
		r.inst = nil
		return nil, err
	}
	r.inst, err = r.manager.Store.Open(ctx, r.name, "labctl grade")
	return done, err
}

// Ready implements cli.RunningLab.
func (r *running) Ready(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.engine.Canary(ctx) })
	group.Go(func() error {
		notes, err := r.engine.Integrity(ctx)
		for _, n := range notes {
			r.app.Log().Warn(n)
		}
		return err
	})
	return group.Wait()
}

// Save implements cli.RunningLab.
func (r *running) Save(rep *grade.Report, now time.Time) error {
	data, err := rep.JSON()
	if err != nil {
		return err
	}
	st := r.inst.State
	if st.Progress == nil {
		st.Progress = map[string]provision.Progress{}
	}
	for i := range rep.Tasks {
		t := &rep.Tasks[i]
		if len(rep.Selected) > 0 && !slices.Contains(rep.Selected, t.Name) {
			continue
		}
		file, err := r.inst.SaveReport(t.Name, data)
		if err != nil {
			return cli.InfraError{Err: err}
		}
		p := provision.Progress{
			Done: st.Progress[t.Name].Done, Points: t.Score.Points, Max: t.Score.Max, Graded: now, Report: file,
		}
		if !slices.ContainsFunc(t.Objectives, func(o grade.ObjectiveReport) bool {
			return o.Status != grade.Met && o.Status != grade.Hidden
		}) {
			p.Done = true
		}
		st.Progress[t.Name] = p
		if p.Done && st.Task == t.Name {
			st.Task = ""
		}
	}
	if err := r.inst.Save(); err != nil {
		return cli.InfraError{Err: err}
	}
	return nil
}
