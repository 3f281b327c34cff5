package mistake

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// unlabelledNamespaces: a namespaceSelector that no namespace fulfils, until the peer's gets the label.
func (r *recognizer) unlabelledNamespaces(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		s, other := peer.NamespaceSelector, r.peer(at.d)
		if !other.known() || s == nil || len(s.MatchLabels) == 0 || !r.selectsNoNamespace(s) {
			continue
		}
		fix := repair{
			mistake: namespaceLabelMissing, change: r.labelled(other.namespace, s.MatchLabels), object: p.Object,
			field:   at.String() + ".namespaceSelector",
			message: fmt.Sprintf("%s asks for namespaces with %s, and no namespace has that.", p.Ref(), words(s.MatchLabels)),
		}
		for key := range s.MatchLabels {
			if _, has := r.State.NamespaceLabels[other.namespace][key]; has { // labelled, but otherwise
				fix.mistake = selectsNothing
			}
		}
		if !yield(fix) {
			return false
		}
	}
	return true
}

// deadNamespaces: a namespaceSelector that no namespace fulfils, until it asks for the name of the peer's.
func (r *recognizer) deadNamespaces(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		other := r.peer(at.d)
		if !other.known() || peer.NamespaceSelector == nil || !r.selectsNoNamespace(peer.NamespaceSelector) {
			continue
		}
		s := p.spec.clone()
		s.peer(at).NamespaceSelector = namespaceNamed(other.namespace)
		message := fmt.Sprintf("%s asks for namespaces with %s, and no namespace has that.", p.Ref(), selectorText(peer.NamespaceSelector))
		if name := peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]; name != "" {
			message = fmt.Sprintf("%s asks for the namespace %s, and there is none of that name.", p.Ref(), name)
		}
		if !yield(repair{
			mistake: selectsNothing, change: r.with(p, s), object: p.Object, field: at.String() + ".namespaceSelector", message: message,
		}) {
			return false
		}
	}
	return true
}

// deadSelectors: a podSelector, of the subject or of a peer, that finds no pod, until it asks for the labels
// that the pod has.
func (r *recognizer) deadSelectors(p *networkPolicy, yield func(repair) bool) bool {
	if r.selectsNobody(p) {
		for _, d := range directions {
			who := r.subject(d)
			if who.namespace != p.Namespace || !p.spec.isolates(d) {
				continue
			}
			s := p.spec.clone()
			s.subject = metav1.LabelSelector{MatchLabels: who.labels}
			fix := repair{change: r.with(p, s), object: p.Object, field: "spec.podSelector"}
			fix.mistake, fix.message = r.deadSelector(p.Object, &p.spec.subject)
			if !yield(fix) {
				return false
			}
		}
	}
	for at, peer := range p.spec.peers() {
		who := r.peer(at.d)
		if peer.PodSelector == nil || !who.known() || !r.peerSelectsNobody(p, peer.PodSelector, peer.NamespaceSelector) {
			continue
		}
		s := p.spec.clone()
		s.peer(at).PodSelector = &metav1.LabelSelector{MatchLabels: who.labels}
		fix := repair{change: r.with(p, s), object: p.Object, field: at.String() + ".podSelector"}
		fix.mistake, fix.message = r.deadSelector(p.Object, peer.PodSelector)
		if fix.mistake == selectsNothing && r.selectsElsewhere(peer) {
			continue // there are such pods: the namespace is what is wrong
		}
		if !yield(fix) {
			return false
		}
	}
	return true
}

// exchangedSelectors: a namespaceSelector that asks for the labels of pods and a podSelector that asks for those of namespaces, until
// each has the other's.
func (r *recognizer) exchangedSelectors(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		who := r.peer(at.d)
		if isEmpty(peer.PodSelector) || isEmpty(peer.NamespaceSelector) || !who.known() ||
			!r.matches(peer.NamespaceSelector, who.labels) || !r.matches(peer.PodSelector, r.namespaceLabels(who.namespace)) {
			continue
		}
		s := p.spec.clone()
		x := s.peer(at)
		x.PodSelector, x.NamespaceSelector = peer.NamespaceSelector, peer.PodSelector
		if !yield(repair{
			mistake: selectsNothing, change: r.with(p, s), object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s asks for namespaces with %s, which is a label of pods, and for pods with %s, which is a label of a namespace.",
				p.Ref(), selectorText(peer.NamespaceSelector), selectorText(peer.PodSelector)),
		}) {
			return false
		}
	}
	return true
}

// selectsElsewhere reports whether the lab has pods, in whatever namespace, that a peer's podSelector asks for.
func (r *recognizer) selectsElsewhere(peer networkingv1.NetworkPolicyPeer) bool {
	return slices.ContainsFunc(r.everybody, func(who endpoint) bool { return r.matches(peer.PodSelector, who.labels) })
}

// otherNamespaces: a podSelector for pods of another namespace than the policy's, until the peer names theirs.
func (r *recognizer) otherNamespaces(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		who := r.peer(at.d)
		if peer.NamespaceSelector != nil || isEmpty(peer.PodSelector) || !who.known() || who.namespace == p.Namespace {
			continue
		}
		message := fmt.Sprintf("%s looks for pods with %s in its own namespace, %s.", p.Ref(), selectorText(peer.PodSelector), p.Namespace)
		s := p.spec.clone()
		switch {
		case r.matches(peer.PodSelector, who.labels):
			s.peer(at).NamespaceSelector = namespaceNamed(who.namespace)
		case r.matches(peer.PodSelector, r.namespaceLabels(who.namespace)):
			*s.peer(at) = networkingv1.NetworkPolicyPeer{NamespaceSelector: peer.PodSelector}
			message += " That is a label of a namespace; no pod there carries it."
		default:
			continue
		}
		if !yield(repair{
			mistake: ownNamespaceOnly, change: r.with(p, s), object: p.Object, field: at.String() + ".podSelector", message: message,
		}) {
			return false
		}
	}
	return true
}

// deadSelector says which mistake a selector that selects nothing is.
func (r *recognizer) deadSelector(p *manifest.Object, s *metav1.LabelSelector) (Mistake, string) {
	for k := range r.lab.Apps {
		app := &r.lab.Apps[k]
		if !isEmpty(s) && r.matches(s, r.workload(app)) {
			return deploymentLabel, fmt.Sprintf("%s selects pods by %s. That is a label of the Deployment %s itself; no pod carries it.",
				p.Ref(), words(s.MatchLabels), app.Name)
		}
	}
	return selectsNothing, fmt.Sprintf("%s asks for pods with %s, and there is none where it looks.", p.Ref(), selectorText(s))
}

func selectorText(s *metav1.LabelSelector) string {
	if isEmpty(s) {
		return "any labels"
	}
	return metav1.FormatLabelSelector(s)
}

// servicePorts: a rule with the number that the Service listens on, until it names the pod's.
func (r *recognizer) servicePorts(p *networkPolicy, yield func(repair) bool) bool {
	for at, port := range p.spec.ports() {
		if port.Port == nil {
			continue
		}
		for app, svc := range r.servicesAt(p, at, port.Port.IntValue()) {
			s := p.spec.clone()
			target := intstr.FromInt32(int32(svc.TargetPort))
			s.port(at).Port = &target
			if !yield(repair{
				mistake: servicePort, change: r.with(p, s), object: p.Object, field: at.String(),
				message: fmt.Sprintf("%s names port %d. That is the port of the Service %s; its pods listen on another.", p.Ref(), svc.Port, app.Service),
			}) {
				return false
			}
		}
	}
	return true
}

// otherProtocols: a port of another protocol than the connection's, until it is the same.
func (r *recognizer) otherProtocols(p *networkPolicy, yield func(repair) bool) bool {
	if r.lookUp() {
		return true // see dnsProtocols
	}
	protocol := corev1.Protocol(cmp.Or(r.Probe.To.Protocol, string(corev1.ProtocolTCP)))
	for at, port := range p.spec.ports() {
		if protocolOf(port) == protocol {
			continue
		}
		s := p.spec.clone()
		s.port(at).Protocol = &protocol
		if !yield(repair{
			mistake: wrongProtocol, change: r.with(p, s), object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s allows the port over %s; the connection is over %s.", p.Ref(), protocolOf(port), protocol),
		}) {
			return false
		}
	}
	return true
}

// servicesAt goes through the ports of services that are n for clients and another number for the pods: of the server or,
// where that is not known, of the apps to which the rule at a place is about connections.
func (r *recognizer) servicesAt(p *networkPolicy, at place, n int) iter.Seq2[*labs.App, labs.Port] {
	return r.services(n, func(who endpoint) bool { return r.isServer(p, at, who) })
}

// services is servicesAt for a rule of which isServer tells whether it is about connections to an endpoint.
func (r *recognizer) services(n int, isServer func(endpoint) bool) iter.Seq2[*labs.App, labs.Port] {
	return func(yield func(*labs.App, labs.Port) bool) {
		for i := range r.lab.Apps {
			app := &r.lab.Apps[i]
			if r.server.known() && r.server.app != app || !r.server.known() && !isServer(appEndpoint(app)) {
				continue
			}
			for _, port := range app.Ports {
				if port.Port == n && port.TargetPort != n && !yield(app, port) {
					return
				}
			}
		}
	}
}

// isServer reports whether the rule at a place is about connections to an endpoint.
func (r *recognizer) isServer(p *networkPolicy, at place, who endpoint) bool {
	if at.d == ingress {
		return r.selectsSubject(p, who)
	}
	peers := p.spec.rule(at).peers
	return len(peers) == 0 || slices.ContainsFunc(peers, func(x networkingv1.NetworkPolicyPeer) bool {
		return x.IPBlock == nil && r.peerSelects(p, x.PodSelector, x.NamespaceSelector, who)
	})
}

// dnsProtocols: port 53 for one protocol, until the other is there as well.
func (r *recognizer) dnsProtocols(p *networkPolicy, yield func(repair) bool) bool {
	if !r.lookUp() {
		return true
	}
	for at, port := range p.spec.ports() {
		if at.d != egress || port.Port == nil || port.Port.IntValue() != 53 {
			continue
		}
		m, other := dnsOnlyUDP, corev1.ProtocolTCP
		message := fmt.Sprintf("%s allows port 53 over UDP only.", p.Ref())
		if protocolOf(port) == corev1.ProtocolTCP {
			m, other = dnsOnlyTCP, corev1.ProtocolUDP
			message = fmt.Sprintf("%s allows port 53 over TCP only.", p.Ref())
			if !p.wrote().protocol(at) {
				message = fmt.Sprintf("%s allows port 53 without saying for which protocol; that means TCP only.", p.Ref())
			}
		}
		s := p.spec.clone()
		port.Protocol = &other
		s.rule(at).ports = append(slices.Clip(s.rule(at).ports), port)
		if !yield(repair{mistake: m, change: r.with(p, s), object: p.Object, field: at.String(), message: message}) {
			return false
		}
	}
	return true
}

// wrongDNSPorts: rules for the name server with other ports than its own, until they have port 53.
func (r *recognizer) wrongDNSPorts(p *networkPolicy, yield func(repair) bool) bool {
	if !r.lookUp() {
		return true
	}
	for at, port := range p.spec.ports() {
		rule := p.spec.rule(at)
		if at.d != egress || at.item > 0 || len(rule.peers) == 0 || !r.isServer(p, at, nameServer()) ||
			slices.ContainsFunc(rule.ports, includesDNS) {
			continue
		}
		s := p.spec.clone()
		s.rule(at).ports = dnsPorts()
		if !yield(repair{
			mistake: dnsWrongPort, change: r.with(p, s), object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s lets pods out to the name server on port %s, and it answers on port 53.", p.Ref(), port.Port),
		}) {
			return false
		}
	}
	return true
}

// dnsPorts is port 53 over both protocols.
func dnsPorts() []networkingv1.NetworkPolicyPort {
	number, udp, tcp := intstr.FromInt32(53), corev1.ProtocolUDP, corev1.ProtocolTCP
	return []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &number}, {Protocol: &tcp, Port: &number}}
}

// includesDNS reports whether a port is 53, one of a range with 53, any, or one with a name, whose number is not known.
func includesDNS(port networkingv1.NetworkPolicyPort) bool {
	if port.Port == nil || port.Port.Type == intstr.String {
		return true
	}
	first := port.Port.IntVal
	last := first
	if port.EndPort != nil {
		last = *port.EndPort
	}
	return first <= 53 && 53 <= last
}

// ipBlocks: an address range where the peer is in the cluster, until a selector takes its place.
func (r *recognizer) ipBlocks(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		who := r.peer(at.d)
		if peer.IPBlock == nil || !who.known() {
			continue
		}
		s := p.spec.clone()
		*s.peer(at) = peerOf(who)
		what := "A range of addresses never means pods"
		if at.d == egress && inServiceRange(peer.IPBlock.CIDR) {
			what = "These are addresses of Services, which policies never get to see"
		}
		if !yield(repair{
			mistake: serviceIP, change: r.with(p, s), object: p.Object, field: at.String() + ".ipBlock",
			message: fmt.Sprintf("%s names the addresses %s for %s. %s.", p.Ref(), peer.IPBlock.CIDR, who.name, what),
		}) {
			return false
		}
	}
	return true
}

// selectorsForExternals: a peer of this task that selects every pod, or none, where the other end is outside the cluster, until it is
// every address there.
func (r *recognizer) selectorsForExternals(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		name := r.external(at.d)
		if name == "" || !p.fromThisTask || peer.IPBlock != nil || r.isForPods(p, &peer) {
			continue
		}
		s := p.spec.clone()
		rule := s.rule(at)
		rule.peers = append(without(rule.peers, at.item), everyAddress()...)
		if !yield(repair{
			mistake: selectorForExternal, change: r.with(p, s), whole: true, keeps: true, object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s has an %s rule with a selector of %s. %s is outside the cluster, where selectors match nothing.",
				p.Ref(), at.d, selectorKind(&peer), name),
		}) {
			return false
		}
	}
	return true
}

// external is the name of the other end of a connection, if that is outside the cluster, or "".
func (r *recognizer) external(d direction) string {
	if d == ingress {
		return r.Probe.From.External
	}
	return r.Probe.To.External
}

// isForPods reports whether the lab shows what a peer with selectors is for: it names some of its pods, and not all of them.
func (r *recognizer) isForPods(p *networkPolicy, peer *networkingv1.NetworkPolicyPeer) bool {
	every := (peer.NamespaceSelector == nil || isEmpty(peer.NamespaceSelector)) && (peer.PodSelector == nil || isEmpty(peer.PodSelector))
	return !every && !r.peerSelectsNobody(p, peer.PodSelector, peer.NamespaceSelector)
}

// selectorKind says what the selectors of a peer select.
func selectorKind(peer *networkingv1.NetworkPolicyPeer) string {
	if peer.PodSelector == nil {
		return "namespaces"
	}
	return "pods"
}

// everyAddress is peers for everything outside the cluster.
func everyAddress() []networkingv1.NetworkPolicyPeer {
	return []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}}, {IPBlock: &networkingv1.IPBlock{CIDR: "::/0"}},
	}
}

// serviceRanges are where clusters usually have the addresses of their Services: kubeadm and kind, GKE,
// k3s, EKS.
var serviceRanges = [...]string{"10.96.0.0/12", "34.118.224.0/20", "10.43.0.0/16", "172.20.0.0/16", "10.100.0.0/16"}

func inServiceRange(cidr string) bool {
	block, err := netip.ParsePrefix(cidr)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(serviceRanges[:], func(s string) bool {
		known := netip.MustParsePrefix(s)
		return known.Overlaps(block) && known.Bits() <= block.Bits()
	})
}

// misplaced: a policy in a namespace where it selects nobody, until it is moved to where the connection
// begins or ends, or it takes the place of the policy that it would replace there.
func (r *recognizer) misplaced(p *networkPolicy, yield func(repair) bool) bool {
	if p.fromThisTask && r.selectsNobody(p) {
		for _, q := range r.policies {
			if q.Name == p.Name && q.Namespace != p.Namespace && !q.fromThisTask && !yield(repair{
				mistake: wrongNamespace, object: p.Object, field: "metadata.namespace",
				change:  engine.Change{Object: q.Object, By: p.spec.object(p.Object, q.Namespace)},
				message: fmt.Sprintf("%s stands in the namespace %s, so it does not replace %s.", p.Ref(), p.Namespace, q.Ref()),
			}) {
				return false
			}
		}
	}
	for _, d := range directions {
		who := r.subject(d)
		if !who.known() || who.namespace == p.Namespace || !p.spec.isolates(d) || !r.matches(&p.spec.subject, who.labels) {
			continue
		}
		if !r.selectsNobody(p) && !(p.fromThisTask && isEmpty(&p.spec.subject)) {
			continue
		}
		if !yield(repair{
			mistake: wrongNamespace, change: r.moved(p, who.namespace), object: p.Object, field: "metadata.namespace",
			message: fmt.Sprintf("%s stands in the namespace %s, where it does not select %s.", p.Ref(), p.Namespace, who.name),
		}) {
			return false
		}
	}
	return true
}

// reversedRules: a policy of this task with its rules in one direction, until they are in the other. Where it
// would help as well to take the policy away, because it isolates, that is not the mistake.
func (r *recognizer) reversedRules(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	for _, d := range directions {
		if len(p.spec.rules[d]) == 0 || len(p.spec.rules[!d]) > 0 {
			continue
		}
		fix := r.reversed(p, d, fmt.Sprintf("%s has rules for %s only: connections that %s the pods it selects.", p.Ref(), d, comesOrGoes(d)))
		taken := r.without(p)
		fix.unless = &taken
		if !yield(fix) {
			return false
		}
	}
	return true
}

// mirroredRules: a policy of this task at one end of the connection, which nothing else closes, until it is at the other end, in the
// other direction. Where it would help as well to take it away, because it isolates, that is not the mistake.
func (r *recognizer) mirroredRules(p *networkPolicy, yield func(repair) bool) bool {
	server, known := r.app(r.Probe.To.App) // not the name server, if the look-up failed
	if !p.fromThisTask || !known || !r.client.known() {
		return true
	}
	connection := *r
	connection.server = server
	ends := map[direction]endpoint{ingress: server, egress: r.client}
	taken := r.without(p)
	for at, peer := range p.spec.peers() {
		here, there := ends[at.d], ends[!at.d]
		if peer.IPBlock != nil || len(p.spec.rules[!at.d]) > 0 || !r.selectsSubject(p, here) ||
			!r.peerSelects(p, peer.PodSelector, peer.NamespaceSelector, there) || r.closedBesides(p, at.d, here) || connection.hasRuleFor(!at.d) {
			continue
		}
		s := p.spec.clone()
		s.subject, s.types = metav1.LabelSelector{MatchLabels: there.labels}, []networkingv1.PolicyType{(!at.d).policyType()}
		s.rules[at.d] = nil
		s.rules[!at.d] = []rule{{ports: p.spec.rule(at).ports, peers: []networkingv1.NetworkPolicyPeer{{
			PodSelector:       &p.spec.subject, // whom the policy lets out or in, and maybe more than this one
			NamespaceSelector: namespaceNamed(here.namespace),
		}}}}
		change := r.with(p, s)
		change.By = s.object(p.Object, there.namespace)
		if !yield(repair{
			mistake: wrongDirection, change: change, unless: &taken, whole: true, object: p.Object, field: "spec." + at.d.String(),
			message: fmt.Sprintf("%s is about the %s of %s, which nothing else closes. What is closed is the %s of %s.",
				p.Ref(), at.d, here.name, !at.d, there.name),
		}) {
			return false
		}
	}
	return true
}

// closedBesides reports whether another policy than p isolates an endpoint in a direction.
func (r *recognizer) closedBesides(p *networkPolicy, d direction, who endpoint) bool {
	return slices.ContainsFunc(r.policies, func(q *networkPolicy) bool {
		return q != p && q.spec.isolates(d) && r.selectsSubject(q, who)
	}) || r.hasCiliumRule(d, who, func(*ciliumRule) bool { return true })
}

func comesOrGoes(d direction) string {
	if d == ingress {
		return "come in to"
	}
	return "go out from"
}

// reversed proposes to turn a policy's direction d into the other.
func (r *recognizer) reversed(p *networkPolicy, d direction, message string) repair {
	s := p.spec.clone()
	s.rules[!d], s.rules[d] = s.rules[d], nil
	s.types = []networkingv1.PolicyType{(!d).policyType()}
	fix := repair{mistake: wrongDirection, change: r.with(p, s), object: p.Object, field: "spec.policyTypes", message: message}
	if len(p.spec.rules[d]) > 0 {
		fix.field = "spec." + d.String()
	}
	return fix
}

// mergedPeers: both selectors in one peer that together find nobody, until they are two peers.
func (r *recognizer) mergedPeers(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		if peer.NamespaceSelector == nil || peer.PodSelector == nil ||
			!r.peerSelectsNobody(p, peer.PodSelector, peer.NamespaceSelector) ||
			r.selectsNoNamespace(peer.NamespaceSelector) || r.peerSelectsNobody(p, peer.PodSelector, nil) {
			continue
		}
		s := p.spec.clone()
		s.peer(at).PodSelector = nil
		s.rule(at).peers = append(slices.Clip(s.rule(at).peers), networkingv1.NetworkPolicyPeer{PodSelector: peer.PodSelector})
		if !yield(repair{
			mistake: andOrPeers, change: r.with(p, s), object: p.Object, field: at.String(),
			message: fmt.Sprintf("%s has one peer with both selectors, so a pod must fulfil both, and none does.", p.Ref()),
		}) {
			return false
		}
	}
	return true
}

// excessTypes: a direction without rules that a policy about the other direction isolates besides.
func (r *recognizer) excessTypes(p *networkPolicy, yield func(repair) bool) bool {
	for _, d := range directions {
		// A policy without any rule may well be meant to close both, or the one that it lists.
		meant := len(p.spec.rules[!d]) > 0 || len(p.spec.types) > 1 && p.fromThisTask && !isEmpty(&p.spec.subject)
		if !slices.Contains(p.spec.types, d.policyType()) || len(p.spec.rules[d]) > 0 || !meant {
			continue
		}
		s := p.spec.clone()
		s.types = []networkingv1.PolicyType{(!d).policyType()}
		if !yield(repair{
			mistake: typesExcess, change: r.with(p, s), object: p.Object, field: "spec.policyTypes",
			message: fmt.Sprintf("%s lists %s under policyTypes and has no rule for it, so it closes the %s of the pods it selects.", p.Ref(), d.policyType(), d),
		}) {
			return false
		}
	}
	return true
}

// selectsAll: a policy of this task that closes every pod of its namespace, where this one was to stay open.
func (r *recognizer) selectsAll(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || !isEmpty(&p.spec.subject) || len(p.spec.rules[ingress])+len(p.spec.rules[egress]) > 0 {
		return true
	}
	return r.oneApp(p, yield, repair{
		mistake: emptyOrMissing, whole: true, object: p.Object, field: "spec.podSelector",
		message: fmt.Sprintf("%s has %s, so it closes every pod of the namespace %s.", p.Ref(), p.emptySubject(), p.Namespace),
	})
}

// oneApp proposes a repair of a policy that selects every pod: that it is for one app of its namespace only, for each of them.
func (r *recognizer) oneApp(p *networkPolicy, yield func(repair) bool, fix repair) bool {
	for i := range r.lab.Apps {
		app := &r.lab.Apps[i]
		if app.Namespace != p.Namespace {
			continue
		}
		s := p.spec.clone()
		s.subject = metav1.LabelSelector{MatchLabels: app.Labels}
		fix.change = r.with(p, s)
		if !yield(fix) {
			return false
		}
	}
	return true
}

// emptySubject says how a policy selects every pod.
func (p *networkPolicy) emptySubject() string {
	if p.wrote().Spec.PodSelector == nil {
		return "no podSelector, which selects every pod"
	}
	return "an empty podSelector"
}

// closesOnly: the only policy of this task, which has no rule, until it has one.
func (r *recognizer) closesOnly(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(p.spec.rules[ingress])+len(p.spec.rules[egress]) > 0 || r.ownPolicies() > 1 {
		return true
	}
	for _, d := range directions {
		who := r.peer(d)
		if !p.spec.isolates(d) || !r.selectsSubject(p, r.subject(d)) {
			continue
		}
		allowed := [][]networkingv1.NetworkPolicyPeer{{{PodSelector: &metav1.LabelSelector{}}}, nil}
		if who.known() {
			allowed = append(allowed, []networkingv1.NetworkPolicyPeer{peerOf(who)})
		}
		for _, peers := range allowed {
			s := p.spec.clone()
			s.types, s.rules[d] = p.spec.effectiveTypes(), []rule{{peers: peers}}
			if !yield(repair{
				mistake: noRules, change: r.with(p, s), whole: true, object: p.Object, field: "spec",
				message: fmt.Sprintf("%s has no %s rule at all, so it closes the %s of the pods it selects and lets nothing through.", p.Ref(), d, d),
			}) {
				return false
			}
		}
	}
	return true
}

// ownPolicies is how many policies the student applied in this task.
func (r *recognizer) ownPolicies() int {
	n := 0
	for _, p := range r.policies {
		if p.fromThisTask {
			n++
		}
	}
	for _, p := range r.cilium {
		if p.fromThisTask {
			n++
		}
	}
	return n
}

// missing tells what no repair can show, because there is nothing to repair: a side that no rule speaks of.
func (r *recognizer) missing() []Finding {
	side := r.isolatedSide()
	if side == nil || !r.attempted() {
		return nil // without a policy of this task, nothing was forgotten in it: it is not done yet
	}
	f := Finding{}
	if len(side.isolating) > 0 {
		at := side.isolating[max(0, slices.IndexFunc(side.isolating, r.isFromThisTask))]
		f.File, f.Line, f.Policy = at.File, at.Line, at.Policy.String()
	}
	set := func(m Mistake, format string, args ...any) []Finding {
		f.ID, f.Title, f.Hint, f.Message = m.ID, m.Title, m.Hint, fmt.Sprintf(format, args...)
		return []Finding{f}
	}
	if r.lookUp() {
		if side.direction != egress || !r.meantToSpeak() || r.triedDNS() {
			return nil
		}
		if !r.wouldPassWithDNS() {
			return r.closedServer()
		}
		return set(dnsForgotten, "%s closes the egress of %s, and no policy lets it look up names.", f.Policy, r.client.name)
	}
	if r.flat || !side.otherAllows || r.hasRuleFor(side.direction) {
		return nil
	}
	if side.direction == egress {
		return set(egressForgotten, "%s would let %s in, but %s closes the egress of %s and no policy lets it out to %s.",
			r.server.name, r.client.name, f.Policy, r.client.name, r.server.name)
	}
	return set(ingressForgotten, "%s may go out to %s, but %s closes the ingress of %s and no policy lets %s in.",
		r.client.name, r.server.name, f.Policy, r.server.name, r.client.name)
}

// wouldPassWithDNS reports whether the check would pass if the client could look up names. If no NetworkPolicy closes its
// egress, or the engine cannot judge other states, there is no telling, and it is taken to.
func (r *recognizer) wouldPassWithDNS() bool {
	i := slices.IndexFunc(r.policies, func(p *networkPolicy) bool {
		return p.spec.isolates(egress) && r.selectsSubject(p, r.client)
	})
	if i < 0 || r.Passes == nil {
		return true
	}
	p := r.policies[i]
	r.Spend(1 + len(r.policies))
	s := spec{subject: p.spec.subject, types: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}
	s.rules = map[direction][]rule{egress: {{ports: dnsPorts()}}}
	return r.Passes(engine.Change{By: s.object(p.Object, p.Namespace)})
}

// closedServer names the side of the server if that is closed as well as the client's look-up, and nothing speaks of the
// client there.
func (r *recognizer) closedServer() []Finding {
	server, known := r.app(r.Probe.To.App)
	if !known || r.flat {
		return nil
	}
	connection := *r
	connection.server = server
	if connection.hasRuleFor(ingress) {
		return nil
	}
	for _, p := range r.policies {
		if !p.spec.isolates(ingress) || !r.selectsSubject(p, server) {
			continue
		}
		fix := repair{mistake: ingressForgotten, object: p.Object, field: "spec", message: fmt.Sprintf(
			"%s closes the ingress of %s, and no policy lets %s in.", p.Ref(), server.name, r.client.name)}
		return []Finding{fix.finding()}
	}
	return nil
}

// isFromThisTask reports whether a rule is one of a policy of this task.
func (r *recognizer) isFromThisTask(rule policy.RuleRef) bool {
	return slices.ContainsFunc(r.State.Policies, func(o *manifest.Object) bool {
		return o.Ref() == rule.Policy && r.State.AppliedIn[o] == r.Task.Name
	})
}

// meantToSpeak reports whether the client's egress was isolated on purpose, and not by a policy that lists
// both directions and may have been meant for one.
func (r *recognizer) meantToSpeak() bool {
	for _, p := range r.policies {
		if r.selectsSubject(p, r.client) && p.spec.isolates(egress) && (len(p.spec.rules[egress]) > 0 || !p.spec.isolates(ingress)) {
			return true
		}
	}
	return r.hasCiliumRule(egress, r.client, func(x *ciliumRule) bool { return true })
}

// triedDNS reports whether some policy of the client has an egress rule that may have been meant for DNS.
func (r *recognizer) triedDNS() bool {
	for _, p := range r.policies {
		if !r.selectsSubject(p, r.client) {
			continue
		}
		for _, rule := range p.spec.rules[egress] {
			for _, port := range rule.ports {
				if port.Port == nil || port.Port.Type == intstr.String || port.EndPort != nil || port.Port.IntValue() == 53 {
					return true
				}
			}
			if len(rule.ports) == 0 && (len(rule.peers) == 0 || slices.ContainsFunc(rule.peers, func(x networkingv1.NetworkPolicyPeer) bool {
				// Not a rule for other pods, that is.
				return x.IPBlock != nil || r.peerSelects(p, x.PodSelector, x.NamespaceSelector, r.server) ||
					r.peerSelectsNobody(p, x.PodSelector, x.NamespaceSelector)
			})) {
				return true
			}
		}
	}
	return r.hasCiliumRule(egress, r.client, func(x *ciliumRule) bool { return x.speaksOfDNS() })
}

// hasRuleFor reports whether some policy has a rule about the connection's peer in that direction, one for this very pod
// in the other, or one with the two ends swapped: then something was tried, and it is not for us to say that it was
// forgotten.
func (r *recognizer) hasRuleFor(d direction) bool {
	subject, peer := r.subject(d), r.peer(d)
	for _, p := range r.policies {
		if p.fromThisTask && r.hasSwapped(p, d) {
			return true
		}
		if !r.selectsSubject(p, subject) {
			continue
		}
		for at, x := range p.spec.peers() {
			if at.d != d && isEmpty(&p.spec.subject) {
				continue
			}
			if x.IPBlock == nil && r.peerSelects(p, x.PodSelector, x.NamespaceSelector, peer) {
				return true
			}
		}
		if slices.ContainsFunc(p.spec.rules[d], func(rule rule) bool { return len(rule.peers) == 0 }) {
			return true
		}
	}
	return r.hasCiliumRule(d, subject, func(x *ciliumRule) bool { return !x.empty() })
}

// isolatedSide is the side of a connection that default deny closed.
type isolatedSide struct {
	direction   direction
	isolating   []policy.RuleRef
	otherAllows bool // the other side lets the connection through by a rule
}

// isolatedSide returns nil if no side is known to be closed by default deny, or both are.
func (r *recognizer) isolatedSide() *isolatedSide {
	result := r.Observation.Detail
	if result == nil {
		return nil
	}
	if result.DNS != nil && result.DNS.Verdict != verdict.Allowed {
		result = result.DNS
	}
	for i := range result.Backends {
		if b := &result.Backends[i]; b.Verdict != verdict.Allowed {
			result = b
			break
		}
	}
	closed := func(s *policy.Side) bool { return s != nil && s.Decision == policy.ByDefaultDeny }
	allowed := func(s *policy.Side) bool { return s != nil && s.Decision == policy.ByAllow }
	switch in, out := result.Ingress, result.Egress; {
	case closed(in) == closed(out):
		return nil
	case closed(in):
		return &isolatedSide{ingress, in.Isolating, allowed(out)}
	default:
		return &isolatedSide{egress, out.Isolating, allowed(in)}
	}
}
