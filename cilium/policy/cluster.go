package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Cluster is the state that policies apply to: namespaces, pods, services and nodes. It is immutable and
// may be shared by goroutines.
type Cluster struct {
	cfg        Config
	objects    []*manifest.Object // what it was built from, for WithSystem
	namespaces map[string]map[string]string

	pods      []*pod // by namespace and name
	podByName map[string]*pod
	nodes     []*node
	services  map[string]*service // by "namespace/name"
	owners    map[netip.Addr]owner

	ids *identities
	// identities of what is not a pod
	host, remoteNode   *identity // a node without the API server
	hostAPI, remoteAPI *identity // a node that runs it
	world, worldV6     *identity // outside
	worldAPI           *identity // an API server outside the cluster
	apiServers         map[netip.Addr]bool
	dns                []*pod // the pods behind kube-system/kube-dns
	subjects           int    // identities that policies can select: pods' and hosts'
}

// pod is a pod with an identity of its own, or one in its node's network.
type pod struct {
	ref         string // "namespace/name"
	namespace   string
	name        string
	workload    string
	labels      map[string]string
	account     string
	ips         []netip.Addr
	node        *node
	hostNetwork bool
	ports       []PodPort
	id          *identity
}

// node is a node of the cluster. A cluster without Node objects has one without a name for each
// nodeName that pods have.
type node struct {
	name      string
	labels    map[string]string
	ips       []netip.Addr
	apiServer bool
	host      *identity // as its own subject, with the node's labels
}

// owner is who an address belongs to: one of the three.
type owner struct {
	pod     *pod
	node    *node
	service *service
}

// PodInfo describes a pod of a Cluster.
type PodInfo struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Workload    string            `json:"workload,omitempty"` // "Deployment/web"; empty for a bare Pod
	Labels      map[string]string `json:"labels,omitempty"`
	IPs         []netip.Addr      `json:"ips,omitempty"`
	Node        string            `json:"node,omitempty"`
	HostNetwork bool              `json:"host_network,omitempty"`
	Ports       []PodPort         `json:"ports,omitempty"`
}

// PodPort is a port that a container declares.
type PodPort struct {
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

// NewCluster builds a cluster from its objects; objects of other kinds (policies among them) are
// ignored. What it cannot take as it stands is returned as problems, and then the Cluster is nil.
//
// A Deployment, ReplicaSet or Job with one replica becomes a pod of its name, with more pods "name-1",
// "name-2", …; a StatefulSet "name-0", …; a DaemonSet one pod a node. A workload whose pods (by owner
// reference) are among the objects adds none.
func NewCluster(objs []*manifest.Object, cfg Config) (*Cluster, manifest.Problems) {
	cfg = cfg.withDefaults()
	if err := setUpCilium(cfg); err != nil {
		return nil, manifest.Problems{{Message: err.Error()}}
	}
	b := &builder{
		c: &Cluster{
			cfg:        cfg,
			objects:    objs,
			namespaces: map[string]map[string]string{},
			podByName:  map[string]*pod{},
			services:   map[string]*service{},
			owners:     map[netip.Addr]owner{},
			apiServers: map[netip.Addr]bool{},
			ids:        newIdentities(),
		},
		nodeByName: map[string]*node{},
	}
	b.build(objs)
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	return b.c, nil
}

// dnsService is the service that the pods' resolver asks.
const dnsService = "kube-system/kube-dns"

// builder fills a Cluster.
type builder struct {
	c          *Cluster
	problems   manifest.Problems
	nodeByName map[string]*node
	owned      map[string]bool // "Kind namespace/name" of the workloads whose pods are given
	nextNode   int
	nextV4     uint32
	nextV6     uint32
}

func (b *builder) problem(o *manifest.Object, field, format string, args ...any) {
	b.problems = append(b.problems, manifest.Problem{
		File: o.File, Line: o.LineOf(field), Object: o.Ref().String(), Field: field, Message: fmt.Sprintf(format, args...),
	})
}

func (b *builder) build(objs []*manifest.Object) {
	c := b.c
	for _, o := range objs {
		switch v := o.Value.(type) {
		case *corev1.Namespace:
			b.namespace(o.Name, v.Labels)
		case *corev1.Node:
			b.node(o, v)
		default:
			if o.Namespace != "" && isClusterObject(o) {
				b.namespace(o.Namespace, nil)
			}
		}
	}
	b.findOwned(objs)
	// Pods first: the addresses they bring are not for others.
	for _, o := range objs {
		if v, ok := o.Value.(*corev1.Pod); ok {
			b.bringAddresses(o, v)
		}
	}
	for _, o := range objs {
		b.workload(o)
	}
	slices.SortFunc(c.pods, func(x, y *pod) int {
		return cmp.Or(strings.Compare(x.namespace, y.namespace), strings.Compare(x.name, y.name))
	})
	for _, o := range objs {
		if v, ok := o.Value.(*corev1.Service); ok {
			b.service(o, v)
		}
	}
	for _, o := range objs {
		if v, ok := o.Value.(*discoveryv1.EndpointSlice); ok {
			b.endpointSlice(o, v)
		}
	}
	b.finish()
}

// isClusterObject reports whether the object is part of a cluster's state rather than a policy.
func isClusterObject(o *manifest.Object) bool {
	switch o.Value.(type) {
	case *corev1.Pod, *corev1.Service, *discoveryv1.EndpointSlice:
		return true
	}
	return template(o.Value) != nil
}

func (b *builder) namespace(name string, labels map[string]string) {
	all, ok := b.c.namespaces[name]
	if !ok {
		all = map[string]string{}
		b.c.namespaces[name] = all
	}
	maps.Copy(all, labels)
	all[labelMetadataName] = name
}

func (b *builder) node(o *manifest.Object, v *corev1.Node) {
	n := b.nodeByName[o.Name]
	if n == nil {
		n = &node{name: o.Name}
		b.nodeByName[o.Name] = n
		b.c.nodes = append(b.c.nodes, n)
	}
	n.labels = v.Labels
	_, n.apiServer = v.Labels["node-role.kubernetes.io/control-plane"]
	for i, a := range v.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		addr, err := netip.ParseAddr(a.Address)
		if err != nil {
			b.problem(o, fmt.Sprintf("status.addresses[%d].address", i), "%q is not an IP address", a.Address)
			continue
		}
		n.ips = append(n.ips, addr.Unmap())
	}
}

// finish gives addresses to what brings none and identities to everything.
func (b *builder) finish() {
	c := b.c
	for _, n := range c.nodes {
		for _, ip := range n.ips {
			c.owners[ip] = owner{node: n}
		}
	}
	for i, n := range c.nodes {
		if len(n.ips) == 0 && n.name != "" {
			addr := netip.AddrFrom4([4]byte{172, 18, byte((i + 2) >> 8), byte(i + 2)})
			if _, taken := c.owners[addr]; !taken {
				n.ips = []netip.Addr{addr}
				c.owners[addr] = owner{node: n}
			}
		}
		// The API server's addresses are known exactly where the default/kubernetes slice is given.
		if len(c.apiServers) > 0 {
			n.apiServer = slices.ContainsFunc(n.ips, func(a netip.Addr) bool { return c.apiServers[a] })
		}
	}
	for _, p := range c.pods {
		switch {
		case p.hostNetwork:
			p.ips = p.node.ips
		case len(p.ips) == 0:
			p.ips = b.freePodAddresses()
			for _, ip := range p.ips {
				c.owners[ip] = owner{pod: p}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.services)) {
		b.clusterIP(c.services[key])
	}
	c.identify()
}

// identify gives every pod and node its identity, and finds what stands behind the services.
func (c *Cluster) identify() {
	for _, n := range c.nodes {
		n.host = c.ids.nodeSubject(n, c.cfg.ClusterName)
	}
	for _, p := range c.pods {
		if p.hostNetwork {
			p.id = p.node.host
			continue
		}
		p.id = c.ids.pod(p.labels, p.namespace, c.namespaces[p.namespace], p.account, c.cfg.ClusterName)
	}
	c.subjects = len(c.ids.list)
	c.host, c.remoteNode = c.ids.node(identityHost, false), c.ids.node(identityRemoteNode, false)
	c.hostAPI, c.remoteAPI = c.ids.node(identityHost, true), c.ids.node(identityRemoteNode, true)
	c.world, c.worldV6 = c.ids.world(false, c.cfg.IPv6, false), c.ids.world(true, c.cfg.IPv6, false)
	c.worldAPI = c.ids.world(false, c.cfg.IPv6, true)
	for _, s := range c.services {
		s.resolve(c)
	}
	c.dns = nil
	if s := c.services[dnsService]; s != nil {
		for _, be := range s.endpoints {
			if be.pod != nil {
				c.dns = append(c.dns, be.pod)
			}
		}
	}
}

func (b *builder) freePodAddresses() []netip.Addr {
	var ips []netip.Addr
	for {
		b.nextV4++
		n := b.nextV4
		addr := netip.AddrFrom4([4]byte{10, 244, byte(n >> 8), byte(n)})
		if n > 0xffff {
			addr = netip.AddrFrom4([4]byte{10, 128 + byte(n>>16)&0x3f, byte(n >> 8), byte(n)})
		}
		if _, taken := b.c.owners[addr]; !taken {
			ips = append(ips, addr)
			break
		}
	}
	for b.c.cfg.IPv6 {
		b.nextV6++
		n := b.nextV6
		addr := netip.AddrFrom16([16]byte{0xfd, 0x00, 0x00, 0x10, 0x02, 0x44, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
		if _, taken := b.c.owners[addr]; !taken {
			ips = append(ips, addr)
			break
		}
	}
	return ips
}

// Pods returns the cluster's pods, by namespace and name.
func (c *Cluster) Pods() []PodInfo {
	infos := make([]PodInfo, len(c.pods))
	for i, p := range c.pods {
		infos[i] = PodInfo{
			Namespace: p.namespace, Name: p.name, Workload: p.workload, Labels: p.labels, IPs: p.ips,
			HostNetwork: p.hostNetwork, Ports: p.ports,
		}
		if p.node != nil {
			infos[i].Node = p.node.name
		}
	}
	return infos
}

// Namespaces returns the labels of every namespace, among them kubernetes.io/metadata.name.
func (c *Cluster) Namespaces() map[string]map[string]string {
	all := make(map[string]map[string]string, len(c.namespaces))
	for name, labels := range c.namespaces {
		all[name] = maps.Clone(labels)
	}
	return all
}

// HasDNS reports whether the cluster has pods that serve its DNS. Without them names are not looked up:
// a service is reached by its address.
func (c *Cluster) HasDNS() bool { return len(c.dns) > 0 }

// WithNamespaceLabels returns a copy of the cluster in which the namespaces have the labels too. A
// namespace that the cluster does not have is ignored.
func (c *Cluster) WithNamespaceLabels(add map[string]map[string]string) *Cluster {
	changed := map[string]bool{}
	namespaces := maps.Clone(c.namespaces)
	for name, labels := range add {
		old, ok := namespaces[name]
		if !ok {
			continue
		}
		merged := maps.Clone(old)
		maps.Copy(merged, labels)
		merged[labelMetadataName] = name
		if !maps.Equal(old, merged) {
			namespaces[name] = merged
			changed[name] = true
		}
	}
	if len(changed) == 0 {
		return c
	}
	d := c.clone()
	d.namespaces = namespaces
	d.ids = &identities{byKey: map[string]*identity{}, relevant: maps.Clone(c.ids.relevant)}
	d.identify()
	return d
}

// clone returns a copy whose namespaces, pods, nodes and services are its own.
func (c *Cluster) clone() *Cluster {
	d := *c
	d.namespaces = maps.Clone(c.namespaces)
	d.nodes = make([]*node, len(c.nodes))
	d.pods = make([]*pod, len(c.pods))
	d.podByName = make(map[string]*pod, len(c.pods))
	d.owners = make(map[netip.Addr]owner, len(c.owners))
	d.services = make(map[string]*service, len(c.services))
	nodes, pods, services := map[*node]*node{}, map[*pod]*pod{}, map[*service]*service{}
	for i, n := range c.nodes {
		m := *n
		d.nodes[i], nodes[n] = &m, &m
	}
	for i, p := range c.pods {
		q := *p
		q.node = nodes[p.node]
		d.pods[i], pods[p] = &q, &q
		d.podByName[q.ref] = &q
	}
	for key, s := range c.services {
		t := *s
		d.services[key], services[s] = &t, &t
	}
	for addr, o := range c.owners {
		d.owners[addr] = owner{pod: pods[o.pod], node: nodes[o.node], service: services[o.service]}
	}
	return &d
}
