package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// service is a Service with what stands behind it.
type service struct {
	ref       string // "namespace/name"
	namespace string
	name      string
	labels    map[string]string
	selector  map[string]string
	headless  bool
	external  string // the name that an ExternalName service stands for
	ips       []netip.Addr
	ports     []corev1.ServicePort
	slices    []slice
	endpoints []backend   // every endpoint, without ports
	behind    [][]backend // the endpoints of each of ports, with their ports
}

// slice is what one EndpointSlice says.
type slice struct {
	addrs []netip.Addr
	ports []discoveryv1.EndpointPort
}

// backend is one endpoint of a service: a pod, or an address that is no pod's.
type backend struct {
	pod  *pod
	addr netip.Addr
	port int // where a connection to the service's port ends up
}

func (b *builder) service(o *manifest.Object, v *corev1.Service) {
	key := o.Namespace + "/" + o.Name
	s := &service{
		ref: key, namespace: o.Namespace, name: o.Name, labels: v.Labels, selector: v.Spec.Selector,
		headless: v.Spec.ClusterIP == corev1.ClusterIPNone, ports: v.Spec.Ports,
	}
	if v.Spec.Type == corev1.ServiceTypeExternalName {
		s.external = v.Spec.ExternalName
		s.selector = nil
	}
	ips := v.Spec.ClusterIPs
	if len(ips) == 0 && v.Spec.ClusterIP != "" {
		ips = []string{v.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if ip == corev1.ClusterIPNone {
			continue
		}
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			b.problem(o, "spec.clusterIP", "%q is not an IP address", ip)
			continue
		}
		addr = addr.Unmap()
		if w, taken := b.c.owners[addr]; taken && (w.service == nil || w.service.ref != key) {
			b.problem(o, "spec.clusterIP", "the address %s is taken", addr)
			continue
		}
		s.ips = append(s.ips, addr)
		b.c.owners[addr] = owner{service: s}
	}
	b.c.services[key] = s
}

// clusterIP gives an address to a service that brings none.
func (b *builder) clusterIP(s *service) {
	if len(s.ips) > 0 || s.headless || s.external != "" {
		return
	}
	for n := uint32(10); ; n++ {
		addr := netip.AddrFrom4([4]byte{10, 96 + byte(n>>16)&0xf, byte(n >> 8), byte(n)})
		if _, taken := b.c.owners[addr]; !taken {
			s.ips = []netip.Addr{addr}
			b.c.owners[addr] = owner{service: s}
			return
		}
	}
}

func (b *builder) endpointSlice(o *manifest.Object, v *discoveryv1.EndpointSlice) {
	var all slice
	for i, e := range v.Endpoints {
		if r := e.Conditions.Ready; r != nil && !*r {
			continue
		}
		for j, s := range e.Addresses {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				if v.AddressType != discoveryv1.AddressTypeFQDN {
					b.problem(o, "endpoints["+strconv.Itoa(i)+"].addresses["+strconv.Itoa(j)+"]", "%q is not an IP address", s)
				}
				continue
			}
			all.addrs = append(all.addrs, addr.Unmap())
		}
	}
	all.ports = v.Ports
	name := v.Labels[discoveryv1.LabelServiceName]
	if o.Namespace == "default" && name == "kubernetes" {
		for _, a := range all.addrs {
			b.c.apiServers[a] = true
		}
	}
	if s := b.c.services[o.Namespace+"/"+name]; s != nil {
		s.slices = append(s.slices, all)
	}
}

// resolve finds the service's endpoints.
func (s *service) resolve(c *Cluster) {
	s.findEndpoints(c)
	s.behind = make([][]backend, len(s.ports))
	if s.headless {
		return
	}
	for i := range s.ports {
		s.behind[i] = s.findBackends(&s.ports[i])
	}
}

func (s *service) findEndpoints(c *Cluster) {
	s.endpoints = nil
	if len(s.selector) > 0 {
		for _, p := range c.pods {
			if p.namespace == s.namespace && selects(s.selector, p.labels) {
				s.endpoints = append(s.endpoints, backend{pod: p, addr: p.addr(false)})
			}
		}
		return
	}
	for _, sl := range s.slices {
		for _, a := range sl.addrs {
			s.endpoints = append(s.endpoints, backend{pod: c.owners[a].pod, addr: a})
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// addr returns the pod's address of a family, or its first where it has none of that family.
func (p *pod) addr(v6 bool) netip.Addr {
	for _, a := range p.ips {
		if a.Is6() == v6 {
			return a
		}
	}
	if len(p.ips) > 0 {
		return p.ips[0]
	}
	return netip.Addr{}
}

// backends returns where connections to a port of the service end up. A headless service has no port of
// its own: its name gives the pods' addresses, and the connection goes to the port that was dialed.
// known is false if the service does not have the port. The list is shared.
func (s *service) backends(port int, protocol string) (list []backend, known bool) {
	if s.headless {
		list = slices.Clone(s.endpoints)
		for i := range list {
			list[i].port = port
		}
		return list, true
	}
	for i := range s.ports {
		if int(s.ports[i].Port) == port && protocolOf(s.ports[i].Protocol) == protocol {
			return s.behind[i], true
		}
	}
	return nil, false
}

// protocolOf is the protocol of a port that may leave it out.
func protocolOf(p corev1.Protocol) string {
	return cmpOr(string(p), protoTCP)
}

// findBackends returns the endpoints that have the port.
func (s *service) findBackends(sp *corev1.ServicePort) []backend {
	var list []backend
	protocol := protocolOf(sp.Protocol)
	if len(s.selector) > 0 {
		for _, e := range s.endpoints {
			if e.port = targetPort(sp, e.pod, protocol); e.port > 0 {
				list = append(list, e)
			}
		}
		return list
	}
	for _, sl := range s.slices {
		for _, p := range sl.ports {
			named := p.Name != nil && *p.Name == sp.Name || p.Name == nil && sp.Name == ""
			if p.Port == nil || !named || p.Protocol != nil && protocolOf(*p.Protocol) != protocol {
				continue
			}
			for _, a := range sl.addrs {
				if i := slices.IndexFunc(s.endpoints, func(e backend) bool { return e.addr == a }); i >= 0 {
					list = append(list, backend{pod: s.endpoints[i].pod, addr: a, port: int(*p.Port)})
				}
			}
		}
	}
	return list
}

// targetPort returns the pod's port behind the service's, or 0 if the pod has no port of that name.
func targetPort(sp *corev1.ServicePort, p *pod, protocol string) int {
	switch {
	case sp.TargetPort.Type == intstr.String && sp.TargetPort.StrVal != "":
		if p == nil {
			return 0
		}
		return p.namedPort(sp.TargetPort.StrVal, protocol)
	case sp.TargetPort.IntVal != 0:
		return int(sp.TargetPort.IntVal)
	}
	return int(sp.Port)
}

// portList says which ports a service has, for messages: "80/TCP, 443/TCP".
func (s *service) portList() string {
	var list []string
	for _, p := range s.ports {
		list = append(list, strconv.Itoa(int(p.Port))+"/"+protocolOf(p.Protocol))
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// serviceNames returns the names of the services, sorted.
func (c *Cluster) serviceNames() []string { return slices.Sorted(maps.Keys(c.services)) }

// whyNoEndpoints says what an empty service selects.
func (s *service) whyNoEndpoints() string {
	if len(s.selector) == 0 {
		return ": it has no selector and no EndpointSlice"
	}
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(s.selector)) {
		terms = append(terms, k+"="+s.selector[k])
	}
	if len(s.endpoints) > 0 {
		return ": none of its pods has a port of the name that targetPort gives"
	}
	return fmt.Sprintf(": no pod in namespace %s has the labels %s", s.namespace, strings.Join(terms, ", "))
}
