package mistake

// Mistake is a classic mistake; its ID is stable.
type Mistake struct {
	ID    string
	Title string
	Hint  string // names what to look at, never the solution
}

// situation is when a mistake applies.
type situation int

const (
	blocked situation = iota // a connection did not come about that was to be allowed
	open                     // a connection was let through that was to be closed
)

// entry is a mistake with the situation in which it applies and how it is undone. A mistake that applies in both, or can be undone in
// several ways, has several entries.
type entry struct {
	Mistake
	when situation
	// undo proposes repairs of one policy; it returns false when the search is to end. nil: no repair can show the mistake, so it is
	// recognized from the engine's account.
	undo undoer
	or   []Mistake // what else the undone mistake may turn out to be
}

type undoer = undoerOf[*networkPolicy]

type undoerOf[P any] = func(*recognizer, P, func(repair) bool) bool

// wholly is the search for a repair after which the whole objective is met.
func wholly[P any](undo undoerOf[P]) undoerOf[P] {
	return func(r *recognizer, p P, yield func(repair) bool) bool {
		return undo(r, p, func(fix repair) bool {
			fix.whole = true
			return yield(fix)
		})
	}
}

// catalogue is in the order of the search: in each situation the most telling entry first.
var catalogue = []entry{
	{namespaceLabelMissing, blocked, (*recognizer).unlabelledNamespaces, []Mistake{selectsNothing}},
	{selectsNothing, blocked, (*recognizer).deadNamespaces, nil},
	{ownNamespaceOnly, blocked, (*recognizer).otherNamespaces, nil},
	{selectsNothing, blocked, (*recognizer).deadSelectors, []Mistake{deploymentLabel}},
	{selectsNothing, blocked, (*recognizer).exchangedSelectors, nil},
	{servicePort, blocked, (*recognizer).servicePorts, nil},
	{wrongProtocol, blocked, (*recognizer).otherProtocols, nil},
	{dnsOnlyTCP, blocked, (*recognizer).dnsProtocols, []Mistake{dnsOnlyUDP}},
	{dnsWrongPort, blocked, (*recognizer).wrongDNSPorts, nil},
	{serviceIP, blocked, (*recognizer).ipBlocks, nil},
	{selectorForExternal, blocked, (*recognizer).selectorsForExternals, nil},
	{wrongNamespace, blocked, (*recognizer).misplaced, nil},
	{swapped, blocked, (*recognizer).swappedSubjects, nil},
	{wrongDirection, blocked, (*recognizer).reversedRules, nil},
	{wrongDirection, blocked, (*recognizer).mirroredRules, nil},
	{andOrPeers, blocked, (*recognizer).mergedPeers, nil},
	{typesExcess, blocked, (*recognizer).excessTypes, nil},
	{emptyOrMissing, blocked, (*recognizer).selectsAll, nil},
	{wrongSubject, blocked, (*recognizer).wrongSubjects, nil},
	{noRules, blocked, (*recognizer).closesOnly, nil},
	{dnsForgotten, blocked, nil, nil},
	{egressForgotten, blocked, nil, nil},
	{ingressForgotten, blocked, nil, nil},

	{allowsEverything, open, (*recognizer).openEverything, nil},
	{emptyOrMissing, open, (*recognizer).emptyRules, nil},
	{ruleSplit, open, (*recognizer).splitRules, nil},
	{portSplit, open, (*recognizer).splitPorts, nil},
	{andOrPeers, open, (*recognizer).splitPeers, nil},
	{typesForgotten, open, (*recognizer).forgottenTypes, nil},
	{selectsNothing, open, (*recognizer).deadSubjects, []Mistake{deploymentLabel}},
	{wrongNamespace, open, (*recognizer).misplaced, nil},
	{swapped, open, (*recognizer).swappedSubjects, nil},
	{wrongDirection, open, wholly((*recognizer).reversedIsolation), nil},
	{wrongSubject, open, (*recognizer).wrongSubjects, nil},
	{wrongDirection, open, (*recognizer).reversedIsolation, nil},
	{emptyOrMissing, open, (*recognizer).emptyPeers, nil},
	{emptyOrMissing, open, neverWanted(wholly((*recognizer).wideSubjects)), nil},
	{peersMissing, open, neverWanted((*recognizer).missingPeers), nil},
	{stillInForce, open, (*recognizer).leftover, nil},
	{servicePort, open, (*recognizer).servicePorts, nil},
	{portsMissing, open, (*recognizer).missingPorts, nil},
	{peersMissing, open, (*recognizer).missingPeers, nil},
	{emptyOrMissing, open, wholly((*recognizer).wideSubjects), nil},
	{wholeNamespace, open, (*recognizer).wholeNamespaces, nil},
	{onlyAllows, open, (*recognizer).rulesForTheDenied, nil},
	{portsMissing, open, inEarlier((*recognizer).missingPorts), nil},
	{peersMissing, open, inEarlier((*recognizer).missingPeers), nil},
	{emptyOrMissing, open, inEarlier((*recognizer).emptyPeers), nil},
	{emptyOrMissing, open, inEarlier(wholly((*recognizer).wideSubjects)), nil},

	{tooManyRules, open, nil, nil},
}

// ciliumEntry is an entry of the catalogue for CiliumNetworkPolicies and CiliumClusterwideNetworkPolicies.
type ciliumEntry struct {
	Mistake
	when situation
	undo undoerOf[*ciliumPolicy]
}

// ciliumCatalogue comes after the catalogue, in the order of the search.
var ciliumCatalogue = []ciliumEntry{
	{namespaceLabelMissing, blocked, (*recognizer).unlabelledCiliumNamespaces},
	{ownNamespaceOnly, blocked, (*recognizer).ownNamespaceEndpoints},
	{selectsNothing, blocked, (*recognizer).deadEndpoints},
	{selectsNothing, blocked, (*recognizer).deadCiliumSubjects},
	{servicePort, blocked, (*recognizer).ciliumServicePorts},
	{wrongProtocol, blocked, (*recognizer).otherCiliumProtocols},
	{dnsOnlyTCP, blocked, (*recognizer).ciliumDNSProtocols},
	{dnsWrongPort, blocked, (*recognizer).ciliumDNSPorts},
	{cidrForPods, blocked, (*recognizer).cidrPeers},
	{selectorForExternal, blocked, (*recognizer).endpointsForExternals},
	{wrongNamespace, blocked, (*recognizer).misplacedCilium},
	{swapped, blocked, (*recognizer).swappedCiliumSubjects},
	{wrongDirection, blocked, (*recognizer).reversedCiliumRules},
	{requestsTooNarrow, blocked, (*recognizer).narrowRequests},
	{fqdnsWithoutDNS, blocked, (*recognizer).unlearnedNames},
	{wrongEntity, blocked, (*recognizer).wrongEntities},
	{nodesForPods, blocked, (*recognizer).nodeSelectors},
	{emptyOrMissing, blocked, (*recognizer).closesAll},
	{emptyAllowsNobody, blocked, (*recognizer).emptyCiliumRules},
	{wrongSubject, blocked, (*recognizer).wrongCiliumSubjects},
	{noRules, blocked, (*recognizer).closesOnlyCilium},

	{defaultDenyOff, open, (*recognizer).disabledDefaultDeny},
	{ruleSplit, open, (*recognizer).splitCiliumRules},
	{andOrPeers, open, (*recognizer).splitEndpoints},
	{selectsNothing, open, (*recognizer).deadCiliumSubjects},
	{wrongNamespace, open, (*recognizer).misplacedCilium},
	{swapped, open, (*recognizer).swappedCiliumSubjects},
	{wrongDirection, open, wholly((*recognizer).reversedCiliumIsolation)},
	{wrongSubject, open, (*recognizer).wrongCiliumSubjects},
	{wrongDirection, open, (*recognizer).reversedCiliumIsolation},
	{nodesForPods, open, (*recognizer).nodeSelectors},
	{wideEntity, open, (*recognizer).wideEntities},
	{emptyOrMissing, open, (*recognizer).emptyEndpoints},
	{stillInForce, open, (*recognizer).leftoverCilium},
	{servicePort, open, (*recognizer).ciliumServicePorts},
	{portsMissing, open, (*recognizer).missingCiliumPorts},
	{peersMissing, open, (*recognizer).missingCiliumPeers},
	{emptyOrMissing, open, wholly((*recognizer).wideCiliumSubjects)},
	{wholeNamespace, open, (*recognizer).wholeCiliumNamespaces},
	{onlyAllows, open, (*recognizer).ciliumRulesForTheDenied},
	{portsMissing, open, inEarlierCilium((*recognizer).missingCiliumPorts)},
	{peersMissing, open, inEarlierCilium((*recognizer).missingCiliumPeers)},
	{emptyOrMissing, open, inEarlierCilium((*recognizer).emptyEndpoints)},
	{emptyOrMissing, open, inEarlierCilium(wholly((*recognizer).wideCiliumSubjects))},
}

// lastEntry is a mistake that is named only where none of the others explains what was missed, whatever the kind of policy.
type lastEntry struct {
	Mistake
	undo func(*recognizer, func(repair) bool) bool
}

// lastCatalogue comes after the others, in every situation.
var lastCatalogue = []lastEntry{
	{replaced, (*recognizer).restoredPolicies},
	{deleted, (*recognizer).undeletedPolicies},
	{deletedOnly, (*recognizer).unreplacedPolicies},
	{wrongPeer, (*recognizer).otherPeers},
}

// Catalogue lists every mistake that can be named, each once.
func Catalogue() []Mistake {
	var all []Mistake
	seen := map[string]bool{}
	add := func(m Mistake) {
		if !seen[m.ID] {
			seen[m.ID] = true
			all = append(all, m)
		}
	}
	for _, e := range catalogue {
		add(e.Mistake)
		for _, m := range e.or {
			add(m)
		}
	}
	for _, e := range ciliumCatalogue {
		add(e.Mistake)
	}
	for _, e := range lastCatalogue {
		add(e.Mistake)
	}
	return all
}

// proposals goes through the repairs of the mistakes that apply in a situation. Where the student has done nothing in this task to close a
// connection there is no mistake, only work left.
func (r *recognizer) proposals(when situation) func(yield func(repair) bool) {
	return func(yield func(repair) bool) {
		if when == open && !r.attempted() {
			if r.deletes() {
				r.last(yield)
			}
			return
		}
		for _, e := range catalogue {
			if e.when != when || e.undo == nil {
				continue
			}
			for _, p := range r.policies {
				if !e.undo(r, p, yield) {
					return
				}
			}
		}
		for _, e := range ciliumCatalogue {
			if e.when != when {
				continue
			}
			for _, p := range r.cilium {
				if !e.undo(r, p, yield) {
					return
				}
			}
		}
		r.last(yield)
	}
}

// last goes through the repairs of the mistakes that come last.
func (r *recognizer) last(yield func(repair) bool) {
	for _, e := range lastCatalogue {
		if !e.undo(r, yield) {
			return
		}
	}
}

// Mistakes that keep a connection out which was to be allowed.
var (
	namespaceLabelMissing = Mistake{"namespace-label-missing", "No namespace carries the label that the rule asks for",
		"A namespaceSelector looks at the labels of namespaces, and they have to be put there: compare with `kubectl get namespaces --show-labels`."}
	selectsNothing = Mistake{"selector-selects-nothing", "A selector that selects nothing",
		"A selector that matches nothing is no error to Kubernetes. Compare every letter of it with `kubectl get pods --all-namespaces --show-labels`."}
	ownNamespaceOnly = Mistake{"own-namespace-only", "A selector of pods alone looks in the policy's own namespace only",
		"In which namespace do the pods live that the rule means, and how does a rule say so?"}
	deploymentLabel = Mistake{"pod-label-vs-deployment-label", "The Deployment's label instead of the pods'",
		"A policy selects pods. A Deployment's own labels and those of the pods it makes are two things: look with `kubectl get pods --show-labels`."}
	servicePort = Mistake{"service-port-vs-target-port", "The Service's port instead of the pod's",
		"A policy is applied at the pod, behind the Service: which port does the container listen on?"}
	wrongProtocol = Mistake{"wrong-protocol", "The port of another protocol",
		"A rule allows the ports of the protocol that it names. Over which protocol is the connection?"}
	serviceIP = Mistake{"service-ip-in-ipblock", "An ipBlock for a pod or a Service",
		"A Service's address is replaced by a pod's before policies look, and Cilium's ipBlock never means pods. How else can a rule say which pods it means?"}
	selectorForExternal = Mistake{"selector-for-external", "A selector for a host outside the cluster",
		"Selectors look at pods and their namespaces, even empty ones. What does a host outside the cluster have that a rule can name?"}
	dnsOnlyTCP = Mistake{"dns-only-tcp", "DNS over TCP only",
		"Look-ups begin over UDP. Which protocols does the rule name, and which does it mean if it names none?"}
	dnsOnlyUDP = Mistake{"dns-only-udp", "DNS over UDP only",
		"An answer too long for UDP is asked for again over the other protocol."}
	dnsWrongPort = Mistake{"dns-wrong-port", "DNS on another port than 53",
		"On which port do name servers answer?"}
	wrongNamespace = Mistake{"wrong-namespace", "The policy stands in another namespace than its pods",
		"A policy selects pods of its own namespace only. Whose traffic is it about, and where do those pods live?"}
	wrongDirection = Mistake{"wrong-direction", "Ingress where egress was meant, or the other way round",
		"Seen from the pods that the policy selects: does the connection come in or go out?"}
	swapped = Mistake{"subject-and-peer-swapped", "The policy's subject and its peer are swapped",
		"The podSelector at the top names the pods that the policy controls; `from` and `to` name those at the other end. Which end is which here?"}
	wrongSubject = Mistake{"wrong-subject", "The policy is about other pods than the task",
		"The podSelector at the top names the pods that the policy controls. Whose connections are to change?"}
	wrongPeer = Mistake{"wrong-peer", "A rule is about other pods than the task",
		"`from` and `to` name the pods at the other end. Whom does the task want there?"}
	typesExcess = Mistake{"policy-types-excess", "policyTypes isolates a direction too many",
		"Every direction that policyTypes lists is closed but for the rules of that direction. Which directions is the policy to be about?"}
	andOrPeers = Mistake{"and-or-peers", "One list item or two: AND or OR of peers",
		"Every dash under `from` or `to` starts another peer, and one matching peer is enough; selectors of one peer must all match. Count the dashes."}
	emptyOrMissing = Mistake{"empty-vs-missing", "An empty selector or rule is not a missing one",
		"What is empty has no condition, so it matches everything; what is not there matches nothing."}
	replaced = Mistake{"policy-replaced", "A policy took the place of another of the same name",
		"Two policies that are meant to be in force together need two names."}
	deleted = Mistake{"policy-deleted", "A policy was deleted that is still needed",
		"What did the policy that was deleted let through, and which pods did it close?"}
	deletedOnly = Mistake{"deleted-only", "A policy was deleted and nothing took its place",
		"What does the task want instead of the policy that was deleted?"}
	noRules = Mistake{"no-rules", "A policy without any rule lets nobody through",
		"A policy closes the pods that it selects but for what its rules allow. Where does this one say what?"}
	dnsForgotten = Mistake{"dns-forgotten", "DNS was forgotten",
		"Before a pod connects to a name it has to look the name up, and that is a connection, too."}
	egressForgotten = Mistake{"egress-side-forgotten", "The client's side was forgotten",
		"A connection needs both sides: it must be let out where it starts and let in where it ends."}
	ingressForgotten = Mistake{"ingress-side-forgotten", "The server's side was forgotten",
		"A connection needs both sides: it must be let out where it starts and let in where it ends."}
)

// Mistakes that let a connection through which was to be closed.
var (
	allowsEverything = Mistake{"allows-everything", "An extra policy opens everything",
		"Policies only ever add: one rule without conditions undoes all the others. Is there a policy that was put there just to make things work?"}
	ruleSplit = Mistake{"rule-split", "Two rules where one was meant",
		"Every dash under `ingress` or `egress` starts another rule, and one matching rule is enough. Peers and ports that belong together stand in one rule."}
	portSplit = Mistake{"port-split", "Two ports where one was meant",
		"Every dash under `ports` starts another port, and one without `port` means every port of its protocol. Count the dashes."}
	typesForgotten = Mistake{"policy-types-forgotten", "policyTypes was forgotten",
		"Without policyTypes a policy is about ingress, and about egress only if it has an egress rule."}
	stillInForce = Mistake{"earlier-policy-still-in-force", "An earlier policy is still in force",
		"Policies only ever add: a narrower one changes nothing as long as the broader one is there. What has been superseded has to be replaced or deleted."}
	portsMissing = Mistake{"ports-missing", "A rule without ports opens every port",
		"Who may connect is one condition, to which port is another."}
	peersMissing = Mistake{"peers-missing", "A rule without `from` or `to` means everybody",
		"To which port is one condition, who is at the other end is another."}
	onlyAllows = Mistake{"rules-only-allow", "A rule names those who are to be kept out",
		"There is no rule that forbids: whoever a rule names is let through. What does a policy do that has no rule for them?"}
	wholeNamespace = Mistake{"whole-namespace", "A namespaceSelector alone lets in the whole namespace",
		"Which pods of that namespace does the rule mean?"}
)

// Mistakes that only Cilium's own kinds of policy can make.
var (
	cidrForPods = Mistake{"cidr-for-pods", "A range of addresses for a pod",
		"fromCIDR and toCIDR are for addresses outside the cluster, whatever address a pod has. How else can a rule say which pods it means?"}
	fqdnsWithoutDNS = Mistake{"fqdns-without-dns-rule", "toFQDNs without a DNS rule",
		"Cilium has to see the look-up to know the addresses of a name. Which rule sends look-ups through its DNS proxy?"}
	requestsTooNarrow = Mistake{"request-not-listed", "A list of requests that lacks this one",
		"As soon as a port has `rules`, only the requests that they list get through. Compare method, path and name, letter by letter."}
	wrongEntity = Mistake{"wrong-entity", "An entity that the other end does not belong to",
		"`cluster` is everything inside the cluster, `world` everything outside, `host` the pod's own node, `remote-node` the other nodes. Where is the other end?"}
	wideEntity = Mistake{"entity-too-wide", "An entity that includes more than was meant",
		"Whom does the entity include besides those that the rule means?"}
	nodesForPods = Mistake{"node-selector-for-pods", "nodeSelector selects nodes, not pods",
		"A policy with a nodeSelector governs nodes. Which field selects pods?"}
	emptyAllowsNobody = Mistake{"empty-cilium-rule", "An empty rule of a Cilium policy allows nobody",
		"In a NetworkPolicy an empty rule allows everybody; in a CiliumNetworkPolicy it allows nobody. How does a rule say that everybody may?"}
	defaultDenyOff = Mistake{"default-deny-disabled", "enableDefaultDeny leaves the direction open",
		"Rules only allow. What closes the direction for everybody else?"}
)

// tooManyRules is said instead of a mistake where looking for it would take more work than a task has for it.
var tooManyRules = Mistake{"too-many-rules", "Too many rules to name the mistake",
	"Is every rule and every peer needed? With fewer of them labctl can say more."}
