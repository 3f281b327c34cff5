package live

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
)

const deployedKinds = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers: [{name: agent, image: agnhost, args: [netexec], readinessProbe: {tcpSocket: {port: 9100}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: single, namespace: default, labels: {app: single}}
spec:
  containers: [{name: single, image: agnhost}]
`

func deployedEngine(t *testing.T) *Engine {
	t.Helper()
	objs, err := kube.Decode("deployed", []byte(deployedKinds))
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{}
	e.cfg.Instance.Deployed = objs
	return e
}

// TestCheckPod: a pod of a DaemonSet, and a bare Pod, are held against what the lab deployed.
func TestCheckPod(t *testing.T) {
	t.Parallel()
	e := deployedEngine(t)
	made := func(edit func(*corev1.Pod)) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent-x1", Labels: map[string]string{
			"app": "agent", "controller-revision-hash": "5f", "pod-template-generation": "1",
		}}}
		controller := true
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet", Name: "agent", Controller: &controller}}
		pod.Spec = *e.templateOf(pod, nil).Spec.DeepCopy()
		pod.Spec.NodeName = "worker"
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: "node.kubernetes.io/not-ready"})
		pod.Spec.Containers[0].ReadinessProbe.PeriodSeconds = 10
		edit(pod)
		return pod
	}
	for _, tc := range []struct {
		name string
		edit func(*corev1.Pod)
		want string
	}{
		{"as made", func(*corev1.Pod) {}, ""},
		{"relabelled", func(p *corev1.Pod) { p.Labels["tier"] = "x" }, "its labels are"},
		{"out of the node's network", func(p *corev1.Pod) { p.Spec.HostNetwork = false }, "spec.hostNetwork differs"},
		{"another probe", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe.TCPSocket.Port.IntVal = 1 }, "readinessProbe"},
		{"another command", func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sleep"} }, "command differs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pod := made(tc.edit)
			var found []string
			checkPod(pod, e.templateOf(pod, nil), func(object, format string, args ...any) {
				found = append(found, object+" "+fmt.Sprintf(format, args...))
			})
			if got := strings.Join(found, "\n"); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

// TestStrangePods: pods that pass themselves off as those of a bare Pod or a DaemonSet, or have left it.
func TestStrangePods(t *testing.T) {
	t.Parallel()
	e := deployedEngine(t)
	pod := func(name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: labels}}
	}
	if !e.impersonates(pod("evil", map[string]string{"app": "single"})) ||
		!e.impersonates(pod("evil", map[string]string{"app": "agent", "more": "yes"})) {
		t.Error("a pod with an app's labels passes for none")
	}
	if e.impersonates(pod("other", map[string]string{"app": "other"})) {
		t.Error("a pod with other labels passes for an app's")
	}
	if e.templateOf(pod("single", nil), nil) == nil {
		t.Error("a Pod is not its own template")
	}
	if !orphaned(pod("agent-x", map[string]string{"controller-revision-hash": "5f"})) || orphaned(pod("plain", nil)) {
		t.Error("a pod that left its DaemonSet is not known by its labels")
	}
}

// TestHostNetworkSource: a pod in its node's network answers with the node's name, and sends from several addresses.
func TestHostNetworkSource(t *testing.T) {
	t.Parallel()
	pod := corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true, NodeName: "worker", Containers: []corev1.Container{{Name: "a"}}}}
	pod.Status.PodIP = "172.18.0.3"
	if s := sourceIn(&pod); !s.Node || s.Addr.IsValid() {
		t.Errorf("the source is %+v", s)
	}
	if names := servers([]corev1.Pod{pod}); names != nil {
		t.Errorf("only %v may answer", names)
	}
	pod.Spec.HostNetwork = false
	if s := sourceIn(&pod); s.Node || s.Addr.String() != "172.18.0.3" {
		t.Errorf("the source is %+v", s)
	}
}
