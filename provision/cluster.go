package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
)

func (r *run) lookPreflight(context.Context) (Action, error) {
	return Action{Phase: phasePreflight, Kind: Create, Detail: "check this machine and the settings"}, nil
}

func (r *run) preflight(ctx context.Context, p *progress) error {
	// Only labctl writes the instance's kubeconfig, and another labctl would hold the instance: a lock is left over.
	_ = os.Remove(kubeconfigLock(r.cluster.Kubeconfig))
	findings := r.provider.Preflight(ctx, r.cluster)
	findings = append(findings, r.m.checkSettings()...)
	findings = append(findings, r.checkStandIns()...)
	findings = append(findings, checkKubeconfigs(ctx, filepath.SplitList(r.opts.Merge)...)...)
	if r.provider.Local() {
		findings = append(findings, checkInotify("/proc")...)
	}
	var failures []string
	for _, f := range findings {
		text := f.Check + ": " + f.Message
		if f.Fix != "" {
			text += " — " + f.Fix
		}
		switch f.Severity {
		case Failure:
			failures = append(failures, text)
		case Warning:
			p.warnf("%s", text)
		}
	}
	if len(failures) > 0 {
		return errors.New(strings.Join(failures, "; "))
	}
	return nil
}

// checkStandIns checks that the provider has the stand-ins that the settings demand.
func (r *run) checkStandIns() []Finding {
	_, has := r.provider.(StandInProvider)
	if has || len(r.lab.Externals) == 0 || r.m.Settings.Externals != ExternalsStandIn {
		return nil
	}
	return []Finding{{
		"stand-ins", Failure, r.provider.Name() + " clusters have none for hosts outside the cluster: " + names(r.lab.Externals),
		"set the setting externals to auto or real, or use kind",
	}}
}

// checkSettings checks that the files named by the settings exist.
func (m *Manager) checkSettings() []Finding {
	var findings []Finding
	missing := func(check, path, setting string) {
		if _, err := os.Stat(path); err != nil {
			findings = append(findings, Finding{check, Failure, err.Error(), "fix the setting " + setting})
		}
	}
	if ref := m.Settings.Chart; ref != "" && !strings.HasPrefix(ref, "oci://") {
		missing(checkOfChart, ref, "cilium_chart")
	}
	for _, path := range m.Settings.Values {
		missing("Helm values", path, "cilium_values")
	}
	for _, image := range m.Settings.Images {
		if strings.HasSuffix(image, ".tar") {
			missing("image archive", image, "images")
		}
	}
	if path := m.Settings.AuthFile; path != "" {
		missing("credentials of registries", path, "registry_auth_file")
	}
	if path := m.Settings.CAFile; path != "" {
		missing("certificates of registries", path, "registry_ca_file")
	}
	return findings
}

// lookCluster returns the client of a cluster that is complete and running, and nil otherwise.
func (r *run) lookCluster(ctx context.Context) (Action, *kube.Client, error) {
	act := r.action(phaseCluster, "cluster "+r.cluster.Name, r.block().Settings)
	if d, ok := r.provider.(Describer); ok && act.Kind != Keep {
		act.Detail += ": " + d.Describe()
	}
	if p, ok := r.provider.(Priced); ok && act.Kind != Keep {
		act.Detail += "; " + p.Cost().String()
	}
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return act, nil, err
	}
	st := r.state()
	_, begun := st.Phases[phaseCluster]
	if found.Foreign || found.State != Absent && !begun && r.provider.Ephemeral() {
		return act, nil, NameError("%s cluster %s already exists and was not created by this instance; delete it, or use another name",
			r.provider.Name(), r.cluster.Name)
	}
	switch {
	case act.Kind == Create:
	case found.State == Absent:
		act.Kind, act.Detail = Redo, act.Detail+" (it is gone)"
	case r.opts.Recreate:
		if !r.provider.Ephemeral() {
			return act, nil, &UsageError{fmt.Errorf(
				"labctl did not create this cluster and does not delete it; run labctl down %s, then labctl up", r.opts.Name)}
		}
		act.Kind, act.Detail = Redo, act.Detail+" (recreated; this deletes "+r.losses(ctx)+")"
	case st.Cluster.Complete && found.State == Broken:
		return act, nil, r.brokenError(ctx, found)
	// Below, Change means that the cluster stays.
	case st.Cluster.Complete && found.State == Stopped:
		act.Kind, act.Detail = Change, act.Detail+" (stopped; to be started)"
	case st.Cluster.Complete && found.State == Running && act.Kind == Redo:
		act.Kind = Change
	case act.Kind == Keep && len(st.restarted(found)) > 0:
		act.Kind, act.Detail = Change, act.Detail+" (restarted: "+strings.Join(st.restarted(found), ", ")+")"
	case act.Kind == Keep && !readable(r.cluster.Kubeconfig):
		act.Kind, act.Detail = Change, act.Detail+" (its kubeconfig cannot be read and is regenerated)"
	case act.Kind == Keep:
		client, err := r.sameCluster(ctx)
		return act, client, err
	}
	return act, nil, nil
}

// readable reports whether a file is a kubeconfig.
func readable(kubeconfig string) bool {
	_, err := kube.Open(kubeconfig, "")
	return err == nil
}

// sameCluster verifies that the cluster is the one that the state describes, and returns its client.
func (r *run) sameCluster(ctx context.Context) (*kube.Client, error) {
	client, err := r.kube()
	if err != nil {
		return nil, err
	}
	if err := client.WaitAPI(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	_, err = r.checkUID(ctx, client)
	return client, err
}

// checkUID reads the cluster's UID and fails if the state has another.
func (r *run) checkUID(ctx context.Context, client *kube.Client) (string, error) {
	uid, err := client.UID(ctx)
	if err != nil {
		return "", err
	}
	if want := r.state().Cluster.UID; want != "" && uid != want {
		return "", fmt.Errorf(
			"cluster %s was replaced and is not the one that labctl created; delete the instance with: labctl down %s",
			r.cluster.Name, r.opts.Name)
	}
	return uid, nil
}

// createCluster creates, starts or reconnects the cluster, and hands its client on.
func (r *run) createCluster(ctx context.Context, p *progress, res *results) error {
	timeout := r.m.clusterTimeout(r.provider)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("cluster not ready after %s (timeout_cluster)", timeout))
	defer cancel()
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return err
	}
	pauser, canStart := r.provider.(Pauser)
	var client *kube.Client
	st := r.state()
	switch complete := st.Cluster.Complete && !r.opts.Recreate; {
	case complete && found.State == Broken:
		return r.brokenError(ctx, found)
	case complete && found.State == Running && len(st.restarted(found)) > 0:
		client, err = r.awaitRestart(ctx, found, time.Time{}, p)
		res.client.set(client)
		return err
	case complete && found.State == Running:
		client, err = r.connect(ctx)
		res.client.set(client)
		return err
	case complete && found.State == Stopped && canStart:
		client, err = r.startCluster(ctx, pauser, p)
		res.client.set(client)
		return err
	case complete && found.State == Stopped:
		return r.brokenError(ctx, found)
	}
	return r.createNew(ctx, p, res, found)
}

// createNew creates the cluster, or resumes its creation.
func (r *run) createNew(ctx context.Context, p *progress, res *results, found Found) error {
	_, resumes := r.provider.(ResumableCreator)
	if found.State != Absent && r.provider.Ephemeral() && (!resumes || r.opts.Recreate) {
		if r.state().Cluster.Complete {
			p.warnf("the cluster is deleted, and with it %s", r.losses(ctx))
		}
		p.step("deleting the cluster that is there")
		if err := r.provider.Delete(ctx, r.cluster); err != nil {
			return err
		}
	}
	if err := r.save((*State).forgetCluster); err != nil {
		return err
	}
	if err := r.resolveSettings(ctx); err != nil {
		return err
	}
	res.created.Store(r.provider.Ephemeral())
	var failed error
	err := r.provider.Create(ctx, r.cluster, CreateProgress{Step: p.step, Milestone: func(m Milestone) {
		switch m {
		case NodesUp:
			p.step("nodes are up")
			p.signal(signalNodes)
		case APIUp:
			var client *kube.Client
			if client, failed = r.connect(ctx); failed == nil {
				res.client.set(client)
				p.step("API server is up")
				p.signal(signalAPI)
			}
		}
	}})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if found, err = r.provider.Find(ctx, r.cluster); err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cluster.Complete, st.Cluster.Started = true, found.Started })
}

// resolveSettings saves the settings that come from the user's environment, before anything is created with them.
func (r *run) resolveSettings(ctx context.Context) error {
	resolver, ok := r.provider.(SettingsResolver)
	if !ok {
		return nil
	}
	resolved, err := resolver.ResolvedSettings(ctx)
	if err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cluster.ResolvedSettings = resolved })
}

// startCluster starts the nodes and waits until their pods run again. It returns the cluster's client.
func (r *run) startCluster(ctx context.Context, pauser Pauser, p *progress) (*kube.Client, error) {
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return nil, err
	}
	if found.State == Broken {
		return nil, r.brokenError(ctx, found)
	}
	var since time.Time // running nodes may have been started at any time
	if found.State == Stopped {
		since = r.m.Now()
	}
	p.step("starting the nodes")
	if err := pauser.Resume(ctx, r.cluster, p.step); err != nil {
		return nil, err
	}
	if found, err = r.provider.Find(ctx, r.cluster); err != nil {
		return nil, err
	}
	return r.awaitRestart(ctx, found, since, p)
}

// connect writes the instance's kubeconfig, saves which cluster it leads to, and returns its client.
func (r *run) connect(ctx context.Context) (*kube.Client, error) {
	data, err := r.provider.Kubeconfig(ctx, r.cluster)
	if err != nil {
		return nil, err
	}
	if err := writePrivate(r.cluster.Kubeconfig, data); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	client, err := r.kube()
	if err != nil {
		return nil, err
	}
	if err := client.WaitAPI(ctx, r.m.clusterTimeout(r.provider)); err != nil {
		return nil, err
	}
	uid, err := r.checkUID(ctx, client)
	if err != nil {
		return nil, err
	}
	contextName, err := kube.CurrentContext(data)
	if err != nil {
		return nil, err
	}
	return client, r.save(func(st *State) { st.Cluster.UID, st.Cluster.Context = uid, contextName })
}

func (r *run) lookImages(context.Context) (Action, error) {
	if _, ok := r.provider.(ImageLoader); !ok || len(r.m.Settings.Images) == 0 {
		return Action{Phase: phaseImages, Kind: Keep, Detail: "none to load; the nodes pull what they need"}, nil
	}
	return r.action(phaseImages, plural(len(r.m.Settings.Images), "image"), r.m.Settings.Images), nil
}

func (r *run) loadImages(ctx context.Context, p *progress) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.m.Settings.Timeouts.Images,
		fmt.Errorf("images not loaded after %s (timeout_images)", r.m.Settings.Timeouts.Images))
	defer cancel()
	loader := r.provider.(ImageLoader)
	first, rest := networkFirst(r.m.Settings.Images)
	if err := loader.LoadImages(ctx, r.cluster, first, p.step); err != nil {
		return err
	}
	p.signal(signalNetworkImages)
	return loader.LoadImages(ctx, r.cluster, rest, p.step)
}

// networkFirst separates the images that nodes run before they are Ready: Cilium's agent, operator and Envoy, from any
// registry. Without any of these, all images come first.
func networkFirst(images []string) (first, rest []string) {
	for _, image := range images {
		name := repository(image)
		name = name[strings.LastIndexByte(name, '/')+1:]
		if name == "cilium" || name == "cilium-envoy" || strings.HasPrefix(name, "operator") {
			first = append(first, image)
		} else {
			rest = append(rest, image)
		}
	}
	if len(first) == 0 {
		return rest, nil
	}
	return first, rest
}

// source says where the chart comes from.
func (r *run) source() cilium.Source {
	s := cilium.Source{
		Ref: r.m.Settings.Chart, Repo: r.m.Settings.Repo, Digest: string(r.m.Settings.Digest),
		Version: r.lab.Cilium.Version, Cache: r.m.Cache, AuthFile: r.m.Settings.AuthFile, CAFile: r.m.Settings.CAFile,
	}
	if s.Ref == "" && r.lab.Cilium.Chart != "" {
		s.Ref = r.lab.Cilium.Chart
	}
	return s
}
