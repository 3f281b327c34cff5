package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// StatusFormat is the version of the JSON of Status.
const StatusFormat = 1

// Status is the status of an instance, read from the cluster. Lists are never null.
type Status struct {
	FormatVersion int             `json:"format_version"`
	Instance      string          `json:"instance"`
	Lab           string          `json:"lab"`
	Ready         bool            `json:"ready"`
	NotReady      []string        `json:"not_ready"` // why not, the most basic reason first
	Warnings      []string        `json:"warnings"`  // what may be wrong, but does not make the lab unready
	Task          *TaskStatus     `json:"task,omitempty"`
	Cluster       ClusterStatus   `json:"cluster"`
	Nodes         []NodeStatus    `json:"nodes"`
	Cilium        *cilium.Status  `json:"cilium,omitempty"`
	Hubble        *HubbleStatus   `json:"hubble,omitempty"`
	Apps          []AppStatus     `json:"apps"`
	Policies      []PolicyStatus  `json:"policies"`
	Labels        []NamespaceDiff `json:"namespace_labels"` // that were changed on the lab's namespaces
}

// TaskStatus is the student's current task.
type TaskStatus struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Number int    `json:"number"` // from 1
	Of     int    `json:"of"`
	Done   int    `json:"done"` // tasks whose objectives were all met once
}

// ClusterStatus is what the provider reports.
type ClusterStatus struct {
	Provider string     `json:"provider"`
	Name     string     `json:"name"`
	State    FoundState `json:"state"`
	Detail   string     `json:"detail,omitempty"`
}

// NodeStatus is a node of the cluster.
type NodeStatus struct {
	Name    string `json:"name"`
	Version string `json:"kubernetes"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"`
}

// HubbleStatus is what the relay reports.
type HubbleStatus struct {
	Serving     bool     `json:"serving"`
	Connected   int      `json:"connected_nodes"`
	Unavailable []string `json:"unavailable_nodes"`
	FlowsPerSec float64  `json:"flows_per_second"`
	Error       string   `json:"error,omitempty"`
}

// AppStatus is an app of the lab.
type AppStatus struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Desired   int      `json:"desired"`
	Ready     int      `json:"ready"`
	Reasons   []string `json:"reasons"` // why some pods are not ready
}

// PolicyStatus is a policy in force.
type PolicyStatus struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	Valid     bool      `json:"valid"` // false: the agents reject it, and it has no effect
	Reason    string    `json:"reason,omitempty"`
}

// NamespaceDiff is a namespace label that differs from what the lab deployed. Value is empty if the label was removed.
type NamespaceDiff struct {
	Namespace string `json:"namespace"`
	Key       string `json:"key"`
	Value     string `json:"value"`
	Was       string `json:"was,omitempty"`
	Removed   bool   `json:"removed,omitempty"`
}

// Status reads the status of an instance. A cluster that is gone or does not answer is a status, not an error.
func (m *Manager) Status(ctx context.Context, name string) (*Status, error) {
	state, err := m.Store.Read(name)
	if err != nil {
		return nil, err
	}
	st := &Status{
		FormatVersion: StatusFormat, Instance: name, Lab: state.Lab.Name, NotReady: []string{}, Warnings: []string{},
		Cluster: ClusterStatus{Provider: state.Cluster.Provider, Name: state.Cluster.Name},
		Nodes:   []NodeStatus{}, Apps: []AppStatus{}, Policies: []PolicyStatus{}, Labels: []NamespaceDiff{},
	}
	lab, err := state.Lab.Load(state.Tool)
	if err != nil {
		return nil, err
	}
	st.Task = taskStatus(state, lab)
	provider, err := m.provider(state.Cluster.block())
	if err != nil {
		return nil, err
	}
	_, bundled := bundledCNI(provider)
	if bundled != "" {
		lab.Cilium.Relay = false // the cluster's own Cilium has none that answers
	}
	found, err := provider.Find(ctx, m.cluster(state))
	if err != nil {
		return nil, err
	}
	st.Cluster.State, st.Cluster.Detail = found.State, found.Detail
	switch found.State {
	case Absent:
		st.blame("the cluster is gone; recreate it with: %s", state.upCommand())
	case Stopped:
		st.blame("the cluster is paused (%s); resume it with: labctl resume %s", found.Detail, name)
	case Broken:
		st.blame("the cluster is broken (%s); recreate it, which deletes your work in it, with: %s",
			found.Detail, state.recreateCommand())
	}
	if len(state.Suspended) > 0 {
		st.blame("an interrupted up has not restored %s of yours; it does with: %s",
			plural(len(state.Suspended), "policy"), state.upCommand())
	}
	if found.State == Running || found.State == Broken {
		s, err := m.Scope(state, lab)
		if err != nil {
			return nil, err
		}
		kc, err := kube.Open(m.Store.Kubeconfig(name), "")
		if err != nil {
			st.blame("%s; regenerate it with: %s", err, state.upCommand())
		} else if err := st.readCluster(ctx, kc, lab, s, bundled, found); err != nil {
			return nil, err
		}
	}
	st.Ready = len(st.NotReady) == 0
	return st, nil
}

// taskStatus is the student's current task; nil in a lab without tasks.
func taskStatus(state *State, lab *labs.Lab) *TaskStatus {
	var names []string
	done := 0
	for i := range lab.Tasks {
		names = append(names, lab.Tasks[i].Name)
		if state.Progress[lab.Tasks[i].Name].Done {
			done++
		}
	}
	at := slices.Index(names, state.CurrentTask(names))
	if at < 0 {
		return nil
	}
	return &TaskStatus{Name: names[at], Title: lab.Tasks[at].Title, Number: at + 1, Of: len(names), Done: done}
}

func (st *Status) blame(format string, args ...any) {
	st.NotReady = append(st.NotReady, fmt.Sprintf(format, args...))
}

// readCluster asks the API server, and through it the agents and the relay.
func (st *Status) readCluster(ctx context.Context, kc *kube.Client, lab *labs.Lab, s *scope.Scope,
	bundled string, found Found) error {
	reads := []func() error{
		func() error { return st.readNodes(ctx, kc) },
		func() error { return st.readRestart(ctx, kc, lab, s, found) },
		func() error { return st.readCilium(ctx, kc, s, bundled) },
		func() error { return st.readApps(ctx, kc, lab) },
		func() error { return st.readPolicies(ctx, kc, s) },
		func() error { return st.readLabels(ctx, kc, lab) },
	}
	for _, read := range reads {
		if err := read(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			st.blame("%s", err)
			return nil // the API server will not answer the other requests either
		}
	}
	st.readHubble(ctx, kc, lab)
	return nil
}

func (st *Status) readNodes(ctx context.Context, kc *kube.Client) error {
	nodes, err := kc.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		n := NodeStatus{Name: node.Name, Version: node.Status.NodeInfo.KubeletVersion}
		if n.Ready, n.Reason = kube.NodeReady(node); n.Ready {
			n.Reason = ""
		} else {
			st.blame("node %s is not ready: %s", n.Name, n.Reason)
		}
		st.Nodes = append(st.Nodes, n)
	}
	return nil
}

func (st *Status) readCilium(ctx context.Context, kc *kube.Client, s *scope.Scope, bundled string) error {
	var err error
	if st.Cilium, err = cilium.ReadStatus(ctx, kc, bundled); err != nil {
		return err
	}
	for _, c := range st.Cilium.Components() {
		if c.Desired > 0 && !c.Healthy() || len(c.Errors) > 0 {
			st.blame("%s has %d of %d pods ready%s", c.Name, c.Ready, c.Desired, because(c.Errors))
		}
	}
	for _, agent := range st.Cilium.Nodes {
		if len(agent.Errors) > 0 {
			st.blame("the Cilium agent on %s reports %s", agent.Node, strings.Join(agent.Errors, "; "))
		}
	}
	if pods := st.Cilium.Pods; pods != nil && !s.Exclusive {
		others := func(name string) bool {
			namespace, _, _ := strings.Cut(name, "/")
			return !slices.Contains(s.Namespaces, namespace)
		}
		pods.Unmanaged = slices.DeleteFunc(pods.Unmanaged, others)
		pods.NotReady = slices.DeleteFunc(pods.NotReady, others)
	}
	st.Warnings = append(st.Warnings, st.Cilium.Warnings()...)
	return nil
}

func because(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(reasons, "; ")
}

func (st *Status) readHubble(ctx context.Context, kc *kube.Client, lab *labs.Lab) {
	if !lab.Cilium.Relay {
		return
	}
	st.Hubble = &HubbleStatus{Unavailable: []string{}}
	// A relay that hangs must not block the status.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := func() error {
		client, err := hubble.Dial(ctx, kc)
		if err != nil {
			return err
		}
		defer client.Close()
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		st.Hubble.Connected, st.Hubble.FlowsPerSec = status.Connected, status.FlowsPerSec
		st.Hubble.Unavailable = append(st.Hubble.Unavailable, status.Missing...)
		return client.Serving(ctx, len(st.Nodes))
	}()
	if st.Hubble.Serving = err == nil; err != nil {
		st.Hubble.Error = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			st.Hubble.Error = "the Hubble relay does not answer"
		}
		st.blame("%s", st.Hubble.Error)
	}
}

// readApps counts the ready pods of each app, since probes run in pods, whatever workload creates them.
func (st *Status) readApps(ctx context.Context, kc *kube.Client, lab *labs.Lab) error {
	for _, app := range lab.Apps {
		a := AppStatus{Name: app.Name, Namespace: app.Namespace, Desired: app.Replicas, Reasons: []string{}}
		pods, err := kc.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("read the pods of app %s: %w", app.Name, err)
		}
		if a.Desired, err = desiredPods(ctx, kc, &app); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil || !app.Owns(pod.Name, pod.Labels) {
				continue
			}
			if kube.PodReady(&pod) {
				a.Ready++
			} else if why := kube.PodFailure(&pod); why != "" {
				a.Reasons = append(a.Reasons, "pod "+pod.Name+": "+why)
			}
		}
		if a.Ready < a.Desired {
			st.blame("app %s has %d of %d pods ready%s", a.Name, a.Ready, a.Desired, because(a.Reasons))
		}
		st.Apps = append(st.Apps, a)
	}
	return nil
}

// desiredPods is how many pods an app should have. That of a DaemonSet depends on the nodes.
func desiredPods(ctx context.Context, kc *kube.Client, app *labs.App) (int, error) {
	kind, name, _ := strings.Cut(app.Workload, "/")
	if kind != labs.KindDaemonSet {
		return app.Replicas, nil
	}
	set, err := kc.Typed.AppsV1().DaemonSets(app.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("read the DaemonSet of app %s: %w", app.Name, err)
	}
	if err != nil {
		return app.Replicas, nil
	}
	return max(app.Replicas, int(set.Status.DesiredNumberScheduled)), nil
}

// readPolicies looks at the policies that apply to the lab. In a cluster that others use theirs are left out.
func (st *Status) readPolicies(ctx context.Context, kc *kube.Client, s *scope.Scope) error {
	list, err := scope.Policies(ctx, kc)
	if err != nil {
		return err
	}
	for i := range list {
		p := &list[i]
		if !manifest.Isolates(p.GetKind()) || p.GetNamespace() == s.Canary {
			continue
		}
		if !s.Exclusive && !slices.Contains(s.Namespaces, p.GetNamespace()) && !s.Marked(p) && !s.Counts(p) {
			continue
		}
		policy := readPolicy(p)
		if !policy.Valid {
			st.blame("%s %s is rejected by Cilium: %s", policy.Kind, policy.Name, policy.Reason)
		}
		st.Policies = append(st.Policies, policy)
	}
	var disturbed *scope.DisturbedError
	if err := s.Undisturbed(ctx, kc, list, true); errors.As(err, &disturbed) {
		st.blame("%s", err)
	} else if err != nil {
		return err
	}
	return nil
}

// readPolicy reads a policy, and whether the agents accept it: the condition "Valid" of a Cilium policy's status.
func readPolicy(obj *unstructured.Unstructured) PolicyStatus {
	p := PolicyStatus{
		Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Created: obj.GetCreationTimestamp().UTC(), Valid: true,
	}
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		cond, ok := c.(map[string]any)
		if ok && cond["type"] == "Valid" && cond["status"] == string(metav1.ConditionFalse) {
			p.Valid = false
			p.Reason, _ = cond["message"].(string)
		}
	}
	return p
}

// readLabels finds changed labels of the lab's namespaces.
func (st *Status) readLabels(ctx context.Context, kc *kube.Client, lab *labs.Lab) error {
	want := namespaces(lab)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		ns, err := kc.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			st.blame("namespace %s is gone", name)
			continue
		}
		if err != nil {
			return fmt.Errorf("read the labels of namespace %s: %w", name, err)
		}
		st.Labels = append(st.Labels, diffLabels(name, want[name], ns.Labels)...)
	}
	return nil
}

// diffLabels compares a namespace's labels with what the lab deployed. Labels that Kubernetes or a distribution
// sets do not count.
func diffLabels(namespace string, was, is map[string]string) []NamespaceDiff {
	var diffs []NamespaceDiff
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if before, ok := was[key]; (!ok || before != is[key]) && !SystemLabel(key) {
			diffs = append(diffs, NamespaceDiff{Namespace: namespace, Key: key, Value: is[key], Was: before})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[key]; !ok {
			diffs = append(diffs, NamespaceDiff{Namespace: namespace, Key: key, Was: was[key], Removed: true})
		}
	}
	return diffs
}

// SystemLabel reports whether a label of a namespace is Kubernetes' own, and so not a student's.
func SystemLabel(key string) bool {
	prefix, _, ok := strings.Cut(key, "/")
	return ok && (prefix == "kubernetes.io" || strings.HasSuffix(prefix, ".kubernetes.io"))
}
