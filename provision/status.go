package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// StatusFormat is the version of the JSON of Status.
const StatusFormat = 1

// Status is how an instance is, all of it read from the cluster. Lists are never null.
type Status struct {
	FormatVersion int             `json:"format_version"`
	Instance      string          `json:"instance"`
	Lab           string          `json:"lab"`
	Ready         bool            `json:"ready"`
	NotReady      []string        `json:"not_ready"` // why not, most basic first
	Task          *TaskStatus     `json:"task,omitempty"`
	Cluster       ClusterStatus   `json:"cluster"`
	Nodes         []NodeStatus    `json:"nodes"`
	Cilium        *cilium.Status  `json:"cilium,omitempty"`
	Hubble        *HubbleStatus   `json:"hubble,omitempty"`
	Apps          []AppStatus     `json:"apps"`
	Policies      []PolicyStatus  `json:"policies"`
	Labels        []NamespaceDiff `json:"namespace_labels"` // what was changed on the lab's namespaces
}

// TaskStatus is the task that the student is at.
type TaskStatus struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Number int    `json:"number"` // from 1
	Of     int    `json:"of"`
	Done   int    `json:"done"` // tasks of which every objective was met once
}

// ClusterStatus is what the provider says.
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

// HubbleStatus is what the relay says.
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
	Reasons   []string `json:"reasons"` // why it is not all ready
}

// PolicyStatus is a policy in force.
type PolicyStatus struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	Valid     bool      `json:"valid"` // false: the agents refuse it, and nothing of it is in force
	Reason    string    `json:"reason,omitempty"`
}

// NamespaceDiff is a label that is not as the lab deployed it. Value is empty where the label was removed.
type NamespaceDiff struct {
	Namespace string `json:"namespace"`
	Key       string `json:"key"`
	Value     string `json:"value"`
	Was       string `json:"was,omitempty"`
	Removed   bool   `json:"removed,omitempty"`
}

// PolicyResources are the kinds of policy that a cluster with Cilium may hold.
func PolicyResources() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
		{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"},
		{Group: "cilium.io", Version: "v2", Resource: "ciliumclusterwidenetworkpolicies"},
		{Group: "policy.networking.k8s.io", Version: "v1alpha2", Resource: "clusternetworkpolicies"},
	}
}

// Status reads how the instance is. A cluster that is gone or does not answer is a status, not an error.
func (m *Manager) Status(ctx context.Context, name string) (*Status, error) {
	state, err := m.Store.Read(name)
	if err != nil {
		return nil, err
	}
	st := &Status{
		FormatVersion: StatusFormat, Instance: name, Lab: state.Lab.Name, NotReady: []string{},
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
	if n, ok := provider.(Networker); ok {
		if name, _ := n.Network(); name != "" {
			lab.Cilium.Relay = false // the cluster's own Cilium has none that answers
		}
	}
	found, err := provider.Find(ctx, m.cluster(state.Cluster.Name, name, state.Lab.Name))
	if err != nil {
		return nil, err
	}
	st.Cluster.State, st.Cluster.Detail = found.State, found.Detail
	switch found.State {
	case Absent:
		st.blame("the cluster is gone: make it anew with: %s", state.upCommand())
	case Stopped:
		st.blame("the cluster is paused (%s): go on with: labctl resume %s", found.Detail, name)
	case Broken:
		st.blame("the cluster is broken (%s): make it anew with: %s", found.Detail, state.upCommand())
	}
	if found.State == Running || found.State == Broken {
		if err := m.readCluster(ctx, state, lab, st); err != nil {
			return nil, err
		}
	}
	st.Ready = len(st.NotReady) == 0
	return st, nil
}

// taskStatus says where the student is; nil in a lab without tasks.
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
func (m *Manager) readCluster(ctx context.Context, state *State, lab *labs.Lab, st *Status) error {
	kc, err := kube.Open(m.Store.Kubeconfig(state.Name), "")
	if err != nil {
		st.blame("%s: have it written anew with: %s", err, state.upCommand())
		return nil
	}
	reads := []func() error{
		func() error { return st.readNodes(ctx, kc) },
		func() error { return st.readCilium(ctx, kc) },
		func() error { return st.readApps(ctx, kc, lab) },
		func() error { return st.readPolicies(ctx, kc) },
		func() error { return st.readLabels(ctx, kc, lab) },
	}
	for _, read := range reads {
		if err := read(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			st.blame("%s", err)
			return nil // what the API server does not say it will not say a moment later
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
	for _, node := range nodes.Items {
		n := NodeStatus{Name: node.Name, Version: node.Status.NodeInfo.KubeletVersion, Reason: "no kubelet reports"}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				n.Ready, n.Reason = c.Status == corev1.ConditionTrue, ""
				if !n.Ready {
					n.Reason = strings.TrimSpace(c.Reason + ": " + c.Message)
				}
			}
		}
		if !n.Ready {
			st.blame("node %s is not ready: %s", n.Name, n.Reason)
		}
		st.Nodes = append(st.Nodes, n)
	}
	return nil
}

func (st *Status) readCilium(ctx context.Context, kc *kube.Client) error {
	var err error
	if st.Cilium, err = cilium.ReadStatus(ctx, kc); err != nil {
		return err
	}
	for _, c := range []cilium.Component{st.Cilium.Agents, st.Cilium.Operator, st.Cilium.Relay} {
		if c.Desired > 0 && !c.Healthy() || len(c.Errors) > 0 {
			st.blame("%s has %d of %d pods ready%s", c.Name, c.Ready, c.Desired, because(c.Errors))
		}
	}
	for _, agent := range st.Cilium.Nodes {
		if len(agent.Errors) > 0 {
			st.blame("the Cilium agent on %s reports %s", agent.Node, strings.Join(agent.Errors, "; "))
		}
	}
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
	// A relay that hangs is a finding, and nobody should have to wait long for it.
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

// readApps looks at the pods behind each app: what counts is what a probe would find, however they are made.
func (st *Status) readApps(ctx context.Context, kc *kube.Client, lab *labs.Lab) error {
	for _, app := range lab.Apps {
		a := AppStatus{Name: app.Name, Namespace: app.Namespace, Desired: app.Replicas, Reasons: []string{}}
		pods, err := kc.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(app.Labels).String()})
		if err != nil {
			return fmt.Errorf("read the pods of app %s: %w", app.Name, err)
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil {
				continue
			}
			if why := cilium.PodTrouble(&pod); why != "" {
				a.Reasons = append(a.Reasons, "pod "+pod.Name+": "+why)
				continue
			}
			a.Ready++
		}
		if a.Ready < a.Desired {
			st.blame("app %s has %d of %d pods ready%s", a.Name, a.Ready, a.Desired, because(a.Reasons))
		}
		st.Apps = append(st.Apps, a)
	}
	return nil
}

func (st *Status) readPolicies(ctx context.Context, kc *kube.Client) error {
	for _, resource := range PolicyResources() {
		list, err := kc.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{})
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue // the cluster does not know the kind
		}
		if err != nil {
			return fmt.Errorf("read the %s: %w", resource.Resource, err)
		}
		for i := range list.Items {
			if list.Items[i].GetNamespace() == canaryNamespace {
				continue // grading's own
			}
			policy := readPolicy(&list.Items[i])
			if !policy.Valid {
				st.blame("%s %s is refused by Cilium: %s", policy.Kind, policy.Name, policy.Reason)
			}
			st.Policies = append(st.Policies, policy)
		}
	}
	return nil
}

// readPolicy reads a policy and the agents' word on it: the condition "Valid" of a Cilium policy's status.
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

// readLabels finds what was changed on the labels of the namespaces that the lab knows.
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

// diffLabels compares a namespace's labels with what the lab deployed. Those that the system itself or a
// distribution puts there do not count.
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
