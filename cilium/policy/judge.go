package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Judge says what happens to a connection. An error means that the probe makes no sense in this cluster:
// a pod that is not there, a port out of range.
func (e *Engine) Judge(p Probe) (Result, error) {
	return e.judge(p, false)
}

// judgement is one probe being judged.
type judgement struct {
	e       *Engine
	probe   *Probe
	explain bool
	source  point
	via     *service // the service that is being connected to
}

// point is one end of a probe, before it is known how the other end sees it.
type point struct {
	name   string
	pod    *pod
	node   *node
	addr   netip.Addr // outside, or of an entity
	entity string     // host, remote-node, kube-apiserver: relative to the other end
	world  bool
}

func (e *Engine) judge(p Probe, explain bool) (Result, error) {
	if err := normalise(&p); err != nil {
		return Result{}, err
	}
	j := judgement{e: e, probe: &p, explain: explain}
	var err error
	if j.source, err = e.point(p.From, "from"); err != nil {
		return Result{}, err
	}
	kind, name := splitTarget(p.To)
	switch kind {
	case "svc":
		s := e.c.services[name]
		if s == nil {
			return Result{}, fmt.Errorf("to: there is no service %q in the cluster%s", name, suggest(name, e.c.serviceNames()))
		}
		// A resolver knows its name server by address.
		return j.service(s, s.ref != dnsService || p.DNSQuery == ""), nil
	case "fqdn":
		return j.name(name), nil
	}
	target, err := e.point(p.To, "to")
	if err != nil {
		return Result{}, err
	}
	if target.addr.IsValid() {
		if s := e.c.owners[target.addr].service; s != nil {
			return j.service(s, false), nil
		}
	}
	return j.connect(target, p.Port), nil
}

// normalise fills in the probe's defaults, and checks it.
func normalise(p *Probe) error {
	switch protocol := strings.ToUpper(p.Protocol); protocol {
	case "":
		if p.DNSQuery != "" {
			p.Protocol = protoUDP
		} else if p.ICMPType != nil {
			p.Protocol = protoICMP
		}
	case protoTCP, protoUDP, protoSCTP, protoICMP:
		p.Protocol = protocol
	case "ICMPV6":
		p.Protocol = protoICMPv6
	default:
		return fmt.Errorf("protocol: %q is none of TCP, UDP, SCTP, ICMP, ICMPv6", p.Protocol)
	}
	if p.Protocol == protoICMP || p.Protocol == protoICMPv6 {
		if p.ICMPType != nil && (*p.ICMPType < 0 || *p.ICMPType > 255) {
			return fmt.Errorf("icmp_type: %d is not from 0 to 255", *p.ICMPType)
		}
		return nil
	}
	if p.Port == 0 && p.DNSQuery != "" {
		p.Port = 53
	}
	if p.Port < 1 || p.Port > 65535 {
		return fmt.Errorf("port: %d is not from 1 to 65535", p.Port)
	}
	return nil
}

// splitTarget cuts "svc:ns/name" into its two parts; a pod has no kind.
func splitTarget(s string) (kind, name string) {
	if kind, name, ok := strings.Cut(s, ":"); ok && !strings.Contains(kind, "/") {
		return kind, name
	}
	return "", s
}

// point finds one end of a probe.
func (e *Engine) point(s, field string) (point, error) {
	switch kind, name := splitTarget(s); kind {
	case "":
		p := e.c.podByName[name]
		if p == nil {
			return point{}, fmt.Errorf("%s: there is no pod %q in the cluster%s", field, name, suggest(name, e.c.podNames()))
		}
		return podPoint(p), nil
	case "ip":
		addr, err := netip.ParseAddr(name)
		if err != nil {
			return point{}, fmt.Errorf("%s: %q is not an IP address", field, name)
		}
		return e.addressPoint(addr.Unmap()), nil
	case "node":
		i := slices.IndexFunc(e.c.nodes, func(n *node) bool { return n.name == name && name != "" })
		if i < 0 {
			return point{}, fmt.Errorf("%s: there is no node %q in the cluster%s", field, name, suggest(name, e.c.nodeNames()))
		}
		return point{name: s, node: e.c.nodes[i]}, nil
	case "entity":
		switch name {
		case "host", "remote-node", "kube-apiserver":
			return point{name: s, entity: name}, nil
		case "world":
			return point{name: s, world: true}, nil
		}
		return point{}, fmt.Errorf("%s: %q is none of the entities host, remote-node, kube-apiserver, world", field, name)
	case "svc", "fqdn":
		return point{}, fmt.Errorf("%s: a connection cannot start at %q", field, s)
	default:
		return point{}, fmt.Errorf("%s: %q is none of ip:, svc:, fqdn:, node:, entity: and ns/pod", field, s)
	}
}

func podPoint(p *pod) point {
	if p.hostNetwork {
		return point{name: p.ref, node: p.node, pod: p}
	}
	return point{name: p.ref, pod: p}
}

func (e *Engine) addressPoint(addr netip.Addr) point {
	switch o := e.c.owners[addr]; {
	case o.pod != nil:
		return podPoint(o.pod)
	case o.node != nil:
		return point{name: "node:" + o.node.name, node: o.node}
	}
	return point{name: "ip:" + addr.String(), addr: addr, world: true}
}

// host is the node that a point's traffic comes from or goes to; nil outside the cluster.
func (p *point) host() *node {
	if p.node != nil {
		return p.node
	}
	if p.pod != nil {
		return p.pod.node
	}
	return nil
}

// seenBy returns the point as the policies of the other see it.
func (e *Engine) seenBy(p *point, other *point) end {
	c := e.c
	switch {
	case p.node != nil:
		addr := netip.Addr{}
		if len(p.node.ips) > 0 {
			addr = p.node.ips[0]
		}
		return end{id: c.nodeIdentity(p.node == other.host(), p.node.apiServer), addr: addr}
	case p.pod != nil:
		return end{id: p.pod.id, pod: p.pod, addr: p.pod.addr(false)}
	case p.entity != "":
		return e.entityEnd(p.entity, other)
	}
	id := c.world
	if p.addr.Is6() {
		id = c.worldV6
	}
	if p.addr.IsValid() && c.apiServers[p.addr] {
		id = c.worldAPI
	}
	return end{id: id, addr: p.addr}
}

func (c *Cluster) nodeIdentity(local, apiServer bool) *identity {
	switch {
	case local && apiServer:
		return c.hostAPI
	case local:
		return c.host
	case apiServer:
		return c.remoteAPI
	}
	return c.remoteNode
}

// entityEnd returns an entity as an endpoint sees it: its own node, some other node, or an API server, on
// another node if the cluster does not say otherwise.
func (e *Engine) entityEnd(entity string, other *point) end {
	own := other.host()
	addrOf := func(n *node) netip.Addr {
		if n != nil && len(n.ips) > 0 {
			return n.ips[0]
		}
		return netip.Addr{}
	}
	switch entity {
	case "host":
		return end{id: e.c.nodeIdentity(true, own != nil && own.apiServer), addr: addrOf(own)}
	case "remote-node":
		for _, n := range e.c.nodes {
			if n != own && n.name != "" && !n.apiServer {
				return end{id: e.c.remoteNode, addr: addrOf(n)}
			}
		}
		return end{id: e.c.remoteNode}
	}
	for _, n := range e.c.nodes {
		if n.apiServer {
			return end{id: e.c.nodeIdentity(n == own, true), addr: addrOf(n)}
		}
	}
	for a := range e.c.apiServers {
		return end{id: e.c.worldAPI, addr: a}
	}
	return end{id: e.c.remoteAPI}
}

// connect judges a connection to one target on one port.
func (j *judgement) connect(target point, port int) Result {
	e := j.e
	r := Result{Probe: *j.probe, Verdict: Allowed}
	if j.source.pod != nil && j.source.pod == target.pod && j.source.node == nil {
		r.Reason = "a pod always reaches itself"
		return r
	}
	f := flow{
		protocol: j.probe.Protocol, port: uint16(port), to: target.pod, probe: j.probe, from: &j.source,
		request: j.probe.HTTP != nil || j.probe.DNSQuery != "" || j.probe.TLSSNI != "",
	}
	switch f.protocol {
	case "":
		f.protocol = protoTCP
	case protoICMP, protoICMPv6:
		f.port = 8
		if f.protocol == protoICMPv6 {
			f.port = 128
		}
		if t := j.probe.ICMPType; t != nil {
			f.port = uint16(*t)
		}
	}
	source, dest := e.seenBy(&j.source, &target), e.seenBy(&target, &j.source)
	if f.protocol == protoICMPv6 {
		if target.pod != nil && target.node == nil {
			dest.addr = target.pod.addr(true)
		}
		if j.source.pod != nil && j.source.node == nil {
			source.addr = j.source.pod.addr(true)
		}
	}
	if s, ok := subjectOf(&j.source); ok {
		r.Egress = e.judgeSide(s, false, &dest, &f)
		if j.explain {
			(&explanation{e: e, subject: &j.source, who: s, other: &dest, peer: &target, f: &f, via: j.via, dialed: j.probe.Port}).explain(r.Egress)
		}
	}
	if s, ok := subjectOf(&target); ok {
		r.Ingress = e.judgeSide(s, true, &source, &f)
		if j.explain {
			(&explanation{e: e, ingress: true, subject: &target, who: s, other: &source, peer: &j.source, f: &f, via: j.via, dialed: j.probe.Port}).explain(r.Ingress)
		}
	}
	for _, side := range []*Side{r.Egress, r.Ingress} {
		if side != nil && worse(side.Verdict, r.Verdict) {
			r.Verdict = side.Verdict
		}
	}
	return r
}

// subjectOf returns the point as one whose policies are asked; ok is false outside the cluster.
func subjectOf(p *point) (s subject, ok bool) {
	switch {
	case p.node != nil:
		return subject{id: p.node.host, name: cmpOr(p.name, "node:"+p.node.name)}, true
	case p.pod != nil:
		return subject{id: p.pod.id, name: p.pod.ref}, true
	}
	return subject{}, false
}

// severity orders verdicts: the worst of several counts.
func severity(v Verdict) int {
	return slices.Index([]Verdict{Allowed, AppError, DNSFailed, Rejected, Dropped}, v)
}

func worse(a, b Verdict) bool { return severity(a) > severity(b) }

// service judges a connection to a service, by its name or by its address.
func (j *judgement) service(s *service, byName bool) Result {
	if s.external != "" {
		return j.name(s.external)
	}
	r := Result{Probe: *j.probe, Verdict: Allowed}
	if byName {
		if !j.e.resolvesAll(&j.source) && j.noName(&r, s.name+"."+s.namespace+".svc.cluster.local") {
			return r
		}
	}
	protocol := cmpOr(j.probe.Protocol, protoTCP)
	if (protocol == protoICMP || protocol == protoICMPv6) && !s.headless {
		r.Verdict, r.Reason = Dropped, fmt.Sprintf("service %s has a virtual address, which answers no ICMP", s.ref)
		return r
	}
	backends, known := s.backends(j.probe.Port, protocol)
	switch {
	case !known:
		r.Verdict, r.Reason = Rejected, fmt.Sprintf("service %s has no port %d/%s (its ports: %s)", s.ref, j.probe.Port, protocol, s.portList())
		return r
	case len(backends) == 0:
		r.Verdict, r.Reason = Rejected, fmt.Sprintf("service %s has no endpoints%s", s.ref, s.whyNoEndpoints())
		return r
	}
	results := make([]Result, len(backends))
	j.via = s
	defer func() { j.via = nil }()
	for i, b := range backends {
		target := point{}
		if b.pod != nil {
			target = podPoint(b.pod)
		} else {
			target = j.e.addressPoint(b.addr)
		}
		results[i] = j.connect(target, b.port)
		results[i].To, results[i].Port = target.name, b.port
	}
	return worst(*j.probe, results)
}

// worst combines the results of one probe at several places.
func worst(p Probe, results []Result) Result {
	at := 0
	for i := range results {
		if worse(results[i].Verdict, results[at].Verdict) {
			at = i
		}
	}
	r := results[at]
	r.Probe = p
	if len(results) > 1 {
		r.Backends = results
	}
	return r
}

// noName judges a look-up of the name from the source, and reports whether it fails, with r saying so.
func (j *judgement) noName(r *Result, name string) bool {
	look := j.lookUp(name)
	if look.Verdict == Allowed {
		return false
	}
	r.Verdict, r.DNS, r.Reason = DNSFailed, look, fmt.Sprintf("%s cannot look up the name %s", j.source.name, name)
	return true
}

// resolvesAll reports whether every name that there is can be looked up from the source: because no query is
// made (the source is no pod, or the cluster has no DNS), or because its queries get through and no rule
// looks at them.
func (e *Engine) resolvesAll(source *point) bool {
	if source.pod == nil || source.node != nil || len(e.c.dns) == 0 {
		return true
	}
	if slices.Contains(e.c.dns, source.pod) {
		return false // it may ask itself; its like cannot be taken for it
	}
	const unknown, no, yes = 0, 1, 2
	cached := &e.resolves[source.pod.id.index]
	if n := cached.Load(); n != unknown {
		return n == yes
	}
	answer := uint32(yes)
	if e.rulesFor(source.pod.id, false).dns {
		answer = no
	} else {
		j := judgement{e: e, probe: &Probe{}, source: *source}
		if j.lookUp("").Verdict != Allowed {
			answer = no
		}
	}
	cached.Store(answer)
	return answer == yes
}

// lookUp judges a DNS query for the name from the source. It goes over UDP: resolvers ask over TCP only what a
// server answered incompletely, and not what it did not answer.
func (j *judgement) lookUp(name string) *Result {
	probe := Probe{From: j.probe.From, To: "svc:" + dnsService, Port: 53, Protocol: protoUDP, DNSQuery: strings.TrimSuffix(name, ".")}
	query := judgement{e: j.e, probe: &probe, explain: j.explain, source: j.source}
	r := query.service(j.e.c.services[dnsService], false)
	return &r
}

// name judges a connection to every address of a name outside the cluster.
func (j *judgement) name(name string) Result {
	r := Result{Probe: *j.probe, Verdict: Allowed}
	if !j.e.resolvesAll(&j.source) && j.noName(&r, name) {
		return r
	}
	addrs := j.e.names[queryName(name)]
	if len(addrs) == 0 {
		r.Verdict, r.Reason = DNSFailed, fmt.Sprintf("the name %s has no address", name)
		return r
	}
	results := make([]Result, len(addrs))
	for i, a := range addrs {
		target := j.e.addressPoint(a)
		if s := j.e.c.owners[a].service; s != nil {
			results[i] = j.service(s, false)
		} else {
			results[i] = j.connect(target, j.probe.Port)
		}
		results[i].To = "ip:" + a.String()
	}
	return worst(*j.probe, results)
}

// learnt reports whether the address belongs to a name that the rule's selector matches and that the pod
// could learn: its look-up passed a DNS rule that matches the name, which is how Cilium comes to know it.
func (e *Engine) learnt(source *point, p *peer, addr netip.Addr) bool {
	if source.pod == nil || source.node != nil || !addr.IsValid() {
		return false
	}
	for name, addrs := range e.names {
		if slices.Contains(addrs, addr) && p.fqdn.MatchString(name) && e.teaches(source, name) {
			return true
		}
	}
	return false
}

// teaches reports whether a look-up of the name by the pod passes Cilium's DNS proxy. In a cluster without
// DNS pods it is taken to reach its server, and a DNS rule for the name is enough.
func (e *Engine) teaches(source *point, name string) bool {
	rs := e.rulesFor(source.pod.id, false)
	if len(e.c.dns) == 0 {
		for _, b := range rs.entries {
			for i := range b.ports {
				if l := b.ports[i].l7; l != nil && l.dns != nil && l.allowsName(name) {
					return true
				}
			}
		}
		return false
	}
	probe := Probe{DNSQuery: name}
	for _, d := range e.c.dns {
		target := podPoint(d)
		f := flow{protocol: protoUDP, port: 53, to: d, probe: &probe, request: true, from: source}
		dest := e.seenBy(&target, source)
		o := e.decide(rs, &dest, &f)
		if o.verdict != Allowed && (o.entry != nil || rs.isolated) || o.proxied == nil || o.proxied.dns == nil {
			continue
		}
		self := e.seenBy(source, &target)
		if s, _ := subjectOf(&target); e.judgeSide(s, true, &self, &f).Verdict == Allowed {
			return true
		}
	}
	return false
}
