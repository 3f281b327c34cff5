package live

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// topology is a snapshot of where the lab's apps, nodes and externals are in the cluster.
type topology struct {
	cfg      Config
	apps     map[string]*app
	nodes    []corev1.Node
	api      func() (apiServers, error)
	tampered bool // the pods may not be what the lab deployed
	learn    bool // policies know addresses by their names: these are looked up before an address is tried
}

// app is an app of the lab with its pods that run.
type app struct {
	*labs.App
	pods    []corev1.Pod
	service *corev1.Service // nil: none
}

// connection is one connection behind a probe.
type connection struct {
	from    source
	to      probe.Probe
	servers []string      // names of the pods that may answer; empty: any
	at      string        // the address, name or node, where an end of the probe stands for several
	named   bool          // an address behind a name: of no account if the name does not resolve
	behind  []probe.Probe // the pods behind a service, by address
	broken  string        // why it can never count as denied: it did not work with no policy in force
	apps    []string      // whose pods are at its ends
}

// source is a pod that probes start from, or a node.
type source struct {
	name string // in the lab
	pod  *corev1.Pod
	node string
}

func (s source) String() string {
	if s.pod == nil {
		return "node " + s.node
	}
	return s.pod.Namespace + "/" + s.pod.Name
}

func readTopology(ctx context.Context, cfg Config) (*topology, error) {
	t := &topology{cfg: cfg, apps: make(map[string]*app, len(cfg.Lab.Apps))}
	pods := map[string][]corev1.Pod{}
	services := map[string][]corev1.Service{}
	for i := range cfg.Lab.Apps {
		ns := cfg.Lab.Apps[i].Namespace
		if _, ok := pods[ns]; ok {
			continue
		}
		list, err := cfg.Client.Typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the pods of namespace %s: %w", ns, err)
		}
		pods[ns] = list.Items
		svcs, err := cfg.Client.Typed.CoreV1().Services(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the services of namespace %s: %w", ns, err)
		}
		services[ns] = svcs.Items
	}
	for i := range cfg.Lab.Apps {
		a := &app{App: &cfg.Lab.Apps[i]}
		for _, pod := range pods[a.Namespace] {
			if a.Owns(pod.Name, pod.Labels) && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil &&
				pod.Status.PodIP != "" && !probe.IsHelper(&pod) {
				a.pods = append(a.pods, pod)
			}
		}
		for j := range services[a.Namespace] {
			if svc := &services[a.Namespace][j]; svc.Name == a.Service {
				a.service = svc
			}
		}
		t.apps[a.Name] = a
	}
	nodes, err := cfg.Client.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	t.nodes = nodes.Items
	t.api = sync.OnceValues(func() (apiServers, error) { return readAPIServers(context.WithoutCancel(ctx), cfg) })
	return t, nil
}

// replacedApps returns the apps whose pods have been replaced or are being deleted.
func (t *topology) replacedApps(ctx context.Context) (map[string]bool, error) {
	now, err := readTopology(ctx, t.cfg)
	if err != nil {
		return nil, err
	}
	uids := func(pods []corev1.Pod) map[string]bool {
		all := map[string]bool{}
		for i := range pods {
			all[string(pods[i].UID)] = true
		}
		return all
	}
	replaced := map[string]bool{}
	for name, a := range t.apps {
		if !maps.Equal(uids(a.pods), uids(now.apps[name].pods)) {
			replaced[name] = true
		}
	}
	return replaced, nil
}

func (t *topology) app(name string) (*app, error) {
	a := t.apps[name]
	if a == nil {
		return nil, fmt.Errorf("the lab has no app %q", name)
	}
	if len(a.pods) == 0 {
		return nil, fmt.Errorf("the app %q has no running pod", name)
	}
	return a, nil
}

// resolve returns the connections behind a probe: from every replica of the source, to every replica of a
// target that is addressed by pod.
func (t *topology) resolve(p engine.Probe) ([]connection, error) {
	if err := engine.CheckEnds(p); err != nil {
		return nil, err
	}
	if p.From.Entity != "" {
		return t.fromEntity(p)
	}
	from, err := t.sources(p.From)
	if err != nil {
		return nil, err
	}
	var all []connection
	for _, f := range from {
		to, err := t.targets(p.To, f)
		if err != nil {
			return nil, err
		}
		for _, a := range to {
			// A replica does not probe itself while there are others: that connection never leaves the pod.
			if f.pod != nil && len(from) > 1 && len(to) > 1 && f.pod.Status.PodIP == a.to.Host {
				continue
			}
			if err := t.start(&a, p, f); err != nil {
				return nil, err
			}
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is nothing to probe")
	}
	return all, nil
}

// start sets the source of a connection behind a probe.
func (t *topology) start(a *connection, p engine.Probe, from source) error {
	a.from = from
	a.apps = slices.DeleteFunc([]string{p.From.App, p.To.App}, func(name string) bool { return name == "" })
	if from.pod == nil {
		return nil
	}
	if !speaks(from.pod, a.to.Host) {
		return fmt.Errorf("%s cannot be probed: %s has no IPv6 address, because the cluster has none", a.to, from)
	}
	if p.From.App != "" {
		a.broken = t.cfg.Instance.Broken[Connection{
			from.pod.Namespace + "/" + p.From.App, a.to.String(), cmp.Or(a.to.Protocol, "TCP"),
		}]
	}
	return nil
}

// speaks says whether a pod can reach an address, or name, for all that its own addresses say.
func speaks(pod *corev1.Pod, host string) bool {
	to, err := netip.ParseAddr(host)
	return err != nil || !to.Is6() || slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool {
		return strings.Contains(ip.IP, ":")
	})
}

func (t *topology) sources(s labs.Source) ([]source, error) {
	switch {
	case s.App != "":
		a, err := t.app(s.App)
		if err != nil {
			return nil, err
		}
		out := make([]source, len(a.pods))
		for i := range a.pods {
			out[i] = source{name: s.String(), pod: &a.pods[i]}
		}
		return out, nil
	case s.Node != "":
		n, err := t.node(s.Node)
		if err != nil {
			return nil, err
		}
		return []source{{name: s.String(), node: n.Name}}, nil
	}
	return nil, fmt.Errorf("cannot probe from %s: it is outside the cluster", s)
}

// node finds a node by the lab's name for it, which on kind goes without the cluster's.
func (t *topology) node(name string) (*corev1.Node, error) {
	var found *corev1.Node
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.Name == name {
			return n, nil
		}
		if found == nil && strings.HasSuffix(n.Name, "-"+name) {
			found = n
		}
	}
	if found == nil {
		return nil, fmt.Errorf("the cluster has no node %q", name)
	}
	return found, nil
}

// targets are the connections that a source makes to a target, without the source.
func (t *topology) targets(to labs.Target, from source) ([]connection, error) {
	p := probe.Probe{Port: to.Port, Protocol: strings.ToUpper(to.Protocol), HTTP: (*probe.HTTP)(to.HTTP)}
	if p.Protocol == "TCP" {
		p.Protocol = ""
	}
	if strings.HasPrefix(p.Protocol, "ICMP") {
		if p.Protocol = "ICMP"; to.ICMPType != nil && *to.ICMPType != 8 {
			return nil, fmt.Errorf("cannot send ICMP type %d: the probe's tool supports only echo requests (type 8)",
				*to.ICMPType)
		}
	}
	one := func(host string) []connection {
		p.Host = host
		return []connection{{to: p}}
	}
	switch {
	case to.DNS != "":
		p.Protocol, p.DNSOverTCP = probe.DNS, p.Protocol == "" && to.Protocol != ""
		return one(strings.TrimSuffix(to.DNS, ".") + "."), nil
	case to.App != "":
		return t.appTargets(to, p)
	case to.External != "":
		return t.externalTargets(to, p)
	case to.Entity != "":
		return t.entityTargets(to, p, from)
	case to.Node != "":
		n, err := t.node(to.Node)
		if err != nil {
			return nil, err
		}
		if p.Host = addressOfNode(n); p.Host == "" {
			return nil, fmt.Errorf("node %s has no address", n.Name)
		}
		return []connection{{to: p}}, nil
	}
	return one(to.IP), nil
}

// externalTargets are every name of an external, or every address. Behind a name are the addresses that the lab gives
// it, each of which is tried, too.
func (t *topology) externalTargets(to labs.Target, p probe.Probe) ([]connection, error) {
	i := slices.IndexFunc(t.cfg.Lab.Externals, func(e labs.External) bool { return e.Name == to.External })
	if i < 0 {
		return nil, fmt.Errorf("the lab has no external %q", to.External)
	}
	ext := &t.cfg.Lab.Externals[i]
	p.Port = cmp.Or(p.Port, ext.Port)
	if to.IP != "" {
		p.Host = to.IP
		return []connection{{to: p}}, nil
	}
	addrs := t.cfg.Instance.Externals[ext.Name]
	if len(addrs) == 0 {
		addrs = ext.Addrs
	}
	var all []connection
	byName := ext.Host != "" && to.Via != labs.ViaIP
	for _, host := range ext.Hosts() {
		name := strings.TrimSuffix(host, ".") + "."
		if byName {
			named := p
			named.Host = name
			all = append(all, connection{to: named, at: host})
		}
		if !byName || len(addrs) > 1 && slices.Equal(addrs, ext.Addrs) {
			behind := p
			if t.learn {
				behind.Learn = name
			}
			all = append(all, byAddress(behind, addrs, byName)...)
		}
	}
	if ext.Host == "" {
		all = byAddress(p, addrs, false)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("external %q has no known address", ext.Name)
	}
	return all, nil
}

func byAddress(p probe.Probe, addrs []string, named bool) []connection {
	all := make([]connection, len(addrs))
	for i, addr := range addrs {
		p.Host = addr
		all[i] = connection{to: p, at: addr, named: named}
	}
	return all
}

func (t *topology) appTargets(to labs.Target, p probe.Probe) ([]connection, error) {
	a, err := t.app(to.App)
	if err != nil {
		return nil, err
	}
	if to.Via == labs.ViaIP {
		out := make([]connection, len(a.pods))
		for i := range a.pods {
			p.Host = a.pods[i].Status.PodIP
			p.Echo = t.echoes(&a.pods[i], p.Protocol, p.Port)
			out[i] = connection{to: p, servers: servers(a.pods[i : i+1])}
		}
		return out, nil
	}
	if a.service == nil {
		return nil, fmt.Errorf("the cluster has no service for app %q", a.Name)
	}
	p.Host = a.service.Name + "." + a.Namespace + ".svc.cluster.local."
	headless := a.service.Spec.ClusterIP == corev1.ClusterIPNone
	if to.Via == labs.ViaCluster {
		if p.Host = a.service.Spec.ClusterIP; headless {
			return nil, fmt.Errorf("the service of app %q is headless: it has no address", a.Name)
		}
	}
	var behind []probe.Probe
	if target := a.targetPort(p, headless); target != 0 {
		p.Echo = t.echoes(&a.pods[0], p.Protocol, target)
		for i := range a.pods {
			pod := p
			pod.Host, pod.Port = a.pods[i].Status.PodIP, target
			behind = append(behind, pod)
		}
	}
	return []connection{{to: p, servers: servers(a.pods), behind: behind}}, nil
}

// targetPort is the pods' port that a probe of the service gets to; 0: the service does not have the probe's port.
func (a *app) targetPort(p probe.Probe, headless bool) int {
	if headless {
		return p.Port
	}
	for _, port := range a.service.Spec.Ports {
		if int(port.Port) == p.Port && string(port.Protocol) == cmp.Or(p.Protocol, "TCP") {
			target := port.TargetPort.IntValue()
			if target == 0 {
				target = named(&a.pods[0], port.TargetPort.String())
			}
			return cmp.Or(target, int(port.Port))
		}
	}
	return 0
}

// named is the number of a pod's port; 0: it has none of the name.
func named(pod *corev1.Pod, name string) int {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return int(p.ContainerPort)
			}
		}
	}
	return 0
}

// servers are the names that the pods' servers answer with; nil: any. In the network of its node a pod has the node's
// name, which need not be that of the Node object.
func servers(pods []corev1.Pod) []string {
	out := make([]string, len(pods))
	for i := range pods {
		if pods[i].Spec.HostNetwork {
			return nil
		}
		out[i] = cmp.Or(pods[i].Spec.Hostname, pods[i].Name)
	}
	return out
}

// echoes says whether the demo image's server listens on a port of a pod, which can prove that it is it.
func (t *topology) echoes(pod *corev1.Pod, protocol string, port int) bool {
	containers := pod.Spec.Containers
	if t.tampered {
		containers = t.deployedContainers(pod)
	}
	for _, c := range containers {
		words := append(slices.Clone(c.Command), c.Args...)
		if repository(c.Image) != repository(t.cfg.Instance.AppImage) || !slices.Contains(words, "netexec") {
			continue
		}
		flag, otherwise := "--http-port=", 8080
		switch protocol {
		case "UDP":
			flag, otherwise = "--udp-port=", 8081
		case "SCTP", "ICMP":
			return false
		}
		listens := otherwise
		for _, w := range words {
			if value, ok := strings.CutPrefix(w, flag); ok {
				if _, err := fmt.Sscanf(value, "%d", &listens); err != nil {
					listens = 0
				}
			}
		}
		if listens == port {
			return true
		}
	}
	return false
}

// deployedContainers returns the containers that the lab deployed for a pod with these labels.
func (t *topology) deployedContainers(pod *corev1.Pod) []corev1.Container {
	for _, obj := range t.cfg.Instance.Deployed {
		meant := podTemplate(obj)
		if meant != nil && refOf(obj).Namespace == pod.Namespace &&
			labels.SelectorFromSet(meant.Labels).Matches(labels.Set(pod.Labels)) {
			return meant.Spec.Containers
		}
	}
	return pod.Spec.Containers
}

// repository is an image's name without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// execIn names the pod's first container.
func execIn(pod *corev1.Pod) kube.Pod {
	return kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: pod.Spec.Containers[0].Name}
}
