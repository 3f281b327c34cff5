package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Deployment checks that every replica of a Deployment is up to date and available. One without replicas is not ready.
func (c *Client) Deployment(namespace, name string) Check {
	object := fmt.Sprintf("Deployment %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Status, error) {
		d, err := c.Typed.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if want == 0 {
			return Status{Why: "scaled to 0"}, nil
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want &&
			s.AvailableReplicas == want {
			return Status{Ready: true}, nil
		}
		return c.pods(namespace, d.Spec.Selector,
			fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, want)), nil
	}}
}

// DaemonSet checks that every pod of a DaemonSet is up to date and available.
func (c *Client) DaemonSet(namespace, name string) Check {
	object := fmt.Sprintf("DaemonSet %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Status, error) {
		d, err := c.Typed.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		s := d.Status
		want := s.DesiredNumberScheduled
		updated := s.UpdatedNumberScheduled == want ||
			d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
		if s.ObservedGeneration >= d.Generation && want > 0 && updated && s.NumberAvailable == want {
			return Status{Ready: true}, nil
		}
		pending := fmt.Sprintf("%d of %d pods are available", s.NumberAvailable, want)
		return c.pods(namespace, d.Spec.Selector, pending), nil
	}}
}

// StatefulSet checks that every replica of a StatefulSet is up to date and ready.
func (c *Client) StatefulSet(namespace, name string) Check {
	object := fmt.Sprintf("StatefulSet %s/%s", namespace, name)
	return Check{object, func(ctx context.Context) (Status, error) {
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
			return Status{Ready: true}, nil
		}
		return c.pods(namespace, d.Spec.Selector, fmt.Sprintf("%d of %d pods are ready", s.ReadyReplicas, want)), nil
	}}
}

// Pod checks that a pod is ready.
func (c *Client) Pod(namespace, name string) Check {
	return Check{fmt.Sprintf("Pod %s/%s", namespace, name), func(ctx context.Context) (Status, error) {
		p, err := c.Typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		if PodReady(p) {
			return Status{Ready: true}, nil
		}
		return Status{Explain: func(ctx context.Context) (Status, error) {
			why, hopeless := c.podFailure(ctx, p)
			return Status{Why: why, Terminal: hopeless}, nil
		}}, nil
	}}
}

// ConfigMap checks that a ConfigMap exists.
func (c *Client) ConfigMap(namespace, name string) Check {
	return Check{fmt.Sprintf("ConfigMap %s/%s", namespace, name), func(ctx context.Context) (Status, error) {
		_, err := c.Typed.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return notYet(err)
		}
		return Status{Ready: true}, nil
	}}
}

// Gone checks that an object does not exist. One of its name with another UID is another object.
func (c *Client) Gone(obj *unstructured.Unstructured) Check {
	return Check{Ref(obj), func(ctx context.Context) (Status, error) {
		live, err := c.Get(ctx, obj)
		gone := live == nil || obj.GetUID() != "" && live.GetUID() != obj.GetUID()
		return Status{Ready: gone && err == nil, Why: "it is being deleted"}, err
	}}
}

// NotRestarted ends the reason of Restarted for a pod whose status is older than its node's start.
const NotRestarted = "has not been restarted"

// Restarted checks that pods are ready, and were started after their node was. Until the kubelets of restarted nodes
// report, the API server has the old status of their pods.
func (c *Client) Restarted(started func(node string) time.Time, counts func(*corev1.Pod) bool) Check {
	return Check{"Pods", func(ctx context.Context) (Status, error) {
		list, err := c.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return Status{}, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if !counts(p) || p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded ||
				p.Status.Phase == corev1.PodFailed {
				continue
			}
			since := started(p.Spec.NodeName).Truncate(time.Second) // as the kubelet's times are
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running != nil && s.State.Running.StartedAt.Time.Before(since) {
					return Status{Why: fmt.Sprintf("pod %s/%s %s", p.Namespace, p.Name, NotRestarted)}, nil
				}
			}
			if !PodReady(p) {
				why, hopeless := c.podFailure(ctx, p)
				hopeless = hopeless && !endedBefore(p, since)
				return Status{Why: fmt.Sprintf("pod %s/%s: %s", p.Namespace, p.Name, why), Terminal: hopeless}, nil
			}
		}
		return Status{Ready: true}, nil
	}}
}

// endedBefore reports whether a container of a pod is one that ran before since, and has not been started again.
func endedBefore(p *corev1.Pod, since time.Time) bool {
	return slices.ContainsFunc(slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses),
		func(s corev1.ContainerStatus) bool {
			t := s.State.Terminated
			return t != nil && t.ExitCode != 0 && t.StartedAt.Time.Before(since)
		})
}

// Nodes checks that all nodes are Ready, and that there are at least a number of them.
func (c *Client) Nodes(atLeast int) Check {
	return Check{"Nodes", func(ctx context.Context) (Status, error) {
		list, err := c.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return Status{}, err
		}
		if len(list.Items) < atLeast {
			return Status{Why: fmt.Sprintf("%d of %d have joined", len(list.Items), atLeast)}, nil
		}
		for i := range list.Items {
			if ready, why := NodeReady(&list.Items[i]); !ready {
				return Status{Why: list.Items[i].Name + " is not Ready: " + why}, nil
			}
		}
		return Status{Ready: true}, nil
	}}
}

// NodeReady reports whether a node is Ready, and if not, why.
func NodeReady(n *corev1.Node) (bool, string) {
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue, cmp.Or(cond.Message, cond.Reason)
		}
	}
	return false, "its kubelet has not reported yet"
}

func notYet(err error) (Status, error) {
	if apierrors.IsNotFound(err) {
		return Status{Why: "does not exist"}, nil
	}
	return Status{}, err
}

// pods says why a workload is not ready. Explain finds the pod with the worst failure.
func (c *Client) pods(namespace string, selector *metav1.LabelSelector, otherwise string) Status {
	return Status{Why: otherwise, Explain: func(ctx context.Context) (Status, error) {
		return c.worstPod(ctx, namespace, selector, otherwise)
	}}
}

func (c *Client) worstPod(ctx context.Context, namespace string, selector *metav1.LabelSelector,
	otherwise string) (Status, error) {
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return Status{}, err
	}
	list, err := c.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return Status{}, err
	}
	look := Status{Why: otherwise}
	for i := range list.Items {
		p := &list.Items[i]
		if PodReady(p) || p.DeletionTimestamp != nil {
			continue
		}
		why, hopeless := c.podFailure(ctx, p)
		if why != "" && (look.Why == otherwise || hopeless && !look.Terminal) {
			look = Status{Why: fmt.Sprintf("%s; pod %s: %s", otherwise, p.Name, why), Terminal: hopeless}
		}
	}
	return look, nil
}

// controllerLabels are the labels that controllers give the pods that they make.
var controllerLabels = []string{
	appsv1.DefaultDeploymentUniqueLabelKey, appsv1.DefaultDaemonSetUniqueLabelKey, "pod-template-generation",
	appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel,
}

// OwnLabels are the labels of a pod, or of a template, without those that controllers add.
func OwnLabels(labels map[string]string) map[string]string {
	own := maps.Clone(labels)
	for _, key := range controllerLabels {
		delete(own, key)
	}
	return own
}

// MadeByController reports whether a pod's labels are those of one that a Deployment, DaemonSet or StatefulSet made.
func MadeByController(labels map[string]string) bool {
	return labels[appsv1.DefaultDeploymentUniqueLabelKey] != "" || labels[appsv1.DefaultDaemonSetUniqueLabelKey] != ""
}

// PodReady reports whether a pod has the condition Ready.
func PodReady(p *corev1.Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}

// terminalReasons are the kubelet's reasons for a waiting container that waiting does not help with. Errors of
// pulling an image are among them, since a wait has a TerminalGrace.
var terminalReasons = []string{
	"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// lostReasons are the kubelet's reasons for a container that was not seen to end, as when its node went down.
var lostReasons = []string{"Unknown", "ContainerStatusUnknown"}

// startingReasons are the kubelet's reasons for a waiting container that is being started.
var startingReasons = []string{"", "PodInitializing", "ContainerCreating"}

// containerFailure is what keeps a container from running. Its words are the last that it printed, if known.
type containerFailure struct {
	name, reason string
	words        string
	ended        bool // and words may be found in its log
	terminal     bool
}

func (f *containerFailure) String() string {
	if f.words == "" {
		return "container " + f.name + ": " + f.reason
	}
	return "container " + f.name + ": " + f.reason + ": " + f.words
}

// failedContainer finds the first container that cannot start or has failed; nil: none.
func failedContainer(p *corev1.Pod) *containerFailure {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && !slices.Contains(startingReasons, w.Reason) {
			f := &containerFailure{
				name: s.Name, reason: w.Reason, words: lastLine(w.Message),
				terminal: slices.Contains(terminalReasons, w.Reason),
			}
			if t := s.LastTerminationState.Terminated; t != nil {
				f.reason += fmt.Sprintf(": ended with exit code %d", t.ExitCode)
				f.words, f.ended = lastLine(t.Message), true
			}
			return f
		}
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
			reason := fmt.Sprintf("ended with exit code %d", t.ExitCode)
			if t.Reason != "" && t.Reason != "Error" {
				reason += " (" + t.Reason + ")"
			}
			return &containerFailure{
				name: s.Name, reason: reason, words: lastLine(t.Message), ended: true,
				terminal: s.RestartCount > 2 && !slices.Contains(lostReasons, t.Reason),
			}
		}
	}
	return nil
}

// PodFailure says why a pod is not ready, by its status alone; empty: it is ready, or has succeeded.
func PodFailure(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodSucceeded {
		return ""
	}
	if f := failedContainer(p); f != nil {
		return f.String()
	}
	if PodReady(p) {
		return ""
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady} {
		for _, cond := range p.Status.Conditions {
			if cond.Type == kind && cond.Status != corev1.ConditionTrue {
				return strings.TrimSpace("not ready: " + cond.Reason + " " + cond.Message)
			}
		}
	}
	return "not ready: " + strings.ToLower(cmp.Or(string(p.Status.Phase), "not started"))
}

// podFailure is PodFailure with what further requests find out: the last line of a failed container's log, or the
// last event.
func (c *Client) podFailure(ctx context.Context, p *corev1.Pod) (why string, hopeless bool) {
	if f := failedContainer(p); f != nil {
		if f.words == "" && f.ended {
			f.words = c.lastLog(ctx, p, f.name)
		}
		return f.String(), f.terminal
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

// lastLog is the last line of an ended container's log; empty if it cannot be read.
func (c *Client) lastLog(ctx context.Context, p *corev1.Pod, container string) string {
	lines, limit := int64(1), int64(16<<10) // a line has no end of its own
	for _, previous := range []bool{true, false} {
		data, err := c.Typed.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
			Container: container, TailLines: &lines, LimitBytes: &limit, Previous: previous,
		}).DoRaw(ctx)
		if err == nil && len(data) > 0 {
			return lastLine(string(data))
		}
	}
	return ""
}

// lastEvent is the newest event about an object.
func (c *Client) lastEvent(ctx context.Context, namespace, uid string) string {
	list, err := c.Typed.CoreV1().Events(namespace).
		List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid})
	if err != nil || len(list.Items) == 0 {
		return ""
	}
	newest := slices.MaxFunc(list.Items, func(a, b corev1.Event) int {
		return eventTime(&a).Compare(eventTime(&b).Time)
	})
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

// Restart restarts the pods of a Deployment, as kubectl rollout restart does.
func (c *Client) Restart(ctx context.Context, namespace, name string) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339))
	_, err := c.Typed.AppsV1().Deployments(namespace).
		Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("restart Deployment %s/%s: %w", namespace, name, err)
	}
	return nil
}
