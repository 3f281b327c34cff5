package engine

import (
	"github.com/labctl/labctl/labs"
)

// Connections returns the connections that matter in a lab, whether an objective asks for them or not: from every
// app to every port of every app (by the service's name and by the pods' addresses), to every external (by
// name and by address), and to the cluster's DNS. None has a verdict that it wants.
func Connections(lab *labs.Lab) []Probe {
	var targets []labs.Target
	for i := range lab.Apps {
		app := &lab.Apps[i]
		for _, p := range app.Ports {
			t := labs.Target{App: app.Name, PortName: p.Name, Protocol: p.Protocol}
			if app.Service != "" {
				t.Via, t.Port = labs.ViaService, app.Dialed(p, labs.ViaService)
				targets = append(targets, t)
			}
			t.Via, t.Port = labs.ViaIP, p.TargetPort
			if t.Port == 0 {
				t.Port = p.Port
			}
			targets = append(targets, t)
		}
	}
	name := "kubernetes.default.svc.cluster.local"
	for i := range lab.Externals {
		ext := &lab.Externals[i]
		t := labs.Target{External: ext.Name, Port: ext.Port, Protocol: ext.Protocol}
		if ext.Host != "" {
			targets = append(targets, t)
			name = ext.Host
		}
		t.Via = labs.ViaIP
		targets = append(targets, t)
	}
	for _, protocol := range []string{"UDP", "TCP"} {
		targets = append(targets, labs.Target{DNS: name, Port: 53, Protocol: protocol})
	}
	var flows []Probe
	for i := range lab.Apps {
		from := &lab.Apps[i]
		for _, to := range targets {
			if to.App == from.Name && from.SinglePod() {
				continue // a pod always reaches itself
			}
			flows = append(flows, Probe{From: labs.Source{App: from.Name}, To: to})
		}
	}
	return flows
}
