package cilium

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
)

// cleanupName is the name of the DaemonSet that cleans the nodes, and of its pods' label.
const cleanupName = "labctl-cilium-cleanup"

// cleanupScript is what each node runs.
//
//go:embed cleanup.sh
var cleanupScript string

// CleanNodes removes what uninstalled agents have left on the nodes: the network configuration, interfaces, routes,
// rules of the firewall, BPF programs and maps. Configurations of another network, which the agents have put aside, take effect again. agent is
// the DaemonSet that was uninstalled.
func CleanNodes(ctx context.Context, client *kube.Client, agent *appsv1.DaemonSet, timeout time.Duration,
	progress func(string)) error {
	wait := kube.Waiter{Timeout: timeout, Progress: progress}
	if err := wait.Wait(ctx, agentsGone(client)); err != nil {
		return err
	}
	sets := client.Typed.AppsV1().DaemonSets(Namespace)
	set := cleanupSet(agent)
	_, err := sets.Create(ctx, set, metav1.CreateOptions{FieldManager: kube.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) { // of a run that was killed
		return fmt.Errorf("clean the nodes: %w", err)
	}
	waited := wait.Wait(ctx, client.DaemonSet(Namespace, cleanupName))
	// Its pods must not stay, whatever happened to it and to the caller.
	ctx = context.WithoutCancel(ctx)
	now := int64(0)
	err = sets.Delete(ctx, cleanupName, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if waited != nil {
		return waited
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete DaemonSet %s: %w", cleanupName, err)
	}
	return forgetNetwork(ctx, client)
}

// releaseTimeout is how long the end of pods is waited for.
const releaseTimeout = 30 * time.Second

// ReleasePods deletes the release's pods that have a network of Cilium's, such as the relay's, and waits until no such pod
// of anybody's is being deleted. Once the agents are gone, nodes cannot do that. A pod that does not end is no error.
func ReleasePods(ctx context.Context, client *kube.Client) error {
	chart := metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=cilium"}
	deployments := client.Typed.AppsV1().Deployments(Namespace)
	list, err := deployments.List(ctx, chart)
	if err != nil {
		return fmt.Errorf("list Cilium's Deployments: %w", err)
	}
	deleted := map[string]bool{}
	for i := range list.Items {
		d := &list.Items[i]
		if d.Spec.Template.Spec.HostNetwork || !OfRelease(d) {
			continue
		}
		if err := deployments.Delete(ctx, d.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete Deployment %s: %w", d.Name, err)
		}
		deleted[d.Spec.Template.Labels["k8s-app"]] = true
	}
	end := func(ctx context.Context) (kube.Status, error) {
		pods, err := client.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return kube.Status{}, fmt.Errorf("list pods: %w", err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			charts := p.Namespace == Namespace && deleted[p.Labels["k8s-app"]]
			if !p.Spec.HostNetwork && (p.DeletionTimestamp != nil || charts) {
				return kube.Status{Why: p.Namespace + "/" + p.Name + " is still there"}, nil
			}
		}
		return kube.Status{Ready: true}, nil
	}
	err = kube.Waiter{Timeout: releaseTimeout}.Wait(ctx, kube.Check{Object: "pods that end", Observe: end})
	var left *kube.NotReadyError
	if errors.As(err, &left) {
		return nil
	}
	return err
}

// agentsGone checks that no agent runs any more.
func agentsGone(client *kube.Client) kube.Check {
	return kube.Check{Object: "Cilium's agents", Observe: func(ctx context.Context) (kube.Status, error) {
		pods, err := agents(ctx, client)
		return kube.Status{Ready: err == nil && len(pods) == 0, Why: fmt.Sprintf("%d are still there", len(pods))}, err
	}}
}

// cleanupSet runs the cleanup once on every node that has had an agent, with the agent's image, which the nodes have.
func cleanupSet(agent *appsv1.DaemonSet) *appsv1.DaemonSet {
	from := &agent.Spec.Template.Spec
	image, policy := "", corev1.PullIfNotPresent
	for i := range from.Containers {
		if from.Containers[i].Name == "cilium-agent" {
			image = from.Containers[i].Image
		}
	}
	hostToContainer := corev1.MountPropagationHostToContainer
	// Where the chart's volumes are mounted. That of the cgroups is read-only, so that nothing below it is deleted.
	mounts := []corev1.VolumeMount{
		{Name: "cilium-run", MountPath: "/host/run"},
		{Name: "bpf-maps", MountPath: "/sys/fs/bpf"},
		{Name: "cilium-cgroup", MountPath: "/run/cilium/cgroupv2", ReadOnly: true, MountPropagation: &hostToContainer},
		{Name: "cni-path", MountPath: "/opt/cni/bin"},
		{Name: "etc-cni-netd", MountPath: "/etc/cni/net.d"},
		{Name: "hostproc", MountPath: "/hostproc"},
	}
	var volumes []corev1.Volume
	var used []corev1.VolumeMount
	for _, v := range from.Volumes {
		for _, m := range mounts {
			if m.Name == v.Name && v.HostPath != nil {
				volumes, used = append(volumes, v), append(used, m)
			}
		}
	}
	yes, no, now := true, false, int64(0)
	labels := map[string]string{"app": cleanupName}
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: cleanupName, Namespace: Namespace, Labels: labels}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	set.Spec.Template.Labels = labels
	set.Spec.Template.Spec = corev1.PodSpec{
		HostNetwork: true, AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &now,
		ImagePullSecrets: from.ImagePullSecrets, NodeSelector: from.NodeSelector,
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		InitContainers: []corev1.Container{{
			Name: "clean", Image: image, ImagePullPolicy: policy, Command: []string{"sh", "-c", cleanupScript + "clean"},
			SecurityContext: &corev1.SecurityContext{Privileged: &yes}, VolumeMounts: used,
		}},
		Containers: []corev1.Container{{
			Name: "done", Image: image, ImagePullPolicy: policy, Command: []string{"sleep", "infinity"},
		}},
		Volumes: volumes,
	}
	return set
}

// forgetNetwork removes the condition by which Cilium's operator says that a node has a network.
func forgetNetwork(ctx context.Context, client *kube.Client) error {
	nodes, err := client.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		for _, c := range nodes.Items[i].Status.Conditions {
			if c.Type != corev1.NodeNetworkUnavailable || !strings.HasPrefix(c.Reason, "Cilium") {
				continue
			}
			patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{
				map[string]any{"type": c.Type, "$patch": "delete"},
			}}})
			if err != nil {
				return err
			}
			_, err = client.Typed.CoreV1().Nodes().Patch(ctx, nodes.Items[i].Name, types.StrategicMergePatchType, patch,
				metav1.PatchOptions{FieldManager: kube.FieldManager}, "status")
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("update the status of node %s: %w", nodes.Items[i].Name, err)
			}
		}
	}
	return nil
}
