package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/verdict"
)

// frontend returns what the target's port leads to, or nil if the target is just what it is.
func (j *evaluation) frontend(target *endpoint, port int) *cluster.Frontend {
	key := cluster.PortKey{Port: port, Protocol: cmp.Or(j.probe.Protocol, protoTCP)}
	all := &j.e.c.Frontends
	if target.addr.IsValid() {
		return all.Addresses[target.addr][key]
	}
	if target.pod != nil || target.world || target.entity == "kube-apiserver" {
		return nil
	}
	n := target.node
	if n == nil && target.entity == "host" {
		n = j.source.host()
	}
	addrs := []netip.Addr{target.dialed}
	if n != nil && !target.dialed.IsValid() {
		addrs = n.IPs
	}
	for _, a := range addrs {
		if f := all.Addresses[a][key]; f != nil {
			return f // some load balancers have the addresses of nodes
		}
	}
	if f := all.NodePorts[key]; f != nil {
		return f
	}
	if port >= cluster.FirstNodePort && port <= cluster.LastNodePort && len(all.Open) > 0 {
		j.refuse("%s port %d may be the %s, whose number is not given: add spec.ports[].nodePort",
			target.name, port, all.Open[0])
	}
	return all.HostPortOf(n, j.source.host(), target.dialed, key)
}

// way is one way in which a connection through a frontend may go; which of them it does depends on what the
// engine does not know.
type way struct {
	name   string
	direct bool     // Cilium translates the address before the client's policies see it
	source endpoint // whom the pod's policies see the connection come from
	masked bool     // source is not the client but hides it
}

// through evaluates a connection to a frontend. Every way that it may go has to come to the same verdict: else
// the verdict depends on what manifests do not say, and the probe is refused.
func (j *evaluation) through(f *cluster.Frontend, target endpoint) Result {
	if f.Kind == cluster.HostPort {
		j.refuse("%s port %d is the %s, which is not modelled: whether anything serves it is up to Cilium's kube-proxy replacement or another plugin. Probe the pod instead",
			target.name, j.probe.Port, f)
		return Result{Probe: *j.probe, Verdict: verdict.Dropped}
	}
	backends, known := j.frontendBackends(f, &target)
	if j.err != nil || !known {
		return Result{Probe: *j.probe, Verdict: verdict.Dropped}
	}
	if len(backends) == 0 {
		s := j.e.c.Services[f.Service]
		return Result{
			Probe: *j.probe, Verdict: verdict.Rejected,
			Reason: fmt.Sprintf("service %s has no endpoints%s", s.Ref, s.WhyNoEndpoints()),
		}
	}
	j.entered = true
	defer func() { j.entered = false }()
	var first Result
	var verdicts []string
	same := true
	for i, w := range j.ways(f, &target) {
		r := j.by(w, backends, target)
		verdicts = append(verdicts, fmt.Sprintf("%s if %s", r.Verdict, w.name))
		if i == 0 {
			first = r
		}
		same = same && r.Verdict == first.Verdict
	}
	if !same {
		j.refuse("%s port %d is the %s; its verdict depends on how the cluster handles these, which is not modelled: %s. Probe svc:%s instead",
			target.name, j.probe.Port, f, strings.Join(verdicts, ", "), f.Service)
	}
	if first.Reason == "" {
		first.Reason = fmt.Sprintf("%s port %d is the %s", target.name, j.probe.Port, f)
	}
	return first
}

// by evaluates the connection to all backends of a frontend on one way.
func (j *evaluation) by(w way, backends []cluster.Backend, target endpoint) Result {
	results := make([]Result, len(backends))
	for i, b := range backends {
		at := j.backendEndpoint(&b)
		r := route{dialed: at, dialedPort: b.Port, seen: w.source, target: at, port: b.Port}
		if w.masked && w.source.node != nil && w.source.node == at.host() {
			r.seen = unknownSource // Cilium does not take what its node only forwards for the node's own
		}
		if !w.direct {
			r.dialed, r.dialedPort = target, j.probe.Port
		}
		results[i] = j.travel(r)
		results[i].To, results[i].Port = at.name, b.Port
	}
	return mostSevere(*j.probe, results)
}

// frontendBackends are the pods that a frontend leads to; known is false if nothing says which.
func (j *evaluation) frontendBackends(f *cluster.Frontend, target *endpoint) (list []cluster.Backend, known bool) {
	s := j.e.c.Services[f.Service]
	v6 := target.addr.Is6() || target.dialed.Is6()
	list, _ = s.Backends(f.Port, cmp.Or(j.probe.Protocol, protoTCP), v6)
	if !j.sourceMayEnter(f, s, target) {
		return nil, false
	}
	inside := j.source.host() != nil || j.source.entity != ""
	local := s.EntryLocal
	if inside {
		local = s.Local
		if s.EntryLocal != s.Local {
			// Which of the two counts for a client inside is up to the proxy.
			j.refuse("%s port %d is the %s with externalTrafficPolicy: %s: which endpoints it has for a client inside the cluster is not modelled",
				target.name, j.probe.Port, f, policyName(s.EntryLocal))
			return nil, false
		}
	}
	if !local || len(list) == 0 {
		return list, true
	}
	if f.Kind != cluster.NodePort && !inside {
		return list, true // a load balancer chooses nodes that have endpoints
	}
	entry := target.node
	if inside {
		entry = j.source.host()
	}
	list, known = j.onNode(list, entry, s, "externalTrafficPolicy")
	if known && len(list) == 0 {
		j.refuse("%s port %d is the %s with externalTrafficPolicy: Local, and no endpoint is on that node: how the connection is denied is not modelled",
			target.name, j.probe.Port, f)
		return nil, false
	}
	return list, known
}

func policyName(local bool) string {
	if local {
		return "Local"
	}
	return "Cluster"
}

// sourceMayEnter reports whether loadBalancerSourceRanges let the source in; the probe is refused where that
// is not known.
func (j *evaluation) sourceMayEnter(f *cluster.Frontend, s *cluster.Service, target *endpoint) bool {
	if len(s.Sources) == 0 || f.Kind == cluster.ExternalIP {
		return true
	}
	has := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.Sources, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if j.source.world && j.source.addr.IsValid() && has(j.source.addr) {
		return true
	}
	j.refuse("%s port %d is the %s with loadBalancerSourceRanges, which are not modelled for %s",
		target.name, j.probe.Port, f, j.source.name)
	return false
}

// onNode keeps the backends on a node. The probe is refused where it is not known on which nodes they are.
func (j *evaluation) onNode(list []cluster.Backend, n *cluster.Node, s *cluster.Service,
	why string) (local []cluster.Backend, known bool) {
	if n == nil || n.Name == "" {
		j.refuse("service %s has %s: Local, and the node that the connection starts from is not known: give the pods' spec.nodeName", s.Ref, why)
		return nil, false
	}
	if j.source.pod != nil && !j.source.pod.Placed && len(j.e.c.Nodes) > 1 {
		j.refuse("service %s has %s: Local, and the node of %s is not known: give its spec.nodeName",
			s.Ref, why, j.source.name)
		return nil, false
	}
	for _, b := range list {
		name := b.Node
		if name == "" && b.Pod != nil && (b.Pod.Placed || len(j.e.c.Nodes) == 1) {
			name = b.Pod.Node.Name
		}
		switch name {
		case "":
			j.refuse("service %s has %s: Local, and the node of its endpoint %s is not known: give its spec.nodeName",
				s.Ref, why, b.Addr)
			return nil, false
		case n.Name:
			local = append(local, b)
		}
	}
	return local, true
}

// ways lists how a connection may go through a frontend: docs/probe.md says where the list comes from.
func (j *evaluation) ways(f *cluster.Frontend, target *endpoint) []way {
	kept := way{name: "the pod sees it come from " + j.source.name, direct: true, source: j.source}
	ways := []way{kept}
	if j.source.pod == nil || j.source.node != nil {
		if f.Kind != cluster.ExternalIP && j.source.world && j.e.c.Services[f.Service].EntryLocal {
			return ways // externalTrafficPolicy: Local keeps the client's address
		}
		return append(ways, j.masked(target)...)
	}
	outside := kept
	outside.direct, outside.name = false, "the client's policies see it go to "+target.name
	ways = append(ways, outside)
	for _, w := range j.masked(target) {
		w.direct = false
		ways = append(ways, w)
	}
	return ways
}

// unknownSource is what the agent takes for outside, without the range of an address.
var unknownSource = endpoint{name: "entity:world", world: true}

// masked are the ways on which some node hides the client behind an address of its own.
func (j *evaluation) masked(target *endpoint) []way {
	ways := []way{{
		name: "the pod sees it come from outside, by no address", direct: true, masked: true, source: unknownSource,
	}}
	add := func(name string, p endpoint) {
		ways = append(ways, way{name: "the pod sees it come from " + name, direct: true, masked: true, source: p})
	}
	for _, n := range []*cluster.Node{target.node, j.source.host()} {
		if n != nil && n.Name != "" && !slices.ContainsFunc(ways, func(w way) bool { return w.source.node == n }) {
			add("node "+n.Name, endpoint{name: "node:" + n.Name, node: n})
		}
	}
	if target.node == nil {
		add("another node", endpoint{name: "entity:remote-node", entity: "remote-node"})
	}
	return ways
}
