package cilium

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/kube"
)

// Status is the status of Cilium in a cluster, as `cilium status` reports it.
type Status struct {
	Agents   Component `json:"agents"`
	Operator Component `json:"operator"`
	Relay    Component `json:"relay"`
	// Envoy and ClusterMesh have no desired pods where they are not installed. Without its own DaemonSet, Envoy runs
	// in the agents.
	Envoy       Component `json:"envoy"`
	ClusterMesh Component `json:"clustermesh"`
	Nodes       []Agent   `json:"nodes"`          // by name of the node
	Pods        *Pods     `json:"pods,omitempty"` // nil: the agents keep no CiliumEndpoints
}

// Pods are the pods of the cluster that have a network of their own.
type Pods struct {
	All       int      `json:"all"`
	Managed   int      `json:"managed"`   // by Cilium
	Unmanaged []string `json:"unmanaged"` // policies do not apply to them: "namespace/name"
	NotReady  []string `json:"not_ready"` // endpoints whose policies are not realized: "namespace/name: regenerating"
}

// Components are the workloads in the order in which they are shown.
func (s *Status) Components() []*Component {
	return []*Component{&s.Agents, &s.Operator, &s.Envoy, &s.Relay, &s.ClusterMesh}
}

// Warnings are what may be wrong, but does not stop the lab.
func (s *Status) Warnings() []string {
	var all []string
	for _, agent := range s.Nodes {
		for _, w := range agent.Warnings {
			all = append(all, fmt.Sprintf("cilium agent on %s: %s", agent.Node, w))
		}
	}
	if s.Pods == nil {
		return all
	}
	if n := len(s.Pods.Unmanaged); n > 0 {
		all = append(all, fmt.Sprintf("%s not managed by Cilium, so no policy applies: %s",
			count(n, "pod is", "pods are"), some(s.Pods.Unmanaged)))
	}
	if n := len(s.Pods.NotReady); n > 0 {
		all = append(all, fmt.Sprintf("%s not ready: %s", count(n, "endpoint is", "endpoints are"), some(s.Pods.NotReady)))
	}
	return all
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// some is the beginning of a list.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// Bundled reports whether the cluster came with its Cilium, and so has no operator and relay to check.
func (s *Status) Bundled() bool { return s.Agents.Name != "cilium" }

// Component is a workload of Cilium.
type Component struct {
	Name    string   `json:"name"`
	Desired int      `json:"desired"`
	Ready   int      `json:"ready"`
	Updated int      `json:"updated"` // of the current generation
	Version string   `json:"version"` // the image's tag
	Errors  []string `json:"errors"`  // why it is not ready
}

// Healthy reports whether all desired pods are ready and of the current generation.
func (c Component) Healthy() bool {
	return c.Desired > 0 && c.Ready >= c.Desired && c.Updated >= c.Desired
}

// Agent is what the agent on a node reports.
type Agent struct {
	Node     string   `json:"node"`
	Pod      string   `json:"pod"`
	Version  string   `json:"version"` // the image's tag
	State    string   `json:"state"`   // Ok, Warning, Failure; "unknown" if it could not be asked
	Errors   []string `json:"errors"`  // failing controllers among them, as in `cilium status`
	Warnings []string `json:"warnings"`
}

// ReadStatus reads the status of Cilium's workloads, and asks every agent. What cannot be asked is an error in the
// status. The call itself fails if the API server does not answer.
//
// bundled is the DaemonSet in kube-system of a Cilium that the cluster came with, such as GKE's anetd; empty:
// Cilium is installed by its chart. A bundled one has no operator and relay in the cluster. Whoever runs it may forbid
// to ask its agents, which is a warning.
func ReadStatus(ctx context.Context, kc *kube.Client, bundled string) (*Status, error) {
	st := &Status{
		Agents:   Component{Name: cmp.Or(bundled, "cilium"), Errors: []string{}},
		Operator: Component{Name: "cilium-operator", Errors: []string{}},
		Relay:    Component{Name: "hubble-relay", Errors: []string{}},

		Envoy:       Component{Name: "cilium-envoy", Errors: []string{}},
		ClusterMesh: Component{Name: "clustermesh-apiserver", Errors: []string{}},
		Nodes:       []Agent{},
	}
	agents, err := kc.Typed.AppsV1().DaemonSets(Namespace).Get(ctx, st.Agents.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		why := "Cilium is not installed"
		if bundled != "" {
			why = "the cluster's own Cilium is gone"
		}
		st.Agents.Errors = append(st.Agents.Errors,
			fmt.Sprintf("DaemonSet %s/%s does not exist: %s", Namespace, st.Agents.Name, why))
		return st, nil
	case err != nil:
		return nil, fmt.Errorf("read the status of Cilium: %w", err)
	}
	st.Agents.readDaemonSet(agents)
	if st.Pods, err = readManaged(ctx, kc); err != nil {
		return nil, err
	}
	if bundled != "" {
		return st, st.readPods(ctx, kc, metav1.FormatLabelSelector(agents.Spec.Selector), func(*corev1.Pod) *Component {
			return &st.Agents
		})
	}
	if err := st.readOthers(ctx, kc); err != nil {
		return nil, err
	}
	components := map[string]*Component{"cilium": &st.Agents}
	for _, c := range st.Components()[1:] {
		components[c.Name] = c
	}
	err = st.readPods(ctx, kc, "app.kubernetes.io/part-of=cilium", func(pod *corev1.Pod) *Component {
		return components[nameOf(pod)]
	})
	return st, err
}

// readOthers reads the workloads of the chart besides the agents.
func (st *Status) readOthers(ctx context.Context, kc *kube.Client) error {
	for _, component := range []*Component{&st.Operator, &st.Relay, &st.ClusterMesh} {
		if err := readDeployment(ctx, kc, component); err != nil {
			return err
		}
	}
	envoy, err := kc.Typed.AppsV1().DaemonSets(Namespace).Get(ctx, st.Envoy.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the status of %s: %w", st.Envoy.Name, err)
	}
	st.Envoy.readDaemonSet(envoy)
	return nil
}

// endpoints are the objects in which the agents report the endpoints of pods.
var endpoints = schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumendpoints"}

// readManaged compares the cluster's pods with Cilium's endpoints.
func readManaged(ctx context.Context, kc *kube.Client) (*Pods, error) {
	list, err := kc.Dynamic.Resource(endpoints).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list Cilium's endpoints: %w", err)
	}
	states := map[string]string{}
	for _, e := range list.Items {
		state, _, _ := unstructured.NestedString(e.Object, "status", "state")
		states[e.GetNamespace()+"/"+e.GetName()] = state
	}
	all, err := kc.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	pods := &Pods{Unmanaged: []string{}, NotReady: []string{}}
	for i := range all.Items {
		pod := &all.Items[i]
		// A pod that has no address yet is not in the network, and one that has ended no longer is.
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if pod.Spec.HostNetwork || ended || pod.Status.PodIP == "" {
			continue
		}
		name := pod.Namespace + "/" + pod.Name
		pods.All++
		switch state, managed := states[name]; {
		case !managed:
			pods.Unmanaged = append(pods.Unmanaged, name)
			continue
		case state != "" && state != "ready":
			pods.NotReady = append(pods.NotReady, name+": "+state)
		}
		pods.Managed++
	}
	return pods, nil
}

func (c *Component) readDaemonSet(ds *appsv1.DaemonSet) {
	c.Desired = int(ds.Status.DesiredNumberScheduled)
	c.Ready = int(ds.Status.NumberReady)
	c.Updated = int(ds.Status.UpdatedNumberScheduled)
	if ds.Status.ObservedGeneration < ds.Generation {
		c.Updated = 0
	}
	if ds.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		c.Updated = c.Desired // its owner updates the pods at a time of its own
	}
	c.Version = imageTag(ds.Spec.Template.Spec.Containers)
}

// readPods adds the failures of pods to their components, and asks the agents that the chart has installed.
func (st *Status) readPods(ctx context.Context, kc *kube.Client, selector string,
	componentOf func(*corev1.Pod) *Component) error {
	pods, err := kc.Typed.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return fmt.Errorf("read the status of Cilium: %w", err)
	}
	var (
		asked sync.WaitGroup
		mu    sync.Mutex
	)
	for i := range pods.Items {
		pod := &pods.Items[i]
		component := componentOf(pod)
		if component == nil {
			continue
		}
		if why := kube.PodFailure(pod); why != "" && pod.DeletionTimestamp == nil {
			component.Errors = append(component.Errors, "pod "+pod.Name+": "+why)
		}
		if component != &st.Agents {
			continue
		}
		asked.Go(func() {
			agent := askAgent(ctx, kc, pod, st.Bundled())
			mu.Lock()
			defer mu.Unlock()
			st.Nodes = append(st.Nodes, agent)
		})
	}
	asked.Wait()
	slices.SortFunc(st.Nodes, func(a, b Agent) int { return strings.Compare(a.Node, b.Node) })
	return nil
}

func readDeployment(ctx context.Context, kc *kube.Client, c *Component) error {
	d, err := kc.Typed.AppsV1().Deployments(Namespace).Get(ctx, c.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // the relay is optional; a missing operator has 0 desired pods
	}
	if err != nil {
		return fmt.Errorf("read the status of %s: %w", c.Name, err)
	}
	if d.Spec.Replicas != nil {
		c.Desired = int(*d.Spec.Replicas)
	}
	c.Ready, c.Updated = int(d.Status.ReadyReplicas), int(d.Status.UpdatedReplicas)
	if d.Status.ObservedGeneration < d.Generation {
		c.Updated = 0
	}
	c.Version = imageTag(d.Spec.Template.Spec.Containers)
	return nil
}

// nameOf is the component that a pod of the chart belongs to, by a label that all pods of the chart have.
func nameOf(pod *corev1.Pod) string {
	name := pod.Labels["app.kubernetes.io/name"]
	if name == "cilium-agent" {
		return "cilium"
	}
	return name
}

func imageTag(containers []corev1.Container) string {
	if len(containers) == 0 {
		return ""
	}
	image, _, _ := strings.Cut(containers[0].Image, "@")
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		return image[at+1:]
	}
	return ""
}

// agentStatus is the part of `cilium-dbg status -o json` that is read here.
type agentStatus struct {
	Cilium     component `json:"cilium"`
	Kubernetes component `json:"kubernetes"`
	Runtime    component `json:"container-runtime"`
	Hubble     component `json:"hubble"`
	CNI        component `json:"cni-file"`
	Control    []struct {
		Name   string `json:"name"`
		Status struct {
			Consecutive int    `json:"consecutive-failure-count"`
			Message     string `json:"last-failure-msg"`
		} `json:"status"`
	} `json:"controllers"`
}

type component struct {
	State string `json:"state"`
	Msg   string `json:"msg"`
}

// States of an agent's components, from Cilium's API (api/v1/models, Status).
const (
	stateOK       = "Ok"
	stateDisabled = "Disabled"
	stateWarning  = "Warning"
	stateFailure  = "Failure"
)

// askTime is how long an agent may take to report its status.
const askTime = 8 * time.Second

// askAgent asks an agent for its status. That it does not answer is an error, or a warning if it is bundled.
func askAgent(ctx context.Context, kc *kube.Client, pod *corev1.Pod, bundled bool) Agent {
	agent := Agent{
		Node: pod.Spec.NodeName, Pod: pod.Name, Version: imageTag(pod.Spec.Containers), State: "unknown",
		Errors: []string{}, Warnings: []string{},
	}
	status, why := agentAnswer(ctx, kc, pod)
	switch {
	case why == "":
		agent.read(status)
	case bundled:
		agent.Warnings = append(agent.Warnings, why)
	default:
		agent.Errors = append(agent.Errors, why)
	}
	return agent
}

// agentAnswer is the agent's status, or why there is none.
func agentAnswer(ctx context.Context, kc *kube.Client, pod *corev1.Pod) (status *agentStatus, why string) {
	if pod.Status.Phase != corev1.PodRunning {
		return nil, "the pod is " + strings.ToLower(string(pod.Status.Phase))
	}
	// An agent whose node is gone, or that hangs, must not block the status.
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := kc.Exec(ctx, kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: "cilium-agent"}, nil,
		"cilium-dbg", "status", "-o", "json")
	if err != nil && time.Since(start) >= askTime {
		return nil, fmt.Sprintf("no answer within %s", askTime)
	}
	if err != nil {
		return nil, err.Error()
	}
	status = new(agentStatus)
	if err := json.Unmarshal(out.Stdout, status); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out.Stderr)), "\n")
		return nil, fmt.Sprintf("cilium-dbg status printed no JSON (exit code %d): %s", out.Code, first)
	}
	return status, ""
}

// read adds what the agent's components report.
func (a *Agent) read(status *agentStatus) {
	a.State = status.Cilium.State
	for _, c := range []struct {
		name string
		component
	}{
		{"cilium", status.Cilium}, {"kubernetes", status.Kubernetes}, {"container runtime", status.Runtime},
		{"hubble", status.Hubble}, {"cni", status.CNI},
	} {
		switch c.State {
		case stateOK, stateDisabled, "":
		case stateWarning:
			a.Warnings = append(a.Warnings, c.name+": "+c.Msg)
		default:
			a.Errors = append(a.Errors, strings.TrimSpace(c.name+": "+c.State+" "+c.Msg))
		}
	}
	for _, control := range status.Control {
		if control.Status.Consecutive > 0 {
			a.Errors = append(a.Errors, fmt.Sprintf("controller %s failed %d times in a row: %s",
				control.Name, control.Status.Consecutive, control.Status.Message))
		}
	}
	slices.Sort(a.Errors)
	slices.Sort(a.Warnings)
}
