package kube_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ktesting "k8s.io/client-go/testing"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 3}
}

// pod is a pod of the workload, with a status.
func pod(name string, edit func(*corev1.PodStatus)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: selector.MatchLabels}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	edit(&p.Status)
	return p
}

func ready(s *corev1.PodStatus) {
	s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

// waiting is a container that waits for a reason, after it ended with a message.
func waiting(reason, message, last string) func(*corev1.PodStatus) {
	return func(s *corev1.PodStatus) {
		c := corev1.ContainerStatus{Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
		if last != "" {
			c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 7, Message: last}
		}
		s.ContainerStatuses = []corev1.ContainerStatus{c}
	}
}

// TestChecks: what becomes ready, and what is said of what is not.
func TestChecks(t *testing.T) {
	t.Parallel()
	two, none := int32(2), int32(0)
	deployment := func(replicas *int32, s appsv1.DeploymentStatus) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Replicas: replicas, Selector: selector}, Status: s}
	}
	rolledOut := appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: 2, Replicas: 2, AvailableReplicas: 2}
	type objects = []runtime.Object
	for _, tc := range []struct {
		name     string
		objects  objects
		check    func(*kube.Client) kube.Check
		why      string // empty: ready
		hopeless bool
	}{
		{"a deployment", objects{deployment(&two, rolledOut)}, nil, "", false},
		{"a deployment that does not exist", nil, nil, "does not exist", false},
		{"a deployment scaled to 0", objects{deployment(&none, appsv1.DeploymentStatus{})}, nil, "scaled to 0", false},
		{"an old generation", objects{deployment(&two, appsv1.DeploymentStatus{ObservedGeneration: 2, UpdatedReplicas: 2, Replicas: 2, AvailableReplicas: 2})}, nil, "2 of 2 pods are available", false},
		{"an old pod is left", objects{deployment(&two, appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: 2, Replicas: 3, AvailableReplicas: 2})}, nil, "2 of 2 pods are available", false},
		{
			"the worst pod is named",
			objects{
				deployment(&two, appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: 2, Replicas: 2, AvailableReplicas: 1}),
				pod("a", ready), pod("b", func(s *corev1.PodStatus) { s.Phase = corev1.PodPending }),
				pod("c", waiting("CrashLoopBackOff", "back-off 5m0s", "starting\nout of order")),
			}, nil, "1 of 2 pods are available; pod c: container web: CrashLoopBackOff: ended with exit code 7: out of order", true,
		},
		{
			"an image that cannot be pulled", objects{deployment(&two, appsv1.DeploymentStatus{}), pod("a", waiting("ErrImagePull", "rpc error\nnot found: web:9", ""))},
			nil, "0 of 2 pods are available; pod a: container web: ErrImagePull: not found: web:9", true,
		},
		{
			"containers are being created", objects{deployment(&two, appsv1.DeploymentStatus{}), pod("a", func(s *corev1.PodStatus) {
				waiting("ContainerCreating", "", "")(s)
				s.Phase = corev1.PodPending
			})}, nil, "0 of 2 pods are available; pod a: pending", false,
		},
		{
			"a pod that cannot be scheduled", objects{deployment(&two, appsv1.DeploymentStatus{}), pod("a", func(s *corev1.PodStatus) {
				s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
			})}, nil, "0 of 2 pods are available; pod a: 0/1 nodes are available", false,
		},
		{
			"a daemon set", objects{&appsv1.DaemonSet{ObjectMeta: meta("web"), Spec: appsv1.DaemonSetSpec{Selector: selector}, Status: appsv1.DaemonSetStatus{ObservedGeneration: 3, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}}},
			func(c *kube.Client) kube.Check { return c.DaemonSet("default", "web") }, "", false,
		},
		{
			"a daemon set without nodes", objects{&appsv1.DaemonSet{ObjectMeta: meta("web"), Spec: appsv1.DaemonSetSpec{Selector: selector}, Status: appsv1.DaemonSetStatus{ObservedGeneration: 3}}},
			func(c *kube.Client) kube.Check { return c.DaemonSet("default", "web") }, "0 of 0 pods are available", false,
		},
		{
			"a stateful set", objects{&appsv1.StatefulSet{ObjectMeta: meta("web"), Spec: appsv1.StatefulSetSpec{Replicas: &two, Selector: selector}, Status: appsv1.StatefulSetStatus{ObservedGeneration: 3, UpdatedReplicas: 2, ReadyReplicas: 1}}},
			func(c *kube.Client) kube.Check { return c.StatefulSet("default", "web") }, "1 of 2 pods are ready", false,
		},
		{"a pod", objects{pod("web", ready)}, func(c *kube.Client) kube.Check { return c.Pod("default", "web") }, "", false},
		{
			"a pod that has failed", objects{pod("web", func(s *corev1.PodStatus) {
				s.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", RestartCount: 3, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "OOMKilled", Message: "killed"}}}}
			})}, func(c *kube.Client) kube.Check { return c.Pod("default", "web") }, "container web: ended with exit code 1 (OOMKilled): killed", true,
		},
		{
			"a pod whose node went down, not for the first time", objects{pod("web", func(s *corev1.PodStatus) {
				s.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", RestartCount: 3, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 255, Reason: "Unknown", Message: "gone"}}}}
			})}, func(c *kube.Client) kube.Check { return c.Pod("default", "web") }, "container web: ended with exit code 255 (Unknown): gone", false,
		},
		{
			"nodes that have not joined", objects{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}},
			func(c *kube.Client) kube.Check { return c.Nodes(2) }, "1 of 2 have joined", false,
		},
		{
			"a node without a kubelet", objects{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}},
			func(c *kube.Client) kube.Check { return c.Nodes(1) }, "n1 is not Ready: its kubelet has not reported yet", false,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, _ := kubetest.Cluster{Objects: tc.objects}.Client(t)
			if tc.check == nil {
				tc.check = func(c *kube.Client) kube.Check { return c.Deployment("default", "web") }
			}
			look := tc.check(client).Explain(t.Context())
			if look.Ready != (tc.why == "") || look.Why != tc.why || look.Terminal != tc.hopeless {
				t.Errorf("got %+v, want %q, hopeless %v", look, tc.why, tc.hopeless)
			}
		})
	}
}

func TestPodFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{"ready", pod("p", ready), ""},
		{"succeeded", pod("p", func(s *corev1.PodStatus) { s.Phase = corev1.PodSucceeded }), ""},
		{"crashes", pod("p", waiting("CrashLoopBackOff", "", "no such file")), "container web: CrashLoopBackOff: ended with exit code 7: no such file"},
		{"starting", pod("p", waiting("PodInitializing", "", "")), "not ready: running"},
		{"no status", &corev1.Pod{}, "not ready: not started"},
		{"not ready", pod("p", func(s *corev1.PodStatus) {
			s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: "web"}}
		}), "not ready: ContainersNotReady web"},
	} {
		if got := kube.PodFailure(tc.pod); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestWaitForAPIThatHangs: a request that gets no answer ends, and says so; the wait ends too.
func TestWaitForAPIThatHangs(t *testing.T) {
	t.Parallel()
	client, fake := kubetest.Cluster{}.Client(t)
	hang := kube.Check{Object: "Deployment default/web", Observe: func(ctx context.Context) (kube.Status, error) {
		<-ctx.Done()
		return kube.Status{}, ctx.Err()
	}}
	start := time.Now()
	err := kube.Waiter{Timeout: time.Millisecond}.Wait(t.Context(), hang)
	if err == nil || !strings.Contains(err.Error(), "Deployment default/web: no answer within 2s") || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	// An error of the API server is a reason to go on waiting.
	fake.PrependReactor("get", "deployments", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("etcd is away") })
	err = kube.Waiter{Timeout: time.Millisecond}.Wait(t.Context(), client.Deployment("default", "web"))
	if err == nil || !strings.Contains(err.Error(), "Deployment default/web: etcd is away") {
		t.Errorf("the error is %v", err)
	}
}

// TestRequestsEnd: a request that an API server does not answer ends; watches and logs that are followed go on.
func TestRequestsEnd(t *testing.T) {
	t.Parallel()
	paths := map[string]bool{
		"/api/v1/pods": true, "/api/v1/pods?watch=true": false, "/api/v1/namespaces/a/pods/b/log?follow=true": false,
		"/api/v1/namespaces/a/pods/b/exec": false, "/api/v1/namespaces/a/pods/b/portforward?ports=1": false, "/api/v1/namespaces/a/pods/exec-1": true,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		late := 300 * time.Millisecond // three times the deadline
		if paths[r.URL.String()] {
			late = time.Minute
		}
		select {
		case <-r.Context().Done():
		case <-time.After(late):
			w.Write([]byte("late"))
		}
	}))
	defer server.Close()
	for path, ends := range paths {
		client := &http.Client{Transport: kube.RequestDeadline(http.DefaultTransport, 100*time.Millisecond)}
		data := make([]byte, 4)
		res, err := client.Get(server.URL + path) // on a busy machine, the deadline may pass before the headers are read
		if err == nil {
			_, err = res.Body.Read(data)
			res.Body.Close()
		}
		if ended := !strings.HasPrefix(string(data), "late"); ended != ends {
			t.Errorf("%s: ended %v, want %v (%v)", path, ended, ends, err)
		}
	}
}

// TestStreamsToHangingNodesEnd: a command in a pod whose node never answers ends, also if nothing but Ctrl-C limits it.
func TestStreamsToHangingNodesEnd(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it accepts connections and never reads
	config := &rest.Config{Host: "http://" + l.Addr().String()}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return kube.RequestDeadline(next, 200*time.Millisecond)
	})
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client := &kube.Client{Config: config, Typed: typed}
	ended := make(chan error, 1)
	go func() {
		_, err := client.Exec(t.Context(), kube.Pod{Namespace: "a", Name: "b"}, nil, "true")
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("there is no error")
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}
