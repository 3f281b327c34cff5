package provision

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

func nodeOf(name string, ready corev1.ConditionStatus, message string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "v1.37.2"},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Message: message}},
		},
	}
}

func podOf(namespace, name string, labels map[string]string, phase corev1.PodPhase, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Status:     corev1.PodStatus{Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status, Reason: "ContainersNotReady"}}},
	}
}

// readyCluster is a cluster with Cilium in which the lab of statusLab is ready.
func readyCluster() []runtime.Object {
	one := int32(1)
	return []runtime.Object{
		nodeOf("n1", corev1.ConditionTrue, ""),
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium"},
			Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{}},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, NumberReady: 1, UpdatedNumberScheduled: 1},
		},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium-operator"},
			Spec:       appsv1.DeploymentSpec{Replicas: &one},
			Status:     appsv1.DeploymentStatus{ReadyReplicas: 1, UpdatedReplicas: 1},
		},
		podOf("kube-system", "cilium-x", map[string]string{"app.kubernetes.io/part-of": "cilium", "app.kubernetes.io/name": "cilium-agent"}, corev1.PodRunning, true),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{corev1.LabelMetadataName: "default"}}},
		podOf("default", "web-1", map[string]string{"app": "web"}, corev1.PodRunning, true),
		podOf("default", "plain-1", nil, corev1.PodRunning, true),
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent"},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 2},
		},
		podOf("default", "agent-1", map[string]string{"app": "agent"}, corev1.PodRunning, true),
		podOf("default", "agent-2", map[string]string{"app": "agent"}, corev1.PodRunning, true),
	}
}

func statusLab() *labs.Lab {
	lab := fakeLab("shop")
	lab.Apps = []labs.App{
		{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}, Replicas: 1},
		{Name: "plain", Namespace: "default", Replicas: 1, Workload: "Pod/plain-1"}, // whose manifest has no labels
		{Name: "agent", Namespace: "default", Labels: map[string]string{"app": "agent"}, Replicas: 1, Workload: "DaemonSet/agent"},
	}
	return lab
}

// scopeOfStatus is the scope of the lab in a cluster of labctl's.
func scopeOfStatus(t *testing.T) *scope.Scope {
	t.Helper()
	s, err := scopeOf(&State{Name: "shop"}, statusLab(), &fakeProvider{}, DefaultAppImage)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func policyOf(namespace, name, valid, message string) *unstructured.Unstructured {
	obj := kube.NewObject("cilium.io/v2", "CiliumNetworkPolicy", namespace, name, map[string]any{})
	if valid != "" {
		obj.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Valid", "status": valid, "message": message}}}
	}
	return obj
}

// TestStatusOfCluster: what makes a lab not ready, and what does not.
func TestStatusOfCluster(t *testing.T) {
	t.Parallel()
	const fine = `{"cilium": {"state": "Ok"}, "kubernetes": {"state": "Ok"}, "hubble": {"state": "Ok"}}`
	type objects = []runtime.Object
	without := func(list objects, drop string) objects {
		return slices.DeleteFunc(slices.Clone(list), func(o runtime.Object) bool {
			return o.(metav1.Object).GetName() == drop
		})
	}
	for _, tc := range []struct {
		name  string
		edit  func(objects) objects
		agent string
		want  []string // reasons; none: ready
	}{
		{name: "all is well"},
		{
			name: "policies, also of others, change nothing",
			edit: func(o objects) objects {
				return append(o, policyOf("default", "mine", "True", ""), policyOf(scope.CanaryNamespace(true, ""), "canary", "False", "x"),
					&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "np"}})
			},
		},
		{
			name: "a policy that the agents reject",
			edit: func(o objects) objects { return append(o, policyOf("default", "bad", "False", "invalid port")) },
			want: []string{"CiliumNetworkPolicy bad is rejected by Cilium: invalid port"},
		},
		{
			name: "a node is not ready",
			edit: func(o objects) objects {
				return append(o, nodeOf("n2", corev1.ConditionUnknown, "Kubelet stopped posting node status."))
			},
			want: []string{"node n2 is not ready: Kubelet stopped posting node status."},
		},
		{
			name: "an app has no pod",
			edit: func(o objects) objects { return without(o, "web-1") },
			want: []string{"app web has 0 of 1 pods ready"},
		},
		{
			name: "a DaemonSet lacks a pod on one of the nodes",
			edit: func(o objects) objects { return without(o, "agent-2") },
			want: []string{"app agent has 1 of 2 pods ready"},
		},
		{
			name: "an app without labels counts its own pods only",
			edit: func(o objects) objects { return without(o, "plain-1") },
			want: []string{"app plain has 0 of 1 pods ready"},
		},
		{
			name: "an app's pod is not ready, another has finished",
			edit: func(o objects) objects {
				return append(without(o, "web-1"), podOf("default", "web-2", map[string]string{"app": "web"}, corev1.PodRunning, false),
					podOf("default", "web-3", map[string]string{"app": "web"}, corev1.PodSucceeded, false))
			},
			want: []string{"app web has 0 of 1 pods ready: pod web-2: not ready: ContainersNotReady"},
		},
		{
			name: "Cilium is gone",
			edit: func(o objects) objects { return without(o, "cilium") },
			want: []string{"cilium has 0 of 0 pods ready: DaemonSet kube-system/cilium does not exist: Cilium is not installed"},
		},
		{
			name:  "an agent's controller fails",
			agent: `{"cilium": {"state": "Ok"}, "controllers": [{"name": "ipcache", "status": {"consecutive-failure-count": 3, "last-failure-msg": "no memory"}}]}`,
			want:  []string{"the Cilium agent on  reports controller ipcache failed 3 times in a row: no memory"},
		},
		{
			name:  "an agent warns: shown, and ready",
			agent: `{"cilium": {"state": "Ok"}, "kubernetes": {"state": "Warning", "msg": "slow"}}`,
		},
		{
			name: "a namespace is gone",
			edit: func(o objects) objects { return without(o, "default") },
			want: []string{"namespace default is gone"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			all := readyCluster()
			if tc.edit != nil {
				all = tc.edit(all)
			}
			agent := tc.agent
			if agent == "" {
				agent = fine
			}
			client, _ := kubetest.Cluster{Objects: all, Exec: func(_ context.Context, _ kube.Pod, _ io.Reader, stdout, _ io.Writer, _ ...string) (int, error) {
				_, err := io.WriteString(stdout, agent)
				return 0, err
			}}.Client(t)
			st := &Status{}
			if err := st.readCluster(t.Context(), client, statusLab(), scopeOfStatus(t), "", Found{}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(st.NotReady, tc.want) {
				t.Errorf("not ready:\n%s\nwant:\n%s", strings.Join(st.NotReady, "\n"), strings.Join(tc.want, "\n"))
			}
			for _, p := range st.Policies {
				if p.Namespace == scope.CanaryNamespace(true, "") {
					t.Errorf("the canary's policy is shown: %+v", p)
				}
			}
		})
	}
}

// TestStatusOfDataplaneV2: a cluster with a Cilium of its own has neither operator nor relay to wait for.
func TestStatusOfDataplaneV2(t *testing.T) {
	t.Parallel()
	objects := append(slices.DeleteFunc(readyCluster(), func(o runtime.Object) bool { return strings.HasPrefix(o.(metav1.Object).GetName(), "cilium") }),
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "anetd"},
			Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "cilium"}}},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, NumberReady: 1, UpdatedNumberScheduled: 1},
		})
	client, _ := kubetest.Cluster{Objects: objects}.Client(t)
	st := &Status{}
	if err := st.readCluster(t.Context(), client, statusLab(), scopeOfStatus(t), "anetd", Found{}); err != nil {
		t.Fatal(err)
	}
	if len(st.NotReady) > 0 || !st.Cilium.Bundled() {
		t.Errorf("not ready: %v", st.NotReady)
	}
}
