package probe

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestHelper makes a helper of a pod and checks what gives it that pod's identity, and what keeps others from it.
func TestHelper(t *testing.T) {
	t.Parallel()
	of := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "red", UID: "u", Labels: map[string]string{"app": "web", "pod-template-hash": "x"}},
		Spec: corev1.PodSpec{NodeName: "n", ServiceAccountName: "sa", Containers: []corev1.Container{
			{Name: "web", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80, HostPort: 8080, Protocol: corev1.ProtocolTCP}, {ContainerPort: 81}}},
			{Name: "side", Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}},
		}},
	}
	helper := NewHelper(of, "image")
	if !maps.Equal(helper.Labels, of.Labels) || helper.Namespace != "red" || helper.Spec.NodeName != "n" || helper.Spec.ServiceAccountName != "sa" {
		t.Errorf("another identity: %+v", helper)
	}
	ports := helper.Spec.Containers[0].Ports
	if len(ports) != 2 || ports[0].Name != "http" || ports[1].Name != "dns" || ports[0].HostPort != 0 {
		t.Errorf("the names of ports are part of the identity, and ports of the node are not to be taken: %+v", ports)
	}
	if owner := metav1.GetControllerOf(helper); owner == nil || owner.UID != "u" {
		t.Errorf("a controller could take it for its own: %+v", helper.OwnerReferences)
	}
	if len(helper.Spec.ReadinessGates) != 1 {
		t.Error("it would become ready, and get the traffic of the service")
	}
	if !IsHelper(helper) || IsHelper(of) {
		t.Error("a helper cannot be told from other pods")
	}
}
