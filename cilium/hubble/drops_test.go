package hubble

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

func agent(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(name), Labels: map[string]string{"k8s-app": "cilium"},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// TestDropsFollowAgain: an agent that restarts, or is replaced, is followed again, and what was probed meanwhile is known
// to be uncertain.
func TestDropsFollowAgain(t *testing.T) {
	t.Parallel()
	client, typed := kubetest.Cluster{Objects: []runtime.Object{agent("cilium-a"), agent("cilium-b")}}.Client(t)
	end := map[string]chan struct{}{"cilium-a": make(chan struct{}), "cilium-b": make(chan struct{}), "cilium-c": make(chan struct{})}
	d := newDrops()
	err := d.watch(t.Context(), client, func(ctx context.Context, pod kube.Pod) error {
		select {
		case <-ctx.Done():
		case <-end[pod.Name]:
		}
		return errors.New("the stream of " + pod.Name + " ended")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.AwaitComplete(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if err := d.CompleteSince(before); err != nil {
		t.Errorf("nothing has happened: %v", err)
	}
	again := func(what string) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for d.CompleteSince(before) == nil && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if err := d.AwaitComplete(t.Context(), 30*time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if d.CompleteSince(before) == nil {
			t.Errorf("%s: the gap is forgotten", what)
		}
		before = time.Now()
		if err := d.CompleteSince(before); err != nil {
			t.Errorf("%s: after the gap: %v", what, err)
		}
	}
	end["cilium-a"] <- struct{}{} // its container restarts
	again("a container restarts")
	if err := typed.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), namespace, "cilium-b"); err != nil {
		t.Fatal(err)
	}
	if err := typed.Tracker().Add(agent("cilium-c")); err != nil {
		t.Fatal(err)
	}
	end["cilium-b"] <- struct{}{}
	again("a pod is replaced")
}
