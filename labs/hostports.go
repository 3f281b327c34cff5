package labs

import (
	"slices"
	"strings"
)

// This file checks the ports that apps take on nodes: a node has each only once.

// nodePort is a port with its protocol.
type nodePort struct {
	number   int
	protocol string
}

// checkNodePorts reports ports of nodes that several Services ask for, and ports of apps in the nodes' network that
// more pods listen on than there are nodes.
func (s *scope) checkNodePorts() {
	services := map[nodePort]*App{}
	hosts := map[nodePort][]*App{}
	for _, name := range s.order["app"] {
		app := s.apps[name]
		for _, p := range app.Ports {
			s.checkNodePort(app, p, services)
			if app.HostNetwork {
				at := nodePort{p.TargetPort, p.Protocol}
				if !slices.Contains(hosts[at], app) {
					s.checkHostPort(app, at, hosts[at])
					hosts[at] = append(hosts[at], app)
				}
			}
		}
	}
}

// checkNodePort reports a port of the nodes that another Service, or port, has.
func (s *scope) checkNodePort(app *App, p Port, taken map[nodePort]*App) {
	at := nodePort{p.NodePort, p.Protocol}
	other := taken[at]
	switch {
	case p.NodePort == 0:
	case other == nil:
		taken[at] = app
	case other == app:
		s.errorf(s.appNodes[app.Name].nameRange(), "Duplicate node port", "Two ports of app %q have the node port %d/%s.",
			app.Name, at.number, at.protocol)
	case other.Namespace != app.Namespace || other.Service != app.Service: // manifests: apps may share a Service
		s.errorf(s.appNodes[app.Name].nameRange(), "Duplicate node port",
			"The apps %q and %q both have the node port %d/%s.", other.Name, app.Name, at.number, at.protocol)
	}
}

// checkHostPort reports an app in the nodes' network that finds no node on which its port is free; earlier are the apps
// with the same port.
func (s *scope) checkHostPort(app *App, at nodePort, earlier []*App) {
	n := s.appNodes[app.Name]
	if app.Node != "" && app.Replicas > 1 {
		s.errorf(n.nameRange(), "Port taken",
			"The %d pods of app %q share the network of node %q, where only one can listen on port %d/%s.",
			app.Replicas, app.Name, app.Node, at.number, at.protocol)
		return
	}
	for _, other := range earlier {
		if mustMeet(app, other) {
			s.errorf(n.nameRange(), "Port taken",
				"The pods of the apps %q and %q are in the network of the same node, where only one can listen on port %d/%s.",
				other.Name, app.Name, at.number, at.protocol)
			return
		}
	}
	if s.clusterNodes == nil || app.Kind() == KindDaemonSet || app.Node != "" {
		return
	}
	pods := 0
	for _, a := range append(earlier, app) {
		if a.Kind() != KindDaemonSet && a.Node == "" {
			pods += a.Replicas
		}
	}
	if nodes := s.workers(); pods > nodes {
		s.errorf(n.nameRange(), "Port taken",
			"%d pods listen on port %d/%s of their node, but the cluster has room for %d: one per worker.",
			pods, at.number, at.protocol, nodes)
	}
}

// workers is how many nodes the scheduler places pods on.
func (s *scope) workers() int {
	n := 0
	for _, name := range s.clusterNodes {
		if !strings.HasPrefix(name, "control-plane") {
			n++
		}
	}
	return max(n, 1) // a cluster of one node runs pods on it
}

// mustMeet reports whether pods of two apps are on the same node for certain. A DaemonSet of an app block is on every
// node; one of manifests may leave some out.
func mustMeet(a, b *App) bool {
	everywhere := func(app *App) bool { return app.Kind() == KindDaemonSet && len(app.Manifests) == 0 }
	return a.Node != "" && a.Node == b.Node || everywhere(a) || everywhere(b)
}
