package labs

import (
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/labs/schema"
)

// healthCheck decodes the readiness or liveness block of an app; nil without one.
func (s *scope) healthCheck(n *node, typ string, app *App) *HealthCheck {
	blocks := n.children(typ)
	if len(blocks) == 0 {
		return nil
	}
	c := blocks[0]
	check := &HealthCheck{
		Command: c.strs("command"), Path: c.str("path"), Failures: c.int("failures"),
		InitialDelay: c.duration("initial_delay"), Period: c.duration("period"), Timeout: c.duration("timeout"),
	}
	switch {
	case c.given("command"):
		for _, attr := range []string{"path", "port"} {
			if c.given(attr) {
				s.errorf(c.rng(attr), "Two checks", "A check runs a command or connects to a port; remove command or %s.",
					attr)
			}
		}
		if c.has("command") && (len(check.Command) == 0 || check.Command[0] == "") {
			s.errorf(c.rng("command"), "No command", "command names a program and its arguments.")
		}
	case c.has("path") && (!strings.HasPrefix(check.Path, "/") || strings.ContainsAny(check.Path, " \r\n\t\x00")):
		s.errorf(c.rng("path"), "Invalid path", "A path begins with / and has no spaces; this is %q.", check.Path)
	}
	if !c.given("command") && !c.broken["port"] && !n.given("manifests") {
		check.Port = s.checkedPort(c, app)
	}
	return check
}

// checkedPort is the number of the container's port that a health check connects to; 0 if that has been reported.
func (s *scope) checkedPort(c *node, app *App) int {
	if v, ok := c.vals["port"]; ok && v.Type() == cty.Number {
		number, _ := wholeNumber(v)
		return number
	} else if ok && v.Type() == cty.String {
		name := v.AsString()
		i := slices.Index(portNames(app.Ports), name)
		switch {
		case i < 0:
			s.unknownPort(c.rng("port"), app, name)
			return 0
		case app.Ports[i].Protocol != "TCP":
			s.errorf(c.rng("port"), "Wrong protocol", "The kubelet checks ports over TCP; port %q of app %q is %s.",
				name, app.Name, app.Ports[i].Protocol)
			return 0
		}
		return app.Ports[i].TargetPort
	} else if ok {
		s.errorf(c.rng("port"), "Invalid port", "port is the number of a container's port, or the name of a port of the app, not %s.",
			describe(v))
		return 0
	}
	var tcp []Port
	for _, p := range app.Ports {
		if p.Protocol == "TCP" {
			tcp = append(tcp, p)
		}
	}
	switch len(tcp) {
	case 1:
		return tcp[0].TargetPort
	case 0:
		s.errorf(c.block.DefRange, "No port",
			"The app %q has no TCP port to check. Give the app a port block, or the check an attribute: port = NUMBER, or command = [\"PROGRAM\"].",
			app.Name)
	default:
		s.errorf(c.block.DefRange, "Ambiguous port", "The app %q has several TCP ports; add port = NAME, which is %s.", app.Name,
			anyOf(portNames(tcp)))
	}
	return 0
}

// duration is the value of an attribute whose format is a duration; 0 if it is none, which has been reported.
func (n *node) duration(attr string) time.Duration {
	d, _ := schema.ParseDuration(n.str(attr))
	return d
}
