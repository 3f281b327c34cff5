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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade"
)

// ladder chooses what probes are sent with: what the pod's own image has; if it lacks something, an ephemeral
// container in the pod, which shares its network and so its identity. Ephemeral containers cannot be removed:
// one serves all later gradings. For a pod that takes none, a helper pod of the same identity, which goes with the
// engine. Nodes are probed from by a helper pod in their network.
type ladder struct {
	cfg Config

	mu      sync.Mutex
	at      map[types.UID]grade.Rung  // of sources whose own image lacks something
	helpers map[types.UID]*corev1.Pod // by the pod that they stand in for
	waiting map[types.UID]*sync.Mutex // one at a time makes a pod's helper
	lowest  grade.Rung                // that is climbed on at all
}

const (
	ephemeralName = "labctl-probe"
	helperLabel   = "labctl/helper"
)

func newLadder(cfg Config) *ladder {
	return &ladder{cfg: cfg, at: map[types.UID]grade.Rung{}, helpers: map[types.UID]*corev1.Pod{}, waiting: map[types.UID]*sync.Mutex{}, lowest: grade.OwnImage}
}

// rungOf is what probes are sent with from a source.
func (l *ladder) rungOf(from source) grade.Rung {
	if from.pod == nil {
		return grade.NodeHelper
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.at[from.pod.UID], l.lowest)
}

// distrust says whether pods' own tools may say what they like, so that others are to be used.
func (l *ladder) distrust(pods bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lowest = grade.OwnImage; pods {
		l.lowest = grade.EphemeralContainer
	}
}

// climb goes from a rung to the next one for a source; false: there is none. Others may have done so meanwhile.
func (l *ladder) climb(from source, rung grade.Rung, why error) bool {
	next, ok := map[grade.Rung]grade.Rung{grade.OwnImage: grade.EphemeralContainer, grade.EphemeralContainer: grade.HelperPod}[rung]
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cmp.Or(l.at[from.pod.UID], l.lowest) == rung {
		l.at[from.pod.UID] = next
		l.cfg.Log.Info("a pod cannot be probed from as it is", "pod", from.String(), "instead", next, "reason", why)
	}
	return true
}

// stand is what to exec in for a source on its rung.
func (l *ladder) stand(ctx context.Context, from source, rung grade.Rung) (probe.Source, error) {
	switch rung {
	case grade.NodeHelper:
		return l.nodeHelper(ctx, from.node)
	case grade.HelperPod:
		return l.helper(ctx, from.pod)
	case grade.EphemeralContainer:
		s := probe.Source{Pod: execIn(from.pod), Addr: addressOf(from.pod)}
		s.Pod.Container = ephemeralName
		return s, l.ephemeral(ctx, from.pod)
	}
	return probe.Source{Pod: execIn(from.pod), Addr: addressOf(from.pod)}, nil
}

func addressOf(pod *corev1.Pod) netip.Addr {
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// ephemeral sees to it that a container with the demo image's tools runs in the pod.
func (l *ladder) ephemeral(ctx context.Context, pod *corev1.Pod) error {
	api := l.cfg.Client.Typed.CoreV1().Pods(pod.Namespace)
	live, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look for the ephemeral container of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	there := false
	for _, c := range live.Spec.EphemeralContainers {
		there = there || c.Name == ephemeralName
	}
	if !there {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []any{map[string]any{
			"name": ephemeralName, "image": l.cfg.Instance.AppImage, "imagePullPolicy": string(corev1.PullIfNotPresent), "args": []string{"pause"},
		}}}})
		if err != nil {
			return err
		}
		if _, err := api.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "ephemeralcontainers"); err != nil {
			return fmt.Errorf("put an ephemeral container into pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	running := kube.Check{Object: "ephemeral container of pod " + pod.Namespace + "/" + pod.Name, Look: func(ctx context.Context) (kube.Look, error) {
		live, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return kube.Look{}, err
		}
		look := kube.Look{Why: "it has not been started"}
		for _, c := range live.Status.EphemeralContainerStatuses {
			switch {
			case c.Name != ephemeralName:
			case c.State.Running != nil:
				look = kube.Look{Ready: true}
			case c.State.Terminated != nil:
				look = kube.Look{Why: "it ended: " + c.State.Terminated.Reason, Hopeless: true}
			case c.State.Waiting != nil:
				look = kube.Look{Why: c.State.Waiting.Reason + " " + c.State.Waiting.Message}
			}
		}
		return look, nil
	}}
	return kube.Waiting{Timeout: time.Minute, Patience: 5 * time.Second}.Wait(ctx, running)
}

// takesNone says whether an error means that a pod cannot have an ephemeral container, whatever is tried.
func takesNone(err error) bool {
	var waited *kube.NotReadyError
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) || errors.As(err, &waited)
}

// helper sees to it that a helper pod stands beside the pod and that Cilium takes the two for one.
func (l *ladder) helper(ctx context.Context, pod *corev1.Pod) (probe.Source, error) {
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
		case err == nil && live.DeletionTimestamp == nil && live.Status.Phase == corev1.PodRunning && live.Status.PodIP == helper.Status.PodIP:
			return probe.Source{Pod: execIn(helper), Addr: addressOf(helper)}, nil
		case err != nil && !apierrors.IsNotFound(err):
			return probe.Source{}, fmt.Errorf("look for the helper pod of %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	fail := func(err error) (probe.Source, error) {
		return probe.Source{}, fmt.Errorf("probe from a helper pod of %s/%s, which takes no ephemeral container: %w", pod.Namespace, pod.Name, err)
	}
	if err := l.wouldServe(ctx, pod); err != nil {
		return fail(err)
	}
	made, err := api.Create(ctx, probe.NewHelper(pod, l.cfg.Instance.AppImage), metav1.CreateOptions{FieldManager: fieldManager})
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
	return probe.Source{Pod: execIn(made), Addr: addressOf(made)}, nil
}

// wouldServe says which service would send a helper of the pod what is meant for the app: one that takes pods which
// are not ready.
func (l *ladder) wouldServe(ctx context.Context, pod *corev1.Pod) error {
	services, err := l.cfg.Client.Typed.CoreV1().Services(pod.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range services.Items {
		s := &services.Items[i]
		if s.Spec.PublishNotReadyAddresses && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			return fmt.Errorf("the service %s/%s sends traffic to pods that are not ready (publishNotReadyAddresses), and so would to the helper", s.Namespace, s.Name)
		}
	}
	return nil
}

// started waits until the helper runs and has an address. It never becomes ready.
func (l *ladder) started(ctx context.Context, helper *corev1.Pod) (*corev1.Pod, error) {
	running := helper
	check := kube.Check{Object: "Pod " + helper.Namespace + "/" + helper.Name, Look: func(ctx context.Context) (kube.Look, error) {
		live, err := l.cfg.Client.Typed.CoreV1().Pods(helper.Namespace).Get(ctx, helper.Name, metav1.GetOptions{})
		if err != nil {
			return kube.Look{}, err
		}
		running = live
		look := kube.Look{Why: "it has not been started", Hopeless: live.Status.Phase == corev1.PodFailed}
		if look.Hopeless {
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
	return running, kube.Waiting{Timeout: time.Minute, Patience: time.Second}.Wait(ctx, check)
}

// own are the UIDs of the helpers that this engine has made.
func (l *ladder) own() map[types.UID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := map[types.UID]bool{}
	for _, pod := range l.helpers {
		own[pod.UID] = true
	}
	return own
}

// takeAway deletes the helpers.
func (l *ladder) takeAway(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for uid, pod := range l.helpers {
		now := int64(0)
		err := l.cfg.Client.Typed.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete helper pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		delete(l.helpers, uid)
	}
	return nil
}

// nodeHelper is a pod in a node's own network: what it sends comes from the node. It stays with the canary.
func (l *ladder) nodeHelper(ctx context.Context, node string) (probe.Source, error) {
	client := l.cfg.Client
	name := "grade-node-" + node
	obj := kube.NewObject("v1", "Pod", CanaryNamespace, name, map[string]any{
		"nodeName": node, "hostNetwork": true, "terminationGracePeriodSeconds": int64(0),
		"tolerations": []any{map[string]any{"operator": "Exists"}},
		"containers": []any{map[string]any{
			"name": "probe", "image": l.cfg.Instance.AppImage, "imagePullPolicy": string(corev1.PullIfNotPresent), "args": []any{"pause"},
		}},
	})
	obj.SetLabels(map[string]string{helperLabel: "node"})
	if live, err := client.Get(ctx, obj); err != nil {
		return probe.Source{}, err
	} else if phase, _, _ := unstructured.NestedString(objectOf(live), "status", "phase"); phase != string(corev1.PodRunning) {
		if _, err := client.ApplyAs(ctx, fieldManager, kube.NewObject("v1", "Namespace", "", CanaryNamespace, nil), obj); err != nil {
			return probe.Source{}, err
		}
		if err := (kube.Waiting{Timeout: time.Minute}).Wait(ctx, client.Pod(CanaryNamespace, name)); err != nil {
			return probe.Source{}, err
		}
	}
	pod, err := client.Typed.CoreV1().Pods(CanaryNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return probe.Source{}, fmt.Errorf("look for the helper pod on node %s: %w", node, err)
	}
	return probe.Source{Pod: execIn(pod), Node: true}, nil
}

func objectOf(obj *unstructured.Unstructured) map[string]any {
	if obj == nil {
		return nil
	}
	return obj.Object
}
