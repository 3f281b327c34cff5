package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/labs"
)

// The canary stays in its namespace between gradings: a client, a server that a policy denies and one that a
// policy allows. So it costs one exec.
const (
	canaryClient = "grade-client"
	canaryDenied = "grade-denied"
	canaryOpen   = "grade-open"
	canaryPort   = 8080
	canaryLabel  = "labctl/canary"
)

// Canary proves that a deny drops and an allow passes, here and now. An error means that nothing can be graded.
// Where Hubble does not see the drop, time-outs alone tell from then on.
func (e *Engine) Canary(ctx context.Context) error {
	pods, err := e.plantCanary(ctx)
	if err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	from := probe.Source{Pod: execIn(pods[canaryClient])}
	from.Addr, _ = netip.ParseAddr(pods[canaryClient].Status.PodIP)
	probes := []probe.Probe{
		{Host: pods[canaryDenied].Status.PodIP, Port: canaryPort, Echo: true},
		{Host: pods[canaryOpen].Status.PodIP, Port: canaryPort, Echo: true},
	}
	var denied, open probe.Result
	// One more try for a server that has only just begun to listen.
	for range 3 {
		got, err := e.runner.Run(ctx, from, probes)
		if err != nil {
			return fmt.Errorf("canary: %w", err)
		}
		if denied, open = got[0], got[1]; denied.Verdict == labs.Dropped && open.Verdict == labs.Allowed {
			break
		}
	}
	switch {
	case denied.Verdict != labs.Dropped:
		return fmt.Errorf("canary: a connection that a policy denies is %s (%s): policies are not enforced in this cluster", denied.Verdict, denied.Detail)
	case open.Verdict != labs.Allowed:
		if clusterwide, err := e.clusterwide(ctx); err == nil && clusterwide != "" {
			e.cfg.Log.Warn("the canary cannot tell: a policy for the whole cluster may be in its way", "policy", clusterwide)
			break
		}
		return fmt.Errorf("canary: a connection that a policy allows is %s (%s): the cluster's network does not work", open.Verdict, open.Detail)
	}
	if denied.Drop == nil && e.unseen == nil {
		if e.unseen = e.drops.Complete(); e.unseen == nil {
			e.unseen = errors.New("the canary's drop was not among the flows of Hubble")
		}
		e.cfg.Log.Warn("drops cannot be seen, so time-outs alone tell what is dropped", "reason", e.unseen)
	}
	return nil
}

// clusterwide names a policy that reaches every namespace; empty: there is none.
func (e *Engine) clusterwide(ctx context.Context) (string, error) {
	policies, err := e.listPolicies(ctx)
	for i := range policies {
		if policies[i].GetNamespace() == "" && policies[i].GetKind() != "CiliumCIDRGroup" {
			return kube.Ref(&policies[i]), nil
		}
	}
	return "", err
}

// plantCanary sees to it that the canary is there and returns its pods.
func (e *Engine) plantCanary(ctx context.Context) (map[string]*corev1.Pod, error) {
	if pods := e.canaryPods(ctx); pods != nil {
		return pods, nil
	}
	client := e.cfg.Client
	ns := kube.NewObject("v1", "Namespace", "", CanaryNamespace, nil)
	// provision's canary may be going away: then the namespace has to go first.
	gone := kube.Check{Object: kube.Ref(ns), Look: func(ctx context.Context) (kube.Look, error) {
		live, err := client.Get(ctx, ns)
		return kube.Look{Ready: err == nil && (live == nil || live.GetDeletionTimestamp() == nil), Why: "it is being deleted"}, err
	}}
	if err := (kube.Waiting{Timeout: time.Minute}).Wait(ctx, gone); err != nil {
		return nil, err
	}
	objs := []*unstructured.Unstructured{ns, canaryPolicy(canaryDenied, "ingressDeny"), canaryPolicy(canaryOpen, "ingress")}
	for _, name := range []string{canaryClient, canaryDenied, canaryOpen} {
		objs = append(objs, e.canaryPod(name))
	}
	applied, err := client.ApplyAs(ctx, fieldManager, objs...)
	if err != nil {
		return nil, err
	}
	wait := kube.Waiting{Timeout: time.Minute}
	if err := wait.Wait(ctx, client.Pod(CanaryNamespace, canaryClient), client.Pod(CanaryNamespace, canaryDenied), client.Pod(CanaryNamespace, canaryOpen)); err != nil {
		return nil, err
	}
	change := cilium.Change{Policies: map[string]string{}}
	for _, obj := range applied[1:3] {
		change.Policies[string(obj.GetUID())] = kube.Ref(obj)
	}
	if err := cilium.Settle(ctx, client, change, e.cfg.Settle); err != nil {
		return nil, err
	}
	pods := e.canaryPods(ctx)
	if pods == nil {
		return nil, fmt.Errorf("its pods in namespace %s do not stay", CanaryNamespace)
	}
	return pods, nil
}

// canaryPods are the canary's pods; nil unless all of them run.
func (e *Engine) canaryPods(ctx context.Context) map[string]*corev1.Pod {
	list, err := e.cfg.Client.Typed.CoreV1().Pods(CanaryNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	pods := map[string]*corev1.Pod{}
	for i := range list.Items {
		if p := &list.Items[i]; p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && p.Labels[canaryLabel] == p.Name {
			pods[p.Name] = p
		}
	}
	if pods[canaryClient] == nil || pods[canaryDenied] == nil || pods[canaryOpen] == nil {
		return nil
	}
	return pods
}

func (e *Engine) canaryPod(name string) *unstructured.Unstructured {
	args := []any{"pause"}
	if name != canaryClient {
		args = []any{"netexec", fmt.Sprintf("--http-port=%d", canaryPort), "--udp-port=-1"}
	}
	pod := kube.NewObject("v1", "Pod", CanaryNamespace, name, map[string]any{
		"terminationGracePeriodSeconds": int64(0),
		"containers": []any{map[string]any{
			"name": name, "image": e.cfg.Instance.AppImage, "imagePullPolicy": string(corev1.PullIfNotPresent), "args": args,
		}},
	})
	pod.SetLabels(map[string]string{canaryLabel: name})
	return pod
}

// canaryPolicy lets everybody in, or nobody. An explicit deny stands above whatever else is in force.
func canaryPolicy(name, rules string) *unstructured.Unstructured {
	return kube.NewObject("cilium.io/v2", "CiliumNetworkPolicy", CanaryNamespace, name, map[string]any{
		"endpointSelector": map[string]any{"matchLabels": map[string]any{canaryLabel: name}},
		rules:              []any{map[string]any{"fromEntities": []any{"all"}}},
	})
}
