package mistake

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// leftovers proposes to delete what earlier tasks left: for assertions about objects.
func (r *recognizer) leftovers(yield func(repair) bool) {
	if !r.attempted() {
		return
	}
	for _, p := range r.policies {
		if !r.leftover(p, yield) {
			return
		}
	}
}

// openEverything: a policy with an empty rule on top of those that close, until it is gone. One for some pods
// that an earlier task left was rather meant to close them: see emptyRules.
func (r *recognizer) openEverything(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask && !isEmpty(&p.spec.subject) {
		return true
	}
	for _, d := range directions {
		for i, rule := range p.spec.rules[d] {
			if len(rule.peers)+len(rule.ports) == 0 && !yield(repair{
				mistake: allowsEverything, change: r.without(p), object: p.Object, field: rulePath(d, i),
				message: fmt.Sprintf("%s has an %s rule without any condition, which allows everything to the pods it selects, whatever other policies say.", p.Ref(), d),
			}) {
				return false
			}
		}
	}
	return true
}

// emptyRules: rules without conditions in the very policy that was to close, until they are gone.
func (r *recognizer) emptyRules(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask && isEmpty(&p.spec.subject) {
		return true // an earlier task's, for all pods: that one was to open
	}
	for _, d := range directions {
		s, at := p.spec.clone(), -1
		s.rules[d] = nil
		for i, rule := range p.spec.rules[d] {
			if len(rule.peers)+len(rule.ports) > 0 {
				s.rules[d] = append(s.rules[d], rule)
			} else if at < 0 {
				at = i
			}
		}
		if at < 0 {
			continue
		}
		s.types = p.spec.effectiveTypes()
		what := fmt.Sprintf("an empty %s rule. A rule without conditions", d)
		if p.wrote().emptyPeers(d, at) {
			what = fmt.Sprintf("an %s rule with an empty `%s`, which means everybody. Without other conditions it", d, d.peersKey())
		}
		if !yield(repair{
			mistake: emptyOrMissing, change: r.with(p, s), object: p.Object, field: rulePath(d, at),
			message: fmt.Sprintf("%s has %s allows everybody on every port.", p.Ref(), what),
		}) {
			return false
		}
	}
	return true
}

// splitRules: a rule with peers only and another with ports only, until they are one.
func (r *recognizer) splitRules(p *networkPolicy, yield func(repair) bool) bool {
	for _, d := range directions {
		for i, a := range p.spec.rules[d] {
			for k, b := range p.spec.rules[d] {
				if len(a.peers) == 0 || len(a.ports) > 0 || len(b.peers) > 0 || len(b.ports) == 0 {
					continue
				}
				s := p.spec.clone()
				s.rules[d][i].ports = b.ports
				s.rules[d] = without(s.rules[d], k)
				if !yield(repair{
					mistake: ruleSplit, change: r.with(p, s), object: p.Object, field: rulePath(d, max(i, k)),
					message: fmt.Sprintf("%s has one %s rule with peers and no ports and another with ports and no peers: the one opens every port, the other lets everybody connect.", p.Ref(), d),
				}) {
					return false
				}
			}
		}
	}
	return true
}

// splitPorts: a port that has a protocol only beside one that has a number only, until they are one.
func (r *recognizer) splitPorts(p *networkPolicy, yield func(repair) bool) bool {
	for _, d := range directions {
		for i, rule := range p.spec.rules[d] {
			for j, a := range rule.ports {
				for k, b := range rule.ports {
					if a.Port != nil || a.Protocol == nil || b.Port == nil || p.wrote().protocol(place{d: d, rule: i, item: k}) {
						continue
					}
					s, ports := p.spec.clone(), slices.Clone(rule.ports)
					ports[k].Protocol = a.Protocol
					s.rules[d][i].ports = without(ports, j)
					if !yield(repair{
						mistake: portSplit, change: r.with(p, s), object: p.Object, field: place{d, i, "ports", j}.String(),
						message: fmt.Sprintf("%s lists a protocol and a port as two items under `ports`: every port over %s, and port %s.",
							p.Ref(), *a.Protocol, b.Port),
					}) {
						return false
					}
				}
			}
		}
	}
	return true
}

// splitPeers: a peer with a namespaceSelector only beside one with a podSelector only, until they are one.
func (r *recognizer) splitPeers(p *networkPolicy, yield func(repair) bool) bool {
	for at, a := range p.spec.peers() {
		if a.NamespaceSelector == nil || a.PodSelector != nil {
			continue
		}
		for k, b := range p.spec.rule(at).peers {
			if b.PodSelector == nil || b.NamespaceSelector != nil {
				continue
			}
			s := p.spec.clone()
			s.peer(at).PodSelector = b.PodSelector
			s.rule(at).peers = without(s.rule(at).peers, k)
			if !yield(repair{
				mistake: andOrPeers, change: r.with(p, s), object: p.Object, field: place{at.d, at.rule, at.key, max(at.item, k)}.String(),
				message: fmt.Sprintf("%s lists the namespaceSelector and the podSelector as two peers: any pod of those namespaces, or those pods of the policy's own namespace.", p.Ref()),
			}) {
				return false
			}
		}
	}
	return true
}

// forgottenTypes: a direction that the policy mentions, or nothing at all, until policyTypes lists it.
func (r *recognizer) forgottenTypes(p *networkPolicy, yield func(repair) bool) bool {
	for _, d := range directions {
		if p.spec.isolates(d) {
			continue
		}
		forgotten := !p.wrote().types()
		if !p.spec.given[d] && !(forgotten && p.fromThisTask) {
			continue
		}
		s := p.spec.clone()
		s.types = append(s.types, d.policyType())
		message := fmt.Sprintf("%s has no policyTypes, so it is about %s only and does not close %s.", p.Ref(), !d, d)
		field := "spec"
		if !forgotten {
			message = fmt.Sprintf("%s has an empty %s section, but policyTypes does not list %s.", p.Ref(), d, d.policyType())
			field = "spec.policyTypes"
		}
		if !yield(repair{mistake: typesForgotten, change: r.with(p, s), object: p.Object, field: field, message: message}) {
			return false
		}
	}
	return true
}

// deadSubjects: a policy that selects no pod, until it selects the one that was to be closed.
func (r *recognizer) deadSubjects(p *networkPolicy, yield func(repair) bool) bool {
	if !r.selectsNobody(p) {
		return true
	}
	return r.deadSelectors(p, yield)
}

// reversedIsolation: a policy of this task that closes one direction, until it closes the other.
func (r *recognizer) reversedIsolation(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	for _, d := range directions {
		if !p.spec.isolates(d) || p.spec.isolates(!d) || !r.selectsSubject(p, r.subject(!d)) {
			continue
		}
		if !yield(r.reversed(p, d, fmt.Sprintf("%s closes the %s of the pods it selects: connections that %s them.", p.Ref(), d, comesOrGoes(d)))) {
			return false
		}
	}
	return true
}

// emptyPeers: a peer with an empty selector in a policy of this task, until it is gone.
func (r *recognizer) emptyPeers(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	for at, peer := range p.spec.peers() {
		field, what := "", ""
		switch {
		case isEmpty(peer.NamespaceSelector):
			field, what = ".namespaceSelector", "An empty namespaceSelector selects every namespace."
		case isEmpty(peer.PodSelector):
			field, what = ".podSelector", "An empty podSelector selects every pod where the rule looks."
		default:
			continue
		}
		if !yield(repair{
			mistake: emptyOrMissing, change: r.narrowed(p, at), object: p.Object, field: at.String() + field,
			message: fmt.Sprintf("%s: %s", p.Ref(), what),
		}) {
			return false
		}
	}
	return true
}

// wideSubjects: a policy of this task with rules for every pod of its namespace, until they are for one app only.
func (r *recognizer) wideSubjects(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || !isEmpty(&p.spec.subject) || len(p.spec.rules[ingress])+len(p.spec.rules[egress]) == 0 {
		return true
	}
	return r.oneApp(p, yield, repair{
		mistake: emptyOrMissing, object: p.Object, field: "spec.podSelector",
		message: fmt.Sprintf("%s has %s, so its rules are for every pod of the namespace %s.", p.Ref(), p.emptySubject(), p.Namespace),
	})
}

// narrowed returns the state with one peer less or, in a rule for look-ups, with the name server in its place: whoever
// names the pods that such a rule means names those.
func (r *recognizer) narrowed(p *networkPolicy, at place) engine.Change {
	peer := p.spec.rule(at).peers[at.item]
	if at.d != egress || !isForDNS(p.spec.rule(at)) && !r.findsOnlyNameServer(p, &peer) {
		return r.withoutPeer(p, at)
	}
	s := p.spec.clone()
	*s.peer(at) = peerOf(nameServer())
	return r.with(p, s)
}

// isForDNS reports whether a rule has port 53 and no other.
func isForDNS(rule *rule) bool {
	return len(rule.ports) > 0 && !slices.ContainsFunc(rule.ports, func(port networkingv1.NetworkPolicyPort) bool {
		return port.Port == nil || port.Port.IntValue() != 53 || port.EndPort != nil
	})
}

// findsOnlyNameServer reports whether a peer matches the name server and no pod of the lab.
func (r *recognizer) findsOnlyNameServer(p *networkPolicy, x *networkingv1.NetworkPolicyPeer) bool {
	for _, who := range r.everybody {
		if r.peerSelects(p, x.PodSelector, x.NamespaceSelector, who) != (who.app == nil) {
			return false
		}
	}
	return true
}

// peerOf is a peer that matches an endpoint.
func peerOf(who endpoint) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		PodSelector:       &metav1.LabelSelector{MatchLabels: who.labels},
		NamespaceSelector: namespaceNamed(who.namespace),
	}
}

// namespaceNamed selects a namespace by the label that Kubernetes gives it.
func namespaceNamed(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

// withoutPeer returns the state with one peer less; a rule that has no other goes with it.
func (r *recognizer) withoutPeer(p *networkPolicy, at place) engine.Change {
	s := p.spec.clone()
	s.types = p.spec.effectiveTypes()
	if rule := s.rule(at); len(rule.peers) > 1 {
		rule.peers = without(rule.peers, at.item)
	} else {
		s.rules[at.d] = without(s.rules[at.d], at.rule)
	}
	return r.with(p, s)
}

// leftover: a policy of an earlier task beside one of this task for the same pods, until it is gone. One that the task
// still needs is no leftover: whoever deletes it as told is told next that it is missing.
func (r *recognizer) leftover(p *networkPolicy, yield func(repair) bool) bool {
	if p.fromThisTask || len(p.spec.rules[ingress])+len(p.spec.rules[egress]) == 0 || !r.superseded(p) {
		return true
	}
	return yield(repair{
		mistake: stillInForce, change: r.without(p), keeps: true, object: p.Object, field: "metadata.name",
		message: fmt.Sprintf("%s, from an earlier task, is still in force.", p.Ref()),
	})
}

// superseded reports whether a policy of this task speaks of a pod that p selects, in the same direction.
func (r *recognizer) superseded(p *networkPolicy) bool {
	for _, q := range r.policies {
		if !q.fromThisTask {
			continue
		}
		for _, d := range directions {
			if len(p.spec.rules[d]) == 0 || len(q.spec.rules[d]) == 0 {
				continue
			}
			for _, who := range r.everybody {
				if r.selectsSubject(p, who) && r.selectsSubject(q, who) {
					return true
				}
			}
		}
	}
	return false
}

// inEarlier is the search for a mistake of this task's policies in those of earlier tasks that one of this task is
// beside.
func inEarlier(undo undoer) undoer {
	return func(r *recognizer, p *networkPolicy, yield func(repair) bool) bool {
		if p.fromThisTask || !r.superseded(p) {
			return true
		}
		own := *p
		own.fromThisTask = true
		return undo(r, &own, yield)
	}
}

// neverWanted is inEarlier for policies whose own task did not ask for the connection either: what lets it through was
// wrong from the start, and not superseded.
func neverWanted(undo undoer) undoer {
	search := inEarlier(undo)
	return func(r *recognizer, p *networkPolicy, yield func(repair) bool) bool {
		// Of an invariant only one of many connections is known.
		if _, proved := r.Check.(*labs.Invariant); proved || r.wantedIn(r.State.AppliedIn[p.Object]) {
			return true
		}
		return search(r, p, func(fix repair) bool {
			fix.keeps = true
			return yield(fix)
		})
	}
}

// wantedIn reports whether some objective of a task wants connections between the two ends allowed, on whatever port.
func (r *recognizer) wantedIn(task string) bool {
	for i := range r.lab.Tasks {
		if t := &r.lab.Tasks[i]; t.Name == task {
			return wants(t, r.sameEnds)
		}
	}
	return false
}

// sameEnds reports whether a connection is between the two ends of the probe, on whatever port.
func (r *recognizer) sameEnds(pair labs.Pair) bool {
	a, b := pair.To, r.Probe.To
	return pair.From == r.Probe.From && a.App == b.App && a.External == b.External && a.Node == b.Node
}

// wants reports whether some objective of a task wants a connection allowed of which is holds.
func wants(t *labs.Task, is func(labs.Pair) bool) bool {
	for i := range t.Objectives {
		for _, c := range t.Objectives[i].Checks {
			if slices.ContainsFunc(allowedBy(c), is) {
				return true
			}
		}
	}
	return false
}

// findMeantPorts finds the ports that are to stay open where this connection is to be closed: those that the invariant excepts, if the check is
// one, or those on which the task wants the same two ends to connect. If there are any, the check is about ports, not about peers.
func (r *recognizer) findMeantPorts() []int {
	if inv, ok := r.Check.(*labs.Invariant); ok {
		return inv.ExceptPorts
	}
	if r.lookUp() {
		return nil
	}
	var ports []int
	own := r.containerPort(r.Probe.To)
	wants(r.Task, func(pair labs.Pair) bool {
		if n := r.containerPort(pair.To); r.sameEnds(pair) && n != own && !slices.Contains(ports, n) {
			ports = append(ports, n)
		}
		return false
	})
	return ports
}

// provesPorts reports whether the check is an invariant, which is about all ports but those that it excepts.
func (r *recognizer) provesPorts() bool {
	_, ok := r.Check.(*labs.Invariant)
	return ok
}

// containerPort is the port of a target's pods or, if that is no app, the target's own.
func (r *recognizer) containerPort(t labs.Target) int {
	app := r.lab.App(t.App)
	if app == nil || t.Via == labs.ViaIP {
		return t.Port
	}
	for _, port := range app.Ports {
		if port.Port == t.Port {
			return port.TargetPort
		}
	}
	return t.Port
}

// missingPorts: a rule of this task with peers and no ports, until it has those that are to stay open.
func (r *recognizer) missingPorts(p *networkPolicy, yield func(repair) bool) bool {
	meant := r.meantPorts()
	if !p.fromThisTask || len(meant) == 0 {
		return true
	}
	var ports []networkingv1.NetworkPolicyPort
	for _, n := range meant {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			number := intstr.FromInt32(int32(n))
			ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &number})
		}
	}
	for _, d := range directions {
		for i, rule := range p.spec.rules[d] {
			if len(rule.peers) == 0 || len(rule.ports) > 0 {
				continue
			}
			s := p.spec.clone()
			s.rules[d][i].ports = ports
			if !yield(repair{
				mistake: portsMissing, change: r.with(p, s), whole: !r.provesPorts(), object: p.Object, field: rulePath(d, i),
				message: fmt.Sprintf("%s has an %s rule that names no port, so it opens every port.", p.Ref(), d),
			}) {
				return false
			}
		}
	}
	return true
}

// missingPeers: a rule of this task with ports and no peers, until it is gone or, if it is for look-ups, is for the name
// server.
func (r *recognizer) missingPeers(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	for _, d := range directions {
		for i, rule := range p.spec.rules[d] {
			if len(rule.peers) > 0 || len(rule.ports) == 0 {
				continue
			}
			s := p.spec.clone()
			if d == egress && isForDNS(&rule) {
				s.rules[d][i].peers = []networkingv1.NetworkPolicyPeer{peerOf(nameServer())}
			} else {
				s.types, s.rules[d] = p.spec.effectiveTypes(), without(s.rules[d], i)
			}
			which := "without"
			if p.wrote().emptyPeers(d, i) {
				which = "an empty"
			}
			if !yield(repair{
				mistake: peersMissing, change: r.with(p, s), object: p.Object, field: rulePath(d, i),
				message: fmt.Sprintf("%s has an %s rule with ports and %s `%s`, so it opens these ports to everybody.", p.Ref(), d, which, d.peersKey()),
			}) {
				return false
			}
		}
	}
	return true
}

// wholeNamespaces: a peer of this task that names namespaces and no pods, until it is gone.
func (r *recognizer) wholeNamespaces(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	for at, peer := range p.spec.peers() {
		selects := func(who endpoint) bool { return r.peerSelects(p, nil, peer.NamespaceSelector, who) }
		if peer.NamespaceSelector == nil || peer.PodSelector != nil || !selects(r.peer(at.d)) || r.meantOthers(at.d, selects) {
			continue
		}
		if !yield(repair{
			mistake: wholeNamespace, change: r.narrowed(p, at), object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s names namespaces with %s and no pods, which means every pod there.", p.Ref(), metav1.FormatLabelSelector(peer.NamespaceSelector)),
		}) {
			return false
		}
	}
	return true
}

// rulesForTheDenied: rules of this task that name who is to be kept out, until they are gone. Where the task has something allowed at this
// side of the policy, there have to be rules, and they may only be too broad.
func (r *recognizer) rulesForTheDenied(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	for _, d := range directions {
		if len(p.spec.rules[d]) == 0 || slices.ContainsFunc(p.spec.rules[d], namesNobody) ||
			!r.selectsSubject(p, r.subject(d)) || r.asksToAllow(d, r.subject(d)) {
			continue
		}
		s := p.spec.clone()
		s.types, s.rules[d] = p.spec.effectiveTypes(), nil
		if !yield(repair{
			mistake: onlyAllows, change: r.with(p, s), whole: true, object: p.Object, field: rulePath(d, 0),
			message: fmt.Sprintf("%s has an %s rule that names %s, and so lets it through.", p.Ref(), d, r.peerName(d)),
		}) {
			return false
		}
	}
	return true
}

// namesNobody reports whether a rule is for everybody or every pod: it has no peers, or one with an empty selector
// alone.
func namesNobody(x rule) bool {
	return len(x.peers) == 0 || slices.ContainsFunc(x.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.PodSelector == nil && isEmpty(peer.NamespaceSelector) ||
			peer.NamespaceSelector == nil && isEmpty(peer.PodSelector)
	})
}

// peerName names the other end of a connection for a message.
func (r *recognizer) peerName(d direction) string {
	if who := r.peer(d); who.known() {
		return who.name
	}
	return "the other end"
}

// asksToAllow reports whether some objective of the task wants a connection of an endpoint allowed, in a direction.
func (r *recognizer) asksToAllow(d direction, who endpoint) bool {
	return wants(r.Task, func(pair labs.Pair) bool {
		return d == ingress && pair.To.App == who.name || d == egress && pair.From.App == who.name
	})
}

// allowedBy are the connections that a block wants allowed.
func allowedBy(c labs.Check) []labs.Pair {
	switch c := c.(type) {
	case *labs.Expectation:
		if c.Verdict == verdict.Allowed {
			return c.Connections()
		}
	case *labs.Matrix:
		return c.Allow
	}
	return nil
}
