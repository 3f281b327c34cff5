package labs

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/zclconf/go-cty/cty"
)

// This file decodes what stands in the cluster and around it: namespaces, apps and externals.

// transport are the protocols of ports; protocols adds what only a probe can use.
var (
	transport = []string{"TCP", "UDP", "SCTP"}
	protocols = []string{"TCP", "UDP", "SCTP", "ICMP"}
)

func (s *scope) namespace(n *node) cty.Value {
	n.checkName()
	ns := &Namespace{Name: n.name, Labels: n.checkLabels("labels"), Range: n.block.DefRange}
	if v, ok := ns.Labels["kubernetes.io/metadata.name"]; ok && v != ns.Name {
		s.errorf(n.rng("labels"), "Invalid label", "kubernetes.io/metadata.name is the namespace's name; it cannot be %q.", v)
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
	s.errorf(n.nameRange(), "Duplicate "+what, "There is %s %q already, in %s on line %d.", article(what), n.name, file, line)
}

func (s *scope) app(n *node) cty.Value {
	n.checkName()
	app := &App{
		Name:      n.name,
		Namespace: "default",
		Labels:    n.checkLabels("labels"),
		Replicas:  n.int("replicas", 1, 100, 1),
		Image:     n.str("image", ""),
		Command:   n.strs("command"),
		Args:      n.strs("args"),
		Env:       n.strMap("env"),
		Node:      n.str("node", ""),
		Service:   n.str("service", ""),
		Manifests: n.strs("manifests"),
		Range:     n.block.DefRange,
	}
	if n.has("service") {
		if problem := checkLabel(app.Service); problem != "" {
			s.errorf(n.rng("service"), "Invalid name", "%q cannot be the name of a service: %s.", app.Service, problem)
		}
	}
	if n.has("image") && (app.Image == "" || strings.ContainsFunc(app.Image, unicode.IsSpace)) {
		s.errorf(n.rng("image"), "Invalid image", "%q cannot be the name of an image.", app.Image)
	}
	if n.has("node") {
		if problem := checkDNSName(app.Node); problem != "" {
			s.errorf(n.rng("node"), "Invalid name", "%q cannot be the name of a node: %s.", app.Node, problem)
		}
	}
	for _, name := range sortedKeys(app.Env) {
		if name == "" || slices.ContainsFunc([]rune(name), func(r rune) bool { return r == '=' || r < ' ' || r > '~' }) {
			s.errorf(n.rng("env"), "Invalid name", "%q cannot be the name of an environment variable.", name)
		}
	}
	complete := !n.bad && !n.broken["namespace"] && !n.broken["name"]
	if n.has("namespace") {
		items, known := n.items("namespace")
		switch {
		case !known:
			complete = false
		case len(items) != 1:
			s.errorf(n.rng("namespace"), "Not a namespace", "namespace takes one namespace.")
			complete = false
		default:
			// The name is checked against the lab's namespaces when all of them are known.
			r, isRef := refOf(items[0].val)
			switch {
			case isRef && r.kind == refNamespace:
				app.Namespace = r.name
			case !isRef && items[0].val.Type() == cty.String:
				app.Namespace = items[0].val.AsString()
				if problem := checkLabel(app.Namespace); problem != "" {
					s.errorf(n.rng("namespace"), "Invalid name", "%q cannot be the name of a namespace: %s.", app.Namespace, problem)
					complete = false
				}
			default:
				s.errorf(n.rng("namespace"), "Not a namespace", "namespace takes a namespace (namespace.NAME.name, or its name in quotes); this is %s.", describe(items[0].val))
				complete = false
			}
		}
	}

	numbers := map[[2]any]string{}
	for _, p := range n.children("port") {
		if problem := checkPortName(p.name); problem != "" {
			s.errorf(p.nameRange(), "Invalid name", "%q cannot be the name of a port: %s.", p.name, problem)
		}
		port := Port{Name: p.name, Port: p.int("port", 1, 65535, 0)}
		port.TargetPort = p.int("target_port", 1, 65535, port.Port)
		port.Protocol = p.oneOf("protocol", "TCP", transport...)
		if p.bad || port.Port == 0 || p.broken["target_port"] || p.broken["protocol"] {
			complete = false
			continue
		}
		if slices.Contains(portNames(app.Ports), port.Name) {
			s.errorf(p.labelRange(), "Duplicate port", "The app %q has a port %q already.", app.Name, port.Name)
			continue
		}
		key := [2]any{port.Port, port.Protocol}
		if other, ok := numbers[key]; ok {
			s.errorf(p.rng("port"), "Duplicate port", "The port %q of app %q is %d/%s, too.", other, app.Name, port.Port, port.Protocol)
			continue
		}
		numbers[key] = port.Name
		app.Ports = append(app.Ports, port)
	}

	if n.given("manifests") {
		complete = s.appFromManifests(n, app) && complete
	} else {
		if !n.given("labels") {
			app.Labels = map[string]string{"app": app.Name}
		} else if len(app.Labels) == 0 && !n.broken["labels"] {
			s.errorf(n.rng("labels"), "No labels", "An app needs a label: its Deployment selects its pods by it.")
		}
		if app.Service == "" && len(app.Ports) > 0 {
			app.Service = app.Name
		}
		if n.has("service") && len(app.Ports) == 0 && complete {
			s.errorf(n.rng("service"), "No port", "A service needs a port: add a port block.")
		}
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

// documentationAddrs stand for hosts whose addresses the lab does not give. They belong to nobody (RFC 5737).
var documentationAddrs = []string{"203.0.113.", "198.51.100.", "192.0.2."}

func (s *scope) external(n *node) cty.Value {
	n.checkName()
	ext := &External{
		Name:     n.name,
		Host:     n.str("host", ""),
		CIDR:     n.str("cidr", ""),
		Port:     n.int("port", 1, 65535, 443),
		Protocol: n.oneOf("protocol", "TCP", transport...),
		Range:    n.block.DefRange,
	}
	complete := !n.bad && !n.broken["host"] && !n.broken["cidr"] && !n.broken["name"]
	switch {
	case n.given("host") && n.given("cidr"):
		s.errorf(n.rng("cidr"), "Host and cidr", "An external is a host or an address range; give one of host and cidr.")
	case !n.given("host") && !n.given("cidr") && !n.given("addresses"):
		s.errorf(n.block.DefRange, "Where is it?", "An external needs host = \"NAME\" or cidr = \"RANGE\".")
	}
	if n.has("host") {
		if problem := checkDNSName(ext.Host); problem != "" {
			s.errorf(n.rng("host"), "Invalid name", "%q is no host name: %s.", ext.Host, problem)
			complete = false
		}
	}
	if n.has("cidr") {
		prefix, err := netip.ParsePrefix(ext.CIDR)
		switch {
		case err != nil:
			s.errorf(n.rng("cidr"), "Invalid address range", "%q is no address range such as 203.0.113.0/24.", ext.CIDR)
			complete = false
		case prefix.Masked() != prefix:
			s.errorf(n.rng("cidr"), "Invalid address range", "%q has bits behind its mask; the range is %s.", ext.CIDR, prefix.Masked())
			complete = false
		}
		if err == nil && !n.given("addresses") {
			ext.Addrs = []string{firstHost(prefix.Masked())}
		}
	}
	for i, a := range n.strs("addresses") {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			s.errorf(n.elementRange("addresses", i), "Invalid address", "%q is no IP address.", a)
			continue
		}
		if prefix, err := netip.ParsePrefix(ext.CIDR); err == nil && !prefix.Contains(addr) {
			s.errorf(n.elementRange("addresses", i), "Invalid address", "%s is outside %s.", addr, ext.CIDR)
			continue
		}
		ext.Addrs = append(ext.Addrs, addr.String())
	}
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

// firstHost is the address that stands for a range: the first behind the network's own, if there is one.
func firstHost(p netip.Prefix) string {
	if next := p.Addr().Next(); next.IsValid() && p.Contains(next) {
		return next.String()
	}
	return p.Addr().String()
}
