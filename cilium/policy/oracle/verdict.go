package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/k8s"
	"github.com/cilium/cilium/pkg/u8proto"
)

// Verdicts of a whole connection beside the outcomes of a side.
const (
	rejected  = "rejected"
	dnsFailed = "dns_failed"
)

// expected is what Cilium makes of a probe.
type expected struct {
	verdict         string
	egress, ingress *side // nil where no policy applies
	backends        []expected
	note            string
}

// target is one end of a connection.
type target struct {
	pod  *podState                // a pod, which has policies of its own
	node string                   // a node by its name, "" for none
	id   identity.NumericIdentity // a reserved identity
	addr netip.Addr               // an address outside
}

// podTarget is a pod, or its node where it has no network of its own.
func podTarget(p *podState) target {
	if p.id == nil {
		return target{node: p.node}
	}
	return target{pod: p}
}

func (w *world) address(addr netip.Addr) target {
	if p := w.byIP[addr]; p != nil {
		return target{pod: p}
	}
	if n := w.nodeOf[addr]; n != "" {
		return target{node: n}
	}
	return target{addr: addr}
}

// target reads "ns/pod", "ip:…", "node:…" and "entity:…".
func (w *world) target(text string) (target, error) {
	kind, value, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		if p := w.byRef[text]; p != nil {
			return podTarget(p), nil
		}
	case kind == "ip":
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return target{}, err
		}
		return w.address(addr), nil
	case kind == "node" && w.nodes[value] != nil:
		return target{node: value}, nil
	case kind == "entity":
		switch value {
		case "host":
			return target{id: identity.ReservedIdentityHost}, nil
		case "remote-node":
			return target{id: identity.ReservedIdentityRemoteNode}, nil
		case "kube-apiserver":
			return target{id: identity.ReservedIdentityKubeAPIServer}, nil
		case "world":
			return target{id: w.worldID(false)}, nil // IPv4, where both families are there
		}
	}
	return target{}, fmt.Errorf("no such end of a connection: %q", text)
}

// identityFor is t as the policy of a pod sees it.
func (f *full) identityFor(t target, from *podState, learnt []string) identity.NumericIdentity {
	switch {
	case t.pod != nil:
		return t.pod.id.ID
	case t.node != "":
		return f.nodeIdentity(t.node == from.node, f.apiNodes[t.node])
	case t.id == identity.ReservedIdentityHost:
		return f.nodeIdentity(true, f.apiNodes[from.node])
	case t.id == identity.ReservedIdentityKubeAPIServer:
		// The API server is on the first node that runs one, on another node if none is known to.
		for _, node := range slices.Sorted(maps.Keys(f.nodes)) {
			if f.apiNodes[node] {
				return f.nodeIdentity(node == from.node, true)
			}
		}
		return t.id
	case t.addr.IsValid():
		var names []string
		for _, name := range f.namesOf(t.addr) {
			if slices.Contains(learnt, name) {
				names = append(names, name)
			}
		}
		return f.external(t.addr, names).ID
	}
	return t.id
}

func (f *full) nodeIdentity(own, apiServer bool) identity.NumericIdentity {
	switch {
	case own && apiServer:
		return f.apiHost.ID
	case own:
		return identity.ReservedIdentityHost
	case apiServer:
		return identity.ReservedIdentityKubeAPIServer
	}
	return identity.ReservedIdentityRemoteNode
}

var protocols = map[string]u8proto.U8proto{
	"": u8proto.TCP, "TCP": u8proto.TCP, "UDP": u8proto.UDP, "SCTP": u8proto.SCTP, "ICMP": u8proto.ICMP,
	"ICMPv6": u8proto.ICMPv6,
}

// Judge says what happens to a probe.
func (f *full) Judge(p *Probe) (expected, error) {
	from, err := f.target(p.From)
	if err != nil {
		return expected{}, err
	}
	var learnt []string
	if from.pod != nil {
		learnt = f.learnt(from.pod)
	}
	kind, value, _ := strings.Cut(p.To, ":")
	switch kind {
	case "svc":
		s := f.services[value]
		if s == nil {
			return expected{}, fmt.Errorf("no service %s", value)
		}
		return f.service(p, from, s, learnt), nil
	case "fqdn":
		return f.fqdn(p, from, value, learnt), nil
	}
	to, err := f.target(p.To)
	if err != nil {
		return expected{}, err
	}
	if s := f.vips[to.addr]; s != nil {
		return f.backendsOf(p, from, s, learnt), nil
	}
	return f.connect(p, from, to, p.Port, learnt), nil
}

// connect judges both sides of one connection.
func (f *full) connect(p *Probe, from, to target, port int, learnt []string) expected {
	out := expected{verdict: allowed}
	proto := protocols[p.Protocol]
	if p.ICMPType != nil {
		port = *p.ICMPType
	}
	if from.pod != nil && from.pod == to.pod {
		return out // a pod reaches itself without leaving it
	}
	if from.pod != nil {
		s := f.judge(from.pod.endpoint, false, f.identityFor(to, from.pod, learnt), proto, uint16(port), p)
		out.egress = &s
	}
	if to.pod != nil {
		s := f.judge(to.pod.endpoint, true, f.identityFor(from, to.pod, nil), proto, uint16(port), p)
		out.ingress = &s
	}
	for _, s := range []*side{out.egress, out.ingress} {
		if s != nil && worse(s.verdict, out.verdict) {
			out.verdict = s.verdict
		}
	}
	return out
}

var severity = []string{allowed, appError, rejected, dropped, dnsFailed}

func worse(a, b string) bool { return slices.Index(severity, a) > slices.Index(severity, b) }

// worst puts the outcomes of several destinations together.
func worst(all []expected) expected {
	out := all[0]
	for _, e := range all[1:] {
		if worse(e.verdict, out.verdict) {
			out = e
		}
	}
	out.backends = all
	return out
}

// service judges a connection to a service: its name is looked up, then the address becomes a backend's
// before any policy sees it.
func (f *full) service(p *Probe, from target, s *serviceState, learnt []string) expected {
	name := s.svc.Name + "." + s.svc.Namespace + ".svc.cluster.local"
	// A query goes to the name server by the address that the resolver is configured with.
	resolver := p.DNSQuery != "" && s == f.services["kube-system/kube-dns"]
	if from.pod != nil && !resolver && f.lookup(from.pod, name) == unanswered {
		return expected{verdict: dnsFailed}
	}
	if s.svc.Spec.ClusterIP == "None" && !resolver && !f.hasAddress(s) {
		return expected{verdict: dnsFailed, note: "a headless service without endpoints has no name"}
	}
	return f.backendsOf(p, from, s, learnt)
}

func (f *full) backendsOf(p *Probe, from target, s *serviceState, learnt []string) expected {
	var all []expected
	for _, port := range s.svc.Spec.Ports {
		if int(port.Port) != p.Port || string(port.Protocol) != p.Protocol {
			continue
		}
		for _, b := range f.backends(s, port.Name) {
			all = append(all, f.connect(p, from, b.target, b.port, learnt))
		}
	}
	if len(all) == 0 {
		return expected{verdict: rejected, note: "no endpoints"}
	}
	return worst(all)
}

type backend struct {
	target
	port int
}

// hasAddress reports whether a headless service's name has an address.
func (f *full) hasAddress(s *serviceState) bool {
	for _, port := range s.svc.Spec.Ports {
		if len(f.backends(s, port.Name)) > 0 {
			return true
		}
	}
	return false
}

func (f *full) backends(s *serviceState, portName string) []backend {
	var out []backend
	for _, port := range s.svc.Spec.Ports {
		if port.Name != portName {
			continue
		}
		if len(s.slices) > 0 || len(s.svc.Spec.Selector) == 0 {
			return f.sliced(s, portName)
		}
		for _, pod := range f.pods {
			if pod.pod.Namespace != s.svc.Namespace || !selects(s.svc.Spec.Selector, pod.pod.Labels) ||
				pod.unready && !s.notReady {
				continue
			}
			number := int(port.Port)
			if s.svc.Spec.ClusterIP != "None" && port.TargetPort.String() != "0" {
				number = port.TargetPort.IntValue()
				if name := port.TargetPort.StrVal; name != "" {
					n, err := pod.ports.GetNamedPort(name, protocols[string(port.Protocol)])
					if err != nil {
						continue
					}
					number = int(n)
				}
			}
			out = append(out, backend{podTarget(pod), number})
		}
	}
	return out
}

// sliced are the backends that slices list: the active ones, or else those that terminate and serve. The
// conditions are read by Cilium's code; what its load balancer makes of them is in its convertEndpoints.
func (f *full) sliced(s *serviceState, portName string) []backend {
	var active, terminating []backend
	for _, slice := range s.slices {
		for _, sp := range slice.Ports {
			if sp.Name == nil || *sp.Name != portName {
				continue
			}
			for _, e := range slice.Endpoints {
				conditions := k8s.ParseEndpointConditionsV1(e.Conditions)
				for _, a := range e.Addresses {
					b := backend{f.address(netip.MustParseAddr(a)), int(*sp.Port)}
					switch {
					case conditions.IsReady():
						active = append(active, b)
					case conditions.IsTerminating() && conditions.IsServing():
						terminating = append(terminating, b)
					}
				}
			}
		}
	}
	if len(active) > 0 || s.svc.Spec.ClusterIP == "None" {
		return active // DNS answers with ready endpoints only
	}
	return terminating
}

func selects(selector, lbls map[string]string) bool {
	for k, v := range selector {
		if got, ok := lbls[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// fqdn judges a connection to every address of a name.
func (f *full) fqdn(p *Probe, from target, name string, learnt []string) expected {
	if len(f.dns[name]) == 0 {
		return expected{verdict: dnsFailed, note: "no such name"}
	}
	if from.pod != nil && f.lookup(from.pod, name) == unanswered {
		return expected{verdict: dnsFailed}
	}
	var all []expected
	for _, addr := range f.dns[name] {
		all = append(all, f.connect(p, from, f.address(addr), p.Port, learnt))
	}
	return worst(all)
}

// answer is how a look-up went.
type answer int

const (
	unanswered answer = iota
	answered          // but Cilium did not see the answer
	seen              // through the DNS proxy: the addresses are known by the name
)

// lookup asks the cluster's name server for a name, by UDP: TCP is for answers that are too long.
func (f *full) lookup(from *podState, name string) answer {
	s := f.services["kube-system/kube-dns"]
	if s == nil {
		return answered
	}
	best := unanswered
	for _, port := range s.svc.Spec.Ports {
		if port.Protocol != "UDP" || port.Port != 53 {
			continue
		}
		probe := &Probe{Protocol: "UDP", DNSQuery: name}
		for _, b := range f.backends(s, port.Name) {
			e := f.connect(probe, target{pod: from}, b.target, b.port, nil)
			if e.verdict != allowed {
				continue
			}
			best = max(best, answered)
			if e.egress != nil && e.egress.redirect == toDNSProxy {
				return seen
			}
		}
	}
	return best
}

// learnt lists the names that a pod taught Cilium by looking them up.
func (f *full) learnt(from *podState) []string {
	if from.learntNames == nil {
		from.learntNames = []string{}
		for name := range f.dns {
			if f.lookup(from, name) == seen {
				from.learntNames = append(from.learntNames, name)
			}
		}
	}
	return from.learntNames
}
