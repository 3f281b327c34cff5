package cluster

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// apiService is the service that every cluster has, and which leads to its API server.
const apiService = "default/kubernetes"

// kubeadm's service addresses begin at 10.96.0.0, and the first is the API server's; the port is the one that
// its API server listens on.
var apiServiceIP = netip.AddrFrom4([4]byte{10, 96, 0, 1})

const apiServerPort = 6443

// kubernetesService adds the service default/kubernetes where it is not among the objects. It gets the
// address 10.96.0.1, unless the services that are given have theirs from another range.
func (b *builder) kubernetesService() {
	if b.c.Services[apiService] != nil {
		return
	}
	s := &Service{
		Ref: apiService, Namespace: "default", Name: "kubernetes",
		Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"},
		ports: []corev1.ServicePort{{
			Name: "https", Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(apiServerPort),
		}},
	}
	usual := true
	for _, other := range b.c.Services {
		for _, ip := range other.IPs {
			usual = usual && (ip.Is6() || netip.PrefixFrom(apiServiceIP, 12).Masked().Contains(ip))
		}
	}
	if usual && b.free(apiServiceIP) {
		s.IPs = []netip.Addr{apiServiceIP}
		b.c.Owners[apiServiceIP] = Owner{Service: s}
	}
	b.c.Services[apiService] = s
}

// apiBackends are the API servers where no slice lists them: the nodes that run one, or else one that is not
// known any further.
func (c *Cluster) apiBackends() []Backend {
	var list []Backend
	for _, n := range c.Nodes {
		if n.APIServer && len(n.IPs) > 0 {
			list = append(list, Backend{Addr: n.IPs[0], Node: n.Name})
		}
	}
	if len(list) == 0 {
		list = append(list, Backend{API: true})
	}
	return list
}
