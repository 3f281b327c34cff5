package policy

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Engine evaluates connections in a cluster under a set of policies. It may be used by several goroutines.
type Engine struct {
	c        *Cluster
	policies []*Policy
	rules    []*boundRule // in the order in which they are tried
	names    map[string][]netip.Addr
	budget   *Budget

	// Of an engine that Replace made: the one that it comes from, what that has and this one has not, and what this one
	// has instead.
	base     *Engine
	replaced *Policy
	own      []*boundRule

	// ruleSets are the rules that select an identity, by direction and identity; made when first needed.
	ruleSets [2][]atomic.Pointer[ruleSet]
	// lastRules are those of the identity without a place there that was asked about last.
	lastRules [2]atomic.Pointer[rulesOf]
	// resolves remembers whether pods of an identity can look up every name; see resolvesAll.
	resolves []atomic.Uint32

	representOnce sync.Once
	represented   *representatives // for Prove
	representErr  error
	broken        atomic.Pointer[breach] // what Prove found last
}

// boundRule is a rule in an engine: with the peers that only the cluster and the other objects tell.
type boundRule struct {
	*rule
	peers   []peer
	anyPeer bool
	// matched remembers which of the peers selects an identity by its labels, by identity: 0 is not known yet, 1 none,
	// n+2 the peer n. It has no place for representatives, which are many: last has the one that was asked about last,
	// and the same of it.
	matched []atomic.Int32
	last    atomic.Uint64
}

func (b *boundRule) recall(id *cluster.Identity) int32 {
	if id.Index < len(b.matched) {
		return b.matched[id.Index].Load()
	}
	if last := b.last.Load(); last>>32 == uint64(id.Index)+1 {
		return int32(last & math.MaxInt32)
	}
	return 0
}

func (b *boundRule) remember(id *cluster.Identity, n int32) {
	if id.Index < len(b.matched) {
		b.matched[id.Index].Store(n)
		return
	}
	b.last.Store((uint64(id.Index)+1)<<32 | uint64(n))
}

// ruleSet is what governs one direction of an identity.
type ruleSet struct {
	rules     []*boundRule
	isolated  bool      // without a match the traffic is denied
	dns       bool      // some rule looks at DNS queries
	isolating []RuleRef // the policies that say so, at most mostTold
	// moreIsolating is how many more there are.
	moreIsolating int
}

// rulesOf is the rule set of an identity.
type rulesOf struct {
	*ruleSet
	id *cluster.Identity
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
	return NewWithin(nil, c, policies, names)
}

// NewWithin is New with a budget for all that the engine is asked: what goes beyond it is a *BudgetError.
func NewWithin(b *Budget, c *Cluster, policies []*Policy, names map[string][]string) *Engine {
	e := &Engine{c: c, policies: current(policies), budget: b}
	for _, p := range e.policies {
		e.rules = append(e.rules, e.bind(p.rules)...)
	}
	slices.SortStableFunc(e.rules, byOrder)
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
			e.names[cluster.QueryName(name)] = list
		}
	}
	return e
}

// In returns an engine with the same policies in another cluster, with a budget of its own.
func (e *Engine) In(b *Budget, c *Cluster) *Engine {
	moved := NewWithin(b, c, e.policies, nil)
	moved.names = e.names
	return moved
}

// bind resolves the peers of rules that only the cluster and the other objects tell.
func (e *Engine) bind(entries []*rule) []*boundRule {
	ids := len(e.c.IDs.List)
	e.budget.Spend(len(entries)) // what goes beyond is noticed with the first question
	block, matched := make([]boundRule, len(entries)), make([]atomic.Int32, len(entries)*ids)
	out := make([]*boundRule, len(entries))
	for i, en := range entries {
		b := &block[i]
		*b = boundRule{rule: en, peers: en.peers, anyPeer: en.anyPeer, matched: matched[i*ids : (i+1)*ids]}
		if en.unresolved {
			b.peers = e.resolvePeers(en)
			// A toServices rule whose services have no endpoints is to Cilium a rule that names no peer.
			b.anyPeer = len(b.peers) == 0 && !en.allPorts && en.peers[0].kind == peerService
		}
		out[i] = b
	}
	return out
}

// byOrder compares rules by when they are tried.
func byOrder(a, b *boundRule) int {
	return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.priority, b.priority),
		cmp.Compare(rank(a.verdict), rank(b.verdict)))
}

// makeCaches makes room for what the engine finds out as it goes.
func (e *Engine) makeCaches() {
	for d := range e.ruleSets {
		e.ruleSets[d] = make([]atomic.Pointer[ruleSet], len(e.c.IDs.List))
	}
	e.resolves = make([]atomic.Uint32, len(e.c.IDs.List))
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

// resolvePeers returns the rule's peers with groups replaced by their addresses and services by their
// endpoints. A group or service that is not there selects nothing.
func (e *Engine) resolvePeers(en *rule) []peer {
	var out []peer
	for i := range en.peers {
		p := &en.peers[i]
		switch p.kind {
		case peerGroup:
			if g := e.groupPeer(p); len(g.groups) > 0 {
				out = append(out, g)
			}
		case peerService:
			out = append(out, e.servicePeers(p)...)
		default:
			out = append(out, *p)
		}
	}
	return out
}

// groupPeer returns the peer with the groups that it names, as far as they have addresses.
func (e *Engine) groupPeer(p *peer) peer {
	out := peer{path: p.path, kind: peerCIDR, groupBy: p.groupBy, except: p.except}
	e.budget.Spend(len(e.policies))
	for _, pol := range e.policies {
		g := pol.group
		if g == nil || len(g.prefixes.ranges) == 0 {
			continue
		}
		if p.groupBy.selector == nil && g.name != p.groupBy.name ||
			p.groupBy.selector != nil && !selectorMatches(p.groupBy.selector, g.labels) {
			continue
		}
		out.groups = append(out.groups, g)
	}
	e.budget.Spend(len(out.groups))
	return out
}

// servicePeers returns the endpoints of the services that a toServices item names. A service with a selector
// stands for the pods it selects, whatever its slices say, and one without for the addresses of its
// EndpointSlices, ready or not.
func (e *Engine) servicePeers(p *peer) []peer {
	var out []peer
	e.budget.Spend(len(e.c.Services))
	for _, key := range e.c.ServiceNames() {
		s := e.c.Services[key]
		if !serviceSelected(p.service, s) {
			continue
		}
		if len(s.Selector) > 0 {
			out = append(out,
				labelPeer(p.path, inNamespace(&slimv1.LabelSelector{MatchLabels: s.Selector}, s.Namespace)))
			continue
		}
		for _, be := range s.Endpoints {
			// Of an API server whose address is not known the range is the zero one, which has no address.
			out = append(out, peer{path: p.path, kind: peerCIDR, prefix: netip.PrefixFrom(be.Addr, be.Addr.BitLen())})
		}
	}
	return out
}

// match returns the peer of the rule that selects the other end, and whether any does. It is nil for a
// rule that names no peer.
func (e *Engine) match(b *boundRule, other *peerView, f *flow) (*peer, bool) {
	if b.anyPeer {
		return nil, true
	}
	n := b.recall(other.id)
	if n == 0 {
		n = 1
		e.spend(b.selectorTerms() * other.id.LabelSteps())
		for i := range b.peers {
			if p := &b.peers[i]; p.kind == peerLabels &&
				(p.allPods && other.id.Kind == cluster.PodIdentity || p.selector.Matches(other.id.Labels)) {
				n = int32(i) + 2
				break
			}
		}
		b.remember(other.id, n)
	}
	if n > 1 {
		p := &b.peers[n-2]
		// For a named port of another pod Cilium asks each pod, none by what stands for all.
		if p.allPods && !b.ingress && b.namesPort(f) && !p.selector.Matches(other.id.Labels) {
			return nil, false
		}
		return p, true
	}
	e.spend(len(b.peers))
	outside := other.id.Kind == cluster.WorldIdentity
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
			if outside && e.learnedAddress(f.from, p, other.addr) {
				return p, true
			}
		}
	}
	return nil, false
}

func isNetworkPolicy(b *boundRule) bool { return b.policy.ref.Kind == "NetworkPolicy" }

// rulesFor returns what governs a direction of an identity.
func (e *Engine) rulesFor(id *cluster.Identity, ingress bool) *ruleSet {
	return e.rulesWithin(e.budget, id, ingress)
}

// rulesWithin is rulesFor at the cost of another budget.
func (e *Engine) rulesWithin(budget *Budget, id *cluster.Identity, ingress bool) *ruleSet {
	d := direction(ingress)
	if id.Index >= len(e.ruleSets[d]) { // a representative, of which there are many
		if last := e.lastRules[d].Load(); last != nil && last.id == id {
			return last.ruleSet
		}
		rs := e.makeRules(budget, id, ingress)
		e.lastRules[d].Store(&rulesOf{rs, id})
		return rs
	}
	slot := &e.ruleSets[d][id.Index]
	rs := slot.Load()
	if rs == nil {
		if e.base != nil && e.c.Config.Semantics != Kubernetes { // where what a policy selects changes what others mean
			rs = e.replacedRules(id, ingress)
		} else {
			rs = e.makeRules(budget, id, ingress)
		}
		slot.Store(rs)
	}
	return rs
}

func (e *Engine) makeRules(budget *Budget, id *cluster.Identity, ingress bool) *ruleSet {
	budget.mustSpend(1 + len(e.rules)/8)
	rs := &ruleSet{}
	if id.Kind == cluster.HostIdentity && !e.c.Config.HostFirewall {
		return rs
	}
	counted := map[*Policy]bool{}
	selects := selecting(budget, id)
	for _, b := range e.rules {
		if !governs(b, id, ingress) || !selects(b) {
			continue
		}
		rs.add(b)
		if b.defaultDeny && !counted[b.policy] {
			counted[b.policy] = true
			if len(rs.isolating) < maxListedRules {
				rs.isolating = append(rs.isolating, *b.policy.wholeRef())
			}
		}
	}
	rs.moreIsolating = len(counted) - len(rs.isolating)
	if e.c.Config.Semantics == Kubernetes && slices.ContainsFunc(rs.rules, isNetworkPolicy) {
		// A NetworkPolicy has the last word on the pods it selects: they never come to the Baseline tier.
		rs.rules = slices.DeleteFunc(rs.rules, func(b *boundRule) bool { return b.tier == types.Baseline })
	}
	return rs
}

// governs reports whether a rule is about a direction of what has the identity, if it selects it.
func governs(b *boundRule, id *cluster.Identity, ingress bool) bool {
	return b.ingress == ingress && b.node == (id.Kind == cluster.HostIdentity)
}

func (rs *ruleSet) add(b *boundRule) {
	rs.rules = append(rs.rules, b)
	rs.dns = rs.dns || b.observesDNS()
	rs.isolated = rs.isolated || b.defaultDeny
}

// selecting returns a function that reports whether rules have an identity as their subject. The rules of a policy have
// their subject in common, so it is compared once.
func selecting(budget *Budget, id *cluster.Identity) func(*boundRule) bool {
	var subject *types.LabelSelector
	matches := false
	return func(b *boundRule) bool {
		if b.subject != subject {
			budget.mustSpend(1 + terms(b.subjectText)*id.LabelSteps())
			subject, matches = b.subject, b.subject.Matches(id.Labels)
		}
		return matches
	}
}

// terms is how many requirements a selector has.
func terms(s *slimv1.LabelSelector) int {
	if s == nil {
		return 0
	}
	return len(s.MatchLabels) + len(s.MatchExpressions)
}

// selectorTerms is how many requirements all peers have.
func (b *boundRule) selectorTerms() int {
	n := 1 + len(b.peers)
	for i := range b.peers {
		n += terms(b.peers[i].text)
	}
	return n
}
