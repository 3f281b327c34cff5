package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/fqdn/dns"
	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Frontends are the addresses and ports other than cluster addresses that lead to pods.
type Frontends struct {
	NodePorts map[PortKey]*Frontend            // on every node
	hostPorts map[string]map[PortKey]*Frontend // by node; "" for pods whose node is not given
	Addresses map[netip.Addr]map[PortKey]*Frontend
	Names     map[string]*Service // of load balancers that have a name instead of an address
	Open      []*Frontend         // node ports whose number is not given
}

func newFrontends() Frontends {
	return Frontends{
		NodePorts: map[PortKey]*Frontend{}, hostPorts: map[string]map[PortKey]*Frontend{},
		Addresses: map[netip.Addr]map[PortKey]*Frontend{}, Names: map[string]*Service{},
	}
}

// PortKey is a port with its protocol.
type PortKey struct {
	Port     int
	Protocol string
}

// The default range of node ports of an API server.
const FirstNodePort, LastNodePort = 30000, 32767

// Frontend leads to a port of a service, or to a pod.
type Frontend struct {
	Kind    frontendKind
	Service string // "namespace/name", or
	pod     string
	Port    int
	hostIP  netip.Addr // of a host port that listens on one address
}

type frontendKind string

const (
	NodePort     frontendKind = "node port"
	HostPort     frontendKind = "host port"
	loadBalancer frontendKind = "load balancer address"
	ExternalIP   frontendKind = "external IP"
)

func (f *Frontend) String() string {
	if f.Kind == HostPort {
		return fmt.Sprintf("%s of pod %s", f.Kind, f.pod)
	}
	return fmt.Sprintf("%s of service %s", f.Kind, f.Service)
}

// serviceFrontends notes a service's node ports, load balancer addresses and external IPs.
func (b *builder) serviceFrontends(o *manifest.Object, v *corev1.Service, s *Service) {
	if s.Headless || s.External != "" {
		return
	}
	for i, text := range v.Spec.LoadBalancerSourceRanges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			b.problem(o, fieldIndex("spec.loadBalancerSourceRanges", i), "%q is not an address range", text)
			continue
		}
		s.Sources = append(s.Sources, prefix.Masked())
	}
	for i := range v.Spec.Ports {
		p := &v.Spec.Ports[i]
		key := PortKey{int(p.NodePort), protocolOf(p.Protocol)}
		if v.Spec.Type == corev1.ServiceTypeClusterIP {
			continue
		}
		if p.NodePort == 0 {
			if v.Spec.AllocateLoadBalancerNodePorts == nil || *v.Spec.AllocateLoadBalancerNodePorts {
				b.c.Frontends.Open = append(b.c.Frontends.Open,
					&Frontend{Kind: NodePort, Service: s.Ref, Port: int(p.Port)})
			}
			continue
		}
		if other := b.c.Frontends.NodePorts[key]; other != nil && other.Service != s.Ref {
			b.problem(o, fieldIndex("spec.ports", i)+".nodePort", "the node port %d/%s is also that of service %s",
				key.Port, key.Protocol, other.Service)
			continue
		}
		b.c.Frontends.NodePorts[key] = &Frontend{Kind: NodePort, Service: s.Ref, Port: int(p.Port)}
	}
	for i, text := range v.Spec.ExternalIPs {
		b.serviceAddress(o, fieldIndex("spec.externalIPs", i), s, ExternalIP, text)
	}
	if v.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	for i, in := range v.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			b.serviceAddress(o, fieldIndex("status.loadBalancer.ingress", i)+".ip", s, loadBalancer, in.IP)
		}
		if in.Hostname != "" {
			b.c.Frontends.Names[QueryName(in.Hostname)] = s
		}
	}
}

func (b *builder) serviceAddress(o *manifest.Object, field string, s *Service, kind frontendKind, text string) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		b.problem(o, field, "%q is not an IP address", text)
		return
	}
	addr = addr.Unmap()
	b.reserved[addr] = true
	ports := b.c.Frontends.Addresses[addr]
	if ports == nil {
		ports = map[PortKey]*Frontend{}
		b.c.Frontends.Addresses[addr] = ports
	}
	for i := range s.ports {
		key := PortKey{int(s.ports[i].Port), protocolOf(s.ports[i].Protocol)}
		if other := ports[key]; other != nil && other.Service != s.Ref {
			b.problem(o, field, "port %d/%s of the address %s is also that of service %s",
				key.Port, key.Protocol, addr, other.Service)
			continue
		}
		ports[key] = &Frontend{Kind: kind, Service: s.Ref, Port: key.Port}
	}
}

// hostPort notes a port that a pod has on its node.
func (b *builder) hostPort(p *Pod, spec *corev1.PodSpec, port *corev1.ContainerPort, protocol string) {
	if port.HostPort == 0 || spec.HostNetwork {
		return
	}
	f := &Frontend{Kind: HostPort, pod: p.Ref}
	if addr, err := netip.ParseAddr(port.HostIP); err == nil && !addr.IsUnspecified() {
		f.hostIP = addr.Unmap()
	}
	on := ""
	if p.Placed {
		on = p.Node.Name
	}
	ports := b.c.Frontends.hostPorts[on]
	if ports == nil {
		ports = map[PortKey]*Frontend{}
		b.c.Frontends.hostPorts[on] = ports
	}
	// Of several pods on the node with one port the first has it; a scheduler would not have placed the others.
	if key := (PortKey{int(port.HostPort), protocol}); ports[key] == nil {
		ports[key] = f
	}
}

// HostPortOf returns the pod's port that a node has; where n is nil, that of any node but the client's.
func (all *Frontends) HostPortOf(n, own *Node, dialed netip.Addr, key PortKey) *Frontend {
	if len(all.hostPorts) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(all.hostPorts))
	for _, name := range names {
		if name != "" && (n != nil && name != n.Name || n == nil && own != nil && name == own.Name) {
			continue
		}
		if f := all.hostPorts[name][key]; f != nil && (!f.hostIP.IsValid() || !dialed.IsValid() || f.hostIP == dialed) {
			return f
		}
	}
	return nil
}

// QueryName is a DNS name as Cilium compares it: lower case, with the final dot.
func QueryName(name string) string { return strings.ToLower(dns.FQDN(name)) }

func fieldIndex(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
