package policy

import (
	"slices"

	"github.com/cilium/cilium/pkg/policy/types"
)

// subject is the end of a connection whose policies are asked.
type subject struct {
	id   *identity
	name string // for Side.Endpoint
	// local is the identity of the node that the subject runs on, as it sees it.
	local *node
}

// judgeSide asks the policies of one end about a connection with the other. learnt tells whether a name
// that a rule allows stands for the other end's address.
func (e *Engine) judgeSide(s subject, ingress bool, other *end, f *flow, learnt func(*peer) bool) *Side {
	rs := e.rulesFor(s.id, ingress)
	side := &Side{Verdict: Allowed, Endpoint: s.name, Decision: ByDefault}
	if len(rs.entries) == 0 {
		return side
	}
	if o := e.decide(rs, other, f, learnt); o.entry != nil {
		side.Verdict, side.Decision, side.Rule = o.verdict, o.decision, o.entry.refFor(o.peer)
		return side
	}
	switch {
	case !rs.isolated:
	case ingress && other.id.kind == identityHost && s.id.kind != identityHost:
		side.Decision = ByHost
	default:
		side.Verdict, side.Decision, side.Isolating = Dropped, ByDefaultDeny, rs.isolating
	}
	return side
}

// outcome is what a set of rules says; entry is nil if none matches.
type outcome struct {
	verdict  Verdict
	decision Decision
	entry    *boundEntry
	peer     *peer
	dns      *l7 // the DNS rules that the connection passed
}

// decide tries the rules in their order: tiers, within a tier priorities, and within a priority deny, allow
// and pass. A pass skips the rest of its tier.
func (e *Engine) decide(rs *ruleSet, other *end, f *flow, learnt func(*peer) bool) outcome {
	var (
		skip     types.Tier
		allow    outcome // the first allow of the current priority, or the first with requests
		request  bool    // whether a rule of the current priority lets the request through
		tier     types.Tier
		priority float64
	)
	for _, b := range rs.entries {
		if allow.entry != nil && (b.tier != tier || b.priority != priority) {
			break
		}
		if b.tier == skip {
			continue
		}
		if allow.entry != nil && b.verdict != types.Allow {
			continue
		}
		port, ok := b.matchPort(f)
		if !ok {
			continue
		}
		peer, ok := e.match(b, other, learnt)
		if !ok {
			continue
		}
		switch b.verdict {
		case types.Deny:
			return outcome{verdict: Dropped, decision: ByDeny, entry: b, peer: peer}
		case types.Pass:
			skip = b.tier
			continue
		}
		tier, priority = b.tier, b.priority
		restricted := port != nil && port.l7 != nil
		passes := !restricted || b.allowsRequest(f)
		// Show the rule that decides: one that lets the request through rather than one that does not.
		if allow.entry == nil || passes && !request {
			allow.verdict, allow.decision, allow.entry, allow.peer = Allowed, ByAllow, b, peer
		}
		if restricted && port.l7.dns != nil && allow.dns == nil {
			allow.dns = port.l7
		}
		request = request || passes
	}
	if allow.entry != nil && !request {
		allow.verdict, allow.decision = AppError, ByL7
	}
	return allow
}

// allowsRequest reports whether one of the entry's ports that match lets the request through.
func (e *entry) allowsRequest(f *flow) bool {
	return slices.ContainsFunc(e.ports, func(p port) bool {
		return p.matches(f) && (p.l7 == nil || p.l7.allows(f.probe))
	})
}

// refFor returns the place of the peer in the rule, or of the rule where it names none.
func (e *entry) refFor(p *peer) *RuleRef {
	if p == nil || p.path == e.path {
		return e.ruleRef()
	}
	return e.policy.refTo(p.path)
}
