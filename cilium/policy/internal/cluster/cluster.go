package cluster

//lint:file-ignore SA1019 Clusters still have Endpoints, and what people write by hand takes effect.

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
	Config          Config
	objects         []*manifest.Object // what it was built from, for WithSystem
	NamespaceLabels map[string]map[string]string

	PodList   []*Pod // by namespace and name
	PodByName map[string]*Pod
	Gone      map[string]string // why a pod, by "namespace/name", has no network
	Nodes     []*Node
	Services  map[string]*Service // by "namespace/name"
	Owners    map[netip.Addr]Owner
	Frontends Frontends

	IDs *Identities
	// identities of what is not a pod
	host, RemoteNode   *Identity // a node without the API server
	hostAPI, RemoteAPI *Identity // a node that runs it
	World, WorldV6     *Identity // outside
	WorldAPI           *Identity // an API server outside the cluster
	APIServers         map[netip.Addr]bool
	KnowsNodes         bool   // the addresses of nodes are given
	hasDNS             bool   // kube-system/kube-dns has pods, ready or not
	DNS                []*Pod // those of them that it leads to
	subjects           int    // identities that policies can select: pods' and hosts'
}

// Pod is a pod with an identity of its own, or one in its node's network.
type Pod struct {
	Ref         string // "namespace/name"
	Namespace   string
	Name        string
	workload    string
	Labels      map[string]string
	Account     string
	IPs         []netip.Addr
	Node        *Node
	Placed      bool // its manifest names the node
	HostNetwork bool
	unready     bool
	terminating bool
	Ports       []PodPort
	ID          *Identity
}

// Node is a node of the cluster. A cluster without Node objects has one without a name for each
// nodeName that pods have.
type Node struct {
	Name      string
	labels    map[string]string
	IPs       []netip.Addr
	APIServer bool
	Host      *Identity // as its own subject, with the node's labels
}

// Owner is who an address belongs to: one of the three.
type Owner struct {
	Pod     *Pod
	Node    *Node
	Service *Service
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

// New builds a cluster from its objects; objects of other kinds (policies among them) are
// ignored. What it cannot take as it stands is returned as problems, and then the Cluster is nil.
//
// A Deployment, ReplicaSet or Job with one replica becomes a pod of its name, with more pods "name-1",
// "name-2", …; a StatefulSet "name-0", …; a DaemonSet one pod a node. A workload whose pods (by owner
// reference) are among the objects adds none.
func New(objs []*manifest.Object, cfg Config) (*Cluster, manifest.Problems) {
	cfg = cfg.WithDefaults()
	if err := SetUpCilium(cfg); err != nil {
		return nil, manifest.Problems{{Message: err.Error()}}
	}
	b := &builder{
		c: &Cluster{
			Config:          cfg,
			objects:         objs,
			NamespaceLabels: map[string]map[string]string{},
			PodByName:       map[string]*Pod{},
			Gone:            map[string]string{},
			Services:        map[string]*Service{},
			Owners:          map[netip.Addr]Owner{},
			APIServers:      map[netip.Addr]bool{},
			Frontends:       newFrontends(),
			IDs:             newIdentities(),
		},
		nodeByName: map[string]*Node{},
		hostIPs:    map[string][]netip.Addr{},
		reserved:   map[netip.Addr]bool{},
	}
	b.build(objs)
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	return b.c, nil
}

// DNSService is the service that the pods' resolver asks.
const DNSService = "kube-system/kube-dns"

// builder fills a Cluster.
type builder struct {
	c          *Cluster
	problems   manifest.Problems
	nodeByName map[string]*Node
	owned      map[string]bool         // "Kind namespace/name" of the workloads whose pods are given
	hostIPs    map[string][]netip.Addr // nodes' addresses as pods tell them
	reserved   map[netip.Addr]bool     // addresses that are not to be invented
	nextNode   int
	nextV4     uint32
	nextV6     uint32
}

func (b *builder) problem(o *manifest.Object, field, format string, args ...any) {
	b.problems = append(b.problems, manifest.Problem{
		File: o.File, Line: o.LineOf(field), Object: o.Ref().String(), Field: field,
		Message: fmt.Sprintf(format, args...),
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
	// Addresses that are given come first: they are not for others.
	for _, o := range objs {
		if v, ok := o.Value.(*corev1.Pod); ok {
			b.noteHost(v)
			b.bringAddresses(o, v)
		}
	}
	for _, o := range objs {
		b.workload(o)
	}
	slices.SortFunc(c.PodList, func(x, y *Pod) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
	for _, o := range objs {
		if v, ok := o.Value.(*corev1.Service); ok {
			b.service(o, v)
		}
	}
	b.kubernetesService()
	for _, o := range objs {
		if v, ok := o.Value.(*discoveryv1.EndpointSlice); ok {
			b.endpointSlice(o, v)
		}
	}
	for _, o := range objs {
		if v, ok := o.Value.(*corev1.Endpoints); ok { //nolint:staticcheck // deprecated, and still in use
			b.endpoints(o, v)
		}
	}
	b.finish()
}

// isClusterObject reports whether the object is part of a cluster's state rather than a policy.
func isClusterObject(o *manifest.Object) bool {
	switch o.Value.(type) {
	case *corev1.Pod, *corev1.Service, *discoveryv1.EndpointSlice, *corev1.Endpoints: //nolint:staticcheck
		return true
	}
	return template(o.Value) != nil
}

func (b *builder) namespace(name string, labels map[string]string) {
	all, ok := b.c.NamespaceLabels[name]
	if !ok {
		all = map[string]string{}
		b.c.NamespaceLabels[name] = all
	}
	maps.Copy(all, labels)
	all[LabelMetadataName] = name
}

func (b *builder) node(o *manifest.Object, v *corev1.Node) {
	n := b.nodeByName[o.Name]
	if n == nil {
		n = &Node{Name: o.Name}
		b.nodeByName[o.Name] = n
		b.c.Nodes = append(b.c.Nodes, n)
	}
	n.labels = v.Labels
	_, n.APIServer = v.Labels["node-role.kubernetes.io/control-plane"]
	for i, a := range v.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		addr, err := netip.ParseAddr(a.Address)
		if err != nil {
			b.problem(o, fmt.Sprintf("status.addresses[%d].address", i), "%q is not an IP address", a.Address)
			continue
		}
		b.nodeAddress(o, fmt.Sprintf("status.addresses[%d].address", i), n, addr.Unmap())
	}
}

// nodeAddress adds an address to a node, and says so if it is another node's.
func (b *builder) nodeAddress(o *manifest.Object, field string, n *Node, addr netip.Addr) {
	if w := b.c.Owners[addr].Node; w != nil && w != n {
		b.problem(o, field, "the nodes %s and %s both have the address %s", w.Name, n.Name, addr)
		return
	}
	if !slices.Contains(n.IPs, addr) {
		n.IPs = append(n.IPs, addr)
	}
	b.c.Owners[addr] = Owner{Node: n}
	b.c.KnowsNodes = true
}

// finish gives addresses to what brings none and identities to everything.
func (b *builder) finish() {
	c := b.c
	for _, n := range c.Nodes {
		if len(n.IPs) > 0 {
			continue
		}
		for _, ip := range b.hostIPs[n.Name] {
			if _, taken := c.Owners[ip]; !taken {
				n.IPs = append(n.IPs, ip)
				c.Owners[ip], c.KnowsNodes = Owner{Node: n}, true
			}
		}
	}
	for i, n := range c.Nodes {
		if len(n.IPs) == 0 && n.Name != "" {
			addr := netip.AddrFrom4([4]byte{172, 18, byte((i + 2) >> 8), byte(i + 2)})
			if b.free(addr) {
				n.IPs = []netip.Addr{addr}
				c.Owners[addr] = Owner{Node: n}
			}
		}
		// The API server's addresses are known exactly where the default/kubernetes slice is given.
		if len(c.APIServers) > 0 {
			n.APIServer = slices.ContainsFunc(n.IPs, func(a netip.Addr) bool { return c.APIServers[a] })
		}
	}
	for _, p := range c.PodList {
		switch {
		case p.HostNetwork:
			p.IPs = p.Node.IPs
		case len(p.IPs) == 0:
			p.IPs = b.freePodAddresses()
			for _, ip := range p.IPs {
				c.Owners[ip] = Owner{Pod: p}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Services)) {
		b.clusterIP(c.Services[key])
	}
	c.identify()
}

// identify gives every pod and node its identity, and finds the backends of the services.
func (c *Cluster) identify() {
	for _, n := range c.Nodes {
		n.Host = c.IDs.nodeSubject(n, c.Config.ClusterName)
	}
	for _, p := range c.PodList {
		if p.HostNetwork {
			p.ID = p.Node.Host
			continue
		}
		p.ID = c.IDs.pod(p.Labels, p.Namespace, c.NamespaceLabels[p.Namespace], p.Account, c.Config.ClusterName)
	}
	c.subjects = len(c.IDs.List)
	c.host, c.RemoteNode = c.IDs.node(HostIdentity, false), c.IDs.node(RemoteNodeIdentity, false)
	c.hostAPI, c.RemoteAPI = c.IDs.node(HostIdentity, true), c.IDs.node(RemoteNodeIdentity, true)
	c.World, c.WorldV6 = c.IDs.world(false, c.Config.IPv6, false), c.IDs.world(true, c.Config.IPv6, false)
	c.WorldAPI = c.IDs.world(false, c.Config.IPv6, true)
	for _, s := range c.Services {
		s.resolve(c)
	}
	c.DNS, c.hasDNS = nil, false
	if s := c.Services[DNSService]; s != nil {
		for _, be := range s.Endpoints {
			if be.Pod == nil {
				continue
			}
			c.hasDNS = true
			if be.state == serving && !slices.Contains(c.DNS, be.Pod) {
				c.DNS = append(c.DNS, be.Pod)
			}
		}
	}
}

// free reports whether an address can be given to what brings none.
func (b *builder) free(addr netip.Addr) bool {
	_, taken := b.c.Owners[addr]
	return !taken && !b.reserved[addr]
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
		if b.free(addr) {
			ips = append(ips, addr)
			break
		}
	}
	for b.c.Config.IPv6 {
		b.nextV6++
		n := b.nextV6
		addr := netip.AddrFrom16([16]byte{
			0xfd, 0x00, 0x00, 0x10, 0x02, 0x44, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n),
		})
		if b.free(addr) {
			ips = append(ips, addr)
			break
		}
	}
	return ips
}

// Pods returns the cluster's pods, by namespace and name.
func (c *Cluster) Pods() []PodInfo {
	infos := make([]PodInfo, len(c.PodList))
	for i, p := range c.PodList {
		infos[i] = PodInfo{
			Namespace: p.Namespace, Name: p.Name, Workload: p.workload, Labels: p.Labels, IPs: p.IPs,
			HostNetwork: p.HostNetwork, Ports: p.Ports,
		}
		if p.Node != nil {
			infos[i].Node = p.Node.Name
		}
	}
	return infos
}

// Namespaces returns the labels of every namespace, among them kubernetes.io/metadata.name.
func (c *Cluster) Namespaces() map[string]map[string]string {
	all := make(map[string]map[string]string, len(c.NamespaceLabels))
	for name, labels := range c.NamespaceLabels {
		all[name] = maps.Clone(labels)
	}
	return all
}

// HasDNS reports whether the cluster has pods that serve its DNS. Without them names are not looked up:
// a service is reached by its address.
func (c *Cluster) HasDNS() bool { return c.hasDNS }

// WithNamespaceLabels returns a copy of the cluster in which the namespaces have the labels too. A
// namespace that the cluster does not have is ignored.
func (c *Cluster) WithNamespaceLabels(add map[string]map[string]string) *Cluster {
	changed := map[string]bool{}
	namespaces := maps.Clone(c.NamespaceLabels)
	for name, labels := range add {
		old, ok := namespaces[name]
		if !ok {
			continue
		}
		merged := maps.Clone(old)
		maps.Copy(merged, labels)
		merged[LabelMetadataName] = name
		if !maps.Equal(old, merged) {
			namespaces[name] = merged
			changed[name] = true
		}
	}
	if len(changed) == 0 {
		return c
	}
	d := c.clone()
	d.NamespaceLabels = namespaces
	d.IDs = &Identities{byKey: map[string]*Identity{}, relevant: maps.Clone(c.IDs.relevant)}
	d.identify()
	return d
}

// clone returns a copy whose namespaces, pods, nodes and services are its own.
func (c *Cluster) clone() *Cluster {
	d := *c
	d.NamespaceLabels = maps.Clone(c.NamespaceLabels)
	d.Nodes = make([]*Node, len(c.Nodes))
	d.PodList = make([]*Pod, len(c.PodList))
	d.PodByName = make(map[string]*Pod, len(c.PodList))
	d.Owners = make(map[netip.Addr]Owner, len(c.Owners))
	d.Services = make(map[string]*Service, len(c.Services))
	nodes, pods, services := map[*Node]*Node{}, map[*Pod]*Pod{}, map[*Service]*Service{}
	for i, n := range c.Nodes {
		m := *n
		d.Nodes[i], nodes[n] = &m, &m
	}
	for i, p := range c.PodList {
		q := *p
		q.Node = nodes[p.Node]
		d.PodList[i], pods[p] = &q, &q
		d.PodByName[q.Ref] = &q
	}
	for key, s := range c.Services {
		t := *s
		d.Services[key], services[s] = &t, &t
	}
	for addr, o := range c.Owners {
		d.Owners[addr] = Owner{Pod: pods[o.Pod], Node: nodes[o.Node], Service: services[o.Service]}
	}
	return &d
}

func (c *Cluster) PodNames() []string {
	names := make([]string, len(c.PodList))
	for i, p := range c.PodList {
		names[i] = p.Ref
	}
	return names
}

func (c *Cluster) NodeNames() []string {
	var names []string
	for _, n := range c.Nodes {
		if n.Name != "" {
			names = append(names, n.Name)
		}
	}
	return names
}
