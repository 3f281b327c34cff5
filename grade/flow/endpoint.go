package flow

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// ParseSource finds where a connection starts: an app or external of the lab, "node:NAME" or "entity:NAME".
func ParseSource(lab *labs.Lab, text string) (labs.Source, error) {
	if node, ok := strings.CutPrefix(text, "node:"); ok {
		return labs.Source{Node: node}, nil
	}
	if name, ok := strings.CutPrefix(text, "entity:"); ok {
		entity, err := parseEntity(name)
		return labs.Source{Entity: entity}, err
	}
	if app := findApp(lab, text); app != nil {
		return labs.Source{App: app.Name}, nil
	}
	if ext := findExternal(lab, text); ext != nil {
		return labs.Source{External: ext.Name}, nil
	}
	return labs.Source{}, unknown(lab, text)
}

// ParseTarget finds where a connection goes: "backend", "backend:8080", "backend:http", "internet",
// "internet:443", "10.0.0.1:80", "node:NAME:PORT", "entity:NAME:PORT" or "dns:NAME" (a look-up). Without a port it is
// the app's or external's only one.
func ParseTarget(lab *labs.Lab, text string, via labs.Via, protocol string) (labs.Target, error) {
	t := labs.Target{Protocol: strings.ToUpper(protocol)}
	if name, ok := strings.CutPrefix(text, "dns:"); ok {
		t.DNS = name
		return t, nil
	}
	name, port := splitPort(text)
	if node, ok := strings.CutPrefix(name, "node:"); ok {
		t.Node = node
		return t, numericPort(&t, port)
	}
	if name, ok := strings.CutPrefix(name, "entity:"); ok {
		return t, entityTarget(&t, name, via, port)
	}
	if app := findApp(lab, name); app != nil {
		t.App, t.Via = app.Name, via
		return t, appPort(&t, app, port)
	}
	if ext := findExternal(lab, name); ext != nil {
		t.External = ext.Name
		if port == "" {
			t.Port = ext.Port
			if t.Protocol == "" {
				t.Protocol = ext.Protocol
			}
			return t, nil
		}
		return t, numericPort(&t, port)
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		t.IP = strings.Trim(name, "[]")
		return t, numericPort(&t, port)
	}
	return t, unknown(lab, name)
}

// splitPort cuts ":PORT" off; the colons of a bare IPv6 address, of "node:NAME" and of "entity:NAME" are not one.
func splitPort(text string) (name, port string) {
	rest, kind := text, ""
	for _, prefix := range []string{"node:", "entity:"} {
		if name, ok := strings.CutPrefix(text, prefix); ok {
			rest, kind = name, prefix
		}
	}
	if _, err := netip.ParseAddr(rest); err == nil {
		return text, ""
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 || strings.HasSuffix(rest, "]") {
		return text, ""
	}
	return kind + rest[:i], rest[i+1:]
}

// parseEntity finds an entity that nodes or API servers belong to. The world is asked for by the lab's externals.
func parseEntity(name string) (labs.Entity, error) {
	known := []labs.Entity{labs.EntityHost, labs.EntityRemoteNode, labs.EntityAPIServer}
	if entity := labs.Entity(name); slices.Contains(known, entity) {
		return entity, nil
	}
	return "", fmt.Errorf("there is no entity %q to connect with; there are host, remote-node and kube-apiserver", name)
}

// entityTarget sets an entity as a target: the API server by its Service, too, and on its own port without one.
func entityTarget(t *labs.Target, name string, via labs.Via, port string) (err error) {
	if t.Entity, err = parseEntity(name); err != nil {
		return err
	}
	t.Via = labs.ViaIP
	if t.Entity != labs.EntityAPIServer {
		return numericPort(t, port)
	}
	if via == labs.ViaService || via == labs.ViaCluster {
		t.Via = via
		port = cmp.Or(port, strconv.Itoa(labs.APIServicePort))
	}
	if port == "" {
		return nil
	}
	return numericPort(t, port)
}

func numericPort(t *labs.Target, port string) error {
	if strings.HasPrefix(t.Protocol, "ICMP") {
		return nil
	}
	if port == "" {
		return fmt.Errorf("%s: say which port, as in %[1]s:443", engine.TargetName(*t))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port %q: want a number from 1 to 65535", port)
	}
	t.Port = int(n)
	return nil
}

// appPort sets the port of an app by its name or number, as the client dials it.
func appPort(t *labs.Target, app *labs.App, port string) error {
	if strings.HasPrefix(t.Protocol, "ICMP") {
		return nil
	}
	set := func(p *labs.Port) {
		t.Port, t.PortName = app.Dialed(*p, t.Via), p.Name
		if t.Protocol == "" {
			t.Protocol = p.Protocol
		}
	}
	if port == "" && len(app.Ports) == 1 {
		set(&app.Ports[0])
		return nil
	}
	have := make([]string, len(app.Ports))
	for i := range app.Ports {
		p := &app.Ports[i]
		if port != "" && port == p.Name {
			set(p)
			return nil
		}
		have[i] = fmt.Sprintf("%s (%d)", p.Name, p.Port)
	}
	switch {
	case port == "" && len(app.Ports) == 0:
		return fmt.Errorf("the app %s has no port: say which number, as in %[1]s:80", app.Name)
	case port == "":
		return fmt.Errorf("the app %[1]s has the ports %[2]s: say which, as in %[1]s:%[3]d", app.Name, strings.Join(have, ", "), app.Ports[0].Port)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("the app %s has no port %q; it has %s", app.Name, port, strings.Join(have, ", "))
	}
	t.Port = int(n)
	return nil
}

// findApp finds an app by its name, or by namespace and name, as reports write it where they name any pod.
func findApp(lab *labs.Lab, name string) *labs.App {
	if i := slices.IndexFunc(lab.Apps, func(a labs.App) bool {
		return a.Name == name || a.Namespace+"/"+a.Name == name
	}); i >= 0 {
		return &lab.Apps[i]
	}
	return nil
}

// findExternal finds an external by its name, or as reports write it: "external internet".
func findExternal(lab *labs.Lab, name string) *labs.External {
	name = strings.TrimPrefix(name, "external ")
	if i := slices.IndexFunc(lab.Externals, func(e labs.External) bool { return e.Name == name }); i >= 0 {
		return &lab.Externals[i]
	}
	return nil
}

func unknown(lab *labs.Lab, name string) error {
	var have []string
	for i := range lab.Apps {
		have = append(have, lab.Apps[i].Name)
	}
	for i := range lab.Externals {
		have = append(have, lab.Externals[i].Name)
	}
	return fmt.Errorf("the lab %s has no app or external %q; it has %s (a node is node:NAME, an entity entity:NAME, a look-up dns:NAME)",
		lab.Name, name, strings.Join(have, ", "))
}
