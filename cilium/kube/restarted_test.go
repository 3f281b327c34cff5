package kube_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube/kubetest"
)

// TestRestarted: a pod that the API server takes for ready does not run if its node was started later.
func TestRestarted(t *testing.T) {
	t.Parallel()
	boot := time.Date(2026, 1, 1, 12, 0, 0, 700_000_000, time.UTC)
	for _, tc := range []struct {
		name    string
		node    string
		started time.Time // of the container; the kubelet's times are in seconds
		want    bool
	}{
		{"from before", "restarted", boot.Add(-time.Minute), false},
		{"since", "restarted", boot.Add(time.Minute), true},
		{"in the same second", "restarted", boot.Truncate(time.Second), true},
		{"on another node", "other", boot.Add(-time.Minute), true},
	} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.PodSpec{NodeName: tc.node},
			Status: corev1.PodStatus{
				Phase:      corev1.PodRunning,
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{{
					State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(tc.started)}},
				}},
			},
		}
		client, _ := kubetest.Cluster{Objects: []runtime.Object{pod}}.Client(t)
		check := client.Restarted(func(node string) time.Time {
			if node == "restarted" {
				return boot
			}
			return time.Time{}
		}, func(*corev1.Pod) bool { return true })
		if look, err := check.Observe(t.Context()); err != nil || look.Ready != tc.want {
			t.Errorf("%s: %+v, %v", tc.name, look, err)
		}
	}
}

// TestRestartedOften: what ended with the node is started again, however often it has been; what has failed since is not
// waited for.
func TestRestartedOften(t *testing.T) {
	t.Parallel()
	boot := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		started  time.Time
		reason   string
		hopeless bool
	}{
		{"ended with its node", boot.Add(-time.Hour), "Error", false},
		{"nobody saw it end", time.Time{}, "Unknown", false},
		{"has failed since", boot.Add(time.Minute), "Error", true},
	} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.PodSpec{NodeName: "node"},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning,
				ContainerStatuses: []corev1.ContainerStatus{{
					Name: "web", RestartCount: 7, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
						ExitCode: 143, Reason: tc.reason, Message: "ended", StartedAt: metav1.NewTime(tc.started),
					}},
				}},
			},
		}
		client, _ := kubetest.Cluster{Objects: []runtime.Object{pod}}.Client(t)
		check := client.Restarted(func(string) time.Time { return boot }, func(*corev1.Pod) bool { return true })
		if look, err := check.Observe(t.Context()); err != nil || look.Ready || look.Terminal != tc.hopeless {
			t.Errorf("%s: %+v, %v", tc.name, look, err)
		}
	}
}
