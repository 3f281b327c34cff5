package offline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// topology is a cluster together with where the lab's apps and externals are in it.
type topology struct {
	lab       *labs.Lab
	cluster   *policy.Cluster
	apps      map[string]*app
	externals map[string]*labs.External
	names     map[string][]string // what the DNS outside the cluster knows
	nodes     []node
	applied   []*manifest.Object // kept alive: the cache's key has their addresses

	// clusters are copies of cluster with other labels on namespaces, by those labels.
	clusters *lru.Cache[string, *policy.Cluster]
	// resolved are the connections behind the probes that were asked; a lab asks the same ones again and again.
	resolved sync.Map // engine.Probe → []policy.Probe
}

// app is an app of the lab as it stands in the cluster.
type app struct {
	*labs.App
	pods      []string // "namespace/name"
	clusterIP string
}

func newTopology(lab *labs.Lab, objs []*manifest.Object, cfg policy.Config) (*topology, error) {
	cluster, problems := policy.NewCluster(objs, cfg)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	t := &topology{
		lab:       lab,
		cluster:   cluster.WithSystem(),
		apps:      make(map[string]*app, len(lab.Apps)),
		externals: make(map[string]*labs.External, len(lab.Externals)),
		names:     make(map[string][]string),
	}
	t.clusters, _ = lru.New[string, *policy.Cluster](keptClusters)
	pods := t.cluster.Pods()
	for i := range lab.Apps {
		a := &app{App: &lab.Apps[i]}
		for _, p := range pods {
			if a.owns(&p) {
				a.pods = append(a.pods, p.Namespace+"/"+p.Name)
			}
		}
		a.clusterIP = clusterIP(objs, a.App)
		t.apps[a.Name] = a
	}
	for i := range lab.Externals {
		ext := &lab.Externals[i]
		t.externals[ext.Name] = ext
		for _, host := range ext.Hosts() {
			t.names[host] = ext.Addrs
		}
	}
	t.nodes = nodesOf(objs)
	return t, nil
}

// owns reports whether a pod belongs to the app: it is made by the workload of the app's name, or, with
// manifests that name it otherwise, it has the app's labels.
func (a *app) owns(p *policy.PodInfo) bool {
	if p.Namespace != a.Namespace {
		return false
	}
	if cmp.Or(p.Workload, "Pod/"+p.Name) == a.Workload {
		return true
	}
	_, workload, _ := strings.Cut(p.Workload, "/")
	if workload == a.Name || (workload == "" && p.Name == a.Name) {
		return true
	}
	return len(a.Manifests) > 0 && len(a.Labels) > 0 && maps.Equal(a.Labels, p.Labels)
}

// clusterIP returns the address of the app's service, or "".
func clusterIP(objs []*manifest.Object, app *labs.App) string {
	for _, o := range objs {
		if svc, ok := o.Value.(*corev1.Service); ok && o.Namespace == app.Namespace && o.Name == app.Service && svc.Spec.ClusterIP != corev1.ClusterIPNone {
			return svc.Spec.ClusterIP
		}
	}
	return ""
}

// labelled returns the cluster with labels added to namespaces.
func (t *topology) labelled(labels map[string]map[string]string) *policy.Cluster {
	if len(labels) == 0 {
		return t.cluster
	}
	var key strings.Builder
	for _, ns := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&key, "%q:", ns)
		for _, k := range slices.Sorted(maps.Keys(labels[ns])) {
			fmt.Fprintf(&key, "%q=%q,", k, labels[ns][k])
		}
	}
	if c, ok := t.clusters.Get(key.String()); ok {
		return c
	}
	c := t.cluster.WithNamespaceLabels(labels)
	t.clusters.Add(key.String(), c)
	return c
}

// resolve returns the connections behind a probe: one for each pod of the source, and with targets
// addressed by pod for each pod of the target.
func (t *topology) resolve(p engine.Probe) ([]policy.Probe, error) {
	p.Want = "" // the connections do not depend on it
	if v, ok := t.resolved.Load(p); ok {
		return v.([]policy.Probe), nil
	}
	if err := engine.CheckEnds(p); err != nil {
		return nil, err
	}
	from, err := t.sources(p.From)
	if err != nil {
		return nil, err
	}
	to, err := t.targets(p.To)
	if err != nil {
		return nil, err
	}
	probes := make([]policy.Probe, 0, len(from)*len(to))
	for _, f := range from {
		for _, probe := range to {
			probe.From = f
			placed, err := t.placed(probe)
			if err != nil {
				return nil, err
			}
			probes = append(probes, placed...)
		}
	}
	// A replica does not probe itself while there are others: that connection never leaves the pod.
	if len(from) > 1 && len(to) > 1 {
		probes = slices.DeleteFunc(probes, func(p policy.Probe) bool { return p.From == p.To })
	}
	t.resolved.Store(p, probes)
	return probes, nil
}

func (t *topology) sources(s labs.Source) ([]string, error) {
	switch {
	case s.App != "":
		a, err := t.app(s.App)
		if err != nil {
			return nil, err
		}
		return a.pods, nil
	case s.External != "":
		ext := t.externals[s.External]
		if ext == nil {
			return nil, fmt.Errorf("the lab has no external %q", s.External)
		}
		return prefixed("ip:", ext.Addrs), nil
	case s.Entity != "":
		return []string{"entity:" + string(s.Entity)}, nil
	}
	return []string{"node:" + s.Node}, nil
}

func (t *topology) app(name string) (*app, error) {
	a := t.apps[name]
	if a == nil {
		return nil, fmt.Errorf("the lab has no app %q", name)
	}
	if len(a.pods) == 0 {
		return nil, fmt.Errorf("the app %q has no pod at this checkpoint", name)
	}
	return a, nil
}

// targets returns what a target is to the rule model, without the source.
func (t *topology) targets(to labs.Target) ([]policy.Probe, error) {
	p := policy.Probe{Port: to.Port, Protocol: strings.ToUpper(to.Protocol), ICMPType: to.ICMPType}
	if h := to.HTTP; h != nil {
		p.HTTP = &policy.HTTPProbe{Method: h.Method, Path: h.Path, Headers: h.Headers}
	}
	switch {
	case to.DNS != "":
		p.To, p.DNSQuery = "svc:kube-system/kube-dns", to.DNS
		if p.Port == 0 {
			p.Port = 53
		}
		if p.Protocol == "" {
			p.Protocol = "UDP"
		}
	case to.App != "":
		return t.appTargets(to, p)
	case to.External != "":
		return t.externalTargets(to, p)
	case to.Entity != "":
		return t.entityTargets(to, p)
	case to.Node != "":
		p.To = "node:" + to.Node
	default:
		p.To = "ip:" + to.IP
	}
	return []policy.Probe{p}, nil
}

// externalTargets are every name of an external, or every address.
func (t *topology) externalTargets(to labs.Target, p policy.Probe) ([]policy.Probe, error) {
	ext := t.externals[to.External]
	if ext == nil {
		return nil, fmt.Errorf("the lab has no external %q", to.External)
	}
	p.Port = cmp.Or(p.Port, ext.Port)
	if to.IP != "" {
		p.To = "ip:" + to.IP
		return []policy.Probe{p}, nil
	}
	if ext.Host == "" || to.Via == labs.ViaIP {
		return dialling(p, prefixed("ip:", ext.Addrs)), nil
	}
	probes := dialling(p, prefixed("fqdn:", ext.Hosts()))
	for i, host := range ext.Hosts() {
		if p.HTTP != nil {
			request := *p.HTTP
			request.Host = host
			probes[i].HTTP = &request
		}
	}
	return probes, nil
}

// dialling returns a probe once for each target.
func dialling(p policy.Probe, targets []string) []policy.Probe {
	probes := make([]policy.Probe, len(targets))
	for i, to := range targets {
		probes[i] = p
		probes[i].To = to
	}
	return probes
}

func prefixed(prefix string, list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = prefix + s
	}
	return all
}

func (t *topology) appTargets(to labs.Target, p policy.Probe) ([]policy.Probe, error) {
	a, err := t.app(to.App)
	if err != nil {
		return nil, err
	}
	switch to.Via {
	case labs.ViaIP:
		return dialling(p, a.pods), nil
	case labs.ViaCluster:
		if a.clusterIP == "" {
			return nil, fmt.Errorf("the app %q has no service with an address", a.Name)
		}
		p.To = "ip:" + a.clusterIP
	default:
		if a.Service == "" {
			return nil, fmt.Errorf("the app %q has no service", a.Name)
		}
		p.To = "svc:" + a.Namespace + "/" + a.Service
		if p.HTTP != nil {
			p.HTTP.Host = a.Service
		}
	}
	return []policy.Probe{p}, nil
}

// listens reports whether something answers at an app's port. Where the lab builds the app from its ports,
// nothing but these does; manifests declare ports as they like.
func (t *topology) listens(to labs.Target) bool {
	if to.App == "" || to.Via != labs.ViaIP || strings.HasPrefix(strings.ToUpper(to.Protocol), "ICMP") {
		return true
	}
	a := t.apps[to.App]
	if a == nil || len(a.Manifests) > 0 {
		return true
	}
	proto := cmp.Or(strings.ToUpper(to.Protocol), "TCP")
	return slices.ContainsFunc(a.Ports, func(p labs.Port) bool { return p.TargetPort == to.Port && p.Protocol == proto })
}
