package cluster

//lint:file-ignore SA1019 Clusters still have Endpoints, and what people write by hand takes effect.

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// slice is what one EndpointSlice, or one subset of an Endpoints object, says.
type slice struct {
	v6        bool
	endpoints []sliceEndpoint
	ports     []discoveryv1.EndpointPort
}

// sliceEndpoint is one address of a slice.
type sliceEndpoint struct {
	addr  netip.Addr
	pod   string // "namespace/name", where the slice says whose address it is
	node  string
	state backendState
}

// backendState says whether a service leads to an endpoint.
type backendState uint8

const (
	serving  backendState = iota // ready
	draining                     // terminating, and a fallback where no endpoint is ready
	unready
)

// podState is the state of a pod behind a service that has no slices: what the endpoint slice controller
// would write, and Cilium make of it.
func podState(p *Pod, publishNotReady bool) backendState {
	switch {
	case publishNotReady || !p.unready && !p.terminating:
		return serving
	case !p.unready:
		return draining
	}
	return unready
}

// conditionState reads an endpoint's conditions as Cilium does: those that are missing count as ready and
// serving, and a ready endpoint takes traffic even while it terminates.
func conditionState(c discoveryv1.EndpointConditions) backendState {
	is := func(b *bool, otherwise bool) bool {
		if b == nil {
			return otherwise
		}
		return *b
	}
	switch {
	case is(c.Ready, true):
		return serving
	case is(c.Terminating, false) && is(c.Serving, true):
		return draining
	}
	return unready
}

func (b *builder) endpointSlice(o *manifest.Object, v *discoveryv1.EndpointSlice) {
	name := v.Labels[discoveryv1.LabelServiceName]
	s := b.c.Services[o.Namespace+"/"+name]
	if s != nil {
		s.sliced = true
		s.mirrored = s.mirrored || v.Labels[discoveryv1.LabelManagedBy] == "endpointslicemirroring-controller.k8s.io"
	}
	if v.AddressType == discoveryv1.AddressTypeFQDN {
		return // Cilium and kube-proxy take addresses only
	}
	all := slice{v6: v.AddressType == discoveryv1.AddressTypeIPv6, ports: v.Ports}
	for i, e := range v.Endpoints {
		x := sliceEndpoint{state: conditionState(e.Conditions), pod: targetPod(e.TargetRef, o.Namespace)}
		if e.NodeName != nil {
			x.node = *e.NodeName
		}
		for j, text := range e.Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				b.problem(o, "endpoints["+strconv.Itoa(i)+"].addresses["+strconv.Itoa(j)+"]",
					"%q is not an IP address", text)
				continue
			}
			x.addr = addr.Unmap()
			all.endpoints = append(all.endpoints, x)
		}
	}
	b.addSlice(s, o.Namespace+"/"+name, all)
}

// endpoints reads an Endpoints object. Where a service has EndpointSlices they count; else those that the
// control plane would make of the object.
//
//nolint:staticcheck // deprecated, and still what many clusters and manifests hold
func (b *builder) endpoints(o *manifest.Object, v *corev1.Endpoints) {
	s := b.c.Services[o.Namespace+"/"+o.Name]
	if v.Labels[discoveryv1.LabelSkipMirror] == "true" && (s == nil || len(s.Selector) == 0) {
		return
	}
	if s != nil && s.sliced && (len(s.Selector) > 0 || s.mirrored) {
		return
	}
	if s != nil && !s.sliced {
		s.listed = true
	}
	for i := range v.Subsets {
		sub := &v.Subsets[i]
		four, six := slice{}, slice{v6: true}
		for _, p := range sub.Ports {
			port := discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol}
			four.ports, six.ports = append(four.ports, port), append(six.ports, port)
		}
		add := func(list []corev1.EndpointAddress, state backendState) {
			for _, a := range list {
				addr, err := netip.ParseAddr(a.IP)
				if err != nil {
					continue // the manifest was checked
				}
				x := sliceEndpoint{addr: addr.Unmap(), state: state, pod: targetPod(a.TargetRef, o.Namespace)}
				if a.NodeName != nil {
					x.node = *a.NodeName
				}
				if x.addr.Is6() {
					six.endpoints = append(six.endpoints, x)
				} else {
					four.endpoints = append(four.endpoints, x)
				}
			}
		}
		add(sub.Addresses, serving)
		add(sub.NotReadyAddresses, unready)
		for _, all := range []slice{four, six} {
			if len(all.endpoints) > 0 {
				b.addSlice(s, o.Namespace+"/"+o.Name, all)
			}
		}
	}
}

func targetPod(ref *corev1.ObjectReference, namespace string) string {
	if ref == nil || ref.Kind != "Pod" || ref.Name == "" {
		return ""
	}
	return cmp.Or(ref.Namespace, namespace) + "/" + ref.Name
}

// addSlice gives a service what a slice says. s is nil if the service is not among the objects.
func (b *builder) addSlice(s *Service, ref string, all slice) {
	for _, x := range all.endpoints {
		b.reserved[x.addr] = true
		if ref == apiService {
			b.c.APIServers[x.addr] = true
		}
		// A pod that somebody wrote down without an address has the one that the slice gives it.
		if p := b.c.PodByName[x.pod]; p != nil && !p.HostNetwork && !slices.ContainsFunc(p.IPs,
			func(a netip.Addr) bool {
				return a.Is6() == x.addr.Is6()
			}) {
			if _, taken := b.c.Owners[x.addr]; !taken {
				p.IPs = append(p.IPs, x.addr)
				b.c.Owners[x.addr] = Owner{Pod: p}
			}
		}
	}
	if s != nil {
		s.slices = append(s.slices, all)
	}
}

// backend finds what an endpoint of a slice is: a pod, a node, or an address outside. ok is false for one that
// is nothing any more.
func (c *Cluster) backend(x sliceEndpoint) (be Backend, ok bool) {
	be = Backend{Addr: x.addr, state: x.state, Node: x.node}
	holder := c.Owners[x.addr]
	if p := c.PodByName[x.pod]; p != nil && (holder.Pod == nil || holder.Pod == p || p.HostNetwork) {
		be.Pod = p
		return be, true
	}
	be.Pod = holder.Pod
	if be.Pod == nil && holder.Node == nil && x.pod != "" {
		if c.Gone[x.pod] != "" {
			return be, false
		}
		be.Missing = x.pod
	}
	return be, true
}

// reachable returns those of a service's endpoints that it leads to: the ready ones, or else those that
// terminate but still serve.
func reachable(all []Backend) []Backend {
	for _, state := range []backendState{serving, draining} {
		if slices.ContainsFunc(all, func(be Backend) bool { return be.state == state }) {
			return slices.DeleteFunc(slices.Clone(all), func(be Backend) bool { return be.state != state })
		}
	}
	return nil
}
