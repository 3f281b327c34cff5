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
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/labs"
)

// wish is a connection that the lab's objectives use.
type wish struct {
	from *labs.App
	to   labs.Target
}

// wishes collects the connections of all objectives, each once, by source.
func wishes(lab *labs.Lab) map[string][]wish {
	seen := map[string]bool{}
	out := map[string][]wish{}
	add := func(from labs.Source, to labs.Target) {
		app := findApp(lab, from.App)
		if app == nil || to.Node != "" || to.App == "" && to.External == "" && to.DNS == "" {
			return // nothing to exec in, or nothing with an address
		}
		key := fmt.Sprintf("%s %+v", from.App, key(to))
		if !seen[key] {
			seen[key] = true
			out[from.App] = append(out[from.App], wish{app, to})
		}
	}
	for i := range lab.Tasks {
		for j := range lab.Tasks[i].Objectives {
			o := &lab.Tasks[i].Objectives[j]
			for _, e := range o.Expect {
				for _, from := range e.From {
					for _, to := range e.To {
						add(from, to)
					}
				}
			}
			for _, m := range o.Matrices {
				for _, from := range m.From {
					for _, to := range m.To {
						add(from, to)
					}
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

func findApp(lab *labs.Lab, name string) *labs.App {
	for i := range lab.Apps {
		if lab.Apps[i].Name == name {
			return &lab.Apps[i]
		}
	}
	return nil
}

func (r *run) lookBaseline(context.Context) (Action, error) {
	st := r.state()
	n := 0
	for _, list := range wishes(r.lab) {
		n += len(list)
	}
	return r.action(phaseBaseline, plural(n, "connection")+" of the objectives",
		st.Cluster.UID, st.Phases[phaseCilium].Started, st.Phases[phaseApps].Inputs, r.lab.Tasks), nil
}

// baseline tries every connection of the objectives with no policy in force. What does not work now can never
// count as dropped later.
func (r *run) baseline(ctx context.Context, p *progress) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	if theirs, err := r.policiesInForce(ctx, client); err != nil {
		return err
	} else if len(theirs) > 0 {
		return fmt.Errorf("a baseline needs a lab without policies, and there are %s (%s, …): take them away with: labctl reset %s",
			plural(len(theirs), "policy"), theirs[0], r.opts.Name)
	}
	all := wishes(r.lab)
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
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To), strings.Compare(a.Protocol, b.Protocol))
	})
	for _, c := range results {
		if c.Verdict != labs.Allowed {
			p.warnf("%s → %s does not work without any policy (%s): it can never count as dropped. %s", c.From, c.To, c.Verdict, c.Detail)
		}
	}
	return r.save(func(st *State) { st.Baseline = results })
}

// policiesInForce names the policies that were not there before the lab.
func (r *run) policiesInForce(ctx context.Context, client *kube.Client) ([]string, error) {
	list, err := policies(ctx, client)
	if err != nil {
		return nil, err
	}
	var out []string
	before := r.state().Before
	for i := range list {
		if list[i].GetNamespace() == canaryNamespace || before != nil && slices.Contains(before.Policies, string(list[i].GetUID())) {
			continue
		}
		out = append(out, kube.Ref(&list[i]))
	}
	return out, nil
}

// baselineOf tries one app's connections, those that fail again for a while: names and endpoints take a
// moment to be known everywhere.
func (r *run) baselineOf(ctx context.Context, client *kube.Client, list []wish) ([]Connection, error) {
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
				From: app.Namespace + "/" + app.Name, To: t.String(), Protocol: cmp.Or(t.Protocol, "TCP"), Verdict: labs.ProbeError,
			})
		}
	}
	if len(pods) == 0 {
		for i := range conns {
			conns[i].Detail = "the app has no pod that runs"
		}
		return conns, nil
	}
	deadline := time.Now().Add(10 * time.Second)
	open := make([]int, len(probes))
	for i := range open {
		open[i] = i
	}
	for {
		try := make([]probe.Probe, len(open))
		for i, n := range open {
			try[i] = probes[n]
		}
		got, err := probe.Run(ctx, client, pods[0], try, probe.Options{})
		if err != nil {
			return nil, err
		}
		var again []int
		for i, n := range open {
			conns[n].Verdict, conns[n].Detail = got[i].Verdict, ""
			if got[i].Verdict != labs.Allowed {
				conns[n].Detail = got[i].Detail
				again = append(again, n)
			}
		}
		if open = again; len(open) == 0 || time.Now().After(deadline) {
			return conns, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// appPods are the pods of an app that run, as exec takes them.
func appPods(ctx context.Context, client *kube.Client, app *labs.App) ([]kube.Pod, error) {
	list, err := client.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(app.PodLabels()).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods of app %s: %w", app.Name, err)
	}
	var pods []kube.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			pods = append(pods, kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: pod.Spec.Containers[0].Name})
		}
	}
	return pods, nil
}

// dial is how a target is reached from a pod.
func (r *run) dial(ctx context.Context, client *kube.Client, t labs.Target) ([]probe.Probe, error) {
	switch {
	case t.DNS != "":
		return []probe.Probe{{Host: strings.TrimSuffix(t.DNS, ".") + ".", Protocol: probe.DNS, DNSOverTCP: t.Protocol == "TCP"}}, nil
	case t.External != "":
		for _, ext := range r.lab.Externals {
			if ext.Name != t.External {
				continue
			}
			host := ext.Host + "."
			if t.IP != "" {
				host = t.IP
			} else if ext.Host == "" || t.Via == labs.ViaIP {
				if host = r.externalAddr(ctx, ext); host == "" {
					return nil, nil
				}
			}
			return []probe.Probe{{Host: host, Port: t.Port, Protocol: t.Protocol}}, nil
		}
		return nil, nil
	}
	app := findApp(r.lab, t.App)
	if app == nil {
		return nil, nil
	}
	if t.Via == labs.ViaIP {
		pods, err := client.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(app.PodLabels()).String()})
		if err != nil {
			return nil, fmt.Errorf("list the pods of app %s: %w", app.Name, err)
		}
		var out []probe.Probe
		for i := range pods.Items {
			if ip := pods.Items[i].Status.PodIP; ip != "" && pods.Items[i].DeletionTimestamp == nil {
				out = append(out, probe.Probe{Host: ip, Port: t.Port, Protocol: t.Protocol})
			}
		}
		return out, nil
	}
	name := cmp.Or(app.Service, app.Name)
	if t.Via == labs.ViaCluster {
		svc, err := client.Typed.CoreV1().Services(app.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("look for the service of app %s: %w", app.Name, err)
		}
		return []probe.Probe{{Host: svc.Spec.ClusterIP, Port: t.Port, Protocol: t.Protocol}}, nil
	}
	// With the dot at its end the name is looked up once, not with every search domain.
	return []probe.Probe{{Host: name + "." + app.Namespace + ".svc.cluster.local.", Port: t.Port, Protocol: t.Protocol}}, nil
}
