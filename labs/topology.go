package labs

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/internal/wording"
)

// This file decodes what is in the cluster and around it: namespaces, apps and externals.

func (s *scope) namespace(n *node) cty.Value {
	n.checkName()
	ns := &Namespace{Name: n.name, Labels: n.checkLabels("labels"), Range: n.block.DefRange}
	if v, ok := ns.Labels["kubernetes.io/metadata.name"]; ok && v != ns.Name {
		s.errorf(n.rng("labels"), "Invalid label",
			"kubernetes.io/metadata.name is the namespace's name; it cannot be %q.", v)
	}
	if old := s.namespaces[ns.Name]; old != nil {
		s.duplicate(n, "namespace", old.Range.Filename, old.Range.Start.Line)
		return old.value()
	}
	s.namespaces[ns.Name] = ns
	s.order["namespace"] = append(s.order["namespace"], ns.Name)
	return ns.value()
}

func (s *scope) duplicate(n *node, what, file string, line int) {
	s.errorf(n.nameRange(), "Duplicate "+what, "There is already %s %q, in %s on line %d.",
		wording.Article(what), n.name, file, line)
}

func (s *scope) app(n *node) cty.Value {
	n.checkName()
	app := &App{
		Name:      n.name,
		Namespace: n.attribute("namespace").Default.(string),
		Labels:    n.checkLabels("labels"),
		Replicas:  n.int("replicas"),
		Image:     n.str("image"),
		Command:   n.strs("command"),
		Args:      n.strs("args"),
		Env:       n.strMap("env"),
		Node:      n.str("node"),
		Service:   n.str("service"),
		Manifests: n.strs("manifests"),
		Workload:  n.str("kind") + "/" + n.name,
		Range:     n.block.DefRange,

		HostNetwork: n.bool("host_network"), ServiceType: ServiceType(n.str("service_type")),
	}
	n.checkApp(app)
	complete := !n.bad && !n.broken["name"]
	complete = s.appNamespace(n, app) && complete
	complete = s.appPorts(n, app) && complete
	app.Readiness, app.Liveness = s.healthCheck(n, "readiness", app), s.healthCheck(n, "liveness", app)
	if n.given("manifests") {
		complete = s.appFromManifests(n, app) && complete
	} else {
		s.appObjects(n, app, complete)
	}

	if old := s.apps[app.Name]; old != nil {
		s.duplicate(n, "app", old.Range.Filename, old.Range.Start.Line)
		return cty.DynamicVal
	}
	s.apps[app.Name] = app
	s.order["app"] = append(s.order["app"], app.Name)
	s.appNodes[app.Name] = n
	if !complete {
		return cty.DynamicVal
	}
	return app.value()
}

// checkApp checks the names among an app's attributes.
func (n *node) checkApp(app *App) {
	if n.has("service") {
		if problem := invalidName(app.Service, "a service", checkLabel); problem != "" {
			n.s.errorf(n.rng("service"), "Invalid name", "%s", problem)
		}
	}
	if n.has("node") {
		if problem := invalidName(app.Node, "a node", checkDNSName); problem != "" {
			n.s.errorf(n.rng("node"), "Invalid name", "%s", problem)
		}
	}
	if n.has("image") && (app.Image == "" || strings.ContainsFunc(app.Image, unicode.IsSpace)) {
		n.s.errorf(n.rng("image"), "Invalid image", "%q cannot be the name of an image.", app.Image)
	}
	for _, name := range sortedKeys(app.Env) {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r == '=' || r < ' ' || r > '~' }) {
			n.s.errorf(n.rng("env"), "Invalid name", "%q cannot be the name of an environment variable.", name)
		}
	}
}

// appNamespace decodes an app's namespace, which checkApps looks for when all of the lab's namespaces are known. It
// returns false where the namespace is not known.
func (s *scope) appNamespace(n *node, app *App) bool {
	if !n.has("namespace") {
		return !n.broken["namespace"]
	}
	items, known := n.items("namespace")
	if !known {
		return false
	}
	if len(items) != 1 {
		s.errorf(n.rng("namespace"), "Not a namespace", "namespace takes one namespace.")
		return false
	}
	v := items[0].val
	r, isRef := refOf(v)
	switch {
	case isRef && r.kind == refNamespace:
		app.Namespace = r.name
	case !isRef && v.Type() == cty.String:
		app.Namespace = v.AsString()
	default:
		s.errorf(n.rng("namespace"), "Not a namespace",
			"namespace takes a namespace (namespace.NAME.name, or its name in quotes), not %s.", describe(v))
		return false
	}
	problem := invalidName(app.Namespace, "a namespace", checkLabel)
	if problem != "" && !s.refused(app.Namespace) {
		s.errorf(n.rng("namespace"), "Invalid name", "%s", problem)
	}
	return problem == ""
}

// appPorts decodes the port blocks of an app. It returns false where one is not known.
func (s *scope) appPorts(n *node, app *App) bool {
	complete := true
	type socket struct {
		number   int
		protocol string
	}
	taken := map[socket]string{}
	for _, p := range n.children("port") {
		if problem := invalidName(p.name, "a port", checkPortName); problem != "" {
			s.errorf(p.nameRange(), "Invalid name", "%s", problem)
			s.refuse(p.name)
		}
		port := Port{Name: p.name, Port: p.int("port"), Protocol: p.str("protocol")}
		port.TargetPort, port.NodePort = p.intOr("target_port", port.Port), p.intOr("node_port", 0)
		if p.bad || port.Port == 0 || p.broken["target_port"] || p.broken["protocol"] {
			complete = false
			continue
		}
		s.checkServicePort(n, p, app, port)
		if slices.Contains(portNames(app.Ports), port.Name) {
			s.errorf(p.labelRange(), "Duplicate port", "The app %q already has a port %q.", app.Name, port.Name)
			complete = false
			continue
		}
		at := socket{port.Port, port.Protocol}
		if other, ok := taken[at]; ok {
			s.errorf(p.rng("port"), "Duplicate port", "The port %q of app %q is also %d/%s.", other, app.Name,
				port.Port, port.Protocol)
			complete = false
			continue
		}
		taken[at] = port.Name
		app.Ports = append(app.Ports, port)
	}
	return complete
}

// appObjects fills in what the workload and the Service of an app without manifests need.
func (s *scope) appObjects(n *node, app *App, complete bool) {
	if !n.given("labels") {
		app.Labels = map[string]string{"app": app.Name}
	} else if len(app.Labels) == 0 && !n.broken["labels"] {
		s.errorf(n.rng("labels"), "No labels", "An app needs a label, by which its Deployment selects its pods.")
	}
	s.checkWorkload(n, app)
	if app.Service == "" && len(app.Ports) > 0 {
		app.Service = app.Name
	}
	if len(app.Ports) > 0 {
		return
	}
	app.ServiceType = ""
	for _, attr := range []string{"service", "service_type"} {
		if n.has(attr) && complete {
			s.errorf(n.rng(attr), "No port", "A service needs a port: add a port block.")
		}
	}
}

// checkWorkload checks that the app says nothing that its kind of workload decides.
func (s *scope) checkWorkload(n *node, app *App) {
	switch kind := app.Kind(); {
	case kind == KindDaemonSet && n.given("replicas"):
		s.errorf(n.rng("replicas"), "Not with a DaemonSet", "A DaemonSet has one pod on every node; remove replicas.")
	case kind == KindPod && n.given("replicas"):
		s.errorf(n.rng("replicas"), "Not with a Pod",
			"With kind = \"Pod\" the app is a single pod; remove replicas, or use kind = \"Deployment\".")
	}
	if app.Kind() == KindDaemonSet && n.given("node") {
		s.errorf(n.rng("node"), "Not with a DaemonSet",
			"A DaemonSet has one pod on every node; remove node, or use kind = \"Deployment\".")
	}
}

// checkServicePort checks a port against the type of the Service.
func (s *scope) checkServicePort(n, p *node, app *App, port Port) {
	if n.broken["service_type"] {
		return
	}
	onNodes := app.ServiceType == ServiceNodePort || app.ServiceType == ServiceLoadBalancer
	if p.has("node_port") && !onNodes {
		s.errorf(p.rng("node_port"), "No node port",
			"Only a Service of the type NodePort or LoadBalancer has ports on the nodes; this one is %s. Add service_type = \"NodePort\", or remove node_port.",
			app.ServiceType)
	}
	if app.ServiceType == ServiceHeadless && port.TargetPort != port.Port {
		s.errorf(p.rng("target_port"), "Headless service",
			"The name of a headless Service leads to the pods themselves, so nothing translates port %d to %d. Give port and target_port the same number.",
			port.Port, port.TargetPort)
	}
}

// documentationAddrs are used for hosts whose addresses the lab does not set. They are reserved (RFC 5737).
var documentationAddrs = []string{"203.0.113.", "198.51.100.", "192.0.2."}

func (s *scope) external(n *node) cty.Value {
	n.checkName()
	ext := &External{
		Name:     n.name,
		CIDR:     n.str("cidr"),
		Port:     n.int("port"),
		Protocol: n.str("protocol"),
		Range:    n.block.DefRange,
	}
	complete := !n.bad && !n.broken["host"] && !n.broken["hosts"] && !n.broken["cidr"] && !n.broken["name"]
	complete = s.externalHosts(n, ext) && complete
	complete = s.externalPlace(n, ext) && complete
	s.externalAddresses(n, ext)
	if old := s.externals[ext.Name]; old != nil {
		s.duplicate(n, "external", old.Range.Filename, old.Range.Start.Line)
		return cty.DynamicVal
	}
	s.externals[ext.Name] = ext
	s.order["external"] = append(s.order["external"], ext.Name)
	if !complete {
		return cty.DynamicVal
	}
	return ext.value()
}

// externalPlace checks the host or the address range of an external, and picks the address that represents the
// range. It returns false if they are not valid.
func (s *scope) externalPlace(n *node, ext *External) bool {
	named := n.given("host") || n.given("hosts")
	switch {
	case named && n.given("cidr"):
		s.errorf(n.rng("cidr"), "Both host and cidr",
			"An external is a host or an address range; give either host or cidr.")
	case !named && !n.given("cidr") && !n.given("addresses"):
		s.errorf(n.block.DefRange, "No host or address range", "An external needs host = \"NAME\" or cidr = \"RANGE\".")
	}
	if !n.has("cidr") {
		return true
	}
	prefix, err := netip.ParsePrefix(ext.CIDR)
	if err != nil {
		hint := ""
		if addr, err := netip.ParseAddr(ext.CIDR); err == nil {
			hint = fmt.Sprintf(" For this address alone, write %q.", netip.PrefixFrom(addr, addr.BitLen()))
		}
		s.errorf(n.rng("cidr"), "Invalid address range", "%q is not an address range such as 203.0.113.0/24.%s", ext.CIDR, hint)
		return false
	}
	if !n.given("addresses") {
		ext.Addrs = []string{firstHost(prefix.Masked())}
	}
	if prefix.Masked() != prefix {
		s.errorf(n.rng("cidr"), "Invalid address range", "%q has bits set after its prefix; the range is %s.",
			ext.CIDR, prefix.Masked())
		return false
	}
	return true
}

// externalHosts decodes the names of an external. It returns false if one is not valid.
func (s *scope) externalHosts(n *node, ext *External) bool {
	if n.given("host") && n.given("hosts") {
		s.errorf(n.rng("hosts"), "Both host and hosts", "Give either host or hosts; hosts may have a single name.")
		return false
	}
	given, at := n.strs("hosts"), func(i int) hcl.Range { return n.elementRange("hosts", i) }
	if n.has("host") {
		given, at = []string{n.str("host")}, func(int) hcl.Range { return n.rng("host") }
	} else if n.isEmpty("hosts") {
		s.errorf(n.rng("hosts"), "No name", "hosts has no name.")
	}
	complete := true
	var names []string
	for i, host := range given {
		levels, domain := wildcard(host)
		problem := checkDNSName(domain)
		if _, err := netip.ParseAddr(host); err == nil {
			problem = "it is an address"
		}
		switch {
		case problem == "" && slices.Contains(given[:i], host):
			problem = "it is in the list already"
		case problem == "":
			names = append(names, representatives(levels, domain)...)
			continue
		case strings.Contains(domain, "*"):
			problem = `an asterisk stands at the beginning, as in "*.example.com" (one part) and "**.example.com" (any number of parts)`
		}
		s.errorf(at(i), "Invalid name", "%q is not a host name: %s.%s", host, problem, meantHost(host))
		complete = false
	}
	if len(names) > 0 {
		ext.Host, ext.MoreHosts = names[0], names[1:]
	}
	return complete
}

// wildcard splits a name such as Cilium's patterns for names: "*." stands for one more part, "**." for any number of
// them; other names have none.
func wildcard(host string) (levels int, domain string) {
	if domain, ok := strings.CutPrefix(host, "**."); ok {
		return 2, domain
	}
	if domain, ok := strings.CutPrefix(host, "*."); ok {
		return 1, domain
	}
	return 0, host
}

// representatives are the names that stand for a wildcard: one for each number of parts, up to levels. A name without a
// wildcard stands for itself.
func representatives(levels int, domain string) []string {
	if levels == 0 {
		return []string{domain}
	}
	var names []string
	for range levels {
		domain = "any." + domain
		names = append(names, domain)
	}
	return names
}

// meantHost guesses what was meant by text that is not the name of a host: an address, or the host of a web page.
func meantHost(text string) string {
	if addr, err := netip.ParseAddr(text); err == nil {
		return fmt.Sprintf(" For an address, write cidr = %q instead.", netip.PrefixFrom(addr, addr.BitLen()))
	}
	if u, err := url.Parse(text); err == nil && u.Hostname() != "" && checkDNSName(u.Hostname()) == "" {
		return fmt.Sprintf(" Did you mean %q?", u.Hostname())
	}
	return ""
}

// externalAddresses decodes the addresses of an external, which are within its range if it has one.
func (s *scope) externalAddresses(n *node, ext *External) {
	prefix, err := netip.ParsePrefix(ext.CIDR)
	for i, a := range n.strs("addresses") {
		addr, addrErr := netip.ParseAddr(a)
		switch {
		case addrErr != nil:
			s.errorf(n.elementRange("addresses", i), "Invalid address", "%q is not an IP address.", a)
		case err == nil && !prefix.Contains(addr):
			s.errorf(n.elementRange("addresses", i), "Invalid address", "%s is outside %s.", addr, ext.CIDR)
		default:
			ext.Addrs = append(ext.Addrs, addr.String())
		}
	}
}

// firstHost returns the address that represents a range: the first after the network's own, if there is one.
func firstHost(p netip.Prefix) string {
	if next := p.Addr().Next(); next.IsValid() && p.Contains(next) {
		return next.String()
	}
	return p.Addr().String()
}

// declareBlock decodes the instances of a block that others refer to.
func (s *scope) declareBlock(d *decl) cty.Value {
	nodes, complete := s.instances(d.block, d.spec, nil)
	instances := map[string]cty.Value{}
	for _, n := range nodes {
		var v cty.Value
		switch d.spec.Type {
		case "namespace":
			v = s.namespace(n)
		case "app":
			v = s.app(n)
		case "external":
			v = s.external(n)
		}
		if n.key == nil {
			return v
		}
		instances[*n.key] = v
		d.keys = append(d.keys, *n.key)
	}
	if !complete {
		return cty.DynamicVal
	}
	return cty.ObjectVal(instances)
}
