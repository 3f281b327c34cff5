package mistake

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
)

// direction of a rule.
type direction bool

const (
	ingress direction = true
	egress  direction = false
)

var directions = [...]direction{ingress, egress}

func (d direction) String() string {
	if d == ingress {
		return "ingress"
	}
	return "egress"
}

func (d direction) policyType() networkingv1.PolicyType {
	if d == ingress {
		return networkingv1.PolicyTypeIngress
	}
	return networkingv1.PolicyTypeEgress
}

// peersKey is the field that holds a rule's peers.
func (d direction) peersKey() string {
	if d == ingress {
		return "from"
	}
	return "to"
}

// spec is a NetworkPolicy's spec with its two directions alike.
type spec struct {
	subject metav1.LabelSelector
	types   []networkingv1.PolicyType
	rules   map[direction][]rule
	given   map[direction]bool // the field is there, if only empty
}

type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// written is what of a policy the student wrote down: in its value, the API server's defaults are filled in.
type written struct {
	Spec struct {
		PodSelector     *json.RawMessage
		PolicyTypes     []string
		Ingress, Egress []writtenRule
	}
}

type writtenRule struct {
	From, To *[]json.RawMessage
	Ports    []struct{ Protocol *string }
}

func (p *networkPolicy) wrote() *written {
	if p.written == nil {
		p.written = &written{}
		_ = json.Unmarshal(p.JSON, p.written) // it has been decoded once: this is about fields that are known to be valid
	}
	return p.written
}

// types reports whether policyTypes is there, and not empty.
func (w *written) types() bool { return len(w.Spec.PolicyTypes) > 0 }

// protocol reports whether the port at a place names its protocol.
func (w *written) protocol(at place) bool {
	ports := w.rule(at.d, at.rule).Ports
	return at.item < len(ports) && ports[at.item].Protocol != nil
}

// emptyPeers reports whether a rule has an empty list of peers.
func (w *written) emptyPeers(d direction, i int) bool {
	peers := w.rule(d, i).From
	if d == egress {
		peers = w.rule(d, i).To
	}
	return peers != nil && len(*peers) == 0
}

// rule is a rule as it was written, or an empty one if there is none.
func (w *written) rule(d direction, i int) writtenRule {
	rules := w.Spec.Ingress
	if d == egress {
		rules = w.Spec.Egress
	}
	if i >= len(rules) {
		return writtenRule{}
	}
	return rules[i]
}

func specOf(o *manifest.Object) (spec, bool) {
	np, ok := o.Value.(*networkingv1.NetworkPolicy)
	if !ok {
		return spec{}, false
	}
	s := spec{
		subject: np.Spec.PodSelector, types: np.Spec.PolicyTypes,
		rules: map[direction][]rule{},
		given: map[direction]bool{ingress: np.Spec.Ingress != nil, egress: np.Spec.Egress != nil},
	}
	for _, r := range np.Spec.Ingress {
		s.rules[ingress] = append(s.rules[ingress], rule{r.From, r.Ports})
	}
	for _, r := range np.Spec.Egress {
		s.rules[egress] = append(s.rules[egress], rule{r.To, r.Ports})
	}
	return s, true
}

// isolates reports whether a policy with this spec isolates its pods in a direction.
func (s *spec) isolates(d direction) bool {
	if len(s.rules[d]) > 0 || slices.Contains(s.types, d.policyType()) {
		return true
	}
	return d == ingress && len(s.types) == 0
}

// clone returns a spec whose rules may be changed. What is in them is shared, so that what stays the same is known to be the same:
// change it by peer, port and the like, and replace selectors.
func (s *spec) clone() *spec {
	c := *s
	c.types = slices.Clone(s.types)
	c.rules = map[direction][]rule{}
	for d, rules := range s.rules {
		c.rules[d] = slices.Clone(rules)
	}
	return &c
}

// object returns a copy of o that has this spec and stands in the namespace.
func (s *spec) object(o *manifest.Object, namespace string) *manifest.Object {
	np := &networkingv1.NetworkPolicy{ObjectMeta: o.Value.(*networkingv1.NetworkPolicy).ObjectMeta}
	np.Namespace = namespace
	np.Spec.PodSelector, np.Spec.PolicyTypes = s.subject, s.types
	for _, r := range s.rules[ingress] {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: r.peers, Ports: r.ports})
	}
	for _, r := range s.rules[egress] {
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.peers, Ports: r.ports})
	}
	c := *o
	c.Namespace, c.Value = namespace, np
	return &c
}

// with is another spec for a policy.
func (r *recognizer) with(p *networkPolicy, s *spec) engine.Change {
	r.Spend(1 + (len(s.rules[ingress])+len(s.rules[egress]))/8)
	return engine.Change{Object: p.Object, By: s.object(p.Object, p.Namespace)}
}

// moved is a policy in another namespace.
func (r *recognizer) moved(p *networkPolicy, namespace string) engine.Change {
	return engine.Change{Object: p.Object, By: p.spec.object(p.Object, namespace)}
}

// without is the absence of a policy.
func (r *recognizer) without(p *networkPolicy) engine.Change { return engine.Change{Object: p.Object} }

// labelled is more labels on a namespace.
func (r *recognizer) labelled(namespace string, labels map[string]string) engine.Change {
	all := maps.Clone(r.State.NamespaceLabels)
	if all == nil {
		all = map[string]map[string]string{}
	}
	merged := maps.Clone(all[namespace])
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, labels)
	all[namespace] = merged
	return engine.Change{NamespaceLabels: all}
}

// place is where a rule, or a peer or port of it, stands in a policy.
type place struct {
	d    direction
	rule int
	key  string // "from", "to" or "ports"; empty for the rule itself
	item int
}

func (at place) String() string {
	if at.key == "" {
		return fmt.Sprintf("spec.%s[%d]", at.d, at.rule)
	}
	return fmt.Sprintf("spec.%s[%d].%s[%d]", at.d, at.rule, at.key, at.item)
}

func rulePath(d direction, i int) string { return place{d: d, rule: i}.String() }

// peers goes through the peers of all rules.
func (s *spec) peers() iter.Seq2[place, networkingv1.NetworkPolicyPeer] {
	return func(yield func(place, networkingv1.NetworkPolicyPeer) bool) {
		for _, d := range directions {
			for i, rule := range s.rules[d] {
				for j, peer := range rule.peers {
					if !yield(place{d, i, d.peersKey(), j}, peer) {
						return
					}
				}
			}
		}
	}
}

// ports goes through the ports of all rules.
func (s *spec) ports() iter.Seq2[place, networkingv1.NetworkPolicyPort] {
	return func(yield func(place, networkingv1.NetworkPolicyPort) bool) {
		for _, d := range directions {
			for i, rule := range s.rules[d] {
				for k, port := range rule.ports {
					if !yield(place{d, i, "ports", k}, port) {
						return
					}
				}
			}
		}
	}
}

// rule returns the rule at a place, of which the lists may be replaced.
func (s *spec) rule(at place) *rule { return &s.rules[at.d][at.rule] }

// peer and port return what stands at a place of a clone, to be changed.
func (s *spec) peer(at place) *networkingv1.NetworkPolicyPeer {
	r := s.rule(at)
	r.peers = slices.Clone(r.peers)
	return &r.peers[at.item]
}

func (s *spec) port(at place) *networkingv1.NetworkPolicyPort {
	r := s.rule(at)
	r.ports = slices.Clone(r.ports)
	return &r.ports[at.item]
}

// without returns a list with one item less.
func without[T any](list []T, i int) []T { return slices.Concat(list[:i], list[i+1:]) }

// effectiveTypes is policyTypes with what it means where it is left out.
func (s *spec) effectiveTypes() []networkingv1.PolicyType {
	var types []networkingv1.PolicyType
	for _, d := range directions {
		if s.isolates(d) {
			types = append(types, d.policyType())
		}
	}
	return types
}

func isEmpty(s *metav1.LabelSelector) bool {
	return s != nil && len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}

// words writes labels the way kubectl takes them: "app=backend,tier=api".
func words(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// protocolOf is the protocol of a port; one that is left out means TCP.
func protocolOf(p networkingv1.NetworkPolicyPort) corev1.Protocol {
	if p.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *p.Protocol
}
