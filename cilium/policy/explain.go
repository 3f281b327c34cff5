package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// Explain is Evaluate that also says, wherever traffic is denied by default or refused by a proxy, why each
// rule that could have let it through did not (Side.Near).
func (e *Engine) Explain(p Probe) (Result, error) {
	return e.evaluate(p, true)
}

// explanation is one side of a connection being explained.
type explanation struct {
	e       *Engine
	ingress bool
	subject *endpoint
	who     subject
	other   *peerView
	peer    *endpoint // other, before it was seen
	f       *flow
	via     *cluster.Service // the service through which the connection goes
	dialed  int              // the service's port
}

// nearMiss is a NearMiss with how near it is: less is nearer.
type nearMiss struct {
	NearMiss
	distance int
	far      bool // neither peer nor port matched
}

// explain fills side.Near.
func (x *explanation) explain(side *Side) {
	if side.Decision != ByDefaultDeny && side.Decision != ByL7 {
		return
	}
	side.Needed = x.needed(side.Decision)
	var list []nearMiss
	left := maxCompared
	for _, b := range x.e.rulesFor(x.who.id, x.ingress).rules {
		if b.verdict != types.Allow {
			continue
		}
		if left -= b.selectorTerms() + len(b.ports); left < 0 {
			side.MoreNear++
			continue
		}
		list = append(list, x.whyNot(b))
	}
	selects := selecting(x.e.budget, x.who.id)
	for _, b := range x.e.rules {
		if left > 0 && b.ingress == x.ingress && b.verdict == types.Allow && !b.node && !selects(b) {
			if left -= b.selectorTerms() + len(b.ports) + terms(b.subjectText); left < 0 {
				break
			}
			if m, ok := x.otherSubject(b); ok {
				list = append(list, m)
			}
		}
	}
	x.e.spend(comparedSteps * (maxCompared - max(left, 0)))
	slices.SortStableFunc(list, func(a, b nearMiss) int { return cmp.Compare(a.distance, b.distance) })
	came := func(m nearMiss) bool { return !m.far && m.Mismatch != MismatchNoPeer }
	if slices.ContainsFunc(list, came) { // who looks for a mistake need not read about rules for something else
		list = slices.DeleteFunc(list, func(m nearMiss) bool { return m.far })
	}
	for i := range list {
		if i == maxListedRules {
			side.MoreNear += len(list) - i
			break
		}
		side.Near = append(side.Near, list[i].NearMiss)
	}
}

// needed says what a rule would have to allow.
func (x *explanation) needed(decided Decision) *Needed {
	n := &Needed{Peer: x.peer.name, Protocol: x.f.protocol}
	switch x.other.id.Kind {
	case cluster.HostIdentity:
		n.Peer = "entity:host"
	case cluster.RemoteNodeIdentity:
		n.Peer = "entity:remote-node"
	}
	if n.Protocol != protoICMP && n.Protocol != protoICMPv6 {
		n.Port = int(x.f.port)
	}
	if decided == ByL7 {
		n.Request = x.f.probe.request()
	}
	return n
}

// Bounds of an account, which is for people: how many rules it lists, and how many peers, ports and requirements it
// looks at to find those that came nearest. Nobody writes so many by hand.
const (
	maxListedRules = 20
	maxCompared    = 3000
	comparedSteps  = 10 // of each that is looked at: it is put into words
)

// Distances of near misses, in steps of ten: the number of terms that fail is added.
const (
	nearBoth      = 5 // more than one of them
	nearRequest   = 0
	nearPort      = 10
	nearPeer      = 20
	nearName      = 30
	nearNamespace = 40
	nearSubject   = 50
	nearNoPeer    = 90
)

// whyNot says why a rule that selects the subject did not allow the connection.
func (x *explanation) whyNot(b *boundRule) nearMiss {
	p, peerMatches := x.e.match(b, x.other, x.f)
	switch {
	case peerMatches && b.matchesPort(x.f):
		m := x.miss(b, b.refFor(p), MismatchL7, nearRequest)
		m.Why, m.Wants, m.Has = x.whyNotRequest(b)
		return m
	case peerMatches:
		m := x.miss(b, b.refFor(p), MismatchPort, nearPort)
		m.Why, m.Wants, m.Has = x.whyNotPort(b)
		return m
	case len(b.peers) == 0:
		m := x.miss(b, b.ruleRef(), MismatchNoPeer, nearNoPeer)
		m.Why = fmt.Sprintf("%s has no rule that allows %s: it only isolates %s",
			b.policy.ref, x.directionWord(), x.subjectName())
		if b.path != "" {
			m.Why = "the rule names no peer, so it allows none: in Cilium an empty rule is not an allow-all"
		}
		return m
	}
	best := nearMiss{distance: 1 << 30}
	for i := range b.peers {
		if m := x.whyNotPeer(b, &b.peers[i]); m.distance < best.distance {
			best = m
		}
	}
	if !b.matchesPort(x.f) {
		best.distance += nearBoth
		best.far = true
		_, wants, _ := x.whyNotPort(b)
		best.Why += fmt.Sprintf("; it also allows only %s, and the connection goes to %s", wants, x.portName())
	}
	return best
}

func (x *explanation) miss(b *boundRule, ref *RuleRef, kind Mismatch, distance int) nearMiss {
	return nearMiss{NearMiss: NearMiss{RuleRef: *ref, Mismatch: kind}, distance: distance}
}

// otherSubject says of a rule that would allow the connection that it is about other pods.
func (x *explanation) otherSubject(b *boundRule) (nearMiss, bool) {
	if x.subject.pod == nil || b.policy.ref.Namespace != "" && b.policy.ref.Namespace != x.subject.pod.Namespace {
		return nearMiss{}, false
	}
	if !b.matchesPort(x.f) || !b.passesAny(x.f) {
		return nearMiss{}, false
	}
	if _, ok := x.e.match(b, x.other, x.f); !ok {
		return nearMiss{}, false
	}
	d := diffSelector(b.subjectText, x.who.id.Labels)
	m := x.miss(b, b.ruleRef(), MismatchSubject, nearSubject+len(d.failed))
	m.Wants, m.Has = d.wants(), d.has()
	m.Why = fmt.Sprintf("the rule would allow it, but %s applies to %s; %s",
		b.policy.ref, d.describe("pods"), x.labelsOf(d, x.subject))
	return m, true
}

// passesAny reports whether the rule would let the request through if it were the only one.
func (e *rule) passesAny(f *flow) bool {
	if e.allPorts {
		return true
	}
	return slices.ContainsFunc(e.ports, func(p port) bool {
		return p.matches(f) && (p.l7 == nil || p.l7.allows(f.probe))
	})
}

func (x *explanation) directionWord() string {
	if x.ingress {
		return "ingress"
	}
	return "egress"
}

// allows begins a sentence on what a rule allows.
func (x *explanation) allows() string {
	if x.ingress {
		return "the rule admits"
	}
	return "the rule allows egress to"
}

func (x *explanation) subjectName() string { return x.subject.name }

// peerName names the other end, without its namespace where it is the subject's.
func (x *explanation) peerName() string {
	if x.peer.pod != nil && x.subject.pod != nil && x.peer.pod.Namespace == x.subject.pod.Namespace {
		return x.peer.pod.Name
	}
	return x.peer.name
}

func (x *explanation) portName() string {
	switch x.f.protocol {
	case protoICMP, protoICMPv6:
		return fmt.Sprintf("%s type %d", x.f.protocol, x.f.port)
	}
	return x.f.protocol + " " + strconv.Itoa(int(x.f.port))
}

// namesPort reports whether a port of a rule is the connection's, if of another protocol.
func (x *explanation) namesPort(p port) bool {
	return p.name == "" && p.from <= x.f.port && x.f.port <= p.to
}

// whyNotPort says which ports the rule allows instead.
func (x *explanation) whyNotPort(b *boundRule) (why, wants, has string) {
	var list []string
	var remarks []string
	seen := map[string]bool{}
	for i := range b.ports {
		p := &b.ports[i]
		if s := p.String(); !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
		if p.name != "" && x.f.to != nil {
			switch n := x.f.to.NamedPort(p.name, x.f.protocol); {
			case x.f.to.HostNetwork:
			case n == 0:
				remarks = append(remarks, unknownPortName(x.f.to, p.name, x.f.protocol))
			default:
				remarks = append(remarks, fmt.Sprintf("the port named %s of %s is %d", p.name, x.f.to.Ref, n))
			}
		}
	}
	wants, has = listed(list, len(list), ", "), x.portName()
	if len(list) == 0 {
		return "the rule has an empty list of ports, which allows none", "", has
	}
	why = fmt.Sprintf("the rule allows %s, the connection goes to %s", wants, has)
	if x.via != nil && x.dialed != int(x.f.port) && !slices.ContainsFunc(b.ports, x.namesPort) {
		why += fmt.Sprintf(" (the target port of port %d of service %s: policies see the pod's port, not the service's)", x.dialed, x.via.Ref)
	}
	if len(remarks) > 0 {
		why += "; " + listed(remarks, len(remarks), ", ")
	}
	return why, wants, has
}

// unknownPortName says that no port of a pod has a name, and which names its ports have.
func unknownPortName(pod *cluster.Pod, name, protocol string) string {
	var names []string
	for _, p := range pod.Ports {
		if p.Name != "" && p.Protocol == protocol {
			names = append(names, fmt.Sprintf("%s (%d)", p.Name, p.Port))
		}
	}
	text := fmt.Sprintf("%s has no %s port named %s: a port's name is the one that the container gives it, ", pod.Ref, protocol, name)
	if len(names) == 0 {
		return text + "and its container names none"
	}
	return text + "here " + listed(names, len(names), ", ")
}

// String writes a port as messages show it: "TCP 80", "UDP 1000-2000", "every TCP port".
func (p *port) String() string {
	protocol := cmp.Or(p.protocol, "TCP/UDP/SCTP")
	icmp := protocol == protoICMP || protocol == protoICMPv6
	switch {
	case p.name != "":
		return fmt.Sprintf("%s port %q", protocol, p.name)
	case p.from == 0 && icmp:
		return protocol + " of every type"
	case p.from == 0:
		return "every " + protocol + " port"
	case icmp:
		return fmt.Sprintf("%s type %d", protocol, p.from)
	case p.from != p.to:
		return fmt.Sprintf("%s %d-%d", protocol, p.from, p.to)
	}
	return fmt.Sprintf("%s %d", protocol, p.from)
}

// whyNotRequest says which requests the rule lets through instead.
func (x *explanation) whyNotRequest(b *boundRule) (why, wants, has string) {
	var list []string
	seen := map[string]bool{}
	for i := range b.ports {
		if p := &b.ports[i]; p.l7 != nil && p.matches(x.f) {
			for _, s := range p.l7.texts() {
				if !seen[s] {
					seen[s] = true
					list = append(list, s)
				}
			}
		}
	}
	wants, has = listed(list, len(list), " or "), x.f.probe.request()
	return fmt.Sprintf("the rule lets only these requests through: %s; this is %s", wants, has), wants, has
}

// request describes what the probe asks for above the connection.
func (p *Probe) request() string {
	switch {
	case p.HTTP != nil:
		s := cmp.Or(p.HTTP.Method, "GET") + " " + cmp.Or(p.HTTP.Path, "/")
		if p.HTTP.Host != "" {
			s += " at host " + p.HTTP.Host
		}
		return s
	case p.DNSQuery != "":
		return "a query for " + p.DNSQuery
	case p.TLSSNI != "":
		return "a TLS connection to " + p.TLSSNI
	}
	return "a connection"
}

func (l *l7) texts() []string {
	var list []string
	for i := range l.http {
		list = append(list, l.http[i].text)
	}
	for i := range l.dns {
		list = append(list, l.dns[i].text)
	}
	for i := range l.sni {
		list = append(list, "server name "+l.sni[i].text)
	}
	return list
}

// whyNotPeer says why one peer of a rule is not the other end.
func (x *explanation) whyNotPeer(b *boundRule, p *peer) nearMiss {
	ref := b.refFor(p)
	switch p.kind {
	case peerCIDR:
		m := x.miss(b, ref, MismatchPeer, nearPeer+8)
		if x.other.addr.IsValid() && p.spans(x.other.addr) || x.via != nil && slices.ContainsFunc(x.via.IPs, p.spans) {
			m.distance = nearPeer + 2 // the author meant this peer
		}
		p = x.rangeOf(p)
		m.Wants, m.Why = p.rangeText(), x.whyNotRange(p)
		if x.other.addr.IsValid() {
			m.Has = x.other.addr.String()
		}
		return m
	case peerFQDN:
		m := x.miss(b, ref, MismatchName, nearName)
		m.Wants = p.pattern
		m.Why, m.Has = x.whyNotName(p)
		return m
	}
	if p.entity != "" {
		m := x.miss(b, ref, MismatchPeer, nearPeer+3)
		m.Wants, m.Has = "entity "+string(p.entity), x.kindOfPeer()
		m.Why = fmt.Sprintf("%s the entity %s; %s is %s", x.allows(), p.entity, x.peerName(), x.kindOfPeer())
		return m
	}
	d := diffSelector(p.text, x.other.id.Labels)
	if x.other.pod == nil {
		m := x.miss(b, ref, MismatchPeer, nearPeer+5)
		m.Wants, m.Has = d.describe("pods"), x.kindOfPeer()
		m.Why = fmt.Sprintf("%s %s; %s is %s", x.allows(), d.describe("pods"), x.peerName(), x.kindOfPeer())
		return m
	}
	kind, distance := MismatchPeer, nearPeer
	if d.namespaceFails() {
		kind, distance = MismatchNamespace, nearNamespace
	}
	m := x.miss(b, ref, kind, distance+len(d.failed))
	m.Wants, m.Has = d.wants(), d.has()
	m.Why = fmt.Sprintf("%s %s; %s", x.allows(), d.describe("pods"), x.labelsOf(d, x.peer))
	return m
}

// kindOfPeer says what the other end is to a rule.
func (x *explanation) kindOfPeer() string {
	own, other := "the pod's own node (entity host)", "another node (entity remote-node)"
	if x.peer.onHostNetwork() {
		own = "on the host network of the pod's own node, so it is the entity host, whatever its labels"
		other = "on the host network of another node, so it is the entity remote-node, whatever its labels"
	}
	switch x.other.id.Kind {
	case cluster.HostIdentity:
		return own
	case cluster.RemoteNodeIdentity:
		return other
	case cluster.WorldIdentity:
		return "outside the cluster (entity world)"
	}
	return "a pod"
}

// rangeOf returns the peer with one range: of groups the one that the author may have meant, or else the first.
func (x *explanation) rangeOf(p *peer) *peer {
	if p.groupBy == nil {
		return p
	}
	one := *p
	one.groups, one.groupBy, one.prefix = nil, nil, p.groups[0].prefixes.ranges[0]
	x.e.spend(p.size())
	for _, g := range p.groups {
		for _, r := range g.prefixes.ranges {
			if x.other.addr.IsValid() && r.Contains(x.other.addr) ||
				x.via != nil && slices.ContainsFunc(x.via.IPs, r.Contains) {
				one.prefix = r
				return &one
			}
		}
	}
	return &one
}

func (p *peer) rangeText() string {
	if !p.prefix.IsValid() {
		return "an address that is not known"
	}
	s := p.prefix.String()
	if p.groupBy != nil {
		s = p.groupBy.String()
	}
	if n := len(p.except.ranges); n > 0 {
		var list []string
		for _, e := range p.except.ranges[:min(n, maxListed+1)] {
			list = append(list, e.String())
		}
		s += " except " + listed(list, n, ", ")
	}
	return s
}

func (x *explanation) whyNotRange(p *peer) string {
	what := "a CIDR rule"
	if strings.Contains(p.path, ".from[") || strings.Contains(p.path, ".to[") {
		what = "an ipBlock"
	}
	if x.other.id.Kind != cluster.WorldIdentity && !p.anyone {
		s := fmt.Sprintf("%s never selects pods or nodes in Cilium, only addresses outside the cluster", what)
		switch {
		case x.via != nil && slices.ContainsFunc(x.via.IPs, p.spans):
			s += fmt.Sprintf("; the range %s has the address of service %s, but that is translated to the pod's before policies look", p.rangeText(), x.via.Ref)
		case x.other.addr.IsValid() && p.contains(x.other.addr):
			s += fmt.Sprintf("; %s is %s, with an address (%s) in the range %s",
				x.peerName(), x.kindOfPeer(), x.other.addr, p.rangeText())
		default:
			s += fmt.Sprintf("; %s is %s", x.peerName(), x.kindOfPeer())
		}
		return s
	}
	if !x.other.addr.IsValid() {
		return fmt.Sprintf("%s %s; %s has no particular address", x.allows(), p.rangeText(), x.peerName())
	}
	if p.spans(x.other.addr) {
		return fmt.Sprintf("%s %s; %s is in the exception", x.allows(), p.rangeText(), x.other.addr)
	}
	why := fmt.Sprintf("%s %s; %s is not in that range", x.allows(), p.rangeText(), x.other.addr)
	if r := p.prefix; r.IsValid() && r.Addr().IsUnspecified() && r.Bits() > 0 && p.groupBy == nil {
		why += fmt.Sprintf(" (every address is %s/0)", r.Addr())
	}
	return why
}

func (x *explanation) whyNotName(p *peer) (why, has string) {
	var names []string
	for name, addrs := range x.e.names {
		if slices.Contains(addrs, x.other.addr) {
			names = append(names, strings.TrimSuffix(name, "."))
		}
	}
	slices.Sort(names)
	has = listed(names, len(names), ", ")
	switch {
	case x.other.id.Kind != cluster.WorldIdentity:
		return fmt.Sprintf("the rule allows the name %s; %s is %s, which a name never selects",
			p.pattern, x.peerName(), x.kindOfPeer()), has
	case len(names) == 0:
		return fmt.Sprintf("the rule allows the name %s; %s is not an address of it", p.pattern, x.peerName()), has
	}
	for _, name := range names {
		if p.fqdn.MatchString(cluster.QueryName(name)) {
			return fmt.Sprintf("the rule allows the name %s, but Cilium never learnt the address of %s: no rules.dns lets %s look it up", p.pattern, name, x.subjectName()), has
		}
	}
	return fmt.Sprintf("the rule allows the name %s, the connection goes to %s", p.pattern, has), has
}
