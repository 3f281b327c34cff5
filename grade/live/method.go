package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade/engine"
)

// methods chooses how probes are sent from each source: with the tools of the pod's own image; if these are
// missing, from an ephemeral container in the pod, which shares its network and identity; if the pod accepts none,
// from a helper pod with the same identity. Ephemeral containers cannot be removed, so one serves all later
// gradings; helper pods are deleted with the engine. A node is probed from by a helper pod in its network.
type methods struct {
	cfg Config

	mu      sync.Mutex
	at      map[types.UID]engine.ProbeMethod // of sources whose image lacks tools
	helpers map[types.UID]*corev1.Pod        // by the UID of the pod that they replace
	waiting map[types.UID]*sync.Mutex        // serializes creating a pod's helper
	minimum engine.ProbeMethod               // the first method that may be used
}

const (
	ephemeralName = "labctl-probe"
	helperLabel   = "labctl/helper"
)

func newMethods(cfg Config) *methods {
	return &methods{
		cfg: cfg, at: map[types.UID]engine.ProbeMethod{}, helpers: map[types.UID]*corev1.Pod{},
		waiting: map[types.UID]*sync.Mutex{}, minimum: engine.OwnImage,
	}
}

// methodOf returns the method for a source.
func (l *methods) methodOf(from source) engine.ProbeMethod {
	if from.pod == nil {
		return engine.NodeHelper
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.at[from.pod.UID], l.minimum)
}

// requireTrusted sets whether the pods' own tools cannot be trusted, so that others must be used.
func (l *methods) requireTrusted(pods bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.minimum = engine.OwnImage; pods {
		l.minimum = engine.EphemeralContainer
	}
}

// fallBack switches a source from a method to the next one, unless another goroutine already has. It returns false
// if there is no next one.
func (l *methods) fallBack(from source, method engine.ProbeMethod, why error) bool {
	next, ok := map[engine.ProbeMethod]engine.ProbeMethod{
		engine.OwnImage: engine.EphemeralContainer, engine.EphemeralContainer: engine.HelperPod,
	}[method]
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cmp.Or(l.at[from.pod.UID], l.minimum) == method {
		l.at[from.pod.UID] = next
		l.cfg.Log.Info("the pod has no tools to probe with", "pod", from.String(), "instead", next, "reason", why)
	}
	return true
}

// target returns the container to run a source's probes in.
func (l *methods) target(ctx context.Context, from source, method engine.ProbeMethod) (probe.Source, error) {
	switch method {
	case engine.NodeHelper:
		return l.nodeHelper(ctx, from.node)
	case engine.HelperPod:
		if from.pod.Spec.HostNetwork {
			return l.nodeHelper(ctx, from.pod.Spec.NodeName)
		}
		return l.helper(ctx, from.pod)
	case engine.EphemeralContainer:
		s := sourceIn(from.pod)
		s.Pod.Container = ephemeralName
		return s, l.ephemeral(ctx, from.pod)
	}
	return sourceIn(from.pod), nil
}

// sourceIn is a pod's first container as a source. In the network of its node the pod has several addresses.
func sourceIn(pod *corev1.Pod) probe.Source {
	if pod.Spec.HostNetwork {
		return probe.Source{Pod: execIn(pod), Node: true}
	}
	return probe.Source{Pod: execIn(pod), Addr: addressOf(pod)}
}

func addressOf(pod *corev1.Pod) netip.Addr {
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// ephemeral ensures that a container with the demo image's tools runs in the pod.
func (l *methods) ephemeral(ctx context.Context, pod *corev1.Pod) error {
	api := l.cfg.Client.Typed.CoreV1().Pods(pod.Namespace)
	live, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find the ephemeral container of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	there := false
	for _, c := range live.Spec.EphemeralContainers {
		there = there || c.Name == ephemeralName
	}
	if !there {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []any{map[string]any{
			"name": ephemeralName, "image": l.cfg.Instance.AppImage, "imagePullPolicy": string(corev1.PullIfNotPresent),
			"args": []string{"pause"},
		}}}})
		if err != nil {
			return err
		}
		if _, err := api.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch,
			metav1.PatchOptions{FieldManager: fieldManager}, "ephemeralcontainers"); err != nil {
			return fmt.Errorf("add an ephemeral container to pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	running := kube.Check{Object: "ephemeral container of pod " + pod.Namespace + "/" + pod.Name,
		Observe: func(ctx context.Context) (kube.Status, error) {
			live, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
			if err != nil {
				return kube.Status{}, err
			}
			look := kube.Status{Why: "it has not started"}
			for _, c := range live.Status.EphemeralContainerStatuses {
				switch {
				case c.Name != ephemeralName:
				case c.State.Running != nil:
					look = kube.Status{Ready: true}
				case c.State.Terminated != nil:
					look = kube.Status{Why: "it ended: " + c.State.Terminated.Reason, Terminal: true}
				case c.State.Waiting != nil:
					look = kube.Status{Why: c.State.Waiting.Reason + " " + c.State.Waiting.Message}
				}
			}
			return look, nil
		}}
	return kube.Waiter{Timeout: time.Minute, TerminalGrace: 5 * time.Second}.Wait(ctx, running)
}

// rejectsEphemeral reports whether an error means that a pod can never have an ephemeral container.
func rejectsEphemeral(err error) bool {
	var waited *kube.NotReadyError
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsMethodNotSupported(err) || errors.As(err, &waited)
}

// helper ensures that the pod has a helper pod with the same Cilium identity.
func (l *methods) helper(ctx context.Context, pod *corev1.Pod) (probe.Source, error) {
	l.mu.Lock()
	turn := l.waiting[pod.UID]
	if turn == nil {
		turn = new(sync.Mutex)
		l.waiting[pod.UID] = turn
	}
	l.mu.Unlock()
	turn.Lock()
	defer turn.Unlock()

	api := l.cfg.Client.Typed.CoreV1().Pods(pod.Namespace)
	l.mu.Lock()
	helper := l.helpers[pod.UID]
	l.mu.Unlock()
	if helper != nil {
		live, err := api.Get(ctx, helper.Name, metav1.GetOptions{})
		switch {
		case err == nil && live.DeletionTimestamp == nil && live.Status.Phase == corev1.PodRunning &&
			live.Status.PodIP == helper.Status.PodIP:
			return sourceIn(helper), nil
		case err != nil && !apierrors.IsNotFound(err):
			return probe.Source{}, fmt.Errorf("find the helper pod of %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	fail := func(err error) (probe.Source, error) {
		return probe.Source{}, fmt.Errorf("probe from a helper pod of %s/%s, which accepts no ephemeral container: %w",
			pod.Namespace, pod.Name, err)
	}
	if err := l.checkServices(ctx, pod); err != nil {
		return fail(err)
	}
	made, err := api.Create(ctx, probe.NewHelper(pod, l.cfg.Instance.AppImage),
		metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return fail(err)
	}
	l.mu.Lock()
	l.helpers[pod.UID] = made
	l.mu.Unlock()
	if made, err = l.started(ctx, made); err != nil {
		return fail(err)
	}
	if err := cilium.SameIdentity(ctx, l.cfg.Client, pod.Status.PodIP, made.Status.PodIP, l.cfg.Settle); err != nil {
		return fail(err)
	}
	l.mu.Lock()
	l.helpers[pod.UID] = made
	l.mu.Unlock()
	return sourceIn(made), nil
}

// checkServices returns an error if a service would send the app's traffic to a helper of the pod, because it
// includes pods that are not ready.
func (l *methods) checkServices(ctx context.Context, pod *corev1.Pod) error {
	services, err := l.cfg.Client.Typed.CoreV1().Services(pod.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range services.Items {
		s := &services.Items[i]
		if s.Spec.PublishNotReadyAddresses && len(s.Spec.Selector) > 0 &&
			labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			return fmt.Errorf("service %s/%s sends traffic to pods that are not ready (publishNotReadyAddresses), so it would also reach the helper pod", s.Namespace, s.Name)
		}
	}
	return nil
}

// started waits until the helper runs and has an address. It never becomes ready.
func (l *methods) started(ctx context.Context, helper *corev1.Pod) (*corev1.Pod, error) {
	running := helper
	check := kube.Check{Object: "Pod " + helper.Namespace + "/" + helper.Name,
		Observe: func(ctx context.Context) (kube.Status, error) {
			live, err := l.cfg.Client.Typed.CoreV1().Pods(helper.Namespace).Get(ctx, helper.Name, metav1.GetOptions{})
			if err != nil {
				return kube.Status{}, err
			}
			running = live
			look := kube.Status{Why: "it has not started", Terminal: live.Status.Phase == corev1.PodFailed}
			if look.Terminal {
				look.Why = live.Status.Reason + " " + live.Status.Message
			}
			for _, c := range live.Status.ContainerStatuses {
				if w := c.State.Waiting; w != nil {
					look.Why = w.Reason + " " + w.Message
				}
				look.Ready = c.State.Running != nil && live.Status.PodIP != ""
			}
			return look, nil
		}}
	return running, kube.Waiter{Timeout: time.Minute, TerminalGrace: time.Second}.Wait(ctx, check)
}

// own returns the UIDs of the helpers that this engine created.
func (l *methods) own() map[types.UID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := map[types.UID]bool{}
	for _, pod := range l.helpers {
		own[pod.UID] = true
	}
	return own
}

// deleteHelpers deletes the helpers.
func (l *methods) deleteHelpers(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for uid, pod := range l.helpers {
		now := int64(0)
		err := l.cfg.Client.Typed.CoreV1().Pods(pod.Namespace).
			Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete helper pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		delete(l.helpers, uid)
	}
	return nil
}

// nodeHelper ensures a pod in a node's own network, whose connections come from the node. It is deleted with the
// canary.
func (l *methods) nodeHelper(ctx context.Context, node string) (probe.Source, error) {
	name := "grade-node-" + node
	namespace := l.cfg.Instance.Scope.Canary
	pods := l.cfg.Client.Typed.CoreV1().Pods(namespace)
	pod, err := pods.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && pod.Status.Phase != corev1.PodRunning {
		obj := kube.NewObject("v1", "Pod", namespace, name, map[string]any{
			"nodeName": node, "hostNetwork": true, "terminationGracePeriodSeconds": int64(0),
			"tolerations": []any{map[string]any{"operator": "Exists"}},
			"containers": []any{map[string]any{
				"name": "probe", "image": l.cfg.Instance.AppImage, "imagePullPolicy": string(corev1.PullIfNotPresent),
				"args": []any{"pause"},
			}},
		})
		obj.SetLabels(map[string]string{helperLabel: "node"})
		if _, err := l.cfg.canary().Ensure(ctx, obj); err != nil {
			return probe.Source{}, err
		}
		pod, err = pods.Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return probe.Source{}, fmt.Errorf("find the helper pod on node %s: %w", node, err)
	}
	return probe.Source{Pod: execIn(pod), Node: true}, nil
}
