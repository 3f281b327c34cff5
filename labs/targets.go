package labs

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/internal/wording"
)

// This file decodes the ends of connections: what `from` and `to` name, and how targets are addressed.

// sources decodes `from`: apps, externals, nodes and entities.
func (s *scope) sources(n *node, attr string) []Source {
	items, ok := n.items(attr)
	var list []Source
	for _, it := range items {
		r, _ := refOf(it.val)
		switch r.kind {
		case refApp:
			list = append(list, Source{App: r.name})
		case refExternal:
			list = append(list, Source{External: r.name})
		case refNode:
			if s.checkNode(r.name, it.rng) {
				list = append(list, Source{Node: r.name})
			}
		case refEntity:
			list = append(list, s.entitySources(it, Entity(r.name))...)
		default:
			s.errorf(it.rng, "Not a source", "A connection starts at an app (app.NAME), an external (external.NAME), a node (node(\"NAME\")) or an entity (entity(\"NAME\")); this is %s.%s",
				describe(it.val), s.suggestRef(it.val))
		}
	}
	if ok && n.has(attr) && len(items) == 0 {
		s.errorf(n.attrs[attr].Expr.Range(), "No source", "%q is empty, so nothing would be probed.", attr)
	}
	return list
}

// suggestRef suggests a reference to somebody who wrote a name instead.
func (s *scope) suggestRef(v cty.Value) string {
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	text := v.AsString()
	if u, err := url.Parse(text); err == nil && u.Host != "" { // an address of a web page
		text = u.Host
	}
	for _, name := range sortedKeys(s.apps) {
		app := s.apps[name]
		if app.Service != "" && (text == app.Service+"."+app.Namespace || text == app.Service+"."+app.Namespace+".svc.cluster.local") {
			return fmt.Sprintf(" Did you mean app.%s, without quotes?", name)
		}
	}
	for _, kind := range []string{"app", "external", "namespace"} {
		name, _, port := strings.Cut(strings.TrimPrefix(text, kind+"."), ":")
		switch {
		case s.decls[kind][name] == nil:
		case port && kind == "app":
			return fmt.Sprintf(" Did you mean app.%s.port.NAME, without quotes?", name)
		default:
			return fmt.Sprintf(" Did you mean %s.%s, without quotes?", kind, name)
		}
	}
	return ""
}

// addressing is what an expect or matrix block says about how its targets are reached.
type addressing struct {
	via      Via
	port     cty.Value // number, or name of a port of the app; null: the target's own
	portRng  hcl.Range
	protocol string
	icmp     *int
	http     *HTTP
	layer3   bool // ICMP: no port
}

// targets decodes `to`.
func (s *scope) targets(n *node, attr string, how addressing) []Target {
	items, ok := n.items(attr)
	var list []Target
	for _, it := range items {
		if r, _ := refOf(it.val); r.kind == refEntity && Entity(r.name) == entityWorld {
			list = append(list, s.worldTargets(it, how)...)
		} else if t, ok := s.target(it, how); ok {
			list = append(list, t)
		}
	}
	if ok && n.has(attr) && len(items) == 0 {
		s.errorf(n.attrs[attr].Expr.Range(), "No target", "%q is empty, so nothing would be probed.", attr)
	}
	return list
}

// addressing decodes how the targets of an expect or matrix block are reached.
func (s *scope) addressing(n *node) addressing {
	how := addressing{via: Via(n.str("via")), protocol: n.str("protocol")}
	how.port, how.portRng = s.dialedPort(n), n.rng("port")
	s.overICMP(n, &how)
	s.overHTTP(n, &how)
	return how
}

// dialedPort is the attribute port: null if it is not given, unknown if it is given and wrong.
func (s *scope) dialedPort(n *node) cty.Value {
	v, ok := n.vals["port"]
	switch {
	case n.broken["port"]:
		return cty.UnknownVal(cty.Number)
	case !ok:
		return cty.NullVal(cty.Number)
	case v.Type() == cty.String, v.Type() == cty.Number:
		return v
	}
	detail := ""
	if r, ok := refOf(v); ok && r.kind == refPort {
		detail = " Write the reference into \"to\" instead."
	}
	s.errorf(n.rng("port"), "Invalid port", "port is a number, or the name of a port of the app, not %s.%s",
		describe(v), detail)
	return cty.UnknownVal(cty.Number)
}

// overICMP decodes the icmp block. The protocol ICMP alone is an echo request.
func (s *scope) overICMP(n *node, how *addressing) {
	for _, c := range n.children("icmp") {
		how.icmp = icmpType(c)
		if n.has("protocol") && how.protocol != "ICMP" {
			s.errorf(n.rng("protocol"), "Wrong protocol", "With an icmp block the protocol must be ICMP.")
		}
	}
	if how.protocol == "ICMP" && how.icmp == nil {
		echo := icmpNames["echo-request"]
		how.icmp = &echo
	}
	if how.icmp == nil {
		return
	}
	how.layer3, how.protocol = true, "ICMP"
	if n.given("port") {
		s.errorf(n.rng("port"), "No port in ICMP", "ICMP has no ports.")
	}
}

// overHTTP decodes the http block.
func (s *scope) overHTTP(n *node, how *addressing) {
	for _, c := range n.children("http") {
		how.http = httpRequest(c)
		if how.protocol != "" && how.protocol != "TCP" {
			s.errorf(c.block.DefRange, "Wrong protocol", "HTTP uses TCP.")
		}
		how.protocol = cmp.Or(how.protocol, "TCP")
	}
}

// icmpNames are the types that authors ask for, by the names of their RFCs.
var icmpNames = map[string]int{
	"echo-reply": 0, "destination-unreachable": 3, "redirect": 5, "echo-request": 8, "time-exceeded": 11,
	"parameter-problem": 12, "timestamp": 13, "timestamp-reply": 14,
}

func icmpType(n *node) *int {
	kind := icmpNames["echo-request"]
	if v, ok := n.vals["type"]; ok {
		switch v.Type() {
		case cty.Number:
			kind, _ = wholeNumber(v)
		case cty.String:
			kind = icmpNames[v.AsString()]
		default:
			n.s.errorf(n.rng("type"), "Invalid ICMP type", "type is a number or a name, not %s.", describe(v))
		}
	}
	return &kind
}

func httpRequest(n *node) *HTTP {
	h := &HTTP{
		Method:  n.str("method"),
		Path:    n.str("path"),
		Headers: n.strMap("headers"),
		Status:  n.int("status"),
	}
	if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " \r\n\t\x00") {
		n.s.errorf(n.rng("path"), "Invalid path", "A path begins with / and has no spaces; this is %q.", h.Path)
	}
	for _, name := range sortedKeys(h.Headers) {
		if !validHeader(name) || strings.ContainsAny(h.Headers[name], "\r\n\x00") {
			n.s.errorf(n.rng("headers"), "Invalid header", "%q: %q is not an HTTP header.", name, h.Headers[name])
		}
	}
	return h
}

func validHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func (s *scope) target(it item, how addressing) (Target, bool) {
	t := Target{Protocol: how.protocol, ICMPType: how.icmp, HTTP: how.http}
	r, isRef := refOf(it.val)
	ok := true
	switch {
	case isRef && (r.kind == refApp || r.kind == refPort):
		return s.appTarget(it, r, how, t)
	case isRef && r.kind == refDNS:
		return s.dnsTarget(it, r, how, t)
	case isRef && r.kind == refEntity:
		return s.entityTarget(it, Entity(r.name), how, t)
	case isRef && r.kind == refExternal:
		ok = s.externalTarget(it, r, how, &t)
	case isRef && r.kind == refNode:
		t.Node, ok = r.name, s.checkNode(r.name, it.rng)
	case !it.val.IsNull() && it.val.Type() == cty.String:
		ok = s.addressTarget(it, &t)
	default:
		s.errorf(it.rng, "Not a target", "A connection goes to an app (app.NAME), a port of one (app.NAME.port.PORT), an external (external.NAME), a node (node(\"NAME\")), an entity (entity(\"NAME\")), a DNS query (dns(\"NAME\")) or an IP address, not %s.",
			describe(it.val))
		return t, false
	}
	return t, ok && s.targetPort(it, how, &t)
}

// externalTarget addresses an external by its name, or by its address where it has no name.
func (s *scope) externalTarget(it item, r ref, how addressing, t *Target) bool {
	t.External = r.name
	ext := s.externals[r.name]
	if ext == nil {
		return false
	}
	if how.via != "" && how.via != ViaIP {
		s.errorf(it.rng, "Invalid via", "An external has no service; via can only be \"ip\" here.")
		return false
	}
	t.Via = how.via
	if ext.Host == "" {
		t.Via = ViaIP
	}
	t.Protocol = cmp.Or(t.Protocol, ext.Protocol)
	t.Port = ext.Port
	return true
}

// dnsTarget is a DNS query, over UDP unless the lab says TCP.
func (s *scope) dnsTarget(it item, r ref, how addressing, t Target) (Target, bool) {
	t.DNS, t.Port = r.name, 53
	t.Protocol = cmp.Or(t.Protocol, "UDP")
	switch {
	case how.http != nil || how.layer3:
		s.errorf(it.rng, "Not a connection", "dns(%q) is a DNS query; it takes neither http nor icmp.", r.name)
		return t, false
	case t.Protocol != "UDP" && t.Protocol != "TCP":
		s.errorf(it.rng, "Wrong protocol", "DNS uses UDP or TCP, not %s.", t.Protocol)
		return t, false
	}
	return t, true
}

// addressTarget is an IP address in quotes.
func (s *scope) addressTarget(it item, t *Target) bool {
	text := it.val.AsString()
	addr, err := netip.ParseAddr(text)
	if err != nil {
		s.errorf(it.rng, "Not a target", "A target in quotes is an IP address, which %q is not.%s", text,
			cmp.Or(s.suggestRef(it.val), " For a host or an address range outside the cluster, declare an external block."))
		return false
	}
	t.IP = addr.String()
	return true
}

// targetPort sets the port and protocol of a target that is not an app.
func (s *scope) targetPort(it item, how addressing, t *Target) bool {
	t.Protocol = cmp.Or(t.Protocol, "TCP")
	if how.layer3 {
		t.Port = 0
		return true
	}
	if port, given := s.portNumber(how); given {
		t.Port = port
	}
	if t.Port == 0 {
		if !how.badPort() {
			s.errorf(it.rng, "No port", "The target has no port of its own. Add port = NUMBER.")
		}
		return false
	}
	return true
}

// appTarget resolves the port of an app as its client dials it.
func (s *scope) appTarget(it item, r ref, how addressing, t Target) (Target, bool) {
	app := s.apps[r.name]
	if app == nil {
		return t, false
	}
	t.App, t.Via = app.Name, how.viaOf(app)
	switch {
	case how.layer3 && t.Via != ViaIP:
		s.errorf(it.rng, "Invalid via", "A service does not answer ICMP; use via = \"ip\".")
		return t, false
	case how.layer3:
		return t, true
	case t.Via != ViaIP && app.Service == "":
		s.errorf(it.rng, "No service",
			"The app %q has no port and therefore no service; give it a port block, or use via = \"ip\".", app.Name)
		return t, false
	case t.Via == ViaCluster && app.ServiceType == ServiceHeadless:
		s.errorf(it.rng, "No address",
			"The Service of app %q is headless, so it has no address; use via = \"service\" or \"ip\".", app.Name)
		return t, false
	}
	port, ok := s.appPort(it, r, how, app, t)
	if !ok {
		return t, false
	}
	if t.Protocol != "" && t.Protocol != port.Protocol {
		s.errorf(it.rng, "Wrong protocol", "The protocol of port %q of app %q is %s, not %s.",
			port.Name, app.Name, port.Protocol, t.Protocol)
		return t, false
	}
	t.PortName, t.Port, t.Protocol = port.Name, app.Dialed(port, t.Via), port.Protocol
	return t, true
}

// viaOf is how an app is addressed: by its service, unless the lab says otherwise. A service answers no ping, and
// an app without one has no name.
func (how addressing) viaOf(app *App) Via {
	switch {
	case how.via != "":
		return how.via
	case how.layer3 || app.Service == "":
		return ViaIP
	}
	return ViaService
}

// appPort finds the port of an app that a target names: by reference, number or name, or the only one.
func (s *scope) appPort(it item, r ref, how addressing, app *App, t Target) (Port, bool) {
	switch {
	case r.kind == refPort && !how.port.IsNull():
		s.errorf(how.portRng, "Port given twice", "The target already is port %q of app %q.", r.port.Name, app.Name)
		return Port{}, false
	case r.kind == refPort:
		return r.port, true
	case how.badPort():
		return Port{}, false
	case how.port.IsNull():
		return s.onlyPort(it, app)
	}
	if number, ok := s.portNumber(how); ok {
		return s.portByNumber(how, app, number, t)
	}
	return s.portByName(how, app)
}

func (s *scope) onlyPort(it item, app *App) (Port, bool) {
	switch len(app.Ports) {
	case 1:
		return app.Ports[0], true
	case 0:
		s.errorf(it.rng, "No port",
			"The app %q has no port. Give it a port block, or use port = NUMBER and via = \"ip\".", app.Name)
	default:
		s.errorf(it.rng, "Ambiguous port", "The app %q has several ports; name one: %s.",
			app.Name, wording.Or(prefixed("app."+app.Name+".port.", portNames(app.Ports))))
	}
	return Port{}, false
}

func (s *scope) portByNumber(how addressing, app *App, number int, t Target) (Port, bool) {
	for _, p := range app.Ports {
		if app.Dialed(p, t.Via) == number && (t.Protocol == "" || t.Protocol == p.Protocol) {
			return p, true
		}
	}
	if t.Via == ViaIP { // a port that nothing listens on can be probed by address
		return Port{Port: number, TargetPort: number, Protocol: cmp.Or(t.Protocol, "TCP")}, true
	}
	s.errorf(how.portRng, "Unknown port", "The service of app %q has no port %d; it has %s.",
		app.Name, number, portList(app.Ports))
	return Port{}, false
}

func (s *scope) portByName(how addressing, app *App) (Port, bool) {
	name := how.port.AsString()
	if i := slices.Index(portNames(app.Ports), name); i >= 0 {
		return app.Ports[i], true
	}
	s.unknownPort(how.portRng, app, name)
	return Port{}, false
}

// unknownPort reports the name of a port that an app does not have.
func (s *scope) unknownPort(at hcl.Range, app *App, name string) {
	if s.refused(name) {
		return
	}
	ports := slices.DeleteFunc(slices.Clone(app.Ports), func(p Port) bool { return s.refused(p.Name) })
	meant := wording.DidYouMean(name, portNames(ports))
	for _, p := range ports {
		if strconv.Itoa(p.Port) == name || strconv.Itoa(p.TargetPort) == name {
			meant = fmt.Sprintf(" Did you mean %q?", p.Name)
		}
	}
	s.errorf(at, "Unknown port", "The app %q has no port %q; it has %s.%s", app.Name, name, portList(ports), meant)
}

// badPort reports a port attribute that was there and has been complained about.
func (how addressing) badPort() bool { return how.port == cty.NilVal || !how.port.IsKnown() }

func (s *scope) portNumber(how addressing) (int, bool) {
	if how.badPort() || how.port.IsNull() || how.port.Type() != cty.Number {
		return 0, false
	}
	n, _ := how.port.AsBigFloat().Int64()
	return int(n), true
}

func prefixed(prefix string, names []string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = prefix + name
	}
	return list
}

// appNames decodes a list of references to apps.
func (s *scope) appNames(n *node, attr string) []string {
	items, _ := n.items(attr)
	var names []string
	for _, it := range items {
		r, _ := refOf(it.val)
		if r.kind != refApp {
			s.errorf(it.rng, "Not an app", "%s takes apps (app.NAME); this is %s.%s",
				attr, describe(it.val), s.suggestRef(it.val))
			continue
		}
		names = append(names, r.name)
	}
	return names
}

// namespaceNames decodes a list of namespaces, each a reference or a name. Names must be known to the lab.
func (s *scope) namespaceNames(n *node, attr string) []string {
	items, _ := n.items(attr)
	var names []string
	for _, it := range items {
		if name, ok := s.namespaceName(it, attr); ok {
			names = append(names, name)
		}
	}
	return names
}

func (s *scope) namespaceName(it item, attr string) (string, bool) {
	if r, ok := refOf(it.val); ok {
		if r.kind == refNamespace {
			return r.name, true
		}
	} else if it.val.Type() == cty.String {
		name := it.val.AsString()
		if s.knownNamespace(name) {
			return name, true
		}
		s.errorf(it.rng, "Unknown namespace", "The lab has no namespace %q.%s", name,
			declareNamespace(name, s.namespaceNamesKnown()))
		return "", false
	}
	s.errorf(it.rng, "Not a namespace", "%s takes a namespace (namespace.NAME, or its name in quotes); this is %s.",
		attr, describe(it.val))
	return "", false
}

func (s *scope) namespaceNamesKnown() []string {
	known := SystemNamespaces()
	known = slices.AppendSeq(known, maps.Keys(s.namespaces))
	for _, a := range s.apps {
		known = append(known, a.Namespace)
	}
	slices.Sort(known)
	return slices.Compact(known)
}

func (s *scope) knownNamespace(name string) bool {
	return slices.Contains(s.namespaceNamesKnown(), name)
}

// declareNamespace helps with the name of a namespace that does not exist.
func declareNamespace(name string, known []string) string {
	if hint := wording.DidYouMean(name, known); hint != "" {
		return hint
	}
	return fmt.Sprintf(" Declare it: namespace %q {}.", name)
}
