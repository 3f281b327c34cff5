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

	"github.com/labctl/labctl/cilium/kube"
)

// Status is the status of Cilium in a cluster, as `cilium status` reports it.
type Status struct {
	Agents   Component `json:"agents"`
	Operator Component `json:"operator"`
	Relay    Component `json:"relay"`
	Nodes    []Agent   `json:"nodes"` // by name of the node
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
// Cilium is installed by its chart. A bundled one has no operator and relay in the cluster, and its agents cannot
// be asked.
func ReadStatus(ctx context.Context, kc *kube.Client, bundled string) (*Status, error) {
	st := &Status{
		Agents:   Component{Name: cmp.Or(bundled, "cilium"), Errors: []string{}},
		Operator: Component{Name: "cilium-operator", Errors: []string{}},
		Relay:    Component{Name: "hubble-relay", Errors: []string{}},
		Nodes:    []Agent{},
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
	if bundled != "" {
		return st, st.readPods(ctx, kc, metav1.FormatLabelSelector(agents.Spec.Selector), func(*corev1.Pod) *Component {
			return &st.Agents
		})
	}
	for _, component := range []*Component{&st.Operator, &st.Relay} {
		if err := readDeployment(ctx, kc, component); err != nil {
			return nil, err
		}
	}
	components := map[string]*Component{
		"cilium": &st.Agents, "cilium-operator": &st.Operator, "hubble-relay": &st.Relay,
	}
	err = st.readPods(ctx, kc, "app.kubernetes.io/part-of=cilium", func(pod *corev1.Pod) *Component {
		return components[nameOf(pod)]
	})
	return st, err
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
		if component != &st.Agents || nameOf(pod) != "cilium" {
			continue
		}
		asked.Go(func() {
			agent := askAgent(ctx, kc, pod)
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

func askAgent(ctx context.Context, kc *kube.Client, pod *corev1.Pod) Agent {
	agent := Agent{
		Node: pod.Spec.NodeName, Pod: pod.Name, Version: imageTag(pod.Spec.Containers), State: "unknown",
		Errors: []string{}, Warnings: []string{},
	}
	if pod.Status.Phase != corev1.PodRunning {
		agent.Errors = append(agent.Errors, "the pod is "+strings.ToLower(string(pod.Status.Phase)))
		return agent
	}
	// An agent whose node is gone, or that hangs, must not block the status.
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := kc.Exec(ctx, kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: "cilium-agent"}, nil,
		"cilium-dbg", "status", "-o", "json")
	if err != nil && time.Since(start) >= askTime {
		agent.Errors = append(agent.Errors, fmt.Sprintf("no answer within %s", askTime))
		return agent
	}
	if err != nil {
		agent.Errors = append(agent.Errors, err.Error())
		return agent
	}
	var status agentStatus
	if err := json.Unmarshal(out.Stdout, &status); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out.Stderr)), "\n")
		agent.Errors = append(agent.Errors, fmt.Sprintf("cilium-dbg status printed no JSON (exit code %d): %s",
			out.Code, first))
		return agent
	}
	agent.read(&status)
	return agent
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
