package policy

import (
	networkingv1 "k8s.io/api/networking/v1"
)

// compiledRule is a rule of a NetworkPolicy and what became of it.
type compiledRule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
	rules []*rule
}

// compiled remembers a rule whose compiled rules begin at first.
func (c *compiler) compiled(ingress bool, peers []networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort, first int) {
	rules := &c.policy.ofNetworkPolicy[direction(ingress)]
	*rules = append(*rules, compiledRule{peers, ports, c.policy.rules[first:]})
	c.built += 1 + len(peers) + len(ports)
}

// compileSteps is what it costs to compile a peer or a port.
const compileSteps = 30

// reuse adds what became of a rule that the other policy has in the same place, or one further: a rule before it may be
// gone.
func (c *compiler) reuse(ingress bool, peers []networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort) bool {
	if c.previous == nil {
		return false
	}
	rules := &c.policy.ofNetworkPolicy[direction(ingress)]
	for at := len(*rules); at <= len(*rules)+1; at++ {
		if have := c.previous.ofNetworkPolicy[direction(ingress)]; at < len(have) && same(have[at].peers, peers) &&
			same(have[at].ports, ports) {
			*rules = append(*rules, have[at])
			c.policy.rules = append(c.policy.rules, have[at].rules...)
			c.reused++
			return true
		}
	}
	return false
}

// reusePeer returns what became of a peer that the other policy has in the same place of the same rule, or one further,
// beside the same ports; nil: there is none.
func (c *compiler) reusePeer(ingress bool, n, i int, p *networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort) *rule {
	if c.previous == nil {
		return nil
	}
	rules := c.previous.ofNetworkPolicy[direction(ingress)]
	if n >= len(rules) || !same(rules[n].ports, ports) {
		return nil
	}
	have := &rules[n]
	for at := i; at <= i+1 && at < len(have.peers); at++ {
		if have.peers[at] == *p { // all that it has is pointers
			c.reused++
			c.built--
			return have.rules[at]
		}
	}
	return nil
}

// spent counts what was compiled.
func (c *compiler) spent() { c.budget.Spend(1 + compileSteps*c.built + c.reused/8) }

// same reports whether two slices are the same memory.
func same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
