package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/k8s"
	slimcorev1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	slimdiscoveryv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/discovery/v1"
	slimmetav1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	ciliumtypes "github.com/cilium/cilium/pkg/types"
)

const clusterName = "default"

var discard = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.Level(100)}))

// setUp configures Cilium's packages as the agent does with the Helm chart's defaults.
var setUp = sync.OnceValue(func() error {
	c := option.Config
	c.ClusterName = clusterName
	c.EnableIPv4 = true
	c.EnableL7Proxy = true
	c.EnableICMPRules = true
	c.EnableNonDefaultDenyPolicies = true
	c.UnsafeDaemonConfigOption.AllowLocalhost = option.AllowLocalhostAlways // what "auto" becomes
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	api.InitEntities(clusterName)
	return labelsfilter.ParseLabelPrefixCfg(discard, nil, nil, "")
})

// decode turns an object of a manifest into a typed value.
func decode(obj object, into any) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func kindOf(obj object) string {
	kind, _ := obj["kind"].(string)
	return kind
}

func nameOf(obj object) string {
	m, _ := obj["metadata"].(object)
	name, _ := m["name"].(string)
	return name
}

// podState is a pod with its endpoint.
type podState struct {
	ref   string
	node  string
	pod   slimcorev1.Pod
	ips   []netip.Addr
	id    *identity.Identity
	ports ciliumtypes.NamedPortMap
	*endpoint
	learntNames []string // nil: not computed yet
	unready     bool
}

type serviceState struct {
	svc    slimcorev1.Service
	slices []slimdiscoveryv1.EndpointSlice
	// notReady is publishNotReadyAddresses, which Cilium does not read: it is for the slice controller.
	notReady bool
}

// kubernetesService adds the service of the API server, which every cluster has.
func (w *world) kubernetesService() {
	const name = "default/kubernetes"
	if w.services[name] != nil {
		return
	}
	s := &serviceState{}
	s.svc.Namespace, s.svc.Name = "default", "kubernetes"
	s.svc.Labels = map[string]string{"component": "apiserver", "provider": "kubernetes"}
	addr := "172.18.255.254" // one that nothing else has
	for _, node := range slices.Sorted(maps.Keys(w.apiNodes)) {
		addr = w.nodes[node][0].String()
		break
	}
	s.slices = []slimdiscoveryv1.EndpointSlice{{
		AddressType: slimdiscoveryv1.AddressTypeIPv4,
		Endpoints:   []slimdiscoveryv1.Endpoint{{Addresses: []string{addr}}},
	}}
	w.services[name] = s
}

// world is the cluster as Cilium's agent would know it.
type world struct {
	dual     bool
	pods     []*podState
	byRef    map[string]*podState
	byIP     map[netip.Addr]*podState
	nodes    map[string][]netip.Addr
	apiNodes map[string]bool // the nodes that run the API server
	nodeOf   map[netip.Addr]string
	services map[string]*serviceState
	vips     map[netip.Addr]*serviceState
	dns      map[string][]netip.Addr

	ids      identity.IdentityMap
	byLabels map[string]*identity.Identity
	apiHost  *identity.Identity
	nextPod  identity.NumericIdentity
	nextCIDR identity.NumericIdentity
	named    ciliumtypes.NamedPortMultiMap

	prefixes []prefixInfo       // what the policies and groups put into the ipcache
	fqdns    []api.FQDNSelector // of all policies
	outside  map[string]*identity.Identity
}

func newWorld(c *Case) (*world, error) {
	w := &world{
		byRef: map[string]*podState{}, byIP: map[netip.Addr]*podState{}, nodes: map[string][]netip.Addr{},
		apiNodes: map[string]bool{}, nodeOf: map[netip.Addr]string{},
		services: map[string]*serviceState{}, vips: map[netip.Addr]*serviceState{}, dns: map[string][]netip.Addr{},
		byLabels: map[string]*identity.Identity{}, outside: map[string]*identity.Identity{},
		nextPod: 1000, nextCIDR: identity.IdentityScopeLocal + 100,
	}
	namespaces := map[string]*slimcorev1.Namespace{}
	var eps []slimdiscoveryv1.EndpointSlice
	var workloads []object
	for _, obj := range c.Cluster {
		switch kindOf(obj) {
		case "Namespace":
			ns := &slimcorev1.Namespace{}
			if err := decode(obj, ns); err != nil {
				return nil, err
			}
			namespaces[ns.Name] = ns
		case "Node":
			var n slimcorev1.Node
			if err := decode(obj, &n); err != nil {
				return nil, err
			}
			if _, ok := n.Labels[controlPlane]; ok {
				w.apiNodes[n.Name] = true
			}
			for _, a := range n.Status.Addresses {
				addr, err := netip.ParseAddr(a.Address)
				if err != nil {
					return nil, err
				}
				w.nodes[n.Name] = append(w.nodes[n.Name], addr)
				w.nodeOf[addr] = n.Name
				w.dual = w.dual || addr.Is6()
			}
		case "Pod":
			p := &podState{}
			if err := decode(obj, &p.pod); err != nil {
				return nil, err
			}
			p.unready = slices.ContainsFunc(p.pod.Status.Conditions, func(c slimcorev1.PodCondition) bool {
				return c.Type == slimcorev1.PodReady && c.Status != slimcorev1.ConditionTrue
			})
			if err := w.addPod(p); err != nil {
				return nil, err
			}
		case "Deployment", "StatefulSet", "DaemonSet":
			workloads = append(workloads, obj)
		case "Service":
			s := &serviceState{}
			if err := decode(obj, &s.svc); err != nil {
				return nil, err
			}
			spec, _ := obj["spec"].(object)
			s.notReady, _ = spec["publishNotReadyAddresses"].(bool)
			w.services[s.svc.Namespace+"/"+s.svc.Name] = s
			if addr, err := netip.ParseAddr(s.svc.Spec.ClusterIP); err == nil {
				w.vips[addr] = s
			}
		case "EndpointSlice":
			var slice slimdiscoveryv1.EndpointSlice
			if err := decode(obj, &slice); err != nil {
				return nil, err
			}
			eps = append(eps, slice)
		}
	}
	for _, obj := range workloads {
		if err := w.workload(obj); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(w.pods, func(a, b *podState) int { return strings.Compare(a.ref, b.ref) })
	for _, slice := range eps {
		if s := w.services[slice.Namespace+"/"+slice.Labels["kubernetes.io/service-name"]]; s != nil {
			s.slices = append(s.slices, slice)
		}
	}
	w.kubernetesService()
	for name, addresses := range c.Probes.DNS {
		for _, a := range addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				return nil, err
			}
			w.dns[name] = append(w.dns[name], addr)
			w.dual = w.dual || addr.Is6()
		}
	}
	for _, p := range c.Probes.Probes {
		for _, end := range []string{p.From, p.To} {
			if ip, ok := strings.CutPrefix(end, "ip:"); ok {
				w.dual = w.dual || !isV4(ip)
			}
		}
	}
	option.Config.EnableIPv6 = w.dual
	w.ids = identity.ListReservedIdentities()
	// The agent of a node that runs the API server gives its host this label too. The engine here serves the
	// agents of all nodes, so that host needs a number of its own, one that is not aggregated.
	w.apiHost = identity.NewIdentity(99, labels.Labels{
		labels.IDNameHost:          labels.NewLabel(labels.IDNameHost, "", labels.LabelSourceReserved),
		labels.IDNameKubeAPIServer: labels.NewLabel(labels.IDNameKubeAPIServer, "", labels.LabelSourceReserved),
	})
	w.ids[w.apiHost.ID] = w.apiHost.LabelArray
	named := ciliumtypes.NewNamedPortMultiMap()
	w.named = named
	for _, p := range w.pods {
		ns := namespaces[p.pod.Namespace]
		if ns == nil {
			ns = &slimcorev1.Namespace{ObjectMeta: slimmetav1.ObjectMeta{Name: p.pod.Namespace}}
		}
		// What the API server adds on creation.
		ns = ns.DeepCopy()
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels["kubernetes.io/metadata.name"] = ns.Name
		if p.pod.Spec.ServiceAccountName == "" {
			p.pod.Spec.ServiceAccountName = "default"
		}
		for i := range p.pod.Spec.Containers {
			for j := range p.pod.Spec.Containers[i].Ports {
				if port := &p.pod.Spec.Containers[i].Ports[j]; port.Protocol == "" {
					port.Protocol = "TCP"
				}
			}
		}
		ports, lbls := k8s.GetPodMetadata(discard, ns, &p.pod)
		kept, _ := labelsfilter.Filter(labels.Map2Labels(lbls, labels.LabelSourceK8s))
		for _, l := range k8s.NamedPortsIdentityLabels(ports) {
			kept[l.Key] = l
		}
		p.ports = ports
		if p.pod.Spec.HostNetwork {
			continue // no endpoint of its own: it is its node
		}
		p.id = w.identity(kept, &w.nextPod)
		named.Update(p.id.ID, nil, ports)
	}
	return w, nil
}

func (w *world) addPod(p *podState) error {
	p.ref, p.node = p.pod.Namespace+"/"+p.pod.Name, p.pod.Spec.NodeName
	for _, ip := range p.pod.Status.PodIPs {
		addr, err := netip.ParseAddr(ip.IP)
		if err != nil {
			return err
		}
		p.ips = append(p.ips, addr)
		if !p.pod.Spec.HostNetwork {
			w.byIP[addr] = p
		}
		w.dual = w.dual || addr.Is6()
	}
	w.pods = append(w.pods, p)
	w.byRef[p.ref] = p
	return nil
}

// workload adds the pods of a workload, named and labelled as labctl's documentation says and as the
// controllers do.
func (w *world) workload(obj object) error {
	var set struct {
		Metadata slimmetav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Replicas *int `json:"replicas"`
			Template struct {
				Metadata slimmetav1.ObjectMeta `json:"metadata"`
				Spec     slimcorev1.PodSpec    `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if err := decode(obj, &set); err != nil {
		return err
	}
	add := func(name, node string, extra map[string]string) error {
		p := &podState{pod: slimcorev1.Pod{
			ObjectMeta: set.Spec.Template.Metadata, Spec: *set.Spec.Template.Spec.DeepCopy(),
		}}
		p.pod.Name, p.pod.Namespace = name, set.Metadata.Namespace
		p.pod.Labels = maps.Clone(p.pod.Labels)
		if p.pod.Labels == nil {
			p.pod.Labels = map[string]string{}
		}
		maps.Copy(p.pod.Labels, extra)
		if node != "" {
			p.pod.Spec.NodeName = node
		}
		return w.addPod(p)
	}
	replicas := 1
	if set.Spec.Replicas != nil {
		replicas = *set.Spec.Replicas
	}
	name := set.Metadata.Name
	switch kindOf(obj) {
	case "DaemonSet":
		for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
			if err := add(name+"-"+node, node, nil); err != nil {
				return err
			}
		}
	case "StatefulSet":
		for i := range replicas {
			one := fmt.Sprintf("%s-%d", name, i)
			if err := add(one, "", map[string]string{
				"statefulset.kubernetes.io/pod-name": one, "apps.kubernetes.io/pod-index": fmt.Sprint(i),
			}); err != nil {
				return err
			}
		}
	default:
		if replicas == 1 {
			return add(name, "", nil)
		}
		for i := range replicas {
			if err := add(fmt.Sprintf("%s-%d", name, i+1), "", nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// identity allocates an identity for labels, once.
func (w *world) identity(lbls labels.Labels, next *identity.NumericIdentity) *identity.Identity {
	key := string(lbls.SortedList())
	if id := w.byLabels[key]; id != nil {
		return id
	}
	id := identity.NewIdentity(*next, lbls)
	*next++
	w.byLabels[key] = id
	w.ids[id.ID] = id.LabelArray
	return id
}

// prefixInfo is what a policy or group says of a prefix.
type prefixInfo struct {
	prefix netip.Prefix
	labels labels.Labels
}

// namesOf lists the names that resolve to an address, sorted.
func (w *world) namesOf(addr netip.Addr) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.dns)) {
		if slices.Contains(w.dns[name], addr) {
			out = append(out, name)
		}
	}
	return out
}

// external is the identity of an address outside the cluster for a client that has learnt the names,
// as the ipcache would hold it: the labels of the longest prefix that anything said something about,
// with those of the prefixes around it, of which only the nearest cidr label stays.
func (w *world) external(addr netip.Addr, learnt []string) *identity.Identity {
	key := addr.String() + " " + strings.Join(learnt, " ")
	if id := w.outside[key]; id != nil {
		return id
	}
	lbls := labels.Labels{}
	for _, name := range learnt {
		for _, sel := range w.fqdns {
			if re, err := sel.ToRegex(); err == nil && re.MatchString(strings.ToLower(name)+".") {
				l := sel.IdentityLabel()
				lbls[l.Key] = l
			}
		}
	}
	found := len(lbls) > 0
	hasCIDR := false
	around := []prefixInfo{}
	for _, p := range w.prefixes {
		if p.prefix.Contains(addr) {
			around = append(around, p)
		}
	}
	slices.SortStableFunc(around, func(a, b prefixInfo) int { return b.prefix.Bits() - a.prefix.Bits() })
	for _, p := range around {
		found = true
		for k, l := range p.labels {
			if l.Source == labels.LabelSourceCIDR {
				if hasCIDR {
					continue
				}
				hasCIDR = true
			}
			if _, ok := lbls[k]; !ok {
				lbls[k] = l
			}
		}
	}
	var id *identity.Identity
	if !found {
		id = identity.LookupReservedIdentity(w.worldID(addr.Is6()))
	} else {
		lbls.AddWorldLabel(addr)
		id = w.identity(lbls, &w.nextCIDR)
	}
	w.outside[key] = id
	return id
}

func (w *world) worldID(v6 bool) identity.NumericIdentity {
	switch {
	case !w.dual:
		return identity.ReservedIdentityWorld
	case v6:
		return identity.ReservedIdentityWorldIPv6
	}
	return identity.ReservedIdentityWorldIPv4
}

// subsets are all subsets of names, the empty one first.
func subsets(names []string) [][]string {
	out := [][]string{nil}
	for _, name := range names {
		for _, s := range out[:len(out):len(out)] {
			out = append(out, append(slices.Clone(s), name))
		}
	}
	for _, s := range out {
		slices.Sort(s)
	}
	return out
}

// allocate makes the identity of every address that a probe can meet, so that the policies are computed
// with all of them known.
func (w *world) allocate(c *Case) error {
	seen := map[netip.Addr]bool{}
	add := func(addr netip.Addr) {
		if seen[addr] || w.byIP[addr] != nil || w.nodeOf[addr] != "" || w.vips[addr] != nil {
			return
		}
		seen[addr] = true
		for _, learnt := range subsets(w.namesOf(addr)) {
			w.external(addr, learnt)
		}
	}
	for _, p := range c.Probes.Probes {
		for _, end := range []string{p.From, p.To} {
			if ip, ok := strings.CutPrefix(end, "ip:"); ok {
				addr, err := netip.ParseAddr(ip)
				if err != nil {
					return fmt.Errorf("probe %s: %w", p, err)
				}
				add(addr)
			}
		}
	}
	for _, addrs := range w.dns {
		for _, addr := range addrs {
			add(addr)
		}
	}
	for _, s := range w.services {
		for _, slice := range s.slices {
			for _, e := range slice.Endpoints {
				for _, a := range e.Addresses {
					if addr, err := netip.ParseAddr(a); err == nil {
						add(addr)
					}
				}
			}
		}
	}
	return nil
}
