package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// liveFlags are the flags of commands that work on a running lab.
type liveFlags struct {
	site     siteFlags
	name     string
	timeout  time.Duration
	noHubble bool
}

func (f *liveFlags) register(cmd *cobra.Command) {
	f.site.register(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "`NAME` of the running lab instance (default: the lab's, or the only one there is)")
	cmd.Flags().DurationVar(&f.timeout, "connect-timeout", 2*time.Second, "how long a probe waits for an answer before it counts as dropped")
	cmd.Flags().BoolVar(&f.noHubble, "no-hubble", false, "do not ask Hubble what was dropped: time-outs alone tell")
	_ = cmd.RegisterFlagCompletionFunc("name", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return completeInstance(nil)
	})
}

// running is a running lab that a command works on. Close it.
type running struct {
	manager  *provision.Manager
	inst     *provision.Instance // under its lock
	name     string
	lab      *labs.Lab
	client   *kube.Client
	engine   *live.Engine
	model    *offline.Engine
	instance live.Instance
}

// openRunning connects to an instance and locks it. lab is nil for the one that the instance was made from.
func (a *app) openRunning(ctx context.Context, flags *liveFlags, name, command string, lab *labs.Lab, semantics policy.Semantics, observe bool) (*running, error) {
	manager, err := a.manager(&flags.site)
	if err != nil {
		return nil, err
	}
	inst, err := manager.Store.Open(ctx, name, command)
	if errors.Is(err, provision.ErrNoInstance) {
		return nil, fmt.Errorf("%w; --offline needs none", err)
	}
	if err != nil {
		return nil, infra(ctx, err)
	}
	manager.Recall(inst.State)
	r := &running{manager: manager, inst: inst, name: name, lab: lab}
	if err := r.open(ctx, a, flags, semantics, observe); err != nil {
		inst.Close()
		return nil, err
	}
	return r, nil
}

func (r *running) open(ctx context.Context, a *app, flags *liveFlags, semantics policy.Semantics, observe bool) error {
	st := r.inst.State
	if st.Before == nil {
		return fmt.Errorf("the lab instance %q is not complete: finish it with: labctl up %s", r.name, st.Lab.Source)
	}
	if r.lab == nil {
		lab, err := st.Lab.Load(release)
		if err != nil {
			return err
		}
		r.lab = lab
	}
	if r.lab.Name != st.Lab.Name {
		return fmt.Errorf("the instance %q is of the lab %q, not of %q: --name names another", r.name, st.Lab.Name, r.lab.Name)
	}
	if r.lab.Digest != st.Lab.Digest {
		a.log().Warn("the lab's files have changed since the instance was made: labctl up brings it up to date", "instance", r.name)
	}
	var err error
	if r.client, err = kube.Open(r.inst.Kubeconfig(), ""); err != nil {
		return infraError{err}
	}
	uid, err := r.client.UID(ctx)
	if err != nil {
		return infraError{err}
	}
	if uid != st.Cluster.UID {
		return infraError{fmt.Errorf("the cluster at %s is not the one that the instance %q was made in", r.client.Config.Host, r.name)}
	}
	if r.model, err = offline.New(r.lab, policy.Config{Semantics: semantics}); err != nil {
		return err
	}
	if r.instance, err = r.describe(ctx); err != nil {
		return err
	}
	r.engine, err = live.Open(ctx, live.Config{
		Client: r.client, Lab: r.lab, Instance: r.instance, Model: r.model, Observe: observe,
		NoHubble: flags.noHubble, Timeout: flags.timeout, Log: a.log(),
	})
	if err != nil {
		return infraError{err}
	}
	return nil
}

// describe tells the engine what it must know of the instance.
func (r *running) describe(ctx context.Context) (live.Instance, error) {
	st := r.inst.State
	deployed, err := r.manager.Deployed(r.lab, r.name)
	if err != nil {
		return live.Instance{}, err
	}
	d := live.Instance{
		Name: r.name, Keep: st.Before.Policies, NamespaceLabels: st.Labels(r.lab), AppImage: r.manager.Settings.AppImage,
		Shared: st.Cluster.Provider == "existing", Externals: map[string][]string{}, Broken: map[string]string{}, Deployed: deployed, Prepare: r.manager.UseImages,
	}
	for i := range r.lab.Externals {
		ext := &r.lab.Externals[i]
		d.Externals[ext.Name] = st.Addresses(ctx, ext)
	}
	for _, c := range st.Baseline {
		if c.Verdict != labs.Allowed {
			d.Broken[c.From+" "+c.To+" "+c.Protocol] = string(c.Verdict)
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

// gradeSubmission grades a submission checkpoint by checkpoint in the cluster, and resets the lab whatever
// happens.
func (a *app) gradeSubmission(ctx context.Context, r *running, grader *grade.Grader, sub *grade.Submission, eng grade.Engine, opts grade.Options) (rep *grade.Report, err error) {
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
			err = errors.Join(err, infraError{fmt.Errorf("reset the lab after grading (labctl reset %s does it again): %w", r.name, resetErr)})
		}
	}()
	if _, err = r.resetFirst(ctx); err != nil {
		return nil, liveError(ctx, &notReady{err})
	}
	if err = a.ready(ctx, r); err != nil {
		return nil, liveError(ctx, &notReady{err})
	}
	if rep, err = grader.Grade(ctx, sub, eng, opts); rep != nil {
		rep.Tampering = r.engine.Tampering()
	}
	stats := r.engine.Stats()
	a.log().Debug("probed", "probes", stats.Probes, "execs", stats.Execs, "bytes", stats.Bytes, "retries", stats.Retries,
		"apply", stats.Applied, "settle", stats.Settled, "probe", stats.Probed)
	return rep, liveError(ctx, err)
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

// ready proves that the lab is one that can be graded: policies are enforced, and it is what was deployed.
func (a *app) ready(ctx context.Context, r *running) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.engine.Canary(ctx) })
	group.Go(func() error {
		notes, err := r.engine.Integrity(ctx)
		for _, n := range notes {
			a.log().Warn(n)
		}
		return err
	})
	return group.Wait()
}

// gradeRunning grades a running lab as the student left it.
func (a *app) gradeRunning(ctx context.Context, o *gradeOptions, args []string) (*grade.Report, error) {
	cfg, err := o.engine.config()
	if err != nil {
		return nil, err
	}
	name := o.live.name
	if name == "" {
		if name, err = instance(store(), args); err != nil {
			return nil, fmt.Errorf("%w (or name what to grade with --submission)", err)
		}
	}
	r, err := a.openRunning(ctx, &o.live, name, "labctl grade", nil, cfg.Semantics, true)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	grader, err := grade.NewGrader(r.lab)
	if err != nil {
		return nil, err
	}
	current := r.inst.State.CurrentTask(taskList(r.lab))
	opts := o.opts
	switch {
	case o.all:
	case len(opts.Tasks) == 0:
		opts.Tasks = []string{current}
	default:
		current = opts.Tasks[len(opts.Tasks)-1]
	}
	if err := a.ready(ctx, r); err != nil {
		return nil, liveError(ctx, err)
	}
	files, err := r.engine.Files(ctx)
	if err != nil {
		return nil, liveError(ctx, err)
	}
	sub, err := grader.ReadRunning(files, current, manifest.DefaultLimits())
	if err != nil {
		return nil, err
	}
	var eng grade.Engine = &moment{Engine: r.engine}
	if o.engine.chosen() == engineBoth {
		eng = grade.Both(eng, r.model)
	}
	rep, err := grader.Grade(ctx, sub, eng, opts)
	if err != nil {
		return nil, liveError(ctx, err)
	}
	rep.Tampering = r.engine.Tampering()
	return rep, r.remember(rep, a.now())
}

func taskList(lab *labs.Lab) []string {
	names := make([]string, len(lab.Tasks))
	for i := range lab.Tasks {
		names[i] = lab.Tasks[i].Name
	}
	return names
}

// remember notes in the instance's state how far the student got.
func (r *running) remember(rep *grade.Report, now time.Time) error {
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
			return infraError{err}
		}
		p := provision.Progress{Done: st.Progress[t.Name].Done, Points: t.Score.Points, Max: t.Score.Max, Graded: now, Report: file}
		if !slices.ContainsFunc(t.Objectives, func(o grade.ObjectiveReport) bool { return o.Status != grade.Met && o.Status != grade.Hidden }) {
			p.Done = true
		}
		st.Progress[t.Name] = p
		if p.Done && st.Task == t.Name {
			st.Task = ""
		}
	}
	if err := r.inst.Save(); err != nil {
		return infraError{err}
	}
	return nil
}

// liveError gives an error of grading in a cluster its exit code.
func liveError(ctx context.Context, err error) error {
	var refused *grade.Refused
	switch {
	case err == nil, errors.As(err, &refused):
		return err
	case ctx.Err() != nil:
		return context.Canceled
	}
	return infraError{err}
}
