package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/verdict"
)

// Evaluate says what happens to a connection. An error means that the probe makes no sense in this cluster:
// a pod that is not there, a port out of range.
func (e *Engine) Evaluate(p Probe) (Result, error) {
	return e.evaluate(p, false)
}

// evaluation is one probe being evaluated.
type evaluation struct {
	e       *Engine
	probe   *Probe
	explain bool
	source  endpoint
	via     *cluster.Service // the service that is being connected to
	entered bool             // through a frontend; there is no second
	err     error            // why it cannot be evaluated
}

// refuse notes why the probe cannot be evaluated; the first reason counts.
func (j *evaluation) refuse(format string, args ...any) {
	if j.err == nil {
		j.err = fmt.Errorf(format, args...)
	}
}

// peerView is one end of a connection as the policies of the other end see it.
type peerView struct {
	id   *cluster.Identity
	pod  *cluster.Pod // nil for anything but a pod
	addr netip.Addr   // zero for an entity without an address
}

// endpoint is one end of a probe, before it is known how the other end sees it.
type endpoint struct {
	name   string
	pod    *cluster.Pod
	node   *cluster.Node
	addr   netip.Addr // outside, or of an entity
	dialed netip.Addr // the address of the pod or node that was named, if one was
	entity string     // host, remote-node, kube-apiserver: relative to the other end
	world  bool
	asNode bool // an API server is taken for a node
}

func (e *Engine) evaluate(p Probe, explain bool) (r Result, err error) {
	defer budgetError(&err)
	if err := normalise(&p); err != nil {
		return Result{}, err
	}
	j := evaluation{e: e, probe: &p, explain: explain}
	if j.source, err = e.endpoint(p.From, "from"); err != nil {
		return Result{}, err
	}
	switch kind, name := splitTarget(p.To); kind {
	case "svc":
		s := e.c.Services[name]
		if s == nil {
			return Result{}, fmt.Errorf("to: there is no service %q in the cluster%s",
				name, suggest(name, e.c.ServiceNames()))
		}
		// A resolver knows its name server by address.
		r = j.service(s, s.Ref != cluster.DNSService || p.DNSQuery == "", netip.Addr{})
	case "fqdn":
		r = j.name(name)
	default:
		target, err := e.endpoint(p.To, "to")
		if err != nil {
			return Result{}, err
		}
		r = j.to(target, p.Port)
	}
	if j.err != nil {
		return Result{}, fmt.Errorf("to: %w", j.err)
	}
	return r, nil
}

// to evaluates a connection to one target on one port, as the client dials it: what is translated on the way
// is translated first.
func (j *evaluation) to(target endpoint, port int) Result {
	if target.addr.IsValid() {
		if s := j.e.c.Owners[target.addr].Service; s != nil {
			return j.service(s, false, target.addr)
		}
	}
	icmp := j.probe.Protocol == protoICMP || j.probe.Protocol == protoICMPv6
	if j.entered || icmp {
		return j.connect(target, port)
	}
	if f := j.frontend(&target, port); f != nil {
		return j.through(f, target)
	}
	if ports := j.e.c.Frontends.Addresses[target.addr]; target.addr.IsValid() && len(ports) > 0 {
		j.refuse("%s is a load balancer address or external IP of a service, which has no port %d/%s: the result of the connection is not modelled",
			target.name, port, cmp.Or(j.probe.Protocol, protoTCP))
	}
	return j.connect(target, port)
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
		return fmt.Errorf("protocol: %q is not one of TCP, UDP, SCTP, ICMP, ICMPv6", p.Protocol)
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

// endpoint finds one end of a probe.
func (e *Engine) endpoint(s, field string) (endpoint, error) {
	switch kind, name := splitTarget(s); kind {
	case "":
		p := e.c.PodByName[name]
		if why := e.c.Gone[name]; p == nil && why != "" {
			return endpoint{}, fmt.Errorf("%s: the pod %q %s, and connects to nothing", field, name, why)
		}
		if p == nil {
			return endpoint{}, fmt.Errorf("%s: there is no pod %q in the cluster%s",
				field, name, suggest(name, e.c.PodNames()))
		}
		return podEndpoint(p), nil
	case "ip":
		addr, err := netip.ParseAddr(name)
		if err != nil {
			return endpoint{}, fmt.Errorf("%s: %q is not an IP address", field, name)
		}
		return e.addressEndpoint(addr.Unmap()), nil
	case "node":
		i := slices.IndexFunc(e.c.Nodes, func(n *cluster.Node) bool { return n.Name == name && name != "" })
		if i < 0 {
			return endpoint{}, fmt.Errorf("%s: there is no node %q in the cluster%s",
				field, name, suggest(name, e.c.NodeNames()))
		}
		return endpoint{name: s, node: e.c.Nodes[i]}, nil
	case "entity":
		switch name {
		case "host", "remote-node", "kube-apiserver":
			return endpoint{name: s, entity: name}, nil
		case "world":
			return endpoint{name: s, world: true}, nil
		}
		return endpoint{}, fmt.Errorf("%s: %q is not one of the entities host, remote-node, kube-apiserver, world",
			field, name)
	case "svc", "fqdn":
		return endpoint{}, fmt.Errorf("%s: a connection cannot start at %q", field, s)
	default:
		return endpoint{}, fmt.Errorf("%s: %q is not one of ip:, svc:, fqdn:, node:, entity: and ns/pod", field, s)
	}
}

func podEndpoint(p *cluster.Pod) endpoint {
	if p.HostNetwork {
		return endpoint{name: p.Ref, node: p.Node, pod: p}
	}
	return endpoint{name: p.Ref, pod: p}
}

func (e *Engine) addressEndpoint(addr netip.Addr) endpoint {
	switch o := e.c.Owners[addr]; {
	case o.Pod != nil:
		p := podEndpoint(o.Pod)
		p.dialed = addr
		return p
	case o.Node != nil:
		return endpoint{name: "node:" + o.Node.Name, node: o.Node, dialed: addr}
	}
	return endpoint{name: "ip:" + addr.String(), addr: addr, world: true}
}

// host is the node that an endpoint's traffic comes from or goes to; nil outside the cluster.
func (p *endpoint) host() *cluster.Node {
	if p.node != nil {
		return p.node
	}
	if p.pod != nil {
		return p.pod.Node
	}
	return nil
}

// viewOf returns the endpoint as the policies of the other see it, in a connection over IPv6 or IPv4.
func (e *Engine) viewOf(p *endpoint, other *endpoint, v6 bool) peerView {
	c := e.c
	switch {
	case p.asNode:
		return peerView{id: c.RemoteAPI, addr: p.addr}
	case p.node != nil:
		addr := p.dialed
		if !addr.IsValid() {
			addr = cluster.OfFamily(p.node.IPs, v6)
		}
		return peerView{id: c.NodeIdentity(p.node == other.host(), p.node.APIServer), addr: addr}
	case p.pod != nil:
		addr := p.dialed
		if !addr.IsValid() {
			addr = p.pod.Addr(v6)
		}
		return peerView{id: p.pod.ID, pod: p.pod, addr: addr}
	case p.entity != "":
		return e.viewOfEntity(p.entity, other)
	}
	id := c.World
	if p.addr.Is6() {
		id = c.WorldV6
	}
	if p.addr.IsValid() && c.APIServers[p.addr] {
		id = c.WorldAPI
	}
	return peerView{id: id, addr: p.addr}
}

// viewOfEntity returns an entity as an endpoint sees it: its own node, some other node, or an API server, on
// another node if the cluster does not say otherwise.
func (e *Engine) viewOfEntity(entity string, other *endpoint) peerView {
	own := other.host()
	addrOf := func(n *cluster.Node) netip.Addr {
		if n != nil && len(n.IPs) > 0 {
			return n.IPs[0]
		}
		return netip.Addr{}
	}
	switch entity {
	case "host":
		return peerView{id: e.c.NodeIdentity(true, own != nil && own.APIServer), addr: addrOf(own)}
	case "remote-node":
		for _, n := range e.c.Nodes {
			if n != own && n.Name != "" && !n.APIServer {
				return peerView{id: e.c.RemoteNode, addr: addrOf(n)}
			}
		}
		return peerView{id: e.c.RemoteNode}
	}
	for _, n := range e.c.Nodes {
		if n.APIServer {
			return peerView{id: e.c.NodeIdentity(n == own, true), addr: addrOf(n)}
		}
	}
	if len(e.c.APIServers) > 0 {
		return peerView{
			id: e.c.WorldAPI, addr: slices.MinFunc(slices.Collect(maps.Keys(e.c.APIServers)), netip.Addr.Compare),
		}
	}
	return peerView{id: e.c.RemoteAPI}
}

// route is a connection as the policies of its two ends see it.
type route struct {
	dialed     endpoint // where the source's policies see it go
	dialedPort int
	seen       endpoint // whom the target's policies see it come from
	target     endpoint
	port       int
}

// connect evaluates a connection to one target on one port that nothing translates.
func (j *evaluation) connect(target endpoint, port int) Result {
	r := j.travel(route{dialed: target, dialedPort: port, seen: j.source, target: target, port: port})
	c := j.e.c
	if c.KnowsNodes || !mayBeNode(c, &target) && !mayBeNode(c, &j.source) {
		return r
	}
	k := *j
	k.source.asNode, target.asNode = mayBeNode(c, &j.source), mayBeNode(c, &target)
	if as := k.travel(route{
		dialed: target, dialedPort: port, seen: k.source, target: target, port: port,
	}); as.Verdict != r.Verdict {
		j.refuse("the connection with the API server would be %s if it is a node of the cluster, and %s if it is outside; add the Node objects to the manifests", as.Verdict, r.Verdict)
	}
	return r
}

// travel evaluates both sides of a connection.
func (j *evaluation) travel(t route) Result {
	r := Result{Probe: *j.probe, Verdict: verdict.Allowed}
	if j.source.pod != nil && j.source.pod == t.target.pod && j.source.node == nil {
		r.Reason = "a pod always reaches itself"
		return r
	}
	v6 := j.overIPv6(&t.target)
	if s, ok := subjectOf(&j.source); ok {
		f := j.flow(&t.dialed, t.dialedPort)
		dest := j.e.viewOf(&t.dialed, &j.source, v6)
		r.Egress = j.e.evaluateSide(s, false, &dest, &f)
		if j.explain {
			j.explainSide(r.Egress, false, j.source, s, dest, t.dialed, f)
		}
	}
	if s, ok := subjectOf(&t.target); ok {
		f := j.flow(&t.target, t.port)
		source := j.e.viewOf(&t.seen, &t.target, v6)
		r.Ingress = j.e.evaluateSide(s, true, &source, &f)
		if j.explain {
			j.explainSide(r.Ingress, true, t.target, s, source, t.seen, f)
		}
	}
	for _, side := range []*Side{r.Egress, r.Ingress} {
		if side != nil && worse(side.Verdict, r.Verdict) {
			r.Verdict = side.Verdict
		}
	}
	return r
}

// explainSide says why one side decided as it did. It takes copies, so that an evaluation without explanations
// need not allocate what it compares.
func (j *evaluation) explainSide(side *Side, ingress bool, who endpoint, s subject, other peerView,
	peer endpoint, f flow) {
	(&explanation{
		e: j.e, ingress: ingress, subject: &who, who: s, other: &other, peer: &peer, f: &f, via: j.via,
		dialed: j.probe.Port,
	}).explain(side)
}

// flow is the connection as a rule's ports see it.
func (j *evaluation) flow(target *endpoint, port int) flow {
	f := flow{
		protocol: cmp.Or(j.probe.Protocol, protoTCP), port: uint16(port), to: target.pod, probe: j.probe,
		from:    &j.source,
		request: j.probe.HTTP != nil || j.probe.DNSQuery != "" || j.probe.TLSSNI != "",
	}
	switch t := j.probe.ICMPType; {
	case f.protocol != protoICMP && f.protocol != protoICMPv6:
	case t != nil:
		f.port = uint16(*t)
	case f.protocol == protoICMP:
		f.port = 8
	default:
		f.port = 128
	}
	return f
}

// overIPv6 reports whether the connection is one of IPv6: because of the address that was named, or because
// one of the two has no other.
func (j *evaluation) overIPv6(target *endpoint) bool {
	if j.probe.Protocol == protoICMPv6 {
		return true
	}
	for _, p := range []*endpoint{target, &j.source} {
		for _, a := range []netip.Addr{p.dialed, p.addr} {
			if a.IsValid() {
				return a.Is6()
			}
		}
	}
	for _, p := range []*endpoint{target, &j.source} {
		if p.pod != nil && len(p.pod.IPs) > 0 && p.pod.Addr(false).Is6() {
			return true
		}
	}
	return false
}

// subjectOf returns the endpoint as one whose policies are asked; ok is false outside the cluster.
func subjectOf(p *endpoint) (s subject, ok bool) {
	switch {
	case p.node != nil:
		return subject{id: p.node.Host, name: cmp.Or(p.name, "node:"+p.node.Name), hostNetwork: p.onHostNetwork()}, true
	case p.pod != nil:
		return subject{id: p.pod.ID, name: p.pod.Ref}, true
	}
	return subject{}, false
}

// severity orders verdicts: the worst of several counts.
func severity(v verdict.Verdict) int {
	return slices.Index([]verdict.Verdict{
		verdict.Allowed, verdict.AppError, verdict.DNSFailed, verdict.Rejected, verdict.Dropped,
	}, v)
}

func worse(a, b verdict.Verdict) bool { return severity(a) > severity(b) }

// service evaluates a connection to a service, by its name or by the address that is dialed.
func (j *evaluation) service(s *cluster.Service, byName bool, dialed netip.Addr) Result {
	if s.External != "" {
		return j.name(s.External)
	}
	r := Result{Probe: *j.probe, Verdict: verdict.Allowed}
	if byName && j.lookUpFails(&r, s.Name+"."+s.Namespace+".svc.cluster.local") {
		return r
	}
	protocol := cmp.Or(j.probe.Protocol, protoTCP)
	if (protocol == protoICMP || protocol == protoICMPv6) && !s.Headless {
		r.Verdict, r.Reason = verdict.Dropped,
			fmt.Sprintf("service %s has a virtual address, which answers no ICMP", s.Ref)
		return r
	}
	v6 := s.PrimaryV6()
	if dialed.IsValid() {
		v6 = dialed.Is6()
	}
	backends, known := s.Backends(j.probe.Port, protocol, v6)
	if !known {
		r.Verdict, r.Reason = verdict.Rejected, fmt.Sprintf("service %s has no port %d/%s (its ports: %s)",
			s.Ref, j.probe.Port, protocol, s.PortList())
		return r
	}
	if s.Local && !s.Headless && len(backends) > 0 {
		var ok bool
		if backends, ok = j.onNode(backends, j.source.host(), s, "internalTrafficPolicy"); ok && len(backends) == 0 {
			r.Verdict, r.Reason = verdict.Rejected,
				fmt.Sprintf("service %s has internalTrafficPolicy: Local, and none of its endpoints is on the node of %s", s.Ref, j.source.name)
		}
		if len(backends) == 0 {
			return r
		}
	}
	switch {
	case len(backends) > 0:
	case s.Headless && byName:
		r.Verdict, r.Reason = verdict.DNSFailed,
			fmt.Sprintf("the name of service %s has no address: it is headless and has no endpoints%s",
				s.Ref, s.WhyNoEndpoints())
		return r
	default:
		r.Verdict, r.Reason = verdict.Rejected, fmt.Sprintf("service %s has no endpoints%s", s.Ref, s.WhyNoEndpoints())
		return r
	}
	results := make([]Result, len(backends))
	outer := j.via
	j.via = s
	defer func() { j.via = outer }()
	for i := range backends {
		b := &backends[i]
		if b.Missing != "" {
			j.refuse("endpoint %s of service %s refers to pod %s, which is not in the manifests; add it",
				b.Addr, s.Ref, b.Missing)
			return r
		}
		target := j.backendEndpoint(b)
		results[i] = j.beyond(target, b.Port)
		results[i].To, results[i].Port = target.name, b.Port
	}
	found := mostSevere(*j.probe, results)
	found.DNS = r.DNS
	return found
}

// beyond evaluates the connection to a service's endpoint. An endpoint that is a node may be another service's
// node port; a cluster address is not translated twice.
func (j *evaluation) beyond(target endpoint, port int) Result {
	if target.pod != nil || j.e.c.Owners[target.addr].Service != nil {
		return j.connect(target, port)
	}
	return j.to(target, port)
}

// backendEndpoint is an endpoint of a service as the end of a connection.
func (j *evaluation) backendEndpoint(b *cluster.Backend) endpoint {
	switch {
	case b.API:
		return endpoint{name: "entity:kube-apiserver", entity: "kube-apiserver"}
	case b.Pod != nil:
		p := podEndpoint(b.Pod)
		p.dialed = b.Addr
		return p
	}
	return j.e.addressEndpoint(b.Addr)
}

// mostSevere combines the results of one probe at several places.
func mostSevere(p Probe, results []Result) Result {
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

// lookUpFails evaluates a look-up of the name from the source, and reports whether it fails, with r saying so. An
// explanation has one that succeeds, too.
func (j *evaluation) lookUpFails(r *Result, name string) bool {
	if !j.e.looksUp(&j.source) || !j.explain && j.e.resolvesAll(&j.source) {
		return false
	}
	look := j.lookUp(name)
	if look.Verdict == verdict.Allowed {
		if j.explain {
			r.DNS = look
		}
		return false
	}
	r.Verdict, r.DNS, r.Reason = verdict.DNSFailed, look,
		fmt.Sprintf("%s cannot look up the name %s", j.source.name, name)
	return true
}

// looksUp reports whether the source sends queries for names to pods of the cluster.
func (e *Engine) looksUp(source *endpoint) bool {
	return source.pod != nil && source.node == nil && e.c.HasDNS()
}

// resolvesAll reports whether every name that there is can be looked up from a source that sends queries: because they
// get through and no rule looks at them.
func (e *Engine) resolvesAll(source *endpoint) bool {
	if slices.Contains(e.c.DNS, source.pod) || e.c.Services[cluster.DNSService].Local {
		return false // it may ask itself, or those on its node; its like cannot be taken for it
	}
	const unknown, no, yes = 0, 1, 2
	cached := &e.resolves[source.pod.ID.Index]
	if n := cached.Load(); n != unknown {
		return n == yes
	}
	answer := uint32(yes)
	if e.rulesFor(source.pod.ID, false).dns {
		answer = no
	} else {
		j := evaluation{e: e, probe: &Probe{}, source: *source}
		if j.lookUp("").Verdict != verdict.Allowed {
			answer = no
		}
	}
	cached.Store(answer)
	return answer == yes
}

// lookUp evaluates a DNS query for the name from the source. It goes over UDP: resolvers ask over TCP only what a
// server answered incompletely, and not what it did not answer.
func (j *evaluation) lookUp(name string) *Result {
	probe := Probe{
		From: j.probe.From, To: "svc:" + cluster.DNSService, Port: 53, Protocol: protoUDP,
		DNSQuery: strings.TrimSuffix(name, "."),
	}
	query := evaluation{e: j.e, probe: &probe, explain: j.explain, source: j.source}
	r := query.service(j.e.c.Services[cluster.DNSService], false, netip.Addr{})
	if query.err != nil && j.err == nil {
		j.err = query.err
	}
	return &r
}

// name evaluates a connection to every address of a name outside the cluster.
func (j *evaluation) name(name string) Result {
	r := Result{Probe: *j.probe, Verdict: verdict.Allowed}
	addrs, given := j.e.names[cluster.QueryName(name)]
	if s := j.serviceNamed(name); s != nil && !given && s.External == "" {
		return j.service(s, true, netip.Addr{})
	}
	if j.lookUpFails(&r, name) {
		return r
	}
	if s := j.e.c.Frontends.Names[cluster.QueryName(name)]; s != nil {
		j.refuse("%s is the load balancer of service %s: where its connections enter the cluster is not modelled",
			name, s.Ref)
		return r
	}
	if len(addrs) == 0 {
		r.Verdict, r.Reason = verdict.DNSFailed, fmt.Sprintf("the name %s has no address", name)
		return r
	}
	results := make([]Result, len(addrs))
	for i, a := range addrs {
		results[i] = j.to(j.e.addressEndpoint(a), j.probe.Port)
		results[i].To = "ip:" + a.String()
	}
	found := mostSevere(*j.probe, results)
	found.DNS = r.DNS
	return found
}

// serviceNamed returns the service that the source means by a name: a full one, or one that its resolver
// completes.
func (j *evaluation) serviceNamed(name string) *cluster.Service {
	if s := j.e.c.ServiceNamed(name); s != nil {
		return s
	}
	if p := j.source.pod; p != nil && !strings.Contains(name, ".") {
		return j.e.c.Services[p.Namespace+"/"+strings.ToLower(name)]
	}
	return nil
}

// mayBeNode reports whether the endpoint is an API server that may be a node: one whose address is given in a
// cluster whose nodes are not. Policies see a node otherwise than an address outside.
func mayBeNode(c *Cluster, p *endpoint) bool {
	if c.KnowsNodes || len(c.APIServers) == 0 {
		return false
	}
	return p.world && c.APIServers[p.addr] || p.entity == "kube-apiserver"
}

// learnedAddress reports whether the address belongs to a name that the rule's selector matches and that the pod
// could learn: its look-up passed a DNS rule that matches the name, which is how Cilium comes to know it.
func (e *Engine) learnedAddress(source *endpoint, p *peer, addr netip.Addr) bool {
	if source.pod == nil || source.node != nil || !addr.IsValid() {
		return false
	}
	e.spend(len(e.names))
	for name, addrs := range e.names {
		if slices.Contains(addrs, addr) && p.fqdn.MatchString(name) && e.observesName(source, name) {
			return true
		}
	}
	return false
}

// observesName reports whether a look-up of the name by the pod passes Cilium's DNS proxy. In a cluster without
// DNS pods it is taken to reach its server, and a DNS rule for the name is enough.
func (e *Engine) observesName(source *endpoint, name string) bool {
	rs := e.rulesFor(source.pod.ID, false)
	e.spend(1 + len(rs.rules))
	if !e.c.HasDNS() {
		for _, b := range rs.rules {
			for i := range b.ports {
				if l := b.ports[i].l7; l != nil && l.dns != nil && l.allowsName(name) {
					return true
				}
			}
		}
		return false
	}
	probe := Probe{DNSQuery: name}
	for _, d := range e.c.DNS {
		target := podEndpoint(d)
		f := flow{protocol: protoUDP, port: 53, to: d, probe: &probe, request: true, from: source}
		dest := e.viewOf(&target, source, false)
		o := e.decide(rs, &dest, &f)
		if o.verdict != verdict.Allowed && (o.rule != nil || rs.isolated) || o.proxied == nil || o.proxied.dns == nil {
			continue
		}
		self := e.viewOf(source, &target, false)
		if s, _ := subjectOf(&target); e.evaluateSide(s, true, &self, &f).Verdict == verdict.Allowed {
			return true
		}
	}
	return false
}
