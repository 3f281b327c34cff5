package mistake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
)

// What the subject of a policy of Cilium's kinds, its namespace and its directions may have wrong: as in subject.go, blocked.go and
// open.go for NetworkPolicies.

// sections goes through the rules of a policy, one for each spec and direction, until one returns false.
func (p *ciliumPolicy) sections(visit func(i int, x *ciliumRule) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if i > 0 && p.rules[i-1].of == x.of && p.rules[i-1].d == x.d {
			return true
		}
		return visit(i, x)
	})
}

// speaksOf reports whether a rule's spec has rules for a direction.
func (x *ciliumRule) speaksOf(d direction) bool {
	if d == ingress {
		return len(x.of.Ingress) > 0
	}
	return len(x.of.Egress) > 0
}

func isEmptyEndpoint(s api.EndpointSelector) bool {
	return s.LabelSelector != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

// elsewhere is a policy in another namespace, with one rule changed.
func (r *recognizer) elsewhere(p *ciliumPolicy, i int, namespace string, edit func(*ciliumRule)) engine.Change {
	change := r.edited(p, i, edit)
	if p.Namespace != "" {
		change.By.Namespace = namespace
		change.By.Value.(*manifest.CiliumNetworkPolicy).Namespace = namespace
	}
	return change
}

// withoutCilium is the absence of a policy.
func withoutCilium(p *ciliumPolicy) engine.Change { return engine.Change{Object: p.Object} }

// ciliumSubjectsOf names the pods of the lab that a rule's spec selects.
func (r *recognizer) ciliumSubjectsOf(p *ciliumPolicy, x *ciliumRule) string {
	return r.podsThat(func(who endpoint) bool { return r.selects(p, x.of, who) })
}

// swappedCiliumSubjects: swappedSubjects for Cilium's kinds.
func (r *recognizer) swappedCiliumSubjects(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	return p.each(func(i int, x *ciliumRule) bool {
		who := r.subject(x.d)
		subject := x.of.EndpointSelector
		if !who.known() || subject.LabelSelector == nil || isEmptyEndpoint(subject) || r.selects(p, x.of, who) {
			return true
		}
		for j, s := range *x.endpoints {
			if here, _ := r.covers(p, s, who); !here || isEmptyEndpoint(s) {
				continue
			}
			if !yield(repair{
				mistake: swapped, whole: true, object: p.Object, field: x.specPath() + ".endpointSelector",
				change: r.elsewhere(p, i, who.namespace, func(x *ciliumRule) {
					(*x.endpoints)[j] = x.of.EndpointSelector
					if p.Namespace != who.namespace && p.Namespace != "" {
						(*x.endpoints)[j] = inNamespace(subject, p.Namespace)
					}
					x.of.EndpointSelector = selectorFor(p, who)
				}),
				message: fmt.Sprintf("%s applies to %s, and %s is the peer of its %s rule.",
					p.Ref(), r.ciliumSubjectsOf(p, x), who.name, x.d),
			}) {
				return false
			}
		}
		return true
	})
}

// inNamespace is a selector that says in which namespace it looks.
func inNamespace(s api.EndpointSelector, namespace string) api.EndpointSelector {
	match := maps.Clone(s.MatchLabels)
	if match == nil {
		match = map[string]string{}
	}
	match["k8s:"+podNamespaceLabel] = namespace
	return api.EndpointSelector{LabelSelector: &slimv1.LabelSelector{MatchLabels: match, MatchExpressions: s.MatchExpressions}}
}

// wrongCiliumSubjects: wrongSubjects for Cilium's kinds.
func (r *recognizer) wrongCiliumSubjects(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || r.hasCiliumSay(p) {
		return true
	}
	return p.sections(func(i int, x *ciliumRule) bool {
		who, s := r.subject(x.d), x.of.EndpointSelector
		if !who.known() || s.LabelSelector == nil || p.Namespace != "" && who.namespace != p.Namespace {
			return true
		}
		if here, _ := r.selectsAny(p, s); !here {
			return true
		}
		for _, subject := range []api.EndpointSelector{selectorFor(p, who), {LabelSelector: &slimv1.LabelSelector{}}} {
			if !yield(repair{
				mistake: wrongSubject, whole: true, object: p.Object, field: x.specPath() + ".endpointSelector",
				change:  r.edited(p, i, func(x *ciliumRule) { x.of.EndpointSelector = subject }),
				message: fmt.Sprintf("%s applies to %s, not to %s.", p.Ref(), r.ciliumSubjectsOf(p, x), who.name),
			}) {
				return false
			}
		}
		return true
	})
}

// wrongCiliumPeers: wrongPeers for Cilium's kinds.
func (r *recognizer) wrongCiliumPeers(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if !r.selects(p, x.of, r.subject(x.d)) || r.lookUp() && !x.isForDNS() {
			return true
		}
		for j, s := range *x.endpoints {
			selects := func(who endpoint) bool {
				here, _ := r.covers(p, s, who)
				return here
			}
			if !slices.ContainsFunc(r.everybody, selects) {
				continue
			}
			for _, who := range r.meantPeers[x.d]() {
				if !selects(who) && !yield(repair{
					mistake: wrongPeer, whole: true, keeps: true, object: p.Object, field: x.endpointField(j),
					change:  r.edited(p, i, func(x *ciliumRule) { (*x.endpoints)[j] = selectorFor(p, who) }),
					message: wrongPeerMessage(p.Object, x.d, r.podsThat(selects), who),
				}) {
					return false
				}
			}
		}
		return true
	})
}

// isForDNS reports whether a rule has port 53 and no other.
func (x *ciliumRule) isForDNS() bool {
	return len(*x.ports) > 0 && !slices.ContainsFunc(*x.ports, func(rule api.PortRule) bool {
		return len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(port api.PortProtocol) bool {
			return port.Port != "53" || port.EndPort != 0
		})
	})
}

// hasCiliumSay reports whether a policy is one of those that decide about the connection.
func (r *recognizer) hasCiliumSay(p *ciliumPolicy) bool {
	return slices.ContainsFunc(p.rules, func(x *ciliumRule) bool { return r.selects(p, x.of, r.subject(x.d)) })
}

// misplacedCilium: a policy in a namespace where it does not select the pod, until it is in the pod's.
func (r *recognizer) misplacedCilium(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.sections(func(i int, x *ciliumRule) bool {
		who, s := r.subject(x.d), x.of.EndpointSelector
		if _, elsewhere := r.covers(p, s, who); !who.known() || !elsewhere {
			return true
		}
		if here := slices.ContainsFunc(r.everybody, func(who endpoint) bool { return r.selects(p, x.of, who) }); here &&
			(!p.fromThisTask || !isEmptyEndpoint(s)) {
			return true
		}
		return yield(repair{
			mistake: wrongNamespace, object: p.Object, field: "metadata.namespace",
			change:  r.elsewhere(p, i, who.namespace, func(*ciliumRule) {}),
			message: fmt.Sprintf("%s stands in the namespace %s, where it does not select %s.", p.Ref(), p.Namespace, who.name),
		})
	})
}

// reversedCiliumRules: reversedRules for Cilium's kinds.
func (r *recognizer) reversedCiliumRules(p *ciliumPolicy, yield func(repair) bool) bool {
	return r.reversedCilium(p, yield, func(x *ciliumRule) (fix repair, applies bool) {
		taken := withoutCilium(p)
		return repair{
			unless:  &taken,
			message: fmt.Sprintf("%s has rules for %s only: connections that %s the pods it selects.", p.Ref(), x.d, comesOrGoes(x.d)),
		}, !x.empty()
	})
}

// reversedCiliumIsolation: reversedIsolation for Cilium's kinds.
func (r *recognizer) reversedCiliumIsolation(p *ciliumPolicy, yield func(repair) bool) bool {
	return r.reversedCilium(p, yield, func(x *ciliumRule) (fix repair, applies bool) {
		return repair{
			message: fmt.Sprintf("%s closes the %s of the pods it selects: connections that %s them.", p.Ref(), x.d, comesOrGoes(x.d)),
		}, r.selects(p, x.of, r.subject(!x.d))
	})
}

// reversedCilium proposes to turn each spec of a policy of this task that is about one direction into the other one.
func (r *recognizer) reversedCilium(p *ciliumPolicy, yield func(repair) bool, of func(*ciliumRule) (repair, bool)) bool {
	if !p.fromThisTask {
		return true
	}
	return p.sections(func(i int, x *ciliumRule) bool {
		if x.speaksOf(!x.d) || len(x.of.IngressDeny)+len(x.of.EgressDeny) > 0 || !p.reversible(x) {
			return true
		}
		fix, applies := of(x)
		if !applies {
			return true
		}
		fix.mistake, fix.object, fix.field = wrongDirection, p.Object, x.specPath()+"."+x.d.String()
		fix.change = r.edited(p, i, func(x *ciliumRule) { reverse(x.of) })
		return yield(fix)
	})
}

// reversible reports whether all rules of a spec have peers that both directions know.
func (p *ciliumPolicy) reversible(first *ciliumRule) bool {
	return !slices.ContainsFunc(p.rules, func(x *ciliumRule) bool {
		return x.of == first.of && (x.others > 0 || x.fqdns != nil && len(*x.fqdns) > 0)
	})
}

// reverse turns rules of one direction into the same of the other.
func reverse(rule *api.Rule) {
	var in []api.IngressRule
	for i := range rule.Egress {
		x := &rule.Egress[i]
		in = append(in, api.IngressRule{ToPorts: x.ToPorts, Authentication: x.Authentication, IngressCommonRule: api.IngressCommonRule{
			FromEndpoints: x.ToEndpoints, FromEntities: x.ToEntities, FromCIDR: x.ToCIDR, FromCIDRSet: x.ToCIDRSet,
		}})
	}
	var out []api.EgressRule
	for i := range rule.Ingress {
		x := &rule.Ingress[i]
		out = append(out, api.EgressRule{ToPorts: x.ToPorts, Authentication: x.Authentication, EgressCommonRule: api.EgressCommonRule{
			ToEndpoints: x.FromEndpoints, ToEntities: x.FromEntities, ToCIDR: x.FromCIDR, ToCIDRSet: x.FromCIDRSet,
		}})
	}
	rule.Ingress, rule.Egress = in, out
	deny := &rule.EnableDefaultDeny
	deny.Ingress, deny.Egress = deny.Egress, deny.Ingress
}

// closesAll: a policy of this task that closes every pod where it looks, where this one was to stay open.
func (r *recognizer) closesAll(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(p.rules) == 0 || slices.ContainsFunc(p.rules, func(x *ciliumRule) bool {
		return !x.empty() || !isEmptyEndpoint(x.of.EndpointSelector)
	}) {
		return true
	}
	return yield(repair{
		mistake: emptyOrMissing, change: withoutCilium(p), object: p.Object, field: p.rules[0].specPath() + ".endpointSelector",
		message: fmt.Sprintf("%s has an empty endpointSelector, so it closes every pod %s.", p.Ref(), p.reach()),
	})
}

// closesOnlyCilium: closesOnly for Cilium's kinds. What an empty rule means is another mistake: see emptyCiliumRules.
func (r *recognizer) closesOnlyCilium(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || r.ownPolicies() > 1 {
		return true
	}
	for i, rule := range specsOf(p.Value.(*manifest.CiliumNetworkPolicy)) {
		for _, d := range directions {
			if !closesOnlyIn(rule, d) || !r.selects(p, rule, r.subject(d)) {
				continue
			}
			for _, peer := range r.anyPeers(p, d) {
				if !yield(repair{
					mistake: noRules, whole: true, object: p.Object, field: "spec",
					change: r.rewritten(p, func(v *manifest.CiliumNetworkPolicy) { allowIn(specsOf(v)[i], d, peer) }),
					message: fmt.Sprintf("%s has no %s rule that allows anything, so it closes the %s of the pods it selects and lets nothing through.",
						p.Ref(), d, d),
				}) {
					return false
				}
			}
		}
	}
	return true
}

// specsOf are the rules of a policy, as Cilium calls spec and each of specs.
func specsOf(v *manifest.CiliumNetworkPolicy) []*api.Rule {
	var list []*api.Rule
	if v.Spec != nil {
		list = append(list, v.Spec)
	}
	return append(list, slices.DeleteFunc(slices.Clone(v.Specs), func(rule *api.Rule) bool { return rule == nil })...)
}

// closesOnlyIn reports whether a rule closes a direction and has nothing there that allows anything.
func closesOnlyIn(rule *api.Rule, d direction) bool {
	closes, rules := rule.EnableDefaultDeny.Ingress, len(rule.Ingress)+len(rule.IngressDeny)
	if d == egress {
		closes, rules = rule.EnableDefaultDeny.Egress, len(rule.Egress)+len(rule.EgressDeny)
	}
	if rules == 0 || closes != nil && !*closes { // enableDefaultDeny does nothing where there are no rules
		return false
	}
	return !slices.ContainsFunc(ciliumRules(&manifest.CiliumNetworkPolicy{Spec: rule}), func(x *ciliumRule) bool {
		return x.d == d && (!x.peerless() || *x.endpoints == nil && len(*x.ports) > 0)
	})
}

// anyPeers are what a rule could allow that is missing: all pods of the namespace, everything, or the other end.
func (r *recognizer) anyPeers(p *ciliumPolicy, d direction) []ciliumPeer {
	all := []ciliumPeer{
		{endpoints: []api.EndpointSelector{{LabelSelector: &slimv1.LabelSelector{}}}}, {entities: api.EntitySlice{api.EntityAll}},
	}
	if who := r.peer(d); who.known() {
		all = append(all, ciliumPeer{endpoints: []api.EndpointSelector{selectorFor(p, who)}})
	}
	return all
}

// ciliumPeer is whom a rule allows.
type ciliumPeer struct {
	endpoints []api.EndpointSelector
	entities  api.EntitySlice
}

// allowIn adds a rule that allows a peer.
func allowIn(rule *api.Rule, d direction, peer ciliumPeer) {
	if d == ingress {
		rule.Ingress = append(slices.Clip(rule.Ingress), api.IngressRule{IngressCommonRule: api.IngressCommonRule{
			FromEndpoints: peer.endpoints, FromEntities: peer.entities,
		}})
		return
	}
	rule.Egress = append(slices.Clip(rule.Egress), api.EgressRule{EgressCommonRule: api.EgressCommonRule{
		ToEndpoints: peer.endpoints, ToEntities: peer.entities,
	}})
}

// ciliumRulesForTheDenied: rulesForTheDenied for Cilium's kinds.
func (r *recognizer) ciliumRulesForTheDenied(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	return p.sections(func(i int, x *ciliumRule) bool {
		who := r.subject(x.d)
		if !r.selects(p, x.of, who) || r.asksToAllow(x.d, who) || slices.ContainsFunc(p.rules, func(y *ciliumRule) bool {
			return y.of == x.of && y.d == x.d && y.namesNobody()
		}) {
			return true
		}
		return yield(repair{
			mistake: onlyAllows, whole: true, object: p.Object, field: x.path,
			change: r.edited(p, i, func(x *ciliumRule) {
				if x.d == ingress {
					x.of.Ingress = []api.IngressRule{{}}
				} else {
					x.of.Egress = []api.EgressRule{{}}
				}
			}),
			message: fmt.Sprintf("%s has an %s rule that names %s, and so lets it through.", p.Ref(), x.d, r.peerName(x.d)),
		})
	})
}

// namesNobody reports whether a rule is for everybody or every pod: it has no peers, or one with an empty selector.
func (x *ciliumRule) namesNobody() bool {
	return x.peerless() || slices.ContainsFunc(*x.endpoints, isEmptyEndpoint) || slices.Contains(*x.entities, api.EntityAll)
}

// reach is where a policy's endpointSelector looks.
func (p *ciliumPolicy) reach() string {
	if p.Namespace == "" {
		return "of the cluster"
	}
	return "of the namespace " + p.Namespace
}

// wideCiliumSubjects: wideSubjects for Cilium's kinds.
func (r *recognizer) wideCiliumSubjects(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	return p.sections(func(i int, x *ciliumRule) bool {
		if !isEmptyEndpoint(x.of.EndpointSelector) {
			return true
		}
		for k := range r.lab.Apps {
			app := appEndpoint(&r.lab.Apps[k])
			if p.Namespace != "" && app.namespace != p.Namespace {
				continue
			}
			if !yield(repair{
				mistake: emptyOrMissing, object: p.Object, field: x.specPath() + ".endpointSelector",
				change:  r.edited(p, i, func(x *ciliumRule) { x.of.EndpointSelector = selectorFor(p, app) }),
				message: fmt.Sprintf("%s has an empty endpointSelector, so its rules are for every pod %s.", p.Ref(), p.reach()),
			}) {
				return false
			}
		}
		return true
	})
}

// leftoverCilium: leftover for Cilium's kinds.
func (r *recognizer) leftoverCilium(p *ciliumPolicy, yield func(repair) bool) bool {
	if p.fromThisTask || !r.isSuperseded(p) {
		return true
	}
	return yield(repair{
		mistake: stillInForce, change: withoutCilium(p), keeps: true, object: p.Object, field: "metadata.name",
		message: fmt.Sprintf("%s, from an earlier task, is still in force.", p.Ref()),
	})
}

// inEarlierCilium: inEarlier for Cilium's kinds.
func inEarlierCilium(undo undoerOf[*ciliumPolicy]) undoerOf[*ciliumPolicy] {
	return func(r *recognizer, p *ciliumPolicy, yield func(repair) bool) bool {
		if p.fromThisTask || !r.isSuperseded(p) {
			return true
		}
		own := *p
		own.fromThisTask = true
		return undo(r, &own, yield)
	}
}

// isSuperseded is superseded for Cilium's kinds.
func (r *recognizer) isSuperseded(p *ciliumPolicy) bool {
	return slices.ContainsFunc(p.rules, func(x *ciliumRule) bool { return !x.empty() && r.supersededCilium(p, x) })
}

// supersededCilium reports whether a policy of this task speaks of a pod that a rule is about, in the same direction.
func (r *recognizer) supersededCilium(p *ciliumPolicy, x *ciliumRule) bool {
	for _, who := range r.everybody {
		if !r.selects(p, x.of, who) {
			continue
		}
		if slices.ContainsFunc(r.policies, func(q *networkPolicy) bool {
			return q.fromThisTask && len(q.spec.rules[x.d]) > 0 && r.selectsSubject(q, who)
		}) || slices.ContainsFunc(r.cilium, func(q *ciliumPolicy) bool {
			return q.fromThisTask && slices.ContainsFunc(q.rules, func(y *ciliumRule) bool {
				return y.d == x.d && !y.empty() && r.selects(q, y.of, who)
			})
		}) {
			return true
		}
	}
	return false
}

// unlabelledCiliumNamespaces: labels of a namespace that no namespace has, until the peer's gets them.
func (r *recognizer) unlabelledCiliumNamespaces(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(_ int, x *ciliumRule) bool {
		who := r.peer(x.d)
		for j, s := range *x.endpoints {
			wanted := namespaceLabelsOf(s)
			if !who.known() || len(wanted) == 0 || slices.ContainsFunc(r.everybody, func(who endpoint) bool {
				return contains(r.namespaceLabels(who.namespace), wanted)
			}) {
				continue
			}
			if !yield(repair{
				mistake: namespaceLabelMissing, change: r.labelled(who.namespace, wanted), object: p.Object, field: x.endpointField(j),
				message: fmt.Sprintf("%s asks for namespaces with %s, and no namespace has that.", p.Ref(), words(wanted)),
			}) {
				return false
			}
		}
		return true
	})
}

// namespaceLabelsOf are the labels of namespaces that a selector asks for.
func namespaceLabelsOf(s api.EndpointSelector) map[string]string {
	if s.LabelSelector == nil {
		return nil
	}
	wanted := map[string]string{}
	for key, value := range s.MatchLabels {
		if name, ok := strings.CutPrefix(withoutSource(key), namespaceLabelsPrefix); ok {
			wanted[name] = value
		}
	}
	return wanted
}

// contains reports whether labels include others.
func contains(have, wanted map[string]string) bool {
	for key, value := range wanted {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}
