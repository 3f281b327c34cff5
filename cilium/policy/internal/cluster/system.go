package cluster

import (
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// WithSystem returns the cluster with what every kind cluster has: two CoreDNS pods in kube-system with
// the kube-dns service before them. A cluster whose objects have a kube-dns service is returned as it is.
func (c *Cluster) WithSystem() *Cluster {
	if c.Services[DNSService] != nil {
		return c
	}
	objs := append(c.objects[:len(c.objects):len(c.objects)], systemObjects()...)
	d, problems := New(objs, c.Config)
	if len(problems) > 0 {
		// The objects already made a cluster once, so this is a pod of a system pod's name or address.
		return c
	}
	labels := map[string]map[string]string{}
	for name, l := range c.NamespaceLabels {
		labels[name] = maps.Clone(l)
	}
	return d.WithNamespaceLabels(labels)
}

func systemObjects() []*manifest.Object {
	dns := map[string]string{"k8s-app": "kube-dns"}
	object := func(kind, name string, value any) *manifest.Object {
		return &manifest.Object{APIVersion: "v1", Kind: kind, Namespace: "kube-system", Name: name, Value: value}
	}
	pod := func(name string) *manifest.Object {
		return object("Pod", name, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Labels: dns},
			Spec: corev1.PodSpec{ServiceAccountName: "coredns", Containers: []corev1.Container{{
				Name: "coredns",
				Ports: []corev1.ContainerPort{
					{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
					{Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP},
					{Name: "metrics", ContainerPort: 9153, Protocol: corev1.ProtocolTCP},
				},
			}}},
		})
	}
	return []*manifest.Object{
		pod("coredns-1"), pod("coredns-2"),
		object("Service", "kube-dns", &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Labels: dns},
			Spec: corev1.ServiceSpec{
				ClusterIP: netip.AddrFrom4([4]byte{10, 96, 0, 10}).String(), Selector: dns,
				Ports: []corev1.ServicePort{
					{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns")},
					{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("dns-tcp")},
					{Name: "metrics", Port: 9153, Protocol: corev1.ProtocolTCP,
						TargetPort: intstr.FromString("metrics")},
				},
			},
		}),
	}
}
