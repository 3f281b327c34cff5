package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

func (r *run) lookPreflight(context.Context) (Action, error) {
	return Action{Phase: phasePreflight, Kind: Create, Detail: "check this machine and the settings"}, nil
}

func (r *run) preflight(ctx context.Context, p *progress) error {
	findings := r.provider.Preflight(ctx, r.cluster)
	findings = append(findings, r.m.checkSettings()...)
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

// checkSettings looks whether the files that the settings name are there.
func (m *Manager) checkSettings() []Finding {
	var findings []Finding
	missing := func(check, path, setting string) {
		if _, err := os.Stat(path); err != nil {
			findings = append(findings, Finding{check, Failure, err.Error(), "correct the setting " + setting})
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
	return findings
}

func (r *run) lookCluster(ctx context.Context) (Action, error) {
	act := r.action(phaseCluster, "cluster "+r.cluster.Name, r.block().Settings)
	if d, ok := r.provider.(Describer); ok && act.Kind != Keep {
		act.Detail += ": " + d.Describe()
	}
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return act, err
	}
	st := r.state()
	_, begun := st.Phases[phaseCluster]
	if found.State != Absent && !begun && r.provider.Ephemeral() {
		return act, fmt.Errorf("there is a %s cluster %s already, and labctl did not make it: remove it, or give this lab another name with --name",
			r.provider.Name(), r.cluster.Name)
	}
	switch {
	case act.Kind == Create:
	case found.State == Absent:
		act.Kind, act.Detail = Redo, act.Detail+" (it is gone)"
	case act.Kind == Keep && found.State == Broken:
		act.Kind, act.Detail = Redo, act.Detail+" ("+found.Detail+")"
	// From here on Change means that the cluster stays.
	case st.Cluster.Complete && found.State == Stopped:
		act.Kind, act.Detail = Change, act.Detail+" (to be started: it is stopped)"
	case st.Cluster.Complete && found.State == Running && act.Kind == Redo:
		act.Kind = Change
	case act.Kind == Keep && !readable(r.cluster.Kubeconfig):
		act.Kind, act.Detail = Change, act.Detail+" (its kubeconfig cannot be read, and is written anew)"
	case act.Kind == Keep:
		return act, r.sameCluster(ctx)
	}
	return act, nil
}

// readable says whether a file is a kubeconfig.
func readable(kubeconfig string) bool {
	_, err := kube.Open(kubeconfig, "")
	return err == nil
}

// sameCluster makes sure that the cluster is the one that the state is about.
func (r *run) sameCluster(ctx context.Context) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, 10*time.Second); err != nil {
		return err
	}
	uid, err := client.UID(ctx)
	if err != nil {
		return err
	}
	if want := r.state().Cluster.UID; want != "" && uid != want {
		return fmt.Errorf("the cluster %s is not the one that labctl made: somebody has replaced it; take the instance down with: labctl down %s",
			r.cluster.Name, r.opts.Name)
	}
	return nil
}

func (r *run) createCluster(ctx context.Context, p *progress) error {
	timeout := r.m.clusterTimeout(r.provider)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the cluster is not there after %s (setting timeout_cluster)", timeout))
	defer cancel()
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return err
	}
	if r.state().Cluster.Complete {
		pauser, ok := r.provider.(Pauser)
		switch {
		case found.State == Running:
			return r.connect(ctx)
		case found.State == Stopped && ok:
			return r.startCluster(ctx, pauser, p)
		}
	}
	_, continues := r.provider.(Continuer)
	if found.State != Absent && r.provider.Ephemeral() && !continues {
		p.step("removing what an interrupted run left")
		if err := r.provider.Delete(ctx, r.cluster); err != nil {
			return err
		}
	}
	err = r.save((*State).forgetCluster)
	if err != nil {
		return err
	}
	if err := r.pin(ctx); err != nil {
		return err
	}
	r.created = r.provider.Ephemeral()
	var failed error
	err = r.provider.Create(ctx, r.cluster, Watch{Step: p.step, Reached: func(m Milestone) {
		switch m {
		case NodesUp:
			p.step("nodes run")
			p.signal(signalNodes)
		case APIUp:
			if failed = r.connect(ctx); failed == nil {
				p.step("the API answers")
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
	return r.save(func(st *State) { st.Cluster.Complete = true })
}

// pin keeps the settings that the user's surroundings gave, before anything is made by them.
func (r *run) pin(ctx context.Context) error {
	pinner, ok := r.provider.(Pinner)
	if !ok {
		return nil
	}
	pinned, err := pinner.Pinned(ctx)
	if err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cluster.Pinned = pinned })
}

// startCluster starts the nodes and waits until what ran on them runs again.
func (r *run) startCluster(ctx context.Context, pauser Pauser, p *progress) error {
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return err
	}
	var since time.Time // nodes that run may have been started at any time
	if found.State == Stopped {
		since = r.m.Now()
	}
	p.step("starting the nodes")
	if err := pauser.Resume(ctx, r.cluster); err != nil {
		return err
	}
	// A node that was stopped has lost its routes to the stand-ins.
	if err := r.save(func(st *State) { delete(st.Phases, phaseExternals) }); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, r.m.clusterTimeout(r.provider)); err != nil {
		return err
	}
	wait := kube.Waiting{Timeout: r.m.Settings.Timeouts.Cilium, Progress: p.step}
	return wait.Wait(ctx, client.Restarted(since, r.ours))
}

// ours says whether a pod is of the lab's apps or the system's, rather than the student's.
func (r *run) ours(pod *corev1.Pod) bool {
	return pod.Namespace == metav1.NamespaceSystem || slices.ContainsFunc(r.lab.Apps, func(app labs.App) bool {
		return app.Namespace == pod.Namespace && labels.SelectorFromSet(app.PodLabels()).Matches(labels.Set(pod.Labels))
	})
}

// connect writes the instance's kubeconfig and notes which cluster it leads to.
func (r *run) connect(ctx context.Context) error {
	data, err := r.provider.Kubeconfig(ctx, r.cluster)
	if err != nil {
		return err
	}
	if err := writeAtomic(r.cluster.Kubeconfig, data, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, r.m.clusterTimeout(r.provider)); err != nil {
		return err
	}
	uid, err := client.UID(ctx)
	if err != nil {
		return err
	}
	if want := r.state().Cluster.UID; want != "" && want != uid {
		return fmt.Errorf("the cluster %s is not the one that labctl made", r.cluster.Name)
	}
	contextName, err := kube.CurrentContext(data)
	if err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cluster.UID, st.Cluster.Context = uid, contextName })
}

// merge adds the cluster to the user's kubeconfig file, and takes it out of the one that it was in before. It
// comes last, so that a lab that failed leaves no entry.
func (r *run) merge() error {
	if r.opts.Merge == "" {
		return nil
	}
	path, err := filepath.Abs(r.opts.Merge) // down may run elsewhere
	if err != nil {
		return err
	}
	st := r.state()
	if old := st.Cluster.Merged; old != "" && old != path {
		if err := kube.UnmergeKubeconfig(old, st.Cluster.Context); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(r.cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	if err := kube.MergeKubeconfig(path, data); err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cluster.Merged = path })
}

func (r *run) lookImages(context.Context) (Action, error) {
	if _, ok := r.provider.(ImageLoader); !ok || len(r.m.Settings.Images) == 0 {
		return Action{Phase: phaseImages, Kind: Keep, Detail: "none to load: the nodes pull what they need"}, nil
	}
	return r.action(phaseImages, plural(len(r.m.Settings.Images), "image"), r.m.Settings.Images), nil
}

func (r *run) loadImages(ctx context.Context, p *progress) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.m.Settings.Timeouts.Images,
		fmt.Errorf("the images are not loaded after %s (setting timeout_images)", r.m.Settings.Timeouts.Images))
	defer cancel()
	loader := r.provider.(ImageLoader)
	first, rest := networkFirst(r.m.Settings.Images)
	if err := loader.LoadImages(ctx, r.cluster, first, p.step); err != nil {
		return err
	}
	p.signal(signalNetworkImages)
	return loader.LoadImages(ctx, r.cluster, rest, p.step)
}

// networkFirst takes out of the images those that nodes run before they are Ready: Cilium's agent, its operator
// and Envoy, whatever registry they come from. A list without them is loaded at once.
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

// source is where the chart comes from.
func (r *run) source() cilium.Source {
	s := cilium.Source{Ref: r.m.Settings.Chart, Repo: r.m.Settings.Repo, Digest: r.m.Settings.Digest, Version: r.lab.Cilium.Version, Cache: r.m.Cache}
	if s.Ref == "" && r.lab.Cilium.Chart != "" {
		s.Ref = r.lab.Cilium.Chart
	}
	return s
}
