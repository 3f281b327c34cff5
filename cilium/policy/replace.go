package policy

import (
	"slices"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// Replace returns an engine in which other has taken the place of one of the policies in force, or nothing has (nil), or is
// in force besides (old is nil), with a budget of its own. What the two engines have in common is worked out once, so it costs little. old must be a
// policy that e was made with, if any, and e not come from Replace itself. Neither may be a CiliumCIDRGroup: the rules of other
// policies stay as they were. The sides of the new engine's results do not say who isolates.
func (e *Engine) Replace(b *Budget, old, other *Policy) *Engine {
	b.Spend(1 + (len(e.policies)+len(e.rules))/8)
	d := &Engine{c: e.c, names: e.names, budget: b, base: e, replaced: old}
	for _, p := range e.policies {
		switch {
		case p != old:
			d.policies = append(d.policies, p)
		case other != nil:
			d.policies = append(d.policies, other)
		}
	}
	if old == nil {
		d.policies = append(d.policies, other)
	}
	bound := make(map[*rule]*boundRule)
	var kept []*boundRule
	for _, have := range e.rules {
		if old != nil && have.policy == old {
			bound[have.rule] = have
		} else {
			kept = append(kept, have)
		}
	}
	if other != nil {
		d.own = d.bindAgain(other.rules, bound)
	}
	d.rules = merge(kept, d.own)
	d.makeCaches()
	return d
}

// bindAgain binds rules, but for those that are bound already.
func (e *Engine) bindAgain(entries []*rule, bound map[*rule]*boundRule) []*boundRule {
	var fresh []*rule
	for _, en := range entries {
		if bound[en] == nil {
			fresh = append(fresh, en)
		}
	}
	made := e.bind(fresh)
	out := make([]*boundRule, len(entries))
	for i, en := range entries {
		if out[i] = bound[en]; out[i] == nil {
			out[i], made = made[0], made[1:]
		}
	}
	slices.SortStableFunc(out, byOrder)
	return out
}

// merge joins two lists that are in order.
func merge(a, b []*boundRule) []*boundRule {
	if len(b) == 0 {
		return a
	}
	out := make([]*boundRule, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if byOrder(b[0], a[0]) < 0 {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// replacedRules makes a rule set from that of the engine that this one comes from.
func (e *Engine) replacedRules(id *cluster.Identity, ingress bool) *ruleSet {
	before := e.base.rulesWithin(e.budget, id, ingress)
	selects := selecting(e.budget, id)
	var own []*boundRule
	for _, b := range e.own {
		if governs(b, id, ingress) && selects(b) {
			own = append(own, b)
		}
	}
	var kept []*boundRule
	for _, b := range before.rules {
		if b.policy != e.replaced {
			kept = append(kept, b)
		}
	}
	e.spend(1 + (len(before.rules)+len(e.own))/8)
	if len(own) == 0 && len(kept) == len(before.rules) {
		return before
	}
	rs := &ruleSet{}
	for _, b := range merge(kept, own) {
		rs.add(b)
	}
	return rs
}
