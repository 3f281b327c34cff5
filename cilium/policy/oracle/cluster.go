package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// The alphabets are small on purpose: selectors, ports and addresses then meet often enough that about
// as many probes are dropped as allowed.
var (
	podLabels = map[string][]string{
		"app":  {"web", "api", "db"},
		"tier": {"front", "back"},
		"ver":  {"v1", "v2"},
	}
	podLabelKeys = []string{"app", "tier", "ver"}
	nsLabels     = map[string][]string{
		"env":  {"prod", "dev"},
		"team": {"a", "b"},
	}
	nsLabelKeys = []string{"env", "team"}

	// oddLabels are keys that Cilium's label filter drops, keeps against its own rule, or that look reserved.
	oddLabels = []struct{ key, value string }{
		{"statefulset.kubernetes.io/pod-name", "web-0"},
		{"apps.kubernetes.io/pod-index", "0"},
		{"pod-template-hash", "abc12"},
		{"controller-revision-hash", "abc12"},
		{"app.kubernetes.io/name", "web"},
		{"topology.kubernetes.io/zone", "z1"},
		{"kubernetes.io/arch", "amd64"},
		{"k8s.io/thing", "x"},
		{"node.k8s.io/thing", "x"},
		{"beta.kubernetes.io/os", "linux"},
		{"foo.beta.kubernetes.io/os", "linux"},
		{"io.kubernetes.other", "x"},
		{"io.kubernetes.pod.namespace", "prod"},
		{"io.cilium.k8s.policy.cluster", "other"},
		{"io.cilium.k8s.namespace.labels.env", "prod"},
		{"io.cilium.k8s.policy.serviceaccount", "robot"},
		{"controller-uid", "1"},
		{"annotation.x", "y"},
		{"reserved.host", "true"},
		{"host", "true"},
		{"world", "true"},
		{"any", "x"},
		{"app.kubernetes.io/part-of", "shop"},
	}

	portNumbers = []int{80, 8080, 8081, 8085, 8090, 9090, 443, 5432, 53}
	portNames   = []string{"http", "web", "metrics", "dns", "dns-tcp", "sctp-x"}

	outsideV4 = []string{
		"203.0.113.7", "203.0.113.9", "203.0.113.200", "198.51.100.1", "192.168.1.1", "8.8.8.8", "10.99.0.1",
		"172.18.0.77", "10.0.200.1",
	}
	outsideV6 = []string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", "2606:4700::1111", "fd00:99::1"}

	cidrsV4 = []string{
		"0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "203.0.113.0/24", "203.0.113.0/28", "203.0.113.7/32",
		"203.0.113.8/29", "198.51.100.0/24", "192.168.0.0/16", "172.18.0.0/16", "8.8.8.8/32", "8.0.0.0/6",
	}
	cidrsV6 = []string{"::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1/128", "fd00::/8", "2606:4700::/32"}

	dnsNames = []string{
		"example.com", "api.example.com", "www.example.com", "db.example.org", "deep.api.example.com", "example.org",
	}
)

// controlPlane is the label of the nodes that run the API server.
const controlPlane = "node-role.kubernetes.io/control-plane"

type containerPort struct {
	name     string
	number   int
	protocol string
}

type pod struct {
	kind            string // Pod, or the workload that makes it
	owner           string // the workload's name
	hostNetwork     bool
	namespace, name string
	labels          map[string]string
	serviceAccount  string
	ips             []string
	node            string
	ports           []containerPort
	unready         bool
}

func (p *pod) ref() string { return p.namespace + "/" + p.name }

type servicePort struct {
	name     string
	port     int
	target   any // int, string or nil for the port itself
	protocol string
}

type service struct {
	namespace, name string
	labels          map[string]string
	selector        map[string]string // none: endpoints holds its addresses
	clusterIP       string            // "None": headless
	ports           []servicePort
	endpoints       []string
	// sliced: endpoints, with their conditions, are what a slice says of a service with a selector.
	sliced     bool
	conditions []object // of each endpoint; nil: none
	notReady   bool     // publishNotReadyAddresses
}

func (s *service) ref() string { return s.namespace + "/" + s.name }

type namespace struct {
	name   string
	labels map[string]string
}

type node struct {
	name   string
	ips    []string
	labels map[string]string
}

// cluster is what the generator knows of the cluster when it writes policies and probes.
type cluster struct {
	dual       bool // IPv4 and IPv6
	namespaces []*namespace
	nodes      []*node
	pods       []*pod
	services   []*service
	names      map[string][]string // dns
}

// generator writes one case from one source of randomness.
type generator struct {
	*rand.Rand
	c *cluster
	// hot are the ports and port names of this case: with fewer, rules and connections meet more often.
	hot      []int
	hotNames []string
	services int // how many were made
}

// number draws a port, name the name of one.
func (g *generator) number() int {
	if g.chance(0.9) {
		return pick(g, g.hot)
	}
	return pick(g, portNumbers)
}

func (g *generator) portName() string {
	if g.chance(0.9) {
		return pick(g, g.hotNames)
	}
	return pick(g, portNames)
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// some picks n different elements, keeping the order of from.
func some[T any](g *generator, from []T, n int) []T {
	n = min(n, len(from))
	keep := g.Perm(len(from))[:n]
	slices.Sort(keep)
	out := make([]T, n)
	for i, k := range keep {
		out[i] = from[k]
	}
	return out
}

// weighted returns the index of one of the weights, in proportion.
func (g *generator) weighted(weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := g.IntN(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	return len(weights) - 1
}

func (g *generator) cluster() *cluster {
	c := &cluster{dual: g.chance(0.25), names: map[string][]string{}}
	g.c = c
	g.hot = some(g, portNumbers, 4)
	if !slices.Contains(g.hot, 80) && !slices.Contains(g.hot, 8080) {
		g.hot[0] = 80 // where HTTP rules and requests go
	}
	g.hotNames = some(g, portNames, 3)
	for _, name := range append([]string{"default"}, some(g, []string{"prod", "dev", "monitoring"}, 1+g.IntN(3))...) {
		ns := &namespace{name: name, labels: map[string]string{}}
		for _, key := range nsLabelKeys {
			if g.chance(0.6) {
				ns.labels[key] = pick(g, nsLabels[key])
			}
		}
		if g.chance(0.3) {
			ns.labels["kubernetes.io/metadata.name"] = name
		}
		if g.chance(0.1) {
			odd := pick(g, oddLabels)
			ns.labels[odd.key] = odd.value
		}
		c.namespaces = append(c.namespaces, ns)
	}
	for i := range 1 + g.IntN(2) {
		n := &node{
			name: fmt.Sprintf("node-%d", i+1), ips: []string{fmt.Sprintf("172.18.0.%d", i+2)},
			labels: map[string]string{"kubernetes.io/os": "linux"},
		}
		if i == 0 && g.chance(0.5) {
			n.labels[controlPlane] = ""
		}
		if c.dual {
			n.ips = append(n.ips, fmt.Sprintf("fc00:f853::%d", i+2))
		}
		c.nodes = append(c.nodes, n)
	}
	for i := range 4 + g.IntN(5) {
		c.pods = append(c.pods, g.pods(i)...)
	}
	for i := range g.IntN(4) {
		c.services = append(c.services, g.service(i))
	}
	g.dns()
	return c
}

func (g *generator) pod(i int, ns string) *pod {
	p := &pod{namespace: ns, labels: map[string]string{}, node: pick(g, g.c.nodes).name}
	for _, key := range podLabelKeys {
		if g.chance(0.75) {
			p.labels[key] = pick(g, podLabels[key])
		}
	}
	if g.chance(0.2) {
		odd := pick(g, oddLabels)
		p.labels[odd.key] = odd.value
	}
	if g.chance(0.03) {
		p.labels["app"] = ""
	}
	p.name = fmt.Sprintf("pod-%d", i)
	p.ips = g.podIPs(i)
	if g.chance(0.25) {
		p.serviceAccount = pick(g, []string{"robot", "default"})
	}
	p.unready = g.chance(0.15)
	names := some(g, g.hotNames, g.IntN(4))
	for _, name := range names {
		port := containerPort{name: name, number: g.number(), protocol: "TCP"}
		if port.number == 53 && (name == "http" || name == "web") {
			// HTTP and DNS rules on one port would fight for its redirect, and which of them Cilium lets win
			// depends on the order of a Go map.
			port.number = 80
		}
		switch {
		case name == "dns" || g.chance(0.1):
			port.protocol = "UDP"
		case name == "sctp-x":
			port.protocol = "SCTP"
		}
		p.ports = append(p.ports, port)
	}
	if g.chance(0.4) {
		p.ports = append(p.ports, containerPort{number: g.number()})
	}
	return p
}

// pods draws a pod or the pods of a workload. A workload's have no address in the manifests.
func (g *generator) pods(i int) []*pod {
	p := g.pod(i, pick(g, g.c.namespaces).name)
	replicas, first := 1, 1
	switch g.weighted(20, 2, 2, 2, 1) {
	case 0:
		p.kind = "Pod"
		if g.chance(0.06) {
			p.hostNetwork = true
			for _, n := range g.c.nodes {
				if n.name == p.node {
					p.ips = n.ips
				}
			}
		}
		return []*pod{p}
	case 1:
		p.kind = "Deployment"
	case 2:
		p.kind, replicas = "Deployment", 2
	case 3:
		p.kind, replicas, first = "StatefulSet", 1+g.IntN(2), 0
	case 4:
		p.kind = "DaemonSet"
	}
	p.owner, p.ips = p.name, nil
	if p.kind == "DaemonSet" {
		var out []*pod
		for _, n := range g.c.nodes {
			one := *p
			one.name, one.node = p.owner+"-"+n.name, n.name
			out = append(out, &one)
		}
		return out
	}
	if p.kind == "Deployment" && replicas == 1 {
		return []*pod{p}
	}
	var out []*pod
	for k := range replicas {
		one := *p
		one.name = fmt.Sprintf("%s-%d", p.owner, first+k)
		out = append(out, &one)
	}
	return out
}

func (g *generator) podIPs(i int) []string {
	ips := []string{fmt.Sprintf("10.0.%d.%d", i%3, 10+i)}
	if g.c.dual {
		ips = append(ips, fmt.Sprintf("fd00:10:%d::%x", i%3, 16+i))
	}
	return ips
}

func (g *generator) service(i int) *service {
	s := &service{namespace: pick(g, g.c.namespaces).name, name: fmt.Sprintf("svc-%d", i), labels: map[string]string{}}
	if g.chance(0.5) {
		s.labels["app"] = pick(g, podLabels["app"])
	}
	g.services++
	s.clusterIP = fmt.Sprintf("10.96.0.%d", 20+g.services)
	if g.chance(0.2) {
		s.clusterIP = "None"
	}
	for j, number := range some(g, g.hot, 1+g.IntN(2)) {
		port := servicePort{name: fmt.Sprintf("p%d", j), port: number, protocol: "TCP"}
		switch g.weighted(4, 4, 3) {
		case 0:
			port.target = g.number()
		case 1:
			port.target = g.portName()
			if port.target == "dns" {
				port.protocol = "UDP"
			}
		}
		s.ports = append(s.ports, port)
	}
	if g.chance(0.25) {
		s.endpoints = some(g, outsideV4, 1+g.IntN(2))
		for j := range s.ports {
			s.ports[j].target = nil
		}
		return s
	}
	s.selector = map[string]string{"app": pick(g, podLabels["app"])}
	s.notReady = g.chance(0.1)
	if g.chance(0.25) {
		g.slice(s)
	}
	if g.chance(0.3) {
		s.selector["tier"] = pick(g, podLabels["tier"])
	}
	return s
}

// dns adds the cluster's name server and the names of the outside. Every case has it: what a cluster
// without one does is not Cilium's to say.
func (g *generator) dns() {
	g.c.namespaces = append(g.c.namespaces, &namespace{name: "kube-system", labels: map[string]string{}})
	for i := range 1 + g.IntN(2) {
		server := &pod{
			kind: "Pod", namespace: "kube-system", name: fmt.Sprintf("coredns-%d", i), node: pick(g, g.c.nodes).name,
			labels:         map[string]string{"k8s-app": "kube-dns"},
			serviceAccount: "coredns",
			ips:            []string{fmt.Sprintf("10.0.0.%d", 200+i)},
			ports:          []containerPort{{"dns", 53, "UDP"}, {"dns-tcp", 53, "TCP"}, {"metrics", 9153, "TCP"}},
		}
		if g.c.dual {
			server.ips = append(server.ips, fmt.Sprintf("fd00:10::%x", 200+i))
		}
		g.c.pods = append(g.c.pods, server)
	}
	g.c.services = append(g.c.services, &service{
		namespace: "kube-system", name: "kube-dns", clusterIP: "10.96.0.10",
		labels:   map[string]string{"k8s-app": "kube-dns"},
		selector: map[string]string{"k8s-app": "kube-dns"},
		ports:    []servicePort{{"dns", 53, 53, "UDP"}, {"dns-tcp", 53, 53, "TCP"}},
	})
	for _, name := range some(g, dnsNames, 1+g.IntN(4)) {
		g.c.names[name] = some(g, outsideV4, 1+g.IntN(2))
		if g.c.dual && g.chance(0.4) {
			g.c.names[name] = append(g.c.names[name], pick(g, outsideV6))
		}
	}
}

// slice gives a service with a selector a slice that lists what the selector may not select.
func (g *generator) slice(s *service) {
	addresses := slices.Clone(outsideV4)
	for _, p := range g.c.pods {
		if p.kind == "Pod" { // a workload's pods have no address in the manifests
			addresses = append(addresses, p.ips[0])
		}
	}
	slices.Sort(addresses)
	s.sliced, s.endpoints = true, some(g, slices.Compact(addresses), g.IntN(4))
	for range s.endpoints {
		var conditions object
		for _, key := range []string{"ready", "serving", "terminating"} {
			if g.chance(0.4) {
				if conditions == nil {
					conditions = object{}
				}
				conditions[key] = g.chance(0.5)
			}
		}
		s.conditions = append(s.conditions, conditions)
	}
}

// userPods are the pods that are not the name server.
func (c *cluster) userPods() []*pod {
	var out []*pod
	for _, p := range c.pods {
		if p.namespace != "kube-system" {
			out = append(out, p)
		}
	}
	return out
}

// spec is the pod's spec as its manifest or its workload's has it.
func (p *pod) spec() object {
	container := object{"name": "main", "image": "registry.k8s.io/pause:3.10"}
	var ports []any
	for _, port := range p.ports {
		entry := object{"containerPort": port.number}
		if port.name != "" {
			entry["name"] = port.name
		}
		if port.protocol != "" {
			entry["protocol"] = port.protocol
		}
		ports = append(ports, entry)
	}
	if ports != nil {
		container["ports"] = ports
	}
	spec := object{"nodeName": p.node, "containers": []any{container}}
	if p.hostNetwork {
		spec["hostNetwork"] = true
	}
	if p.serviceAccount != "" {
		spec["serviceAccountName"] = p.serviceAccount
	}
	return spec
}

func meta(ns, name string, labels map[string]string) object {
	m := object{"name": name}
	if ns != "" {
		m["namespace"] = ns
	}
	if len(labels) > 0 {
		m["labels"] = strings2any(labels)
	}
	return m
}

func strings2any(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func list[T any](from []T) []any {
	out := make([]any, len(from))
	for i, v := range from {
		out[i] = v
	}
	return out
}

// manifests is the cluster as a user would write it down.
func (c *cluster) manifests() []object {
	var out []object
	for _, ns := range c.namespaces {
		out = append(out, object{"apiVersion": "v1", "kind": "Namespace", "metadata": meta("", ns.name, ns.labels)})
	}
	for _, n := range c.nodes {
		var addresses []any
		for _, ip := range n.ips {
			addresses = append(addresses, object{"type": "InternalIP", "address": ip})
		}
		out = append(out, object{"apiVersion": "v1", "kind": "Node", "metadata": meta("", n.name, n.labels),
			"status": object{"addresses": addresses}})
	}
	for i, p := range c.pods {
		spec := p.spec()
		if p.kind == "Pod" {
			var ips []any
			for _, ip := range p.ips {
				ips = append(ips, object{"ip": ip})
			}
			status := object{"podIP": p.ips[0], "podIPs": ips, "phase": "Running"}
			if p.unready {
				status["conditions"] = []any{object{"type": "Ready", "status": "False"}}
			}
			out = append(out, object{
				"apiVersion": "v1", "kind": "Pod", "metadata": meta(p.namespace, p.name, p.labels), "spec": spec,
				"status": status,
			})
			continue
		}
		if i > 0 && c.pods[i-1].owner == p.owner {
			continue // the workload has been written
		}
		labels := strings2any(p.labels)
		labels["owner"] = p.owner
		workload := object{
			"selector": object{"matchLabels": object{"owner": p.owner}},
			"template": object{"metadata": object{"labels": labels}, "spec": spec},
		}
		switch p.kind {
		case "DaemonSet":
			delete(spec, "nodeName")
		case "StatefulSet":
			workload["serviceName"] = p.owner
			fallthrough
		default:
			replicas := 0
			for _, q := range c.pods {
				if q.owner == p.owner {
					replicas++
				}
			}
			workload["replicas"] = replicas
		}
		out = append(out, object{
			"apiVersion": "apps/v1", "kind": p.kind, "metadata": meta(p.namespace, p.owner, nil), "spec": workload,
		})
	}
	for _, s := range c.services {
		var ports []any
		for _, port := range s.ports {
			entry := object{"name": port.name, "port": port.port, "protocol": port.protocol}
			if port.target != nil {
				entry["targetPort"] = port.target
			}
			ports = append(ports, entry)
		}
		spec := object{"clusterIP": s.clusterIP, "ports": ports}
		if s.selector != nil {
			spec["selector"] = strings2any(s.selector)
		}
		if s.notReady {
			spec["publishNotReadyAddresses"] = true
		}
		out = append(out, object{
			"apiVersion": "v1", "kind": "Service", "metadata": meta(s.namespace, s.name, s.labels), "spec": spec,
		})
		if s.selector == nil || s.sliced {
			var slicePorts []any
			for _, port := range s.ports {
				slicePorts = append(slicePorts, object{"name": port.name, "port": port.port, "protocol": port.protocol})
			}
			endpoints := []any{}
			if !s.sliced {
				endpoints = append(endpoints, object{"addresses": list(s.endpoints)})
			}
			for i := range s.conditions {
				e := object{"addresses": []any{s.endpoints[i]}}
				if s.conditions[i] != nil {
					e["conditions"] = s.conditions[i]
				}
				endpoints = append(endpoints, e)
			}
			out = append(out, object{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
				"addressType": "IPv4",
				"metadata":    meta(s.namespace, s.name+"-1", map[string]string{"kubernetes.io/service-name": s.name}),
				"endpoints":   endpoints, "ports": slicePorts})
		}
	}
	return out
}
