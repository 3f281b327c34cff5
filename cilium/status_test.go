package cilium

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

func daemonSet(name string, desired, ready int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Generation: 2},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "cilium"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "cilium-agent", Image: "quay.io/cilium/cilium:v1.20.2@sha256:0"}}}},
		},
		Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: desired, NumberReady: ready, UpdatedNumberScheduled: desired, ObservedGeneration: 2},
	}
}

func deployment(name string, desired, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: &desired, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "localhost:5000/operator"}}}}},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: ready, UpdatedReplicas: desired},
	}
}

// ciliumPod is a pod of a component; edit may make it fail.
func ciliumPod(name, component string, edit func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: map[string]string{
			"app.kubernetes.io/part-of": "cilium", "app.kubernetes.io/name": component,
		}},
		Spec:   corev1.PodSpec{NodeName: "node-of-" + name, Containers: []corev1.Container{{Name: "cilium-agent", Image: "quay.io/cilium/cilium:v1.20.2"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	if component == "cilium-agent" {
		pod.Labels["k8s-app"] = "cilium"
	}
	if edit != nil {
		edit(pod)
	}
	return pod
}

func notReady(pod *corev1.Pod) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: "containers with unready status: [cilium-agent]"}}
}

// says is an agent that prints a file of testdata, or text.
func says(t *testing.T, text string) kube.Executor {
	t.Helper()
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	return func(_ context.Context, _ kube.Pod, _ io.Reader, stdout, _ io.Writer, command ...string) (int, error) {
		if got := strings.Join(command, " "); got != "cilium-dbg status -o json" {
			return 0, errors.New("unexpected command " + got)
		}
		_, err := io.WriteString(stdout, text)
		return 0, err
	}
}

func TestReadStatus(t *testing.T) {
	t.Parallel()
	well := []runtime.Object{
		daemonSet("cilium", 2, 2), deployment("cilium-operator", 1, 1), deployment("hubble-relay", 1, 1),
		ciliumPod("cilium-a", "cilium-agent", nil), ciliumPod("cilium-b", "cilium-agent", nil),
		ciliumPod("operator", "cilium-operator", nil), ciliumPod("relay", "hubble-relay", nil), ciliumPod("envoy", "cilium-envoy", nil),
	}
	for _, tc := range []struct {
		name     string
		bundled  string
		objects  []runtime.Object
		agent    string // what it prints
		healthy  []bool // agents, operator, relay
		agents   int    // that were asked
		errors   string // of all components and agents, a line each
		warnings string
	}{
		{name: "all is well", objects: well, agent: "file:agent-ok.json", healthy: []bool{true, true, true}, agents: 2},
		{name: "not installed", healthy: []bool{false, false, false}, errors: "DaemonSet kube-system/cilium does not exist: Cilium is not installed"},
		{
			name: "an agent crashes", agent: "file:agent-ok.json", healthy: []bool{false, false, false}, agents: 1,
			objects: []runtime.Object{daemonSet("cilium", 1, 0), ciliumPod("cilium-a", "cilium-agent", func(p *corev1.Pod) {
				notReady(p)
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name: "cilium-agent", RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}},
					LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "level=fatal\ncannot mount bpffs"}},
				}}
			})},
			errors: "pod cilium-a: container cilium-agent: CrashLoopBackOff: ended with exit code 1: cannot mount bpffs",
		},
		{
			name: "a pod is pending", objects: []runtime.Object{daemonSet("cilium", 1, 0), ciliumPod("cilium-a", "cilium-agent", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}}
			})}, healthy: []bool{false, false, false}, agents: 1,
			errors: "pod cilium-a: not ready: Unschedulable 0/1 nodes are available\nthe pod is pending",
		},
		{
			name: "a failing controller is an error, as in cilium status", objects: []runtime.Object{daemonSet("cilium", 1, 1), ciliumPod("cilium-a", "cilium-agent", nil)},
			agent: "file:agent-failing.json", healthy: []bool{true, false, false}, agents: 1,
			errors:   "controller sync-to-k8s-ciliumendpoint (42) failed 7 times in a row: ciliumendpoints.cilium.io is forbidden\nkubernetes: Failure connection refused",
			warnings: "hubble: the server is starting",
		},
		{
			name: "no answer that can be read", objects: []runtime.Object{daemonSet("cilium", 1, 1), ciliumPod("cilium-a", "cilium-agent", nil)},
			agent: "Cannot get status", healthy: []bool{true, false, false}, agents: 1, errors: "cilium-dbg status printed no JSON (exit code 0): ",
		},
		{
			name: "Dataplane V2: the cluster's own", bundled: "anetd", healthy: []bool{true, false, false}, agents: 1, agent: "file:agent-failing.json",
			errors:   "controller sync-to-k8s-ciliumendpoint (42) failed 7 times in a row: ciliumendpoints.cilium.io is forbidden\nkubernetes: Failure connection refused",
			warnings: "hubble: the server is starting",
			objects: []runtime.Object{daemonSet("anetd", 2, 2), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "anetd-x", Labels: map[string]string{"k8s-app": "cilium"}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
			}},
		},
		{
			name: "Dataplane V2: a pod fails, and its agents may not be asked", bundled: "anetd", healthy: []bool{false, false, false}, agents: 1, agent: "forbidden",
			warnings: "cilium-dbg status printed no JSON (exit code 0): ",
			objects: []runtime.Object{daemonSet("anetd", 2, 1), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "anetd-x", Labels: map[string]string{"k8s-app": "cilium"}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady"}}},
			}},
			errors: "pod anetd-x: not ready: ContainersNotReady",
		},
		{name: "Dataplane V2 is gone", bundled: "anetd", healthy: []bool{false, false, false}, errors: "DaemonSet kube-system/anetd does not exist: the cluster's own Cilium is gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, _ := kubetest.Cluster{Objects: tc.objects, Exec: says(t, tc.agent)}.Client(t)
			st, err := ReadStatus(t.Context(), client, tc.bundled)
			if err != nil {
				t.Fatal(err)
			}
			if got := []bool{st.Agents.Healthy(), st.Operator.Healthy(), st.Relay.Healthy()}; !slices.Equal(got, tc.healthy) {
				t.Errorf("healthy %v, want %v", got, tc.healthy)
			}
			if st.Bundled() != (tc.bundled != "") || len(st.Nodes) != tc.agents {
				t.Errorf("bundled %v, %d agents", st.Bundled(), len(st.Nodes))
			}
			errs := slices.Concat(st.Agents.Errors, st.Operator.Errors, st.Relay.Errors)
			var warnings []string
			for _, a := range st.Nodes {
				errs, warnings = append(errs, a.Errors...), append(warnings, a.Warnings...)
			}
			if got := strings.Join(errs, "\n"); got != tc.errors {
				t.Errorf("errors:\n%s\nwant:\n%s", got, tc.errors)
			}
			if got := strings.Join(warnings, "\n"); got != tc.warnings {
				t.Errorf("warnings:\n%s\nwant:\n%s", got, tc.warnings)
			}
		})
	}
}

// TestReadStatusOfPods counts the pods that Cilium manages, and names those that it does not and whose endpoints are
// not ready.
func TestReadStatusOfPods(t *testing.T) {
	t.Parallel()
	pod := func(name, ip string, phase corev1.PodPhase, host bool) runtime.Object {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.PodSpec{HostNetwork: host}, Status: corev1.PodStatus{Phase: phase, PodIP: ip},
		}
	}
	endpoint := func(name, state string) runtime.Object {
		e := kube.NewObject("cilium.io/v2", "CiliumEndpoint", "default", name, nil)
		e.Object["status"] = map[string]any{"state": state}
		return e
	}
	client, _ := kubetest.Cluster{Exec: says(t, "file:agent-ok.json"), Objects: []runtime.Object{
		daemonSet("cilium", 1, 1), deployment("cilium-operator", 1, 1), daemonSet("cilium-envoy", 2, 1), deployment("clustermesh-apiserver", 1, 1),
		ciliumPod("cilium-a", "cilium-agent", func(p *corev1.Pod) { p.Spec.HostNetwork = true }), ciliumPod("envoy-a", "cilium-envoy", notReady),
		pod("web", "10.0.0.1", corev1.PodRunning, false), endpoint("web", "ready"),
		pod("slow", "10.0.0.2", corev1.PodRunning, false), endpoint("slow", "regenerating"),
		pod("older", "10.0.0.3", corev1.PodRunning, false),
		pod("done", "10.0.0.4", corev1.PodSucceeded, false), pod("pending", "", corev1.PodPending, false), pod("host", "172.18.0.2", corev1.PodRunning, true),
	}}.Client(t)
	st, err := ReadStatus(t.Context(), client, "")
	if err != nil {
		t.Fatal(err)
	}
	if st.Pods == nil || st.Pods.All != 3 || st.Pods.Managed != 2 {
		t.Errorf("pods: %+v", st.Pods)
	}
	want := "1 pod is not managed by Cilium, so no policy applies: default/older\n1 endpoint is not ready: default/slow: regenerating"
	if got := strings.Join(st.Warnings(), "\n"); got != want {
		t.Errorf("warnings:\n%s\nwant:\n%s", got, want)
	}
	if e := st.Envoy; e.Healthy() || e.Ready != 1 || e.Desired != 2 || len(e.Errors) != 1 {
		t.Errorf("envoy: %+v", e)
	}
	if !st.ClusterMesh.Healthy() {
		t.Errorf("clustermesh: %+v", st.ClusterMesh)
	}
}

// TestReadStatusWithoutAPI: that the API server does not answer is an error of the call.
func TestReadStatusWithoutAPI(t *testing.T) {
	t.Parallel()
	client, fake := kubetest.Cluster{}.Client(t)
	fake.PrependReactor("get", "daemonsets", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	if _, err := ReadStatus(t.Context(), client, ""); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the error is %v", err)
	}
}

func TestImageTag(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"quay.io/cilium/cilium:v1.20.2@sha256:0": "v1.20.2", "localhost:5000/cilium": "", "cilium": "", "cilium:1": "1", "localhost:5000/cilium:1": "1",
	} {
		if got := imageTag([]corev1.Container{{Image: image}}); got != want {
			t.Errorf("%s: got %q, want %q", image, got, want)
		}
	}
	if got := imageTag(nil); got != "" {
		t.Errorf("got %q", got)
	}
}
