package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/labctl/labctl/labs"
)

// ProbeKey is the same for probes that ask the same.
func ProbeKey(p Probe) string {
	t := p.To
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%d|%s|", p.From, p.Want, t.App, t.External, t.Node, t.Entity, t.IP, t.DNS, via(t), t.PortName, t.Port, protocol(t))
	if t.ICMPType != nil {
		fmt.Fprintf(&b, "icmp %d|", *t.ICMPType)
	}
	if h := t.HTTP; h != nil {
		fmt.Fprintf(&b, "%s %s %d %v", h.Method, h.Path, h.Status, h.Headers) // fmt prints maps in key order
	}
	return b.String()
}

// via is how the target is addressed; apps are by the name of their service unless the lab says otherwise.
func via(t labs.Target) labs.Via {
	if t.Via == "" && t.App != "" {
		return labs.ViaService
	}
	return t.Via
}

func protocol(t labs.Target) string {
	if t.Protocol == "" {
		return "TCP"
	}
	return strings.ToUpper(t.Protocol)
}

// TargetName is how reports write a target: "backend:8080", "backend:53/UDP by pod IP", "external internet:443",
// "external internet:443 by IP", "node worker:22", "entity host:10250", "service kubernetes:443", "10.0.0.1:80", "DNS kubernetes.io", "DNS kubernetes.io over TCP".
func TargetName(t labs.Target) string {
	if t.DNS != "" {
		name := "DNS " + t.DNS
		if protocol(t) == "TCP" && t.Protocol != "" {
			name += " over TCP"
		}
		return name
	}
	var name string
	switch {
	case t.App != "":
		name = t.App
	case t.External != "" && t.IP != "":
		name = "external " + t.External + " (" + t.IP + ")"
	case t.External != "":
		name = "external " + t.External
	case t.Node != "":
		name = "node " + t.Node
	case t.Entity != "" && (t.Via == labs.ViaService || t.Via == labs.ViaCluster):
		name = "service " + labs.APIServiceName
	case t.Entity != "":
		name = "entity " + string(t.Entity)
	case strings.Contains(t.IP, ":"):
		name = "[" + t.IP + "]"
	default:
		name = t.IP
	}
	proto := protocol(t)
	switch {
	case strings.HasPrefix(proto, "ICMP"):
		name += " " + proto
		if t.ICMPType != nil {
			name += " type " + strconv.Itoa(*t.ICMPType)
		}
	default:
		if t.Port != 0 {
			name += ":" + strconv.Itoa(t.Port)
		}
		if proto != "TCP" {
			name += "/" + proto
		}
	}
	if h := t.HTTP; h != nil {
		method, path := h.Method, h.Path
		if method == "" {
			method = "GET"
		}
		if path == "" {
			path = "/"
		}
		name += " " + method + " " + path
	}
	switch {
	case t.App != "" && t.Via == labs.ViaIP:
		name += " by pod IP"
	case (t.App != "" || t.Entity != "") && t.Via == labs.ViaCluster:
		name += " by cluster IP"
	case t.External != "" && t.IP == "" && t.Via == labs.ViaIP:
		name += " by IP"
	}
	return name
}

// CheckEnds returns an error for a connection with an entity whose other end does not say which nodes are meant, as labs.Load
// reports it of a lab.
func CheckEnds(p Probe) error {
	switch {
	case p.From.Entity != "" && (p.To.App == "" || p.To.Via != labs.ViaIP):
		return fmt.Errorf("a connection from %s goes to the pods of an app, by their addresses (ip)", p.From)
	case (p.To.Entity == labs.EntityHost || p.To.Entity == labs.EntityRemoteNode) && p.From.App == "":
		return fmt.Errorf("which node the entity %s is depends on the pod that connects, and %s is none", p.To.Entity, p.From)
	}
	return nil
}

// LooksUpName reports whether the target's name is looked up before the connection.
func LooksUpName(t labs.Target) bool {
	switch {
	case t.DNS != "":
		return true
	case t.App != "":
		return via(t) == labs.ViaService
	}
	if t.Entity != "" {
		return t.Via == labs.ViaService
	}
	return t.External != "" && t.IP == "" && t.Via != labs.ViaIP
}
