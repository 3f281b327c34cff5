package policy

import (
	"net/netip"
	"regexp"
	"slices"
	"sync"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Policy is one compiled policy, or a group of address ranges that policies refer to. It is immutable
// and may be shared by goroutines and engines.
type Policy struct {
	ref    manifest.Ref
	object *manifest.Object
	cfg    Config
	rules  []*rule
	group  *cidrGroup

	// Of a NetworkPolicy, for Recompile.
	subject         *types.LabelSelector
	ofNetworkPolicy [2][]compiledRule // by direction

	wholeOnce sync.Once
	whole     *RuleRef
}

// Size is how much the policy has: its rules, peers, ports, exceptions and the instructions of its patterns.
func (p *Policy) Size() int {
	n := 0
	if p.group != nil {
		n = len(p.group.prefixes.ranges)
	}
	for _, e := range p.rules {
		n += 1 + len(e.peers) + len(e.ports)
		for i := range e.peers {
			n += terms(e.peers[i].text) + len(e.peers[i].except.ranges)
		}
		for i := range e.ports {
			if l := e.ports[i].l7; l != nil {
				n += l.size
			}
		}
	}
	return n
}

// Ref returns the name of the policy.
func (p *Policy) Ref() manifest.Ref { return p.ref }

// rule is one rule of a policy: for its subjects, in one direction, a verdict on a set of peers and ports.
type rule struct {
	policy      *Policy
	path        string // of the rule, or of its one peer
	ingress     bool
	node        bool // the subject is a node
	defaultDeny bool
	verdict     types.Verdict
	tier        types.Tier
	priority    float64
	subject     *types.LabelSelector
	subjectText *slimv1.LabelSelector // what subject was made from, for explanations

	// anyPeer: no peer is named, so all match. Otherwise the peers' union matches; without any, none.
	anyPeer    bool
	peers      []peer
	unresolved bool // some peers stand for others that only the cluster or other objects tell
	// allPorts: no port is named, so every protocol and port match. Otherwise the ports' union.
	allPorts bool
	ports    []port

	refOnce sync.Once
	ref     *RuleRef
}

// texts goes through the selectors of a rule's subject and peers.
func (b *boundRule) texts() []*slimv1.LabelSelector {
	list := []*slimv1.LabelSelector{b.subjectText}
	for i := range b.peers {
		list = append(list, b.peers[i].text)
	}
	return list
}

// ruleRef returns the position of the rule. Its line is looked up on first use: most rules decide
// nothing.
func (e *rule) ruleRef() *RuleRef {
	e.refOnce.Do(func() { e.ref = e.policy.refTo(e.path) })
	return e.ref
}

// wholeRef returns the position of the policy.
func (p *Policy) wholeRef() *RuleRef {
	p.wholeOnce.Do(func() { p.whole = p.refTo("") })
	return p.whole
}

func (p *Policy) refTo(path string) *RuleRef {
	return &RuleRef{Policy: p.ref, Rule: path, File: p.object.File, Line: p.object.LineOf(path)}
}

// peer is one selector of a rule's peers.
type peer struct {
	path string
	kind peerKind

	// by labels
	selector *types.LabelSelector
	text     *slimv1.LabelSelector // what selector was made from
	allPods  bool                  // see selectsAllPods

	// by address
	prefix  netip.Prefix
	groups  []*cidrGroup // instead of prefix: what the engine resolved groupBy to
	except  addresses
	anyone  bool // pods and nodes too, not only addresses outside
	entity  api.Entity
	fqdn    *regexp.Regexp // by name
	pattern string         // as written
	service *api.Service   // resolved by the engine
	groupBy *groupRef      // resolved by the engine
}

type peerKind uint8

const (
	peerLabels peerKind = iota
	peerCIDR
	peerFQDN
	peerService
	peerGroup
)

// groupRef refers to CiliumCIDRGroups, by name or labels.
type groupRef struct {
	name     string
	selector *slimv1.LabelSelector
}

func (g *groupRef) String() string {
	if g.selector == nil {
		return "group " + g.name
	}
	d := diffSelector(g.selector, nil)
	return d.describe("groups")
}

// size is how many ranges a peer of addresses has.
func (p *peer) size() int {
	n := 1 + len(p.except.ranges)
	for _, g := range p.groups {
		n += len(g.prefixes.ranges)
	}
	return n
}

// cidrGroup is a compiled CiliumCIDRGroup.
type cidrGroup struct {
	name     string
	labels   map[string]string
	prefixes addresses
}

// port is one port (or range) of a rule with the requests it lets through.
type port struct {
	protocol string // TCP, UDP, SCTP, ICMP, ICMPv6; empty: TCP, UDP and SCTP
	from, to uint16 // from 0: every port of the protocol
	ranged   bool   // written as a range, maybe of one port
	name     string // a named port; from and to do not count
	l7       *l7
}

// flow is a connection as the rules of one side see it.
type flow struct {
	protocol string
	port     uint16       // ICMP: the type
	to       *cluster.Pod // whose named ports count: the destination
	probe    *Probe
	request  bool      // more than a connect: HTTP, a DNS query, a TLS server name
	from     *endpoint // the source, for what names it has learned
}

// sameFilter reports whether Cilium keeps the two in one filter, of which its DNS proxy knows all rules.
func (p *port) sameFilter(other *port) bool {
	return p.from == other.from && p.to == other.to && p.ranged == other.ranged && p.name == other.name
}

func (p *port) matches(f *flow) bool {
	if p.protocol != f.protocol {
		if p.protocol != "" || f.protocol == protoICMP || f.protocol == protoICMPv6 {
			return false
		}
	}
	switch {
	case p.name != "":
		return f.to != nil && !f.to.HostNetwork && f.to.NamedPort(p.name, f.protocol) == int(f.port)
	case p.from == 0:
		return true
	}
	return p.from <= f.port && f.port <= p.to
}

// observesDNS reports whether the rule looks at DNS queries, from which Cilium learns the addresses of names.
func (e *rule) observesDNS() bool {
	for i := range e.ports {
		if l := e.ports[i].l7; l != nil && l.dns != nil {
			return true
		}
	}
	return false
}

// selectsAllPods reports whether a selector that should ask for labels selects every pod, whatever its
// labels. Cilium looks each pod up twice, by its own identity and by one that stands for the whole
// cluster and has no label but this; a selector with negative terms only selects that one, too.
func selectsAllPods(s *types.LabelSelector) bool {
	return s.Matches(labels.LabelArray{cluster.Reserved(labels.IDNameAggregateCluster)})
}

// namesPort reports whether the rule has the flow's port by name only.
func (e *rule) namesPort(f *flow) bool {
	for i := range e.ports {
		if p := &e.ports[i]; p.name == "" && p.matches(f) {
			return false
		}
	}
	return !e.allPorts
}

// contains reports whether the address is in the range and in none of its exceptions.
func (p *peer) contains(a netip.Addr) bool { return p.spans(a) && !p.except.contains(a) }

// spans reports whether the address is in the range, exceptions aside.
func (p *peer) spans(a netip.Addr) bool {
	if p.groupBy == nil {
		return p.prefix.Contains(a)
	}
	return slices.ContainsFunc(p.groups, func(g *cidrGroup) bool { return g.prefixes.contains(a) })
}

// containsAll reports whether the range is all of IPv4, of which an outside peer without an address is part.
func (p *peer) containsAll() bool {
	if p.except.everything() {
		return false
	}
	all := func(r netip.Prefix) bool { return r.Bits() == 0 && r.Addr().Is4() }
	if p.groupBy == nil {
		return all(p.prefix)
	}
	return slices.ContainsFunc(p.groups, func(g *cidrGroup) bool { return slices.ContainsFunc(g.prefixes.ranges, all) })
}

const (
	protoTCP    = "TCP"
	protoUDP    = "UDP"
	protoSCTP   = "SCTP"
	protoICMP   = "ICMP"
	protoICMPv6 = "ICMPv6"
)
