package policy

import (
	"slices"

	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/verdict"
)

// subject is the end of a connection whose policies are asked.
type subject struct {
	id   *cluster.Identity
	name string // for Side.Endpoint

	hostNetwork bool
}

// evaluateSide asks the policies of one end about a connection with the other.
func (e *Engine) evaluateSide(s subject, ingress bool, other *peerView, f *flow) *Side {
	rs := e.rulesFor(s.id, ingress)
	side := &Side{Verdict: verdict.Allowed, Endpoint: s.name, Decision: ByDefault, HostNetwork: s.hostNetwork}
	if len(rs.rules) == 0 {
		return side
	}
	if o := e.decide(rs, other, f); o.rule != nil {
		side.Verdict, side.Decision = o.verdict, o.decision
		if o.decision != ByHost && o.decision != ByDefault {
			side.Rule = o.rule.refFor(o.peer)
		}
		return side
	}
	switch {
	case !rs.isolated:
	case allowedHost(s.id, ingress, other):
		side.Decision = ByHost
	default:
		side.Verdict, side.Decision = verdict.Dropped, ByDefaultDeny
		side.Isolating, side.MoreIsolating = rs.isolating, rs.moreIsolating
	}
	return side
}

// allowedHost reports whether the connection comes from the pod's own node, which only a deny rule keeps
// out: Cilium lets the kubelet's health checks pass.
func allowedHost(subject *cluster.Identity, ingress bool, other *peerView) bool {
	return ingress && other.id.Kind == cluster.HostIdentity && subject.Kind != cluster.HostIdentity
}

// outcome is what a set of rules says; rule is nil if none matches.
type outcome struct {
	verdict  verdict.Verdict
	decision Decision
	rule     *boundRule
	peer     *peer
	proxied  *l7 // the requests that made Cilium redirect the connection to a proxy
}

// decide tries the rules in their order: tiers, within a tier priorities, and within a priority deny, allow
// and pass. A pass skips the rest of its tier.
func (e *Engine) decide(rs *ruleSet, other *peerView, f *flow) outcome {
	var skip types.Tier
	steps := 0
	defer func() { e.budget.Spend(steps) }()
	for i, b := range rs.rules {
		steps += b.steps()
		if b.tier == skip || !b.matchesPort(f) {
			continue
		}
		p, ok := e.match(b, other, f)
		if !ok {
			continue
		}
		switch b.verdict {
		case types.Deny:
			return outcome{verdict: verdict.Dropped, decision: ByDeny, rule: b, peer: p}
		case types.Pass:
			skip = b.tier
			continue
		}
		first := outcome{verdict: verdict.Allowed, decision: ByAllow, rule: b, peer: p}
		if !f.request {
			return first
		}
		return e.decideRequest(rs, i, skip, first, other, f)
	}
	return outcome{}
}

// decideRequest decides about a request (HTTP, DNS, a TLS server name) on a connection that first allows;
// rules are those from the index at on.
//
// Among the rules of one priority a redirect to a proxy comes before a plain allow, so one rule with
// requests is enough to have the proxy look at the connection. Envoy (HTTP, server names) then takes every
// rule that covers the peer and the port as an alternative, also plain ones and those of later tiers; the
// DNS proxy knows the rules for that very port only.
func (e *Engine) decideRequest(rs *ruleSet, at int, skip types.Tier, first outcome, other *peerView, f *flow) outcome {
	level := rs.rules[at]
	e.spend(requestsSteps(rs.rules[at:], f))
	redirect, redirecting := (*port)(nil), first
	end := len(rs.rules)
	for i := at; i < len(rs.rules); i++ {
		b := rs.rules[i]
		if b.tier != level.tier || b.priority != level.priority || b.verdict != types.Allow {
			end = i
			break
		}
		if p := b.redirectFor(f); p != nil && (redirect == nil || p.l7.before(redirect.l7)) {
			if by, ok := e.match(b, other, f); ok {
				redirect, redirecting = p, outcome{rule: b, peer: by}
			}
		}
	}
	if redirect == nil {
		return first
	}
	if redirect.l7.dns != nil {
		if by, decided := e.decideQuery(rs, redirect, other, f); decided {
			if by == nil {
				return outcome{
					verdict: verdict.AppError, decision: ByL7, rule: redirecting.rule, peer: redirecting.peer,
					proxied: redirect.l7,
				}
			}
			by.proxied = redirect.l7
			return *by
		}
	}
	for i := at; i < end; i++ {
		b := rs.rules[i]
		if !b.passes(f, redirect, rs.isolated) {
			continue
		}
		if by, ok := e.match(b, other, f); ok && !(redirect.l7.sni != nil && e.needsName(b, by, rs.rules[at:end], f)) {
			return outcome{verdict: verdict.Allowed, decision: ByAllow, rule: b, peer: by, proxied: redirect.l7}
		}
	}
	refused := outcome{
		verdict: verdict.AppError, decision: ByL7, rule: redirecting.rule, peer: redirecting.peer, proxied: redirect.l7,
	}
	if redirect.l7.dns != nil {
		return refused
	}
	for _, b := range rs.rules[end:] {
		if b.tier == skip || b.tier == level.tier && b.priority == level.priority || !b.matchesPort(f) {
			continue
		}
		by, ok := e.match(b, other, f)
		if ok && by != nil && by.allPods && !by.selector.Matches(other.id.Labels) {
			continue // Envoy compares identities, and knows none that stands for all pods
		}
		switch {
		case !ok:
		case b.verdict == types.Pass:
			skip = b.tier
		case b.verdict == types.Deny:
			return outcome{verdict: verdict.AppError, decision: ByDeny, rule: b, peer: by, proxied: redirect.l7}
		case b.passes(f, redirect, rs.isolated):
			return outcome{verdict: verdict.Allowed, decision: ByAllow, rule: b, peer: by, proxied: redirect.l7}
		}
	}
	// What Cilium allows in the last tier holds at Envoy, too.
	last := refused
	last.verdict = verdict.Allowed
	switch {
	case !rs.isolated:
		last.decision = ByDefault
	case other.id.Kind == cluster.HostIdentity && level.ingress:
		last.decision = ByHost
	default:
		return refused
	}
	return last
}

// decideQuery asks the DNS proxy about a query. The proxy has the rules of one filter only: of the first tier
// that redirects this port to it, whatever tier let the connection through. decided is false if that is the
// tier of redirect, where the rules of one priority are known already.
func (e *Engine) decideQuery(rs *ruleSet, redirect *port, other *peerView, f *flow) (by *outcome, decided bool) {
	var filter *port
	var tier types.Tier
	for _, b := range rs.rules {
		if filter != nil && b.tier != tier {
			break
		}
		for i := range b.ports {
			p := &b.ports[i]
			if b.verdict == types.Allow && p.l7 != nil && p.l7.dns != nil &&
				(filter == nil || filter.name == "" && p.name != "") && e.standsFor(b, p, f) {
				filter, tier = p, b.tier
			}
		}
	}
	if filter == nil {
		return nil, false
	}
	e.spend(requestsSteps(rs.rules, f))
	first := map[string]float64{} // the priority whose rules hold for a selector: Cilium drops those of later ones
	for _, b := range rs.rules {
		if b.tier != tier || b.verdict != types.Allow {
			continue
		}
		for i := range b.ports {
			p := &b.ports[i]
			if !p.sameFilter(filter) || p.protocol != "" && p.protocol != f.protocol {
				continue
			}
			peer, ok := e.match(b, other, f)
			if !ok {
				continue
			}
			if priority, ok := first[peer.key()]; ok && priority != b.priority {
				continue
			}
			first[peer.key()] = b.priority
			if p.l7 == nil || p.l7.allows(f.probe) || !rs.isolated {
				return &outcome{verdict: verdict.Allowed, decision: ByAllow, rule: b, peer: peer}, true
			}
		}
	}
	return nil, true
}

// standsFor reports whether a port of a rule comes to the flow's port: by number, or by the name that a pod
// it selects has for it.
func (e *Engine) standsFor(b *boundRule, p *port, f *flow) bool {
	if p.protocol != "" && p.protocol != f.protocol {
		return false
	}
	if p.name == "" {
		return p.from == f.port && !p.ranged
	}
	e.spend(len(e.c.PodList))
	for _, q := range e.c.PodList {
		if q.NamedPort(p.name, f.protocol) != int(f.port) {
			continue
		}
		if _, ok := e.match(b, &peerView{id: q.ID, pod: q}, f); ok {
			return true
		}
	}
	return false
}

// requestsSteps is what it costs to compare a request with rules.
func requestsSteps(entries []*boundRule, f *flow) int {
	steps := 0
	for _, b := range entries {
		steps += 4 * b.steps()
		for i := range b.ports {
			if l := b.ports[i].l7; l != nil {
				steps += l.steps(f.probe)
			}
		}
	}
	return steps
}

// steps is what it costs to look at the ports of a rule.
func (e *rule) steps() int { return 1 + len(e.ports)/4 }

// matchesPort reports whether the rule has the flow's port.
func (e *rule) matchesPort(f *flow) bool {
	if e.allPorts {
		return true
	}
	for i := range e.ports {
		if e.ports[i].matches(f) {
			return true
		}
	}
	return false
}

// redirectFor returns the rule's port that sends the flow to a proxy, if any does.
func (e *rule) redirectFor(f *flow) *port {
	var found *port
	for i := range e.ports {
		if p := &e.ports[i]; p.l7 != nil && p.matches(f) && (found == nil || p.l7.before(found.l7)) {
			found = p
		}
	}
	return found
}

// passes reports whether the rule lets the request of the flow through the proxy of redirect. Where
// nothing puts the endpoint into default deny, rules with requests are there for the record only.
func (e *rule) passes(f *flow, redirect *port, isolated bool) bool {
	dns := redirect.l7.dns != nil
	if e.allPorts {
		return !dns
	}
	for i := range e.ports {
		p := &e.ports[i]
		switch {
		case !p.matches(f):
		case p.l7 == nil:
			if !dns || p.sameFilter(redirect) {
				return true
			}
		case !isolated && p.l7.sni == nil:
			return true
		case p.l7.allows(f.probe):
			return true
		}
	}
	return false
}

// needsName reports whether a rule that asks for no server name is merged with one that does, which Cilium
// does with rules of one selector and port: then the connection needs a name, too.
func (e *Engine) needsName(b *boundRule, by *peer, level []*boundRule, f *flow) bool {
	if b.allPorts {
		return false
	}
	for i := range b.ports {
		p := &b.ports[i]
		if !p.matches(f) {
			continue
		}
		e.spend(requestsSteps(level, f))
		if p.l7 != nil && p.l7.allows(f.probe) {
			return false
		}
		merged := slices.ContainsFunc(level, func(o *boundRule) bool {
			return o.hasPeer(by) && slices.ContainsFunc(o.ports, func(q port) bool {
				return q.l7 != nil && q.l7.sni != nil && q.matches(f) && q.sameFilter(p)
			})
		})
		if p.l7 == nil && !merged {
			return false
		}
	}
	return true
}

// hasPeer reports whether the rule names the same selector as another; nil stands for everyone.
func (b *boundRule) hasPeer(want *peer) bool {
	if b.anyPeer {
		return want.key() == (*peer)(nil).key()
	}
	for i := range b.peers {
		if b.peers[i].key() == want.key() {
			return true
		}
	}
	return false
}

// key tells selectors apart; nil stands for everyone.
func (p *peer) key() string {
	switch {
	case p == nil:
		return types.WildcardSelectors[0].Key()
	case p.kind == peerLabels:
		return p.selector.Key()
	case p.kind == peerFQDN:
		return p.pattern
	}
	return p.rangeText()
}

// refFor returns the place of the peer in the rule, or of the rule where it names none.
func (e *rule) refFor(p *peer) *RuleRef {
	if p == nil || p.path == e.path {
		return e.ruleRef()
	}
	return e.policy.refTo(p.path)
}
