package probe

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// helperAnnotation marks helper pods with the name of the pod that they probe for. A label would give them
// another identity than that pod's.
const helperAnnotation = "labctl/probes-for"

// neverReady is a condition that is never set: otherwise a pod with the labels of an app would get its traffic.
const neverReady = "labctl/probes-only"

// NewHelper is a pod that Cilium gives the identity of another one: it has its labels, its ports, its service
// account and its node. No service sends it anything, since it never becomes ready; no controller takes it for its
// own, since it belongs to the other pod; and with that pod it goes.
func NewHelper(of *corev1.Pod, image string) *corev1.Pod {
	// The names of ports are part of an identity, too.
	var ports []corev1.ContainerPort
	for _, c := range slices.Concat(of.Spec.InitContainers, of.Spec.Containers) {
		for _, p := range c.Ports {
			if p.Name != "" {
				ports = append(ports, corev1.ContainerPort{
					Name: p.Name, ContainerPort: p.ContainerPort, Protocol: p.Protocol,
				})
			}
		}
	}
	yes, no, now := true, false, int64(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "labctl-helper-", Namespace: of.Namespace, Labels: maps.Clone(of.Labels),
			Annotations: map[string]string{helperAnnotation: of.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Pod", Name: of.Name, UID: of.UID, Controller: &yes,
			}},
		},
		Spec: corev1.PodSpec{
			NodeName: of.Spec.NodeName, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			ServiceAccountName: of.Spec.ServiceAccountName, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			HostNetwork: of.Spec.HostNetwork, DNSPolicy: of.Spec.DNSPolicy, DNSConfig: of.Spec.DNSConfig,
			HostAliases:      of.Spec.HostAliases,
			ImagePullSecrets: of.Spec.ImagePullSecrets, TerminationGracePeriodSeconds: &now,
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: neverReady}},
			Containers: []corev1.Container{{
				Name: "probe", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"pause"},
				Ports: ports,
			}},
		},
	}
}

// IsHelper says whether an object is marked as a helper pod. Anybody can do that: it proves nothing.
func IsHelper(obj metav1.Object) bool { return obj.GetAnnotations()[helperAnnotation] != "" }

// RemoveHelpers deletes the helper pods in the namespaces, also those that an earlier run has left, but for the ones
// to keep. It does not wait until they are gone.
func RemoveHelpers(ctx context.Context, client *kube.Client, namespaces []string, keep func(*corev1.Pod) bool) error {
	for _, ns := range namespaces {
		pods, err := client.Typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list helper pods in namespace %s: %w", ns, err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if !IsHelper(pod) || keep(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			now := int64(0)
			err := client.Typed.CoreV1().Pods(ns).Delete(ctx, pod.Name,
				metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("delete helper pod %s/%s: %w", ns, pod.Name, err)
			}
		}
	}
	return nil
}
