package main

import (
	"fmt"
	"net/netip"
)

func isV4(address string) bool {
	if prefix, err := netip.ParsePrefix(address); err == nil {
		return prefix.Addr().Is4()
	}
	addr, err := netip.ParseAddr(address)
	return err == nil && addr.Is4()
}

// within says whether prefix a lies inside prefix b (or is it).
func within(a, b string) bool {
	pa, errA := netip.ParsePrefix(a)
	pb, errB := netip.ParsePrefix(b)
	return errA == nil && errB == nil && pa.Bits() >= pb.Bits() && pb.Contains(pa.Addr())
}

// probes draws n connections between everything that the contract can name.
func (g *generator) probes(n int) []Probe {
	ports := append([]int{}, portNumbers...)
	for _, p := range g.hot { // around the ends of the ranges that policies use
		ports = append(ports, p+1, p+2, p+5, p+6, p+10, p+11)
	}
	ports = append(ports, 9153, 1, 65535, 6432, 6433)
	out := make([]Probe, 0, n)
	for len(out) < n {
		out = append(out, g.probe(ports))
	}
	return out
}

func (g *generator) probe(ports []int) Probe {
	p := Probe{}
	from, to := pick(g, g.c.userPods()), pick(g, g.c.pods)
	switch g.weighted(52, 12, 8, 5, 5, 5, 4, 4, 4) {
	case 0:
		p.From, p.To = from.ref(), to.ref()
	case 1:
		p.From, p.To = from.ref(), "ip:"+g.outside()
	case 2:
		p.From, p.To = "ip:"+g.outside(), to.ref()
	case 3:
		svc := pick(g, g.c.services)
		port := pick(g, svc.ports)
		p.From, p.To, p.Port, p.Protocol = from.ref(), "svc:"+svc.ref(), port.port, port.protocol
		return p
	case 4:
		p.From, p.To = from.ref(), "fqdn:"+g.name()
	case 5:
		p.From, p.To = from.ref(), pick(g, []string{
			"node:" + pick(g, g.c.nodes).name, "entity:host", "entity:remote-node", "entity:kube-apiserver",
			"entity:world",
		})
	case 6:
		p.From, p.To = pick(g, []string{
			"node:" + pick(g, g.c.nodes).name, "entity:host", "entity:remote-node", "entity:kube-apiserver",
			"entity:world",
		}), to.ref()
	case 7:
		// an address that belongs to somebody
		owned := g.owned()
		p.From, p.To = from.ref(), "ip:"+pick(g, owned)
		switch {
		case g.chance(0.2):
			p.From, p.To = p.To, to.ref()
		case g.chance(0.3):
			svc := pick(g, g.c.services)
			if svc.clusterIP == "None" {
				break
			}
			port := pick(g, svc.ports)
			p.To, p.Port, p.Protocol = "ip:"+svc.clusterIP, port.port, port.protocol
			return p
		}
	default:
		p.From, p.To = from.ref(), pick(g, g.c.pods).ref()
		return g.dnsQuery(p)
	}
	g.port(&p, ports)
	return p
}

// dnsQuery asks a name server, or whoever, for a name.
func (g *generator) dnsQuery(p Probe) Probe {
	var servers []*pod
	for _, server := range g.c.pods {
		if server.namespace == "kube-system" {
			servers = append(servers, server)
		}
	}
	switch {
	case g.chance(0.3):
		p.To = "svc:kube-system/kube-dns"
	case g.chance(0.9):
		p.To = pick(g, servers).ref()
	}
	p.Port, p.Protocol, p.DNSQuery = 53, []string{"UDP", "TCP"}[g.weighted(4, 1)], g.name()
	return p
}

// owned lists the addresses of pods and nodes.
func (g *generator) owned() []string {
	var out []string
	for _, p := range g.c.pods {
		out = append(out, p.ips...)
	}
	for _, n := range g.c.nodes {
		out = append(out, n.ips...)
	}
	return out
}

func (g *generator) outside() string {
	if g.c.dual && g.chance(0.3) {
		return pick(g, outsideV6)
	}
	return pick(g, outsideV4)
}

// name draws a name that resolves, now and then one that does not.
func (g *generator) name() string {
	for _, name := range dnsNames {
		if g.c.names[name] != nil && g.chance(0.5) {
			return name
		}
	}
	return pick(g, dnsNames)
}

func (g *generator) port(p *Probe, ports []int) {
	switch g.weighted(18, 4, 1, 2, 10, 1) {
	case 0:
		p.Protocol = "TCP"
		if g.chance(0.3) {
			p.Protocol = ""
		}
	case 1:
		p.Protocol = "UDP"
	case 2:
		p.Protocol = "SCTP"
	case 3:
		p.Protocol = "ICMP"
		types := []int{8, 0, 3, 11}
		if g.c.dual && g.chance(0.4) {
			p.Protocol, types = "ICMPv6", []int{128, 129, 1}
		}
		kind := pick(g, types)
		p.ICMPType = &kind
		return
	case 4:
		p.Protocol = "TCP"
		p.Port = pick(g, []int{80, 8080, 80, 8080, 80, 8080, 8085, pick(g, g.hot)})
		p.HTTP = &HTTPProbe{
			Method: pick(g, []string{"GET", "POST", "HEAD", "PUT"}),
			Path:   pick(g, []string{"/", "/public", "/public/a", "/v1/items", "/admin", "/publicity"}),
		}
		if g.chance(0.3) {
			p.HTTP.Host = pick(g, []string{"shop.example.com", "other.test"})
		}
		if g.chance(0.3) {
			p.HTTP.Headers = map[string]string{pick(g, []string{"X-Token", "x-token"}): pick(g, []string{"abc", "xyz"})}
		}
		return
	case 5:
		p.Protocol, p.Port = "TCP", 443
		p.TLSSNI = pick(g, []string{
			"example.com", "api.example.com", "deep.api.example.com", "shop.example.com", "other.test",
			"API.example.com",
		})
		return
	}
	p.Port = pick(g, g.hot)
	if g.chance(0.35) {
		p.Port = pick(g, ports)
	}
}

// Generate draws the case of a seed: the same seed, the same case, on every machine.
func Generate(seed uint64, probes int) *Case {
	g := newGenerator(seed)
	c := &Case{Seed: seed}
	cl := g.cluster()
	c.Cluster = cl.manifests()
	c.Policies = g.policies()
	c.Probes = ProbeFile{DNS: cl.names, Probes: g.probes(probes)}
	if g.chance(0.06) {
		c.Invalid = g.spoil(c)
	}
	return c
}

// caseName is what a case's folder is called.
func caseName(seed uint64) string { return fmt.Sprintf("case-%016x", seed) }
