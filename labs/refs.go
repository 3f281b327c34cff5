package labs

import (
	"fmt"
	"net/netip"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// What an expression refers to (app.backend, app.backend.port.http, external.internet, node("worker"))
// is an object value with the attributes that an author may use, and one more that expressions cannot
// name, refAttr, which holds the reference itself. So references survive lists, locals, for-expressions
// and conditionals, and a decoder still knows what they are. All objects of a kind have the same type.

type refKind string

const (
	refNamespace refKind = "a namespace"
	refApp       refKind = "an app"
	refPort      refKind = "a port of an app"
	refExternal  refKind = "an external"
	refNode      refKind = "a node"
	refDNS       refKind = "a DNS name"
)

// ref is a resolved reference.
type ref struct {
	kind refKind
	name string // the namespace, app, external, node or DNS name
	port Port   // for refPort
}

const refAttr = "@ref"

var (
	refType = cty.Capsule("reference", reflect.TypeFor[ref]())

	namespaceType = cty.Object(map[string]cty.Type{
		"name": cty.String, "labels": stringMap, refAttr: refType,
	})
	portType = cty.Object(map[string]cty.Type{
		"app": cty.String, "name": cty.String, "port": cty.Number, "target_port": cty.Number,
		"protocol": cty.String, refAttr: refType,
	})
	appType = cty.Object(map[string]cty.Type{
		"name": cty.String, "namespace": cty.String, "labels": stringMap, "service": cty.String,
		"host": cty.String, "port": cty.Map(portType), refAttr: refType,
	})
	externalType = cty.Object(map[string]cty.Type{
		"name": cty.String, "host": cty.String, "cidr": cty.String, "port": cty.Number,
		"protocol": cty.String, refAttr: refType,
	})
	nodeType = cty.Object(map[string]cty.Type{"name": cty.String, refAttr: refType})
	dnsType  = cty.Object(map[string]cty.Type{"name": cty.String, refAttr: refType})
)

// refTypes are the types of the objects behind the roots of references.
var refTypes = map[string]cty.Type{"namespace": namespaceType, "app": appType, "external": externalType}

func capsule(r ref) cty.Value { return cty.CapsuleVal(refType, &r) }

func (n *Namespace) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(n.Name), "labels": stringMapValue(n.Labels),
		refAttr: capsule(ref{kind: refNamespace, name: n.Name}),
	})
}

func (a *App) value() cty.Value {
	ports := map[string]cty.Value{}
	for _, p := range a.Ports {
		ports[p.Name] = cty.ObjectVal(map[string]cty.Value{
			"app": cty.StringVal(a.Name), "name": cty.StringVal(p.Name),
			"port": cty.NumberIntVal(int64(p.Port)), "target_port": cty.NumberIntVal(int64(p.TargetPort)),
			"protocol": cty.StringVal(p.Protocol),
			refAttr:    capsule(ref{kind: refPort, name: a.Name, port: p}),
		})
	}
	portMap := cty.MapValEmpty(portType)
	if len(ports) > 0 {
		portMap = cty.MapVal(ports)
	}
	host := ""
	if a.Service != "" {
		host = a.Service + "." + a.Namespace + ".svc.cluster.local"
	}
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(a.Name), "namespace": cty.StringVal(a.Namespace),
		"labels": stringMapValue(a.Labels), "service": cty.StringVal(a.Service),
		"host": cty.StringVal(host), "port": portMap,
		refAttr: capsule(ref{kind: refApp, name: a.Name}),
	})
}

func (e *External) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(e.Name), "host": cty.StringVal(e.Host), "cidr": cty.StringVal(e.CIDR),
		"port": cty.NumberIntVal(int64(e.Port)), "protocol": cty.StringVal(e.Protocol),
		refAttr: capsule(ref{kind: refExternal, name: e.Name}),
	})
}

// nodeFunc and dnsFunc make references to what no block declares: the nodes of the cluster, by name, and
// a name to look up at the cluster's DNS.
var nodeFunc = refFunc("name", nodeType, refNode)
var dnsFunc = refFunc("name", dnsType, refDNS)

func refFunc(param string, typ cty.Type, kind refKind) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: param, Type: cty.String}},
		Type:   function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if problem := checkDNSName(name); problem != "" {
				return cty.NilVal, function.NewArgErrorf(0, "%q is no name: %s", name, problem)
			}
			return cty.ObjectVal(map[string]cty.Value{
				"name": cty.StringVal(name), refAttr: capsule(ref{kind: kind, name: name}),
			}), nil
		},
	})
}

// refOf returns the reference that a value is.
func refOf(v cty.Value) (ref, bool) {
	if v.IsNull() || !v.IsKnown() || !v.Type().IsObjectType() || !v.Type().HasAttribute(refAttr) {
		return ref{}, false
	}
	c := v.GetAttr(refAttr)
	if !c.Type().Equals(refType) || c.IsNull() || !c.IsKnown() {
		return ref{}, false
	}
	return *c.EncapsulatedValue().(*ref), true
}

// item is one value of a list, with the place in the source that is nearest to it.
type item struct {
	val cty.Value
	rng hcl.Range
}

// flatten turns a value that may be one thing or a list of things, themselves lists, into its things.
// It returns false where something is unknown, which has been reported where it arose.
func flatten(v cty.Value, expr hcl.Expression, rng hcl.Range) ([]item, bool) {
	if !v.IsKnown() {
		return nil, false
	}
	if v.IsNull() {
		return nil, true
	}
	t := v.Type()
	// A block with for_each stands for all its instances, and app.x.port for all ports.
	group := t.IsObjectType() && !t.HasAttribute(refAttr) || t.IsMapType() && t.ElementType().Equals(portType)
	if !t.IsTupleType() && !t.IsListType() && !t.IsSetType() && !group {
		return []item{{v, rng}}, true
	}
	var exprs []hclsyntax.Expression
	if tuple, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		exprs = tuple.Exprs
	}
	var items []item
	complete := true
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, elem := it.Element()
		var sub hcl.Expression
		at := rng
		if i < len(exprs) {
			sub, at = exprs[i], exprs[i].Range()
		}
		more, ok := flatten(elem, sub, at)
		items = append(items, more...)
		complete = complete && ok
	}
	return items, complete
}

// describe says what a value is, for messages.
func describe(v cty.Value) string {
	if r, ok := refOf(v); ok {
		return fmt.Sprintf("%s (%s)", r.kind, r.name)
	}
	if !v.IsNull() && v.IsKnown() && v.Type() == cty.String {
		return fmt.Sprintf("the string %q", shorten(v.AsString(), 60))
	}
	if !v.IsNull() && v.IsKnown() && v.Type() == cty.Number {
		return "the number " + numberText(v)
	}
	return typeName(v.Type())
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

// sources decodes `from`: apps, externals and nodes.
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
			list = append(list, Source{Node: r.name})
		default:
			s.errorf(it.rng, "Not a source", "A connection starts at an app (app.NAME), an external (external.NAME) or a node (node(\"NAME\")); this is %s.%s",
				describe(it.val), s.suggestRef(it.val))
		}
	}
	if ok && n.has(attr) && len(items) == 0 {
		s.errorf(n.attrs[attr].Expr.Range(), "No source", "%q is empty, so nothing would be probed.", attr)
	}
	return list
}

// suggestRef helps whoever wrote the name of a thing instead of a reference to it.
func (s *scope) suggestRef(v cty.Value) string {
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	for _, kind := range []string{"app", "external", "namespace"} {
		if s.decls[kind][v.AsString()] != nil {
			return fmt.Sprintf(" Did you mean %s.%s, without quotes?", kind, v.AsString())
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
		if t, ok := s.target(it, how); ok {
			list = append(list, t)
		}
	}
	if ok && n.has(attr) && len(items) == 0 {
		s.errorf(n.attrs[attr].Expr.Range(), "No target", "%q is empty, so nothing would be probed.", attr)
	}
	return list
}

func (s *scope) target(it item, how addressing) (Target, bool) {
	t := Target{Protocol: how.protocol, ICMPType: how.icmp, HTTP: how.http}
	r, isRef := refOf(it.val)
	switch {
	case isRef && (r.kind == refApp || r.kind == refPort):
		return s.appTarget(it, r, how, t)
	case isRef && r.kind == refExternal:
		t.External = r.name
		ext := s.externals[r.name]
		if ext == nil {
			return t, false
		}
		if how.via != "" && how.via != ViaIP {
			s.errorf(it.rng, "Wrong via", "An external has no service; via can only be \"ip\" here.")
			return t, false
		}
		t.Via = how.via
		if ext.Host == "" {
			t.Via = ViaIP
		}
		if t.Protocol == "" {
			t.Protocol = ext.Protocol
		}
		t.Port = ext.Port
	case isRef && r.kind == refNode:
		t.Node = r.name
	case isRef && r.kind == refDNS:
		t.DNS = r.name
		if how.http != nil || how.layer3 {
			s.errorf(it.rng, "Not a connection", "dns(%q) is a DNS query; it takes neither http nor icmp.", r.name)
			return t, false
		}
		switch t.Protocol {
		case "":
			t.Protocol = "UDP"
		case "UDP", "TCP":
		default:
			s.errorf(it.rng, "Wrong protocol", "DNS goes over UDP or TCP, not %s.", t.Protocol)
			return t, false
		}
		t.Port = 53
		return t, true
	case !it.val.IsNull() && it.val.Type() == cty.String:
		addr, err := netip.ParseAddr(it.val.AsString())
		if err != nil {
			s.errorf(it.rng, "Not a target", "A string as a target is an IP address; %q is none.%s For a host outside the cluster declare an external block.",
				it.val.AsString(), s.suggestRef(it.val))
			return t, false
		}
		t.IP = addr.String()
	default:
		s.errorf(it.rng, "Not a target", "A connection goes to an app (app.NAME), a port of one (app.NAME.port.PORT), an external (external.NAME), a node (node(\"NAME\")), a DNS query (dns(\"NAME\")) or an IP address; this is %s.",
			describe(it.val))
		return t, false
	}
	if t.Protocol == "" {
		t.Protocol = "TCP"
	}
	if how.layer3 {
		t.Port = 0
		return t, true
	}
	if port, given := s.portNumber(how); given {
		t.Port = port
	}
	if t.Port == 0 {
		if how.badPort() {
			return t, false
		}
		s.errorf(it.rng, "No port", "Say which port is meant: add port = NUMBER.")
		return t, false
	}
	return t, true
}

// appTarget resolves the port of an app as its client dials it.
func (s *scope) appTarget(it item, r ref, how addressing, t Target) (Target, bool) {
	app := s.apps[r.name]
	if app == nil {
		return t, false
	}
	t.App = app.Name
	t.Via = how.via
	if t.Via == "" {
		t.Via = ViaService
		if how.layer3 || app.Service == "" {
			t.Via = ViaIP // a service answers no ping, and without one there is no name
		}
	}
	if how.layer3 {
		if t.Via == ViaService || t.Via == ViaCluster {
			s.errorf(it.rng, "Wrong via", "A service answers no ICMP; use via = \"ip\".")
			return t, false
		}
		return t, true
	}
	if t.Via != ViaIP && app.Service == "" {
		s.errorf(it.rng, "No service", "The app %q has no port and so no service; give it a port block, or use via = \"ip\".", app.Name)
		return t, false
	}

	use := func(p Port) (Target, bool) {
		t.PortName = p.Name
		t.Port = p.Port
		if t.Via == ViaIP {
			t.Port = p.TargetPort
		}
		if t.Protocol != "" && t.Protocol != p.Protocol {
			s.errorf(it.rng, "Wrong protocol", "Port %q of app %q speaks %s, not %s.", p.Name, app.Name, p.Protocol, t.Protocol)
			return t, false
		}
		t.Protocol = p.Protocol
		return t, true
	}
	if r.kind == refPort {
		if !how.port.IsNull() {
			s.errorf(how.portRng, "Port given twice", "The target already is port %q of app %q.", r.port.Name, app.Name)
			return t, false
		}
		return use(r.port)
	}
	if how.badPort() {
		return t, false
	}
	if how.port.IsNull() {
		switch len(app.Ports) {
		case 1:
			return use(app.Ports[0])
		case 0:
			s.errorf(it.rng, "No port", "The app %q has no port. Give it a port block, or say port = NUMBER and via = \"ip\".", app.Name)
		default:
			s.errorf(it.rng, "Which port?", "The app %q has several ports; name one: %s.", app.Name, oneOf(prefixed("app."+app.Name+".port.", portNames(app.Ports))))
		}
		return t, false
	}
	if number, ok := s.portNumber(how); ok {
		for _, p := range app.Ports {
			if (t.Via != ViaIP && p.Port == number || t.Via == ViaIP && p.TargetPort == number) && (t.Protocol == "" || t.Protocol == p.Protocol) {
				return use(p)
			}
		}
		if t.Via == ViaIP { // a port that nothing listens on can be probed by address
			t.Port = number
			if t.Protocol == "" {
				t.Protocol = "TCP"
			}
			return t, true
		}
		s.errorf(how.portRng, "Unknown port", "The service of app %q has no port %d; it has %s.", app.Name, number, portList(app.Ports))
		return t, false
	}
	name := how.port.AsString()
	for _, p := range app.Ports {
		if p.Name == name {
			return use(p)
		}
	}
	s.errorf(how.portRng, "Unknown port", "The app %q has no port %q; it has %s.%s", app.Name, name, portList(app.Ports), didYouMean(name, portNames(app.Ports)))
	return t, false
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

func portNames(ports []Port) []string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return names
}

func portList(ports []Port) string {
	if len(ports) == 0 {
		return "none"
	}
	list := make([]string, len(ports))
	for i, p := range ports {
		list[i] = fmt.Sprintf("%s (%d/%s)", p.Name, p.Port, p.Protocol)
	}
	return join(list)
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
			s.errorf(it.rng, "Not an app", "%s takes apps (app.NAME); this is %s.%s", attr, describe(it.val), s.suggestRef(it.val))
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
		s.errorf(it.rng, "Unknown namespace", "The lab has no namespace %q.%s", name, declareNamespace(name, s.namespaceNamesKnown()))
		return "", false
	}
	s.errorf(it.rng, "Not a namespace", "%s takes a namespace (namespace.NAME, or its name in quotes); this is %s.", attr, describe(it.val))
	return "", false
}

// declareNamespace helps with the name of a namespace that does not exist.
func declareNamespace(name string, known []string) string {
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	return fmt.Sprintf(" Declare it: namespace %q {}.", name)
}
