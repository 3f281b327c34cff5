package provision

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

// connection is one that the lab's objectives use.
type connection struct {
	from *labs.App
	to   labs.Target
}

// baselineConnections collects the connections of all objectives, without duplicates, by source.
func baselineConnections(lab *labs.Lab) map[string][]connection {
	seen := map[string]bool{}
	out := map[string][]connection{}
	add := func(from labs.Source, to labs.Target) {
		app := lab.App(from.App)
		if app == nil || to.Node != "" || to.App == "" && to.External == "" && to.DNS == "" {
			return // nothing to exec in, or nothing with an address
		}
		key := fmt.Sprintf("%s %+v", from.App, key(to))
		if !seen[key] {
			seen[key] = true
			out[from.App] = append(out[from.App], connection{app, to})
		}
	}
	for i := range lab.Tasks {
		for j := range lab.Tasks[i].Objectives {
			for _, c := range lab.Tasks[i].Objectives[j].Checks {
				for _, p := range c.Connections() {
					add(p.From, p.To)
				}
			}
		}
	}
	return out
}

// key is what makes a target's connection another one.
func key(t labs.Target) any {
	return struct {
		App, External, DNS, IP, Protocol string
		Via                              labs.Via
		Port                             int
	}{t.App, t.External, t.DNS, t.IP, t.Protocol, t.Via, t.Port}
}

// lookBaseline: what is measured depends on the connections, and on what is in the cluster, but not on where they are
// written in the lab, nor on when anything was started.
func (r *run) lookBaseline(context.Context) (Action, error) {
	st := r.state()
	var connections []string
	for app, list := range baselineConnections(r.lab) {
		for _, c := range list {
			connections = append(connections, fmt.Sprintf("%s %+v", app, key(c.to)))
		}
	}
	slices.Sort(connections)
	return r.action(phaseBaseline, plural(len(connections), "connection")+" of the objectives",
		st.Cluster.UID, st.Phases[phaseCilium].Inputs, st.Phases[phaseExternals].Inputs, st.Phases[phaseApps].Inputs,
		connections), nil
}

// baseline tries every connection of the objectives without any policy. What does not work now cannot be graded as
// dropped later.
func (r *run) baseline(ctx context.Context, p *progress, client *kube.Client) error {
	return r.withoutPolicies(ctx, client, p, func() error { return r.measure(ctx, p, client) })
}

func (r *run) measure(ctx context.Context, p *progress, client *kube.Client) error {
	all := baselineConnections(r.lab)
	var results []Connection
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	found := make(chan []Connection, len(all))
	for _, app := range slices.Sorted(maps.Keys(all)) {
		group.Go(func() error {
			got, err := r.baselineOf(ctx, client, all[app])
			found <- got
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	close(found)
	for got := range found {
		results = append(results, got...)
	}
	slices.SortFunc(results, func(a, b Connection) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To),
			strings.Compare(a.Protocol, b.Protocol))
	})
	for _, c := range results {
		if c.Verdict != verdict.Allowed {
			p.warnf("%s → %s does not work without any policy (%s), so it cannot be graded as dropped. %s",
				c.From, c.To, c.Verdict, c.Detail)
		}
	}
	return r.save(func(st *State) { st.Baseline = results })
}

// baselineOf tries one app's connections. It retries failures for a while, because names and endpoints take time to
// propagate.
func (r *run) baselineOf(ctx context.Context, client *kube.Client, list []connection) ([]Connection, error) {
	app := list[0].from
	pods, err := appPods(ctx, client, app)
	if err != nil {
		return nil, err
	}
	var conns []Connection
	var probes []probe.Probe
	for _, w := range list {
		targets, err := r.dial(ctx, client, w.to)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			probes = append(probes, t)
			conns = append(conns, Connection{
				From: app.Namespace + "/" + app.Name, To: t.String(), Protocol: cmp.Or(t.Protocol, "TCP"),
				Verdict: verdict.ProbeError,
			})
		}
	}
	if len(pods) == 0 {
		for i := range conns {
			conns[i].Detail = "the app has no running pod"
		}
		return conns, nil
	}
	return conns, probeUntilAllowed(ctx, client, pods[0], probes, conns)
}

// baselineTimeout is how long names and endpoints may take to propagate.
const baselineTimeout = 10 * time.Second

// probeUntilAllowed probes connections from a pod, and those that fail again until the time is up. It sets their
// results in conns.
func probeUntilAllowed(ctx context.Context, client *kube.Client, from kube.Pod, probes []probe.Probe,
	conns []Connection) error {
	deadline := time.Now().Add(baselineTimeout)
	open := make([]int, len(probes)) // indexes of those that failed
	for i := range open {
		open[i] = i
	}
	for {
		try := make([]probe.Probe, len(open))
		for i, n := range open {
			try[i] = probes[n]
		}
		got, err := probe.Run(ctx, client, from, try, probe.Options{})
		if err != nil {
			return err
		}
		var again []int
		for i, n := range open {
			conns[n].Verdict, conns[n].Detail = got[i].Verdict, ""
			if got[i].Verdict != verdict.Allowed {
				conns[n].Detail = got[i].Detail
				again = append(again, n)
			}
		}
		if open = again; len(open) == 0 || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// appPods are the pods of an app that run, as exec takes them.
func appPods(ctx context.Context, client *kube.Client, app *labs.App) ([]kube.Pod, error) {
	list, err := client.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods of app %s: %w", app.Name, err)
	}
	var pods []kube.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if app.Owns(pod.Name, pod.Labels) && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			pods = append(pods, kube.Pod{
				Namespace: pod.Namespace, Name: pod.Name, Container: pod.Spec.Containers[0].Name,
			})
		}
	}
	return pods, nil
}

// dial is how a target is reached from a pod.
func (r *run) dial(ctx context.Context, client *kube.Client, t labs.Target) ([]probe.Probe, error) {
	switch {
	case t.DNS != "":
		return []probe.Probe{{
			Host: strings.TrimSuffix(t.DNS, ".") + ".", Protocol: probe.DNS, DNSOverTCP: t.Protocol == "TCP",
		}}, nil
	case t.External != "":
		return r.dialExternal(ctx, t), nil
	}
	app := r.lab.App(t.App)
	if app == nil {
		return nil, nil
	}
	if t.Via == labs.ViaIP {
		return dialPods(ctx, client, app, t)
	}
	name := cmp.Or(app.Service, app.Name)
	if t.Via == labs.ViaCluster {
		svc, err := client.Typed.CoreV1().Services(app.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("find the service of app %s: %w", app.Name, err)
		}
		if svc.Spec.ClusterIP == corev1.ClusterIPNone {
			return nil, nil
		}
		return []probe.Probe{{Host: svc.Spec.ClusterIP, Port: t.Port, Protocol: t.Protocol}}, nil
	}
	// With the dot at its end the name is looked up once, not with every search domain.
	return []probe.Probe{{
		Host: name + "." + app.Namespace + ".svc.cluster.local.", Port: t.Port, Protocol: t.Protocol,
	}}, nil
}

// dialExternal is how each name of an external is reached, and each address that the lab gives it.
func (r *run) dialExternal(ctx context.Context, t labs.Target) []probe.Probe {
	i := slices.IndexFunc(r.lab.Externals, func(ext labs.External) bool { return ext.Name == t.External })
	if i < 0 {
		return nil
	}
	ext, st := &r.lab.Externals[i], r.state()
	var hosts []string
	switch {
	case t.IP != "":
		hosts = []string{t.IP}
	case ext.Host == "" || t.Via == labs.ViaIP:
		hosts = st.Addresses(ctx, ext)
	default:
		for _, host := range ext.Hosts() {
			hosts = append(hosts, strings.TrimSuffix(host, ".")+".")
		}
		if st.External[ext.Name].StandIn && len(ext.Addrs) > 1 {
			hosts = append(hosts, ext.Addrs...)
		}
	}
	probes := make([]probe.Probe, len(hosts))
	for i, host := range hosts {
		probes[i] = probe.Probe{Host: host, Port: t.Port, Protocol: t.Protocol}
	}
	return probes
}

// dialPods is how each pod of an app is reached by its address.
func dialPods(ctx context.Context, client *kube.Client, app *labs.App, t labs.Target) ([]probe.Probe, error) {
	pods, err := client.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods of app %s: %w", app.Name, err)
	}
	var out []probe.Probe
	for i := range pods.Items {
		pod := &pods.Items[i]
		if ip := pod.Status.PodIP; ip != "" && pod.DeletionTimestamp == nil && app.Owns(pod.Name, pod.Labels) {
			out = append(out, probe.Probe{Host: ip, Port: t.Port, Protocol: t.Protocol})
		}
	}
	return out, nil
}
