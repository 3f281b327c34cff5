package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Engine judges connections in a cluster under a set of policies. It may be used by several goroutines.
type Engine struct {
	c        *Cluster
	policies []*Policy
	entries  []boundEntry // in the order in which they are tried
	names    map[string][]netip.Addr

	// rules are the entries that select an identity, by direction and identity; made when first needed.
	rules [2][]atomic.Pointer[ruleSet]
	// matched remembers which peer of an entry selects an identity by its labels, by entry and identity:
	// 0 is not known yet, 1 none, n+2 the peer n.
	matched []atomic.Int32
	// resolves remembers whether pods of an identity can look up every name; see resolvesAll.
	resolves []atomic.Uint32

	imagineOnce sync.Once
	imagination *imagination // for Prove
}

// boundEntry is an entry in an engine: with the peers that only the cluster and the other objects tell.
type boundEntry struct {
	*entry
	index   int
	peers   []peer
	anyPeer bool
}

// ruleSet is what governs one direction of an identity.
type ruleSet struct {
	entries   []*boundEntry
	isolated  bool      // without a match the traffic is denied
	dns       bool      // some rule looks at DNS queries
	isolating []RuleRef // the policies that say so
}

const (
	dirEgress  = 0
	dirIngress = 1
)

func direction(ingress bool) int {
	if ingress {
		return dirIngress
	}
	return dirEgress
}

// New puts policies in force in a cluster. Of policies with the same kind, namespace and name the last one
// counts, as if it had been applied over the others. CiliumCIDRGroups are among the policies. names are
// the addresses that DNS answers for names outside the cluster.
func New(c *Cluster, policies []*Policy, names map[string][]string) *Engine {
	e := &Engine{c: c, policies: current(policies)}
	count := 0
	for _, p := range e.policies {
		count += len(p.entries)
	}
	e.entries = make([]boundEntry, 0, count)
	for _, p := range e.policies {
		for _, en := range p.entries {
			b := boundEntry{entry: en, peers: en.peers, anyPeer: en.anyPeer}
			if en.unresolved {
				b.peers = e.resolvePeers(en)
				// A toServices rule whose services have no endpoints is to Cilium a rule that names no peer.
				b.anyPeer = len(b.peers) == 0 && !en.allPorts && en.peers[0].kind == peerService
			}
			e.entries = append(e.entries, b)
		}
	}
	slices.SortStableFunc(e.entries, func(a, b boundEntry) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.priority, b.priority), cmp.Compare(rank(a.verdict), rank(b.verdict)))
	})
	for i := range e.entries {
		e.entries[i].index = i
	}
	e.makeCaches()
	if len(names) > 0 {
		e.names = make(map[string][]netip.Addr, len(names))
		for name, addrs := range names {
			var list []netip.Addr
			for _, s := range addrs {
				if a, err := netip.ParseAddr(s); err == nil {
					list = append(list, a.Unmap())
				}
			}
			e.names[queryName(name)] = list
		}
	}
	return e
}

// makeCaches makes room for what the engine finds out as it goes.
func (e *Engine) makeCaches() {
	for d := range e.rules {
		e.rules[d] = make([]atomic.Pointer[ruleSet], len(e.c.ids.list))
	}
	e.matched = make([]atomic.Int32, len(e.entries)*len(e.c.ids.list))
	e.resolves = make([]atomic.Uint32, len(e.c.ids.list))
}

// rank orders the verdicts of one priority: deny before allow before pass.
func rank(v types.Verdict) int {
	switch v {
	case types.Deny:
		return 0
	case types.Allow:
		return 1
	}
	return 2
}

// current returns the policies without those that a later one replaces.
func current(policies []*Policy) []*Policy {
	last := make(map[manifest.Ref]int, len(policies))
	for i, p := range policies {
		last[p.ref] = i
	}
	if len(last) == len(policies) {
		return policies
	}
	var list []*Policy
	for i, p := range policies {
		if last[p.ref] == i {
			list = append(list, p)
		}
	}
	return list
}

// resolvePeers returns the entry's peers with groups replaced by their addresses and services by their
// endpoints. A group or service that is not there selects nothing.
func (e *Engine) resolvePeers(en *entry) []peer {
	var out []peer
	for i := range en.peers {
		p := &en.peers[i]
		switch p.kind {
		case peerGroup:
			out = append(out, e.groupPeers(p)...)
		case peerService:
			out = append(out, e.servicePeers(p)...)
		default:
			out = append(out, *p)
		}
	}
	return out
}

func (e *Engine) groupPeers(p *peer) []peer {
	var out []peer
	for _, pol := range e.policies {
		g := pol.group
		if g == nil {
			continue
		}
		if p.groupBy.selector == nil && g.name != p.groupBy.name || p.groupBy.selector != nil && !selectorMatches(p.groupBy.selector, g.labels) {
			continue
		}
		for _, prefix := range g.prefixes {
			out = append(out, peer{path: p.path, kind: peerCIDR, prefix: prefix, except: p.except})
		}
	}
	return out
}

// servicePeers returns the endpoints of the services that a toServices item names. A service with a
// selector stands for the pods it selects, one without for the addresses of its EndpointSlices.
func (e *Engine) servicePeers(p *peer) []peer {
	var out []peer
	for _, key := range e.c.serviceNames() {
		s := e.c.services[key]
		if !serviceSelected(p.service, s) {
			continue
		}
		if len(s.selector) > 0 {
			out = append(out, labelPeer(p.path, inNamespace(&slimv1.LabelSelector{MatchLabels: s.selector}, s.namespace)))
			continue
		}
		for _, be := range s.endpoints {
			out = append(out, peer{path: p.path, kind: peerCIDR, prefix: netip.PrefixFrom(be.addr, be.addr.BitLen())})
		}
	}
	return out
}

// match returns the peer of the entry that selects the other end, and whether any does. It is nil for a
// rule that names no peer.
func (e *Engine) match(b *boundEntry, other *end, f *flow) (*peer, bool) {
	if b.anyPeer {
		return nil, true
	}
	cached := &e.matched[b.index*len(e.c.ids.list)+other.id.index]
	n := cached.Load()
	if n == 0 {
		n = 1
		for i := range b.peers {
			if p := &b.peers[i]; p.kind == peerLabels && (p.allPods && other.id.kind == identityPod || p.selector.Matches(other.id.labels)) {
				n = int32(i) + 2
				break
			}
		}
		cached.Store(n)
	}
	if n > 1 {
		p := &b.peers[n-2]
		// For a named port of another pod Cilium asks each pod, none by what stands for all.
		if p.allPods && !b.ingress && b.namesPort(f) && !p.selector.Matches(other.id.labels) {
			return nil, false
		}
		return p, true
	}
	outside := other.id.kind == identityWorld
	for i := range b.peers {
		switch p := &b.peers[i]; p.kind {
		case peerCIDR:
			if !outside && !p.anyone {
				continue
			}
			if other.addr.IsValid() {
				if p.contains(other.addr) {
					return p, true
				}
			} else if outside && p.containsAll() {
				return p, true
			}
		case peerFQDN:
			if outside && e.learnt(f.from, p, other.addr) {
				return p, true
			}
		}
	}
	return nil, false
}

// rulesFor returns what governs a direction of an identity.
func (e *Engine) rulesFor(id *identity, ingress bool) *ruleSet {
	slot := &e.rules[direction(ingress)][id.index]
	if rs := slot.Load(); rs != nil {
		return rs
	}
	rs := &ruleSet{}
	if id.kind != identityHost || e.c.cfg.HostFirewall {
		var last *Policy
		for i := range e.entries {
			b := &e.entries[i]
			if b.ingress != ingress || b.node != (id.kind == identityHost) || !b.subject.Matches(id.labels) {
				continue
			}
			rs.entries = append(rs.entries, b)
			rs.dns = rs.dns || b.teaches()
			if !b.defaultDeny {
				continue
			}
			rs.isolated = true
			if b.policy != last && !slices.ContainsFunc(rs.isolating, func(r RuleRef) bool { return r.Policy == b.policy.ref }) {
				rs.isolating = append(rs.isolating, *b.policy.wholeRef())
			}
			last = b.policy
		}
	}
	slot.Store(rs)
	return rs
}
