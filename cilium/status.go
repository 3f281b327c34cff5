package cilium

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// Status is how Cilium is in a cluster, as `cilium status` would put it.
type Status struct {
	Agents   Component `json:"agents"`
	Operator Component `json:"operator"`
	Relay    Component `json:"relay"`
	Nodes    []Agent   `json:"nodes"` // by name of the node
}

// Component is a workload of Cilium's.
type Component struct {
	Name    string   `json:"name"`
	Desired int      `json:"desired"`
	Ready   int      `json:"ready"`
	Updated int      `json:"updated"` // of the current generation
	Version string   `json:"version"` // the image's tag
	Errors  []string `json:"errors"`  // why it is not ready
}

// Healthy reports whether every pod that there should be is ready and of the current generation.
func (c Component) Healthy() bool {
	return c.Desired > 0 && c.Ready >= c.Desired && c.Updated >= c.Desired
}

// Agent is what the agent on a node says of itself.
type Agent struct {
	Node     string   `json:"node"`
	Pod      string   `json:"pod"`
	Version  string   `json:"version"` // the image's tag
	State    string   `json:"state"`   // Ok, Warning, Failure; "unknown" when it could not be asked
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

// ReadStatus asks the cluster and every agent. What cannot be asked is an error in the status, not of the
// call, unless the API server itself does not answer.
func ReadStatus(ctx context.Context, kc *kube.Client) (*Status, error) {
	st := &Status{
		Agents:   Component{Name: "cilium", Errors: []string{}},
		Operator: Component{Name: "cilium-operator", Errors: []string{}},
		Relay:    Component{Name: "hubble-relay", Errors: []string{}},
		Nodes:    []Agent{},
	}
	agents, err := kc.Typed.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, st.Agents.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		st.Agents.Errors = append(st.Agents.Errors, "DaemonSet kube-system/cilium is not there: Cilium is not installed")
		return st, nil
	case err != nil:
		return nil, fmt.Errorf("read the status of Cilium: %w", err)
	}
	st.Agents.Desired = int(agents.Status.DesiredNumberScheduled)
	st.Agents.Ready = int(agents.Status.NumberReady)
	st.Agents.Updated = int(agents.Status.UpdatedNumberScheduled)
	if agents.Status.ObservedGeneration < agents.Generation {
		st.Agents.Updated = 0
	}
	st.Agents.Version = imageTag(agents.Spec.Template.Spec.Containers)
	for _, component := range []*Component{&st.Operator, &st.Relay} {
		if err := readDeployment(ctx, kc, component); err != nil {
			return nil, err
		}
	}
	pods, err := kc.Typed.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=cilium"})
	if err != nil {
		return nil, fmt.Errorf("read the status of Cilium: %w", err)
	}
	var (
		asked sync.WaitGroup
		mu    sync.Mutex
	)
	for _, pod := range pods.Items {
		component := map[string]*Component{"cilium": &st.Agents, "cilium-operator": &st.Operator, "hubble-relay": &st.Relay}[nameOf(&pod)]
		if component == nil {
			continue
		}
		if why := PodTrouble(&pod); why != "" {
			component.Errors = append(component.Errors, "pod "+pod.Name+": "+why)
		}
		if component != &st.Agents {
			continue
		}
		asked.Go(func() {
			agent := askAgent(ctx, kc, &pod)
			mu.Lock()
			st.Nodes = append(st.Nodes, agent)
			mu.Unlock()
		})
	}
	asked.Wait()
	slices.SortFunc(st.Nodes, func(a, b Agent) int { return strings.Compare(a.Node, b.Node) })
	return st, nil
}

func readDeployment(ctx context.Context, kc *kube.Client, c *Component) error {
	d, err := kc.Typed.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, c.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // a relay is optional; an operator that is missing shows as none desired
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

// nameOf is the component that a pod of the chart belongs to: the label that the chart puts on all of them.
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

// PodTrouble is why a pod is not ready; empty: it is.
func PodTrouble(pod *corev1.Pod) string {
	for _, c := range append(slices.Clone(pod.Status.InitContainerStatuses), pod.Status.ContainerStatuses...) {
		if w := c.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			return strings.TrimSpace(fmt.Sprintf("container %s: %s %s", c.Name, w.Reason, w.Message))
		}
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("container %s ended with exit code %d %s", c.Name, t.ExitCode, t.Reason)
		}
	}
	for _, cond := range pod.Status.Conditions {
		if cond.Type == corev1.PodReady && cond.Status != corev1.ConditionTrue && pod.Status.Phase != corev1.PodSucceeded {
			return strings.TrimSpace("not ready: " + cond.Reason + " " + cond.Message)
		}
	}
	return ""
}

// agentStatus is the part of `cilium-dbg status -o json` that is read here; what else is in it may change.
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

// askTime is how long an agent may take to say how it is.
const askTime = 8 * time.Second

func askAgent(ctx context.Context, kc *kube.Client, pod *corev1.Pod) Agent {
	agent := Agent{Node: pod.Spec.NodeName, Pod: pod.Name, Version: imageTag(pod.Spec.Containers), State: "unknown", Errors: []string{}, Warnings: []string{}}
	if pod.Status.Phase != corev1.PodRunning {
		agent.Errors = append(agent.Errors, "the pod is "+strings.ToLower(string(pod.Status.Phase)))
		return agent
	}
	// An agent whose node is gone, or that hangs, must not keep the status from being seen.
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := kc.Exec(ctx, kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: "cilium-agent"}, nil, "cilium-dbg", "status", "-o", "json")
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
		agent.Errors = append(agent.Errors, fmt.Sprintf("cilium-dbg status gave no JSON (exit code %d): %s", out.Code, first))
		return agent
	}
	agent.read(&status)
	return agent
}

// read takes over what the agent's components say.
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
			a.Warnings = append(a.Warnings, fmt.Sprintf("controller %s failed %d times in a row: %s", control.Name, control.Status.Consecutive, control.Status.Message))
		}
	}
	slices.Sort(a.Warnings)
}
