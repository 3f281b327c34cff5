package policy

import (
	"fmt"
	"iter"
	"slices"

	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/internal/representative"
	"github.com/labctl/labctl/cilium/verdict"
)

// Reach is a question to Prove: can anything connect to (or be reached from) these pods?
type Reach struct {
	// To are the pods ("ns/pod") whose ingress is asked about, or From those whose egress is.
	To, From []string
	// Direction is "ingress" or "egress"; empty: ingress if To is set, egress otherwise.
	Direction string
	// What may connect. The pods themselves and, for ingress, their own nodes always may.
	ExceptNamespaces []string
	ExceptPods       []string // "ns/pod"
	ExceptExternal   bool     // what is outside the cluster
	ExceptPorts      []int
	// Protocols that are asked about; default TCP, UDP and SCTP.
	Protocols []string
}

// Prove looks for a connection that q rules out. It returns nil if there is none, and otherwise one
// that gets through.
//
// It tries every pod of the cluster, and a representative of every kind of peer that the
// policies in force can tell apart. That is exhaustive, because policies see nothing of a peer but these:
//
//   - Labels of a pod, of its namespace, and its service account. For each key that some selector
//     mentions the representatives have no such label, each value mentioned, or one value mentioned
//     nowhere; other keys make no difference. All combinations are tried, and of those that the same
//     selectors match, one is kept. They live in every namespace of the cluster, in those that policies
//     name, and in new ones with every combination of namespace labels mentioned. (A new namespace with
//     the labels of an excepted one, and a pod there with those of an excepted pod, count as excepted:
//     that a policy lets them in is what its labels mean.)
//   - The address of what is outside: both ends of every range mentioned and their neighbours outside it.
//   - What is neither: other nodes, the API server, and an address that no range has.
//   - Ports: both ends of every range mentioned and their neighbours, the pods' declared ports, and 1 and 65535.
//
// Only where policies mention so many labels that the combinations exceed a limit (10,000) does it try
// fewer: each selector's own labels and, with them, one further label at a time.
func (e *Engine) Prove(q Reach) (r *Result, err error) {
	defer budgetError(&err)
	ingress := q.Direction == "ingress" || q.Direction == "" && len(q.To) > 0
	names := q.From
	if ingress {
		names = q.To
	}
	if q.Direction != "" && q.Direction != "ingress" && q.Direction != "egress" {
		return nil, fmt.Errorf("direction: %q is neither ingress nor egress", q.Direction)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no pods to ask about")
	}
	for _, name := range names {
		if e.c.PodByName[name] == nil {
			return nil, fmt.Errorf("there is no pod %q in the cluster%s", name, suggest(name, e.c.PodNames()))
		}
	}
	if e.base != nil {
		if r := e.stillBroken(q, ingress); r != nil {
			return r, nil
		}
	}
	all := e.representatives()
	p := prover{e: all.engine, q: q, ingress: ingress, all: all, protocols: q.Protocols}
	if len(p.protocols) == 0 {
		p.protocols = []string{protoTCP, protoUDP, protoSCTP}
	}
	for _, name := range names {
		subject := e.c.PodByName[name]
		for peer := range p.peers() {
			if peer.pod == subject {
				continue
			}
			if r := p.connects(podEndpoint(subject), &peer); r != nil {
				e.broken.Store(&breach{q: q, subject: subject, peer: peer, found: r})
				return r, nil
			}
		}
	}
	return nil, nil
}

// peers goes through all that might connect.
func (p *prover) peers() iter.Seq[candidate] {
	return func(yield func(candidate) bool) {
		for _, c := range p.clusterPeers() {
			if !yield(c) {
				return
			}
		}
		for _, a := range p.all.addresses {
			if o := p.e.c.Owners[a]; o.Pod == nil && o.Node == nil && o.Service == nil && !p.q.ExceptExternal &&
				!yield(candidate{endpoint: p.e.addressEndpoint(a)}) {
				return
			}
		}
		seen := map[string]bool{}
		for i := range p.all.pods {
			x := &p.all.pods[i]
			if seen[x.Signature] || p.representativeExcepted(x) {
				continue
			}
			seen[x.Signature] = true
			if !yield(candidate{endpoint: podEndpoint(x.Pod), represents: x}) {
				return
			}
		}
	}
}

// prover looks for one counterexample.
type prover struct {
	e         *Engine // of the cluster with the representatives
	all       *representatives
	q         Reach
	ingress   bool
	protocols []string
}

// candidate is a peer that might connect; stands is what it stands for if it is not in the cluster.
type candidate struct {
	endpoint
	represents *representative.Pod
}

// connects returns a connection between the two that gets through and that q rules out.
func (p *prover) connects(subject endpoint, peer *candidate) *Result {
	l := p.link(&subject, &peer.endpoint)
	p.e.spend(1)
	f := flow{to: l.target.pod, probe: &Probe{}, from: l.source}
	for _, side := range l.sides {
		if side.rules != nil && !p.e.mayPass(side.rules, &side.other, &f) {
			return nil
		}
	}
	for _, protocol := range p.protocols {
		icmp := protocol == protoICMP || protocol == protoICMPv6
		for _, port := range p.portsOf(protocol, l.target.pod) {
			if !icmp && slices.Contains(p.q.ExceptPorts, port) {
				continue
			}
			if f.protocol, f.port = protocol, uint16(port); !l.passes(p.e, &f) {
				continue
			}
			probe := Probe{From: l.source.name, To: l.target.name, Protocol: protocol, Port: port}
			if icmp {
				probe.Port, probe.ICMPType = 0, &port
			}
			j := evaluation{e: p.e, probe: &probe, source: *l.source}
			r := j.connect(*l.target, port)
			if peer.represents != nil {
				r.Reason = describeRepresentative(peer.represents)
			}
			return &r
		}
	}
	return nil
}

// link is a pair of endpoints that may connect, with the policies of both.
type link struct {
	source, target *endpoint
	sides          [2]linkSide // by direction
}

type linkSide struct {
	rules *ruleSet // nil: no policy can apply there
	other peerView
}

func (p *prover) link(subject, peer *endpoint) link {
	l := link{source: subject, target: peer}
	if p.ingress {
		l.source, l.target = peer, subject
	}
	if s, ok := subjectOf(l.source); ok {
		l.sides[dirEgress] = linkSide{p.e.rulesFor(s.id, false), p.e.viewOf(l.target, l.source, false)}
	}
	if s, ok := subjectOf(l.target); ok {
		l.sides[dirIngress] = linkSide{p.e.rulesFor(s.id, true), p.e.viewOf(l.source, l.target, false)}
	}
	return l
}

// passes reports whether both sides let a flow through.
func (l *link) passes(e *Engine, f *flow) bool {
	e.spend(1)
	for dir := range l.sides {
		if side := &l.sides[dir]; side.rules != nil && !e.passes(side.rules, dir == dirIngress, &side.other, f) {
			return false
		}
	}
	return true
}

// mayPassEntries is how many rules mayPass looks at in a step.
const mayPassEntries = 4

// mayPass reports whether, on some port, the rules could let the two connect.
func (e *Engine) mayPass(rs *ruleSet, other *peerView, f *flow) bool {
	if !rs.isolated || other.id.Kind == cluster.HostIdentity {
		return true
	}
	for i, b := range rs.rules {
		if b.verdict == types.Allow {
			if i%mayPassEntries == 0 {
				e.spend(1)
			}
			if _, ok := e.match(b, other, f); ok {
				return true
			}
		}
	}
	return false
}

// passes is evaluateSide without an account of it.
func (e *Engine) passes(rs *ruleSet, ingress bool, other *peerView, f *flow) bool {
	if o := e.decide(rs, other, f); o.rule != nil {
		return o.verdict == verdict.Allowed
	}
	return !rs.isolated || ingress && other.id.Kind == cluster.HostIdentity
}

// excepted reports whether q lets a pod of the cluster connect.
func (p *prover) excepted(x *cluster.Pod) bool {
	return slices.Contains(p.q.ExceptNamespaces, x.Namespace) || slices.Contains(p.q.ExceptPods, x.Ref)
}

// clusterPeers are the peers that are there: pods, nodes, and the outside without an address.
func (p *prover) clusterPeers() []candidate {
	c := p.e.c
	var peers []candidate
	for _, x := range c.PodList {
		if !p.excepted(x) && !x.HostNetwork {
			peers = append(peers, candidate{endpoint: podEndpoint(x)})
		}
	}
	if !p.q.ExceptExternal {
		peers = append(peers, candidate{endpoint: endpoint{name: "entity:world", world: true}})
	}
	peers = append(peers, candidate{endpoint: endpoint{name: "entity:remote-node", entity: "remote-node"}})
	apiOnNode := slices.ContainsFunc(c.Nodes, func(n *cluster.Node) bool { return n.APIServer })
	if !p.ingress {
		peers = append(peers, candidate{endpoint: endpoint{name: "entity:host", entity: "host"}})
	}
	// The API server's node may be the subject's own, which always gets in.
	if !apiOnNode && len(c.APIServers) > 0 && !p.q.ExceptExternal || apiOnNode && !p.ingress {
		peers = append(peers, candidate{endpoint: endpoint{name: "entity:kube-apiserver", entity: "kube-apiserver"}})
	}
	return peers
}

// representativeExcepted reports whether a representative counts as excepted: it is in an excepted namespace, or a
// new one with its labels; or it has the labels of an excepted pod, there or in a new namespace like that.
func (p *prover) representativeExcepted(x *representative.Pod) bool {
	if slices.Contains(p.q.ExceptNamespaces, x.Namespace) {
		return true
	}
	for _, name := range p.q.ExceptNamespaces {
		if x.NewNamespace && slices.Contains(x.LikeNamespaces, name) {
			return true
		}
	}
	for _, ref := range p.q.ExceptPods {
		y := p.e.c.PodByName[ref]
		if y != nil && slices.Contains(x.LikePods, ref) &&
			(x.Namespace == y.Namespace || x.NewNamespace && slices.Contains(x.LikeNamespaces, y.Namespace)) {
			return true
		}
	}
	return false
}

// portsOf returns the ports to try on a destination: first those that it declares, then those that
// policies mention.
func (p *prover) portsOf(protocol string, dest *cluster.Pod) []int {
	ports := p.all.ports[protocol]
	if dest == nil {
		return ports
	}
	var declared []int
	for _, x := range dest.Ports {
		if x.Protocol == protocol && !slices.Contains(declared, x.Port) {
			declared = append(declared, x.Port)
		}
	}
	if len(declared) == 0 {
		return ports
	}
	return append(declared, ports...)
}
