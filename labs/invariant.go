package labs

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Invariant says that nothing reaches To (or is reached from From), on any port and from any peer, except what it
// lists: proved offline, sampled live.
type Invariant struct {
	Name             string
	To               []string // apps; ingress
	From             []string // apps; egress
	ExceptNamespaces []string
	ExceptApps       []string
	ExceptExternal   bool // what is outside the cluster
	ExceptPorts      []int
	Protocols        []string // default TCP, UDP, SCTP
	Range            hcl.Range
}

// Type implements Check.
func (i *Invariant) Type() string { return "invariant" }

// At implements Check.
func (i *Invariant) At() hcl.Range { return i.Range }

// Connections implements Check: an invariant is about all connections, and names none.
func (i *Invariant) Connections() []Pair { return nil }

func (s *scope) invariant(n *node) Check {
	inv := &Invariant{
		Name:             n.name,
		To:               s.appNames(n, "to"),
		From:             s.appNames(n, "from"),
		ExceptNamespaces: s.namespaceNames(n, "except_namespaces"),
		ExceptApps:       s.appNames(n, "except_apps"),
		ExceptExternal:   n.bool("except_external"),
		ExceptPorts:      s.exceptPorts(n),
		Protocols:        n.strs("protocols"),
		Range:            n.block.DefRange,
	}
	switch {
	case n.given("to") == n.given("from"):
		s.errorf(n.block.DefRange, "Either to or from",
			"An invariant is about what reaches apps (to) or what apps reach (from); give exactly one of them.")
	case n.isEmpty("to") || n.isEmpty("from"):
		s.errorf(n.block.DefRange, "No app", "The invariant %q names no app.", inv.Name)
	}
	s.checkGoverned(n, inv)
	n.checkName()
	return inv
}

// checkGoverned reports apps whose traffic no policy can stop.
func (s *scope) checkGoverned(n *node, inv *Invariant) {
	if s.hostFirewall {
		return
	}
	for attr, apps := range map[string][]string{"to": inv.To, "from": inv.From} {
		for _, name := range apps {
			if app := s.apps[name]; app != nil && app.HostNetwork {
				s.errorf(n.rng(attr), "Not governed by policies",
					"The pods of app %q are in the network of their node, so no policy selects them, and the invariant cannot hold.",
					name)
			}
		}
	}
}

// exceptPorts decodes port numbers and ports of apps (whose container port is meant: policies see that one).
func (s *scope) exceptPorts(n *node) []int {
	items, _ := n.items("except_ports")
	var ports []int
	for _, it := range items {
		if r, ok := refOf(it.val); ok && r.kind == refPort {
			ports = append(ports, r.port.TargetPort)
			continue
		}
		if !it.val.IsNull() && it.val.Type() == cty.Number {
			if port, whole := wholeNumber(it.val); whole && port >= 1 && port <= 65535 {
				ports = append(ports, port)
				continue
			}
		}
		s.errorf(it.rng, "Invalid port", "except_ports takes numbers from 1 to 65535 and ports of apps; this is %s.",
			describe(it.val))
	}
	return ports
}
