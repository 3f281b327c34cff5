package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Deployment checks that every replica of a Deployment runs its newest template and is available. One without
// replicas is not ready.
func (c *Client) Deployment(namespace, name string) Check {
	object := fmt.Sprintf("Deployment %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Look, error) {
		d, err := c.Typed.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if want == 0 {
			return Look{Why: "it is scaled to 0"}, nil
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want {
			return Look{Ready: true}, nil
		}
		return c.pods(namespace, d.Spec.Selector, fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, want)), nil
	}}
}

// DaemonSet checks that every pod of a DaemonSet runs its newest template and is available.
func (c *Client) DaemonSet(namespace, name string) Check {
	object := fmt.Sprintf("DaemonSet %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Look, error) {
		d, err := c.Typed.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		s := d.Status
		want := s.DesiredNumberScheduled
		updated := s.UpdatedNumberScheduled == want || d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
		if s.ObservedGeneration >= d.Generation && want > 0 && updated && s.NumberAvailable == want {
			return Look{Ready: true}, nil
		}
		return c.pods(namespace, d.Spec.Selector, fmt.Sprintf("%d of %d pods are available", s.NumberAvailable, want)), nil
	}}
}

// StatefulSet checks that every replica of a StatefulSet runs its newest template and is ready.
func (c *Client) StatefulSet(namespace, name string) Check {
	object := fmt.Sprintf("StatefulSet %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Look, error) {
		d, err := c.Typed.AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.ReadyReplicas == want {
			return Look{Ready: true}, nil
		}
		return c.pods(namespace, d.Spec.Selector, fmt.Sprintf("%d of %d pods are ready", s.ReadyReplicas, want)), nil
	}}
}

// Pod checks that a pod is ready.
func (c *Client) Pod(namespace, name string) Check {
	return Check{fmt.Sprintf("Pod %s/%s", namespace, name), func(ctx context.Context) (Look, error) {
		p, err := c.Typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		if podReady(p) {
			return Look{Ready: true}, nil
		}
		return Look{Explain: func(ctx context.Context) (Look, error) {
			why, hopeless := c.trouble(ctx, p)
			return Look{Why: why, Hopeless: hopeless}, nil
		}}, nil
	}}
}

// ConfigMap checks that a ConfigMap is there.
func (c *Client) ConfigMap(namespace, name string) Check {
	return Check{fmt.Sprintf("ConfigMap %s/%s", namespace, name), func(ctx context.Context) (Look, error) {
		_, err := c.Typed.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		return Look{Ready: true}, nil
	}}
}

// Restarted checks that pods are ready, and were started after a time. Until the kubelets of nodes that were
// stopped report, what the API server says of their pods is from before.
func (c *Client) Restarted(since time.Time, counts func(*corev1.Pod) bool) Check {
	since = since.Truncate(time.Second) // as the kubelet's times are
	return Check{"Pods", func(ctx context.Context) (Look, error) {
		list, err := c.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return Look{}, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if !counts(p) || p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
				continue
			}
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running != nil && s.State.Running.StartedAt.Time.Before(since) {
					return Look{Why: fmt.Sprintf("pod %s/%s has not been started again", p.Namespace, p.Name)}, nil
				}
			}
			if !podReady(p) {
				why, hopeless := c.trouble(ctx, p)
				return Look{Why: fmt.Sprintf("pod %s/%s: %s", p.Namespace, p.Name, why), Hopeless: hopeless}, nil
			}
		}
		return Look{Ready: true}, nil
	}}
}

// Nodes checks that all nodes are Ready, and that there are at least so many.
func (c *Client) Nodes(atLeast int) Check {
	return Check{"Nodes", func(ctx context.Context) (Look, error) {
		list, err := c.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return Look{}, err
		}
		if len(list.Items) < atLeast {
			return Look{Why: fmt.Sprintf("%d of %d have joined", len(list.Items), atLeast)}, nil
		}
		for i := range list.Items {
			if ready, why := NodeReady(&list.Items[i]); !ready {
				return Look{Why: list.Items[i].Name + " is not Ready: " + why}, nil
			}
		}
		return Look{Ready: true}, nil
	}}
}

// NodeReady says whether a node is Ready, and else why not.
func NodeReady(n *corev1.Node) (bool, string) {
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue, cmp.Or(cond.Message, cond.Reason)
		}
	}
	return false, "its kubelet has not reported yet"
}

func notYet(err error) (Look, error) {
	if apierrors.IsNotFound(err) {
		return Look{Why: "it does not exist"}, nil
	}
	return Look{}, err
}

// pods says why a workload's pods are not ready: the one that looks worst, when asked to explain.
func (c *Client) pods(namespace string, selector *metav1.LabelSelector, otherwise string) Look {
	return Look{Why: otherwise, Explain: func(ctx context.Context) (Look, error) {
		return c.worstPod(ctx, namespace, selector, otherwise)
	}}
}

func (c *Client) worstPod(ctx context.Context, namespace string, selector *metav1.LabelSelector, otherwise string) (Look, error) {
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return Look{}, err
	}
	list, err := c.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return Look{}, err
	}
	look := Look{Why: otherwise}
	for i := range list.Items {
		p := &list.Items[i]
		if podReady(p) || p.DeletionTimestamp != nil {
			continue
		}
		why, hopeless := c.trouble(ctx, p)
		if why != "" && (look.Why == otherwise || hopeless && !look.Hopeless) {
			look = Look{Why: fmt.Sprintf("%s; pod %s: %s", otherwise, p.Name, why), Hopeless: hopeless}
		}
	}
	return look, nil
}

func podReady(p *corev1.Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}

// hopelessReasons are what the kubelet says of a container that does not get better by itself. The errors
// of pulling an image are among them, since waiting has Patience.
var hopelessReasons = []string{
	"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// trouble says what keeps a pod from being ready: a container's state with the last words of the one before,
// an unmet condition, or the last event.
func (c *Client) trouble(ctx context.Context, p *corev1.Pod) (why string, hopeless bool) {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil && slices.Contains(hopelessReasons, s.State.Waiting.Reason):
			why := fmt.Sprintf("container %s: %s", s.Name, s.State.Waiting.Reason)
			if t := s.LastTerminationState.Terminated; t != nil {
				why += fmt.Sprintf(": it ended with exit code %d", t.ExitCode)
				if words := cmp.Or(lastLine(t.Message), c.lastLog(ctx, p, s.Name)); words != "" {
					why += ": " + words
				}
			} else if s.State.Waiting.Message != "" {
				why += ": " + lastLine(s.State.Waiting.Message)
			}
			return why, true
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			why := fmt.Sprintf("container %s ended with exit code %d", s.Name, s.State.Terminated.ExitCode)
			if words := cmp.Or(lastLine(s.State.Terminated.Message), c.lastLog(ctx, p, s.Name)); words != "" {
				why += ": " + words
			}
			return why, s.RestartCount > 2
		}
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			return cmp.Or(cond.Message, cond.Reason), false
		}
	}
	if event := c.lastEvent(ctx, p.Namespace, string(p.UID)); event != "" {
		return event, false
	}
	return strings.ToLower(string(p.Status.Phase)), false
}

// lastLog is the last line that a container that ended has printed; empty if it cannot be had.
func (c *Client) lastLog(ctx context.Context, p *corev1.Pod, container string) string {
	lines := int64(1)
	for _, previous := range []bool{true, false} {
		data, err := c.Typed.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
			Container: container, TailLines: &lines, Previous: previous,
		}).DoRaw(ctx)
		if err == nil && len(data) > 0 {
			return lastLine(string(data))
		}
	}
	return ""
}

// lastEvent is the newest event about an object.
func (c *Client) lastEvent(ctx context.Context, namespace, uid string) string {
	list, err := c.Typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid})
	if err != nil || len(list.Items) == 0 {
		return ""
	}
	newest := slices.MaxFunc(list.Items, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b).Time) })
	return newest.Reason + ": " + lastLine(newest.Message)
}

func eventTime(e *corev1.Event) metav1.Time {
	switch {
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp
	case !e.EventTime.IsZero():
		return metav1.Time{Time: e.EventTime.Time}
	}
	return e.CreationTimestamp
}

// lastLine is the last line of a message, cut to what a terminal shows in two lines.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	if r := []rune(s); len(r) > 240 {
		s = string(r[:240]) + "…"
	}
	return s
}

// Restart rolls a Deployment out anew, as kubectl rollout restart does.
func (c *Client) Restart(ctx context.Context, namespace, name string) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	_, err := c.Typed.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("restart Deployment %s/%s: %w", namespace, name, err)
	}
	return nil
}
