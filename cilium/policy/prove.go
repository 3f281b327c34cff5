package policy

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
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
// Only where policies mention so many labels that the combinations exceed a limit (50,000) does it try
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
	p := prover{e: e, q: q, ingress: ingress, protocols: q.Protocols}
	if len(p.protocols) == 0 {
		p.protocols = []string{protoTCP, protoUDP, protoSCTP}
	}
	p.collect()
	if r, err := p.search(e, names, p.clusterPeers(e.c)); r != nil || err != nil {
		return r, err
	}
	wider, peers := p.imagine()
	return p.search(wider, names, peers)
}

// maxCombinations bounds the label combinations that Prove tries.
const maxCombinations = 50_000

// prover looks for one counterexample.
type prover struct {
	e         *Engine
	q         Reach
	ingress   bool
	protocols []string

	ports     map[string][]int // by protocol
	addresses []netip.Addr
	selectors []selection
	imagined  map[string]string // what a pod that is not in the cluster stands for
}

// search judges every peer against every subject on every port.
func (p *prover) search(e *Engine, subjects, peers []string) (*Result, error) {
	for _, subject := range subjects {
		for _, peer := range peers {
			if peer == subject {
				continue
			}
			for _, protocol := range p.protocols {
				for _, port := range p.portsFor(e, protocol, subject, peer) {
					probe := Probe{From: peer, To: subject, Protocol: protocol}
					if !p.ingress {
						probe.From, probe.To = subject, peer
					}
					if protocol == protoICMP || protocol == protoICMPv6 {
						probe.ICMPType = &port
					} else if probe.Port = port; slices.Contains(p.q.ExceptPorts, port) {
						continue
					}
					r, err := e.Judge(probe)
					if err != nil {
						return nil, err
					}
					if r.Verdict == Allowed {
						if what := p.imagined[peer]; what != "" {
							r.Reason = what
						}
						return &r, nil
					}
				}
			}
		}
	}
	return nil, nil
}

// excepted reports whether q lets the pod connect.
func (p *prover) excepted(x *pod) bool {
	return slices.Contains(p.q.ExceptNamespaces, x.namespace) || slices.Contains(p.q.ExceptPods, x.ref)
}

// clusterPeers are the peers that are there: pods, nodes, and what is outside.
func (p *prover) clusterPeers(c *Cluster) []string {
	var peers []string
	for _, x := range c.pods {
		if !p.excepted(x) && !x.hostNetwork {
			peers = append(peers, x.ref)
		}
	}
	peers = append(peers, "entity:world", "entity:remote-node")
	if !p.ingress {
		peers = append(peers, "entity:host")
	}
	if len(c.apiServers) > 0 || slices.ContainsFunc(c.nodes, func(n *node) bool { return n.apiServer }) {
		// The API server's node may be the subject's own, which always gets in.
		if !p.ingress || !slices.ContainsFunc(c.nodes, func(n *node) bool { return n.apiServer }) {
			peers = append(peers, "entity:kube-apiserver")
		}
	}
	for _, a := range p.addresses {
		if o := c.owners[a]; o.pod == nil && o.node == nil && o.service == nil {
			peers = append(peers, "ip:"+a.String())
		}
	}
	return peers
}

// collect gathers what the policies tell apart.
func (p *prover) collect() {
	p.ports = map[string][]int{}
	all := []string{protoTCP, protoUDP, protoSCTP, protoICMP, protoICMPv6}
	for _, protocol := range all {
		p.ports[protocol] = []int{1, math.MaxUint16}
	}
	p.ports[protoICMP] = []int{8, 0, 255}
	p.ports[protoICMPv6] = []int{128, 0, 255}
	seen := map[string]bool{}
	for i := range p.e.entries {
		b := &p.e.entries[i]
		p.selectors = addSelection(p.selectors, seen, b.subjectText)
		for j := range b.peers {
			x := &b.peers[j]
			switch x.kind {
			case peerLabels:
				p.selectors = addSelection(p.selectors, seen, x.text)
			case peerCIDR:
				p.addresses = append(p.addresses, edges(x.prefix)...)
				for _, except := range x.except {
					p.addresses = append(p.addresses, edges(except)...)
				}
			}
		}
		for j := range b.ports {
			x := &b.ports[j]
			if x.name != "" {
				continue
			}
			for _, protocol := range all {
				if x.protocol == protocol || x.protocol == "" && protocol != protoICMP && protocol != protoICMPv6 {
					p.ports[protocol] = append(p.ports[protocol], int(x.from)-1, int(x.from), int(x.to), int(x.to)+1)
				}
			}
		}
	}
	for _, addrs := range p.e.names {
		p.addresses = append(p.addresses, addrs...)
	}
	slices.SortFunc(p.addresses, netip.Addr.Compare)
	p.addresses = slices.Compact(p.addresses)
	for protocol, list := range p.ports {
		limit, least := math.MaxUint16, 1
		if protocol == protoICMP || protocol == protoICMPv6 {
			limit, least = 255, 0
		}
		list = slices.DeleteFunc(list, func(n int) bool { return n < least || n > limit })
		slices.Sort(list)
		p.ports[protocol] = slices.Compact(list)
	}
}

// portsFor returns the ports to try on a destination: those that policies mention and, first, those that
// it declares.
func (p *prover) portsFor(e *Engine, protocol, subject, peer string) []int {
	dest := e.c.podByName[peer]
	if p.ingress {
		dest = e.c.podByName[subject]
	}
	ports := p.ports[protocol]
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

// edges returns the first and last address of a range and their neighbours outside it.
func edges(p netip.Prefix) []netip.Addr {
	if !p.IsValid() {
		return nil
	}
	first := p.Masked().Addr()
	last := lastAddr(p)
	var list []netip.Addr
	for _, a := range []netip.Addr{first.Prev(), first, last, last.Next()} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// imagine returns an engine for a cluster that has the imagined pods, too, and the pods' names.
func (p *prover) imagine() (*Engine, []string) {
	c := p.e.c.clone()
	c.ids = &identities{byKey: map[string]*identity{}, relevant: maps.Clone(c.ids.relevant)}
	p.imagined = map[string]string{}
	im := imagination{p: p, c: c, kept: map[string]bool{}}
	im.run()
	c.identify()
	wider := New(c, p.e.policies, nil)
	wider.names = p.e.names
	return wider, slices.Sorted(maps.Keys(p.imagined))
}

func describeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return "no labels"
	}
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		terms = append(terms, k+"="+labels[k])
	}
	return strings.Join(terms, ", ")
}
