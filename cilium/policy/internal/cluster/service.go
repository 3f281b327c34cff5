package cluster

import (
	"cmp"
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

// Service is a Service with its backends.
type Service struct {
	Ref        string // "namespace/name"
	Namespace  string
	Name       string
	Labels     map[string]string
	Selector   map[string]string
	Headless   bool
	External   string // the name that an ExternalName service is an alias of
	IPs        []netip.Addr
	ports      []corev1.ServicePort
	notReady   bool // publishNotReadyAddresses
	Local      bool // internalTrafficPolicy: Local
	EntryLocal bool // externalTrafficPolicy: Local
	Sources    []netip.Prefix

	sliced    bool // an EndpointSlice of it is given,
	mirrored  bool // among them one that the control plane made of an Endpoints object,
	listed    bool // or an Endpoints object alone
	slices    []slice
	Endpoints []Backend      // every endpoint, ready or not, without ports
	behind    [2][][]Backend // by family: what each of ports leads to
}

// Backend is one endpoint of a service: a pod, a node, an address outside, or the API server.
type Backend struct {
	Pod     *Pod
	Addr    netip.Addr
	Port    int // where a connection to the service's port ends up
	state   backendState
	Node    string // where a slice says it runs
	Missing string // the pod it is said to be, which is not in the cluster
	API     bool   // the API server, wherever it is
}

func (b *builder) service(o *manifest.Object, v *corev1.Service) {
	key := o.Namespace + "/" + o.Name
	s := &Service{
		Ref: key, Namespace: o.Namespace, Name: o.Name, Labels: v.Labels, Selector: v.Spec.Selector,
		Headless: v.Spec.ClusterIP == corev1.ClusterIPNone, ports: v.Spec.Ports,
		notReady: v.Spec.PublishNotReadyAddresses,
		Local: v.Spec.InternalTrafficPolicy != nil &&
			*v.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		EntryLocal: v.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	if v.Spec.Type == corev1.ServiceTypeExternalName {
		s.External = v.Spec.ExternalName
		s.Selector = nil
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
		if w, taken := b.c.Owners[addr]; taken && (w.Service == nil || w.Service.Ref != key) {
			b.problem(o, "spec.clusterIP", "the address %s is also that of %s", addr, w)
			continue
		}
		s.IPs = append(s.IPs, addr)
		b.c.Owners[addr] = Owner{Service: s}
	}
	b.c.Services[key] = s
	b.serviceFrontends(o, v, s)
}

// String names the owner of an address.
func (w Owner) String() string {
	switch {
	case w.Pod != nil:
		return "pod " + w.Pod.Ref
	case w.Node != nil:
		return "node " + w.Node.Name
	case w.Service != nil:
		return "service " + w.Service.Ref
	}
	return "nobody"
}

// clusterIP gives an address to a service that brings none.
func (b *builder) clusterIP(s *Service) {
	if len(s.IPs) > 0 || s.Headless || s.External != "" {
		return
	}
	for n := uint32(10); ; n++ {
		addr := netip.AddrFrom4([4]byte{10, 96 + byte(n>>16)&0xf, byte(n >> 8), byte(n)})
		if b.free(addr) {
			s.IPs = []netip.Addr{addr}
			b.c.Owners[addr] = Owner{Service: s}
			return
		}
	}
}

// resolve finds the service's endpoints.
func (s *Service) resolve(c *Cluster) {
	s.findEndpoints(c)
	for v6 := range s.behind {
		s.behind[v6] = make([][]Backend, len(s.ports))
		if s.Headless {
			continue
		}
		for i := range s.ports {
			s.behind[v6][i] = reachable(s.findBackends(c, &s.ports[i], v6 == 1))
		}
	}
}

// hasSlices reports whether slices decide, rather than the selector.
func (s *Service) hasSlices() bool { return s.sliced || s.listed }

func (s *Service) findEndpoints(c *Cluster) {
	s.Endpoints = nil
	for _, sl := range s.slices {
		for _, x := range sl.endpoints {
			if be, ok := c.backend(x); ok {
				s.Endpoints = append(s.Endpoints, be)
			}
		}
	}
	switch {
	case s.hasSlices():
	case s.Ref == apiService && len(s.Selector) == 0:
		s.Endpoints = c.apiBackends()
	case len(s.Selector) > 0:
		for _, p := range c.PodList {
			if p.Namespace == s.Namespace && selects(s.Selector, p.Labels) {
				s.Endpoints = append(s.Endpoints,
					Backend{Pod: p, Addr: p.Addr(s.PrimaryV6()), state: podState(p, s.notReady)})
			}
		}
	}
}

// PrimaryV6 reports whether the service's own family is IPv6: that of its first address, or of all slices.
func (s *Service) PrimaryV6() bool {
	if len(s.IPs) > 0 {
		return s.IPs[0].Is6()
	}
	return len(s.slices) > 0 && !slices.ContainsFunc(s.slices, func(sl slice) bool { return !sl.v6 })
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Addr returns the pod's address of a family, or its first where it has none of that family.
func (p *Pod) Addr(v6 bool) netip.Addr { return OfFamily(p.IPs, v6) }

// OfFamily returns the first address of a family, or the first of all.
func OfFamily(addrs []netip.Addr, v6 bool) netip.Addr {
	for _, a := range addrs {
		if a.Is6() == v6 {
			return a
		}
	}
	if len(addrs) > 0 {
		return addrs[0]
	}
	return netip.Addr{}
}

// Backends returns where connections to a port of the service end up, by the family of the address that is
// dialed. A headless service has no port of its own: its name gives the addresses of its ready endpoints, and
// the connection goes to the port that was dialed. known is false if the service does not have the port. The
// list is shared.
func (s *Service) Backends(port int, protocol string, v6 bool) (list []Backend, known bool) {
	if s.Headless {
		return s.headlessBackends(port), true
	}
	for i := range s.ports {
		if int(s.ports[i].Port) == port && protocolOf(s.ports[i].Protocol) == protocol {
			return s.behind[family(v6)][i], true
		}
	}
	return nil, false
}

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// headlessBackends are the endpoints that DNS answers with, each pod once.
func (s *Service) headlessBackends(port int) []Backend {
	var list []Backend
	for _, e := range s.Endpoints {
		known := func(x Backend) bool { return x.Addr == e.Addr || x.Pod != nil && x.Pod == e.Pod }
		if e.state == serving && !slices.ContainsFunc(list, known) {
			e.Port = port
			list = append(list, e)
		}
	}
	return list
}

// protocolOf is the protocol of a port that may leave it out.
func protocolOf(p corev1.Protocol) string {
	return cmp.Or(string(p), string(corev1.ProtocolTCP))
}

// findBackends returns the endpoints of a family that have the port.
func (s *Service) findBackends(c *Cluster, sp *corev1.ServicePort, v6 bool) []Backend {
	protocol := protocolOf(sp.Protocol)
	if s.hasSlices() {
		return s.slicedBackends(c, sp, protocol, v6)
	}
	var list []Backend
	for _, e := range s.Endpoints {
		if e.Port = targetPort(sp, e.Pod, protocol); e.Port == 0 {
			continue
		}
		switch {
		case e.Pod == nil:
		case v6 != s.PrimaryV6() && e.Pod.Addr(v6).Is6() != v6:
			continue // it has no address of the second family
		default:
			e.Addr = e.Pod.Addr(v6)
		}
		list = append(list, e)
	}
	return list
}

// slicedBackends returns the endpoints of the slices that have the port, by its name. Like Cilium, it takes a
// port without a name for every port of the protocol, on either side.
func (s *Service) slicedBackends(c *Cluster, sp *corev1.ServicePort, protocol string, v6 bool) []Backend {
	var list []Backend
	for _, sl := range s.slices {
		if sl.v6 != v6 {
			continue
		}
		for _, p := range sl.ports {
			if p.Port == nil || p.Protocol != nil && protocolOf(*p.Protocol) != protocol || !sameName(sp.Name, p) {
				continue
			}
			for _, x := range sl.endpoints {
				be, ok := c.backend(x)
				be.Port = int(*p.Port)
				known := func(y Backend) bool { return y.Addr == be.Addr && y.Port == be.Port }
				if ok && !slices.ContainsFunc(list, known) {
					list = append(list, be)
				}
			}
		}
	}
	return list
}

func sameName(name string, p discoveryv1.EndpointPort) bool {
	return name == "" || p.Name == nil || *p.Name == "" || *p.Name == name
}

// targetPort returns the pod's port behind the service's, or 0 if the pod has no port of that name.
func targetPort(sp *corev1.ServicePort, p *Pod, protocol string) int {
	switch {
	case sp.TargetPort.Type == intstr.String && sp.TargetPort.StrVal != "":
		if p == nil {
			return 0
		}
		return p.NamedPort(sp.TargetPort.StrVal, protocol)
	case sp.TargetPort.IntVal != 0:
		return int(sp.TargetPort.IntVal)
	}
	return int(sp.Port)
}

// PortList says which ports a service has, for messages: "80/TCP, 443/TCP".
func (s *Service) PortList() string {
	var list []string
	for _, p := range s.ports {
		list = append(list, strconv.Itoa(int(p.Port))+"/"+protocolOf(p.Protocol))
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// ServiceNames returns the names of the services, sorted.
func (c *Cluster) ServiceNames() []string { return slices.Sorted(maps.Keys(c.Services)) }

// ServiceNamed returns the service that has a name in the cluster's DNS ("web.shop",
// "web.shop.svc.cluster.local"), or nil.
func (c *Cluster) ServiceNamed(name string) *Service {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for _, suffix := range []string{".svc.cluster.local", ".svc"} {
		if cut, ok := strings.CutSuffix(name, suffix); ok {
			name = cut
			break
		}
	}
	service, namespace, ok := strings.Cut(name, ".")
	if !ok || strings.Contains(namespace, ".") {
		return nil
	}
	return c.Services[namespace+"/"+service]
}

// WhyNoEndpoints says why a service leads nowhere.
func (s *Service) WhyNoEndpoints() string {
	if slices.ContainsFunc(s.Endpoints, func(e Backend) bool { return e.state != unready }) {
		if s.hasSlices() {
			return ": none of its EndpointSlices has the port for the address that was dialed"
		}
		return ": none of its pods has a port of the name that targetPort gives"
	}
	if n := len(s.Endpoints); n > 0 {
		return fmt.Sprintf(": none of its %d is ready", n)
	}
	switch {
	case s.hasSlices():
		return ": its EndpointSlices list no address"
	case len(s.Selector) == 0:
		return ": it has no selector and no EndpointSlice"
	}
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(s.Selector)) {
		terms = append(terms, k+"="+s.Selector[k])
	}
	return fmt.Sprintf(": no running pod in namespace %s has the labels %s", s.Namespace, strings.Join(terms, ", "))
}
