package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
)

// ladder chooses what probes are sent with: what the pod's own image has; if it lacks something, an ephemeral
// container in the pod, which shares its network and so its identity. Ephemeral containers cannot be removed:
// one serves all later gradings. Nodes are probed from by a helper pod in their network.
type ladder struct {
	cfg Config

	mu      sync.Mutex
	climbed map[string]bool // sources whose own image lacks something
}

const (
	ephemeralName = "labctl-probe"
	helperLabel   = "labctl/helper"
)

func newLadder(cfg Config) *ladder { return &ladder{cfg: cfg, climbed: map[string]bool{}} }

// climb goes to the next rung for a source; false: there is none.
func (l *ladder) climb(from source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from.pod == nil || l.climbed[from.String()] {
		return false
	}
	l.climbed[from.String()] = true
	l.cfg.Log.Info("the image of a pod lacks tools: probing from an ephemeral container in it", "pod", from.String())
	return true
}

// rung is what to exec in for a source.
func (l *ladder) rung(ctx context.Context, from source) (probe.Source, error) {
	if from.pod == nil {
		return l.helper(ctx, from.node)
	}
	s := probe.Source{Pod: execIn(from.pod), Addr: addressOf(from.pod)}
	l.mu.Lock()
	climbed := l.climbed[from.String()]
	l.mu.Unlock()
	if climbed {
		s.Pod.Container = ephemeralName
		return s, l.ephemeral(ctx, from.pod)
	}
	return s, nil
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

// helper is a pod in a node's own network: what it sends comes from the node. It stays with the canary.
func (l *ladder) helper(ctx context.Context, node string) (probe.Source, error) {
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
	// Which address a node sends from depends on where to: drops are not matched, time-outs tell.
	return probe.Source{Pod: execIn(pod)}, nil
}

func objectOf(obj *unstructured.Unstructured) map[string]any {
	if obj == nil {
		return nil
	}
	return obj.Object
}
