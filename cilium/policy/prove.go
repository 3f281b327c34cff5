package policy

import (
	"fmt"
	"slices"

	"github.com/cilium/cilium/pkg/policy/types"
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
	ExceptPorts      []int
	// Protocols that are asked about; default TCP, UDP and SCTP.
	Protocols []string
}

// Prove looks for a connection that q rules out. It returns nil if there is none, and otherwise one
// that gets through.
//
// It tries every pod of the cluster, and beside them a representative of every kind of peer that the
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
func (e *Engine) Prove(q Reach) (*Result, error) {
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
		if e.c.podByName[name] == nil {
			return nil, fmt.Errorf("there is no pod %q in the cluster%s", name, suggest(name, e.c.podNames()))
		}
	}
	im := e.imagine()
	p := prover{e: im.engine, q: q, ingress: ingress, im: im, protocols: q.Protocols}
	if len(p.protocols) == 0 {
		p.protocols = []string{protoTCP, protoUDP, protoSCTP}
	}
	peers := append(p.clusterPeers(), p.imaginedPeers()...)
	for _, name := range names {
		subject := e.c.podByName[name]
		for i := range peers {
			if peers[i].pod == subject {
				continue
			}
			if r := p.connects(podPoint(subject), &peers[i]); r != nil {
				return r, nil
			}
		}
	}
	return nil, nil
}

// maxCombinations bounds the label combinations that Prove tries.
const maxCombinations = 10_000

// prover looks for one counterexample.
type prover struct {
	e         *Engine // of the cluster with the imagined pods
	im        *imagination
	q         Reach
	ingress   bool
	protocols []string
}

// candidate is a peer that might connect; what says what it stands for if it is not in the cluster.
type candidate struct {
	point
	what string
}

// connects returns a connection between the two that gets through and that q rules out.
func (p *prover) connects(subject point, peer *candidate) *Result {
	source, target := &subject, &peer.point
	if p.ingress {
		source, target = target, source
	}
	sides := [2]struct {
		rules *ruleSet
		other end
	}{}
	if s, ok := subjectOf(source); ok {
		sides[dirEgress].rules, sides[dirEgress].other = p.e.rulesFor(s.id, false), p.e.seenBy(target, source)
	}
	if s, ok := subjectOf(target); ok {
		sides[dirIngress].rules, sides[dirIngress].other = p.e.rulesFor(s.id, true), p.e.seenBy(source, target)
	}
	f := flow{to: target.pod, probe: &Probe{}, from: source}
	for _, side := range sides {
		if side.rules != nil && !p.e.mayPass(side.rules, &side.other, &f) {
			return nil
		}
	}
	for _, protocol := range p.protocols {
		icmp := protocol == protoICMP || protocol == protoICMPv6
		for _, port := range p.portsOf(protocol, target.pod) {
			if !icmp && slices.Contains(p.q.ExceptPorts, port) {
				continue
			}
			f.protocol, f.port = protocol, uint16(port)
			passes := true
			for dir, side := range sides {
				passes = passes && (side.rules == nil || p.e.passes(side.rules, dir == dirIngress, &side.other, &f))
			}
			if !passes {
				continue
			}
			probe := Probe{From: source.name, To: target.name, Protocol: protocol, Port: port}
			if icmp {
				probe.Port, probe.ICMPType = 0, &port
			}
			j := judgement{e: p.e, probe: &probe, source: *source}
			r := j.connect(*target, port)
			r.Reason = peer.what
			return &r
		}
	}
	return nil
}

// mayPass reports whether, on some port, the rules could let the two connect.
func (e *Engine) mayPass(rs *ruleSet, other *end, f *flow) bool {
	if !rs.isolated || other.id.kind == identityHost {
		return true
	}
	for _, b := range rs.entries {
		if b.verdict == types.Allow {
			if _, ok := e.match(b, other, f); ok {
				return true
			}
		}
	}
	return false
}

// passes is judgeSide without an account of it.
func (e *Engine) passes(rs *ruleSet, ingress bool, other *end, f *flow) bool {
	if o := e.decide(rs, other, f); o.entry != nil {
		return o.verdict == Allowed
	}
	return !rs.isolated || ingress && other.id.kind == identityHost
}

// excepted reports whether q lets a pod of the cluster connect.
func (p *prover) excepted(x *pod) bool {
	return slices.Contains(p.q.ExceptNamespaces, x.namespace) || slices.Contains(p.q.ExceptPods, x.ref)
}

// clusterPeers are the peers that are there: pods, nodes, and what is outside.
func (p *prover) clusterPeers() []candidate {
	c := p.e.c
	var peers []candidate
	for _, x := range c.pods {
		if !p.excepted(x) && !x.hostNetwork {
			peers = append(peers, candidate{point: podPoint(x)})
		}
	}
	peers = append(peers, candidate{point: point{name: "entity:world", world: true}}, candidate{point: point{name: "entity:remote-node", entity: "remote-node"}})
	apiOnNode := slices.ContainsFunc(c.nodes, func(n *node) bool { return n.apiServer })
	if !p.ingress {
		peers = append(peers, candidate{point: point{name: "entity:host", entity: "host"}})
	}
	// The API server's node may be the subject's own, which always gets in.
	if !apiOnNode && len(c.apiServers) > 0 || apiOnNode && !p.ingress {
		peers = append(peers, candidate{point: point{name: "entity:kube-apiserver", entity: "kube-apiserver"}})
	}
	for _, a := range p.im.addresses {
		if o := c.owners[a]; o.pod == nil && o.node == nil && o.service == nil {
			peers = append(peers, candidate{point: p.e.addressPoint(a)})
		}
	}
	return peers
}

// imaginedPeers are the peers that might be there: one for each set of selectors, unless excepted.
func (p *prover) imaginedPeers() []candidate {
	var peers []candidate
	seen := map[string]bool{}
	for i := range p.im.pods {
		x := &p.im.pods[i]
		if seen[x.signature] || p.imaginedExcepted(x) {
			continue
		}
		seen[x.signature] = true
		peers = append(peers, candidate{point: podPoint(x.pod), what: x.String()})
	}
	return peers
}

// imaginedExcepted reports whether an imagined pod counts as excepted: it is in an excepted namespace, or a
// new one with its labels; or it has the labels of an excepted pod, there or in a new namespace like that.
func (p *prover) imaginedExcepted(x *imaginedPod) bool {
	if slices.Contains(p.q.ExceptNamespaces, x.pod.namespace) {
		return true
	}
	for _, name := range p.q.ExceptNamespaces {
		if x.newNamespace && slices.Contains(x.likeNamespaces, name) {
			return true
		}
	}
	for _, ref := range p.q.ExceptPods {
		y := p.e.c.podByName[ref]
		if y != nil && slices.Contains(x.likePods, ref) && (x.pod.namespace == y.namespace || x.newNamespace && slices.Contains(x.likeNamespaces, y.namespace)) {
			return true
		}
	}
	return false
}

// portsOf returns the ports to try on a destination: first those that it declares, then those that
// policies mention.
func (p *prover) portsOf(protocol string, dest *pod) []int {
	ports := p.im.ports[protocol]
	if dest == nil {
		return ports
	}
	var declared []int
	for _, x := range dest.ports {
		if x.Protocol == protocol && !slices.Contains(declared, x.Port) {
			declared = append(declared, x.Port)
		}
	}
	if len(declared) == 0 {
		return ports
	}
	return append(declared, ports...)
}
