package provision

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// ciliumInputs are what Cilium's installation works from.
func (r *run) ciliumInputs() ([]any, error) {
	user, err := cilium.ReadValues(r.m.Settings.Values...)
	if err != nil {
		return nil, err
	}
	r.values = cilium.Merge(cilium.Defaults(r.lab.Cilium.Relay), sctpValues(r.lab), r.provider.Values(r.cluster), r.lab.Cilium.Values, user)
	return []any{r.source().String(), r.lab.Cilium.Version, r.values}, nil
}

func (r *run) lookChart(context.Context) (Action, error) {
	if network, _ := r.network(); network != "" {
		return Action{Phase: phaseChart, Kind: Keep, Detail: network + " needs none"}, nil
	}
	inputs, err := r.ciliumInputs()
	if err != nil {
		return Action{}, err
	}
	act := r.action(phaseCilium, "", inputs...)
	if act.Kind == Keep {
		return Action{Phase: phaseChart, Kind: Keep, Detail: "Cilium is installed from it"}, nil
	}
	return Action{Phase: phaseChart, Kind: Create, Detail: r.source().String()}, nil
}

func (r *run) fetchChart(ctx context.Context, p *progress) error {
	chart, err := r.source().Fetch(ctx)
	if err != nil {
		return err
	}
	if err := cilium.CheckValues(chart, r.values); err != nil {
		return err
	}
	r.chart = chart
	return nil
}

// network names the Cilium that the provider's clusters come with, and its DaemonSet; empty: they have none.
func (r *run) network() (name, daemonSet string) {
	if n, ok := r.provider.(Networker); ok {
		return n.Network()
	}
	return "", ""
}

func (r *run) lookCilium(ctx context.Context) (Action, error) {
	if network, _ := r.network(); network != "" {
		return r.lookNetwork(ctx, network)
	}
	inputs, err := r.ciliumInputs()
	if err != nil {
		return Action{}, err
	}
	act := r.action(phaseCilium, "Cilium "+r.lab.Cilium.Version, inputs...)
	client, err := r.kube()
	if err != nil {
		return act, err
	}
	installed, err := cilium.NewHelm(client, r.opts.Name, r.m.log()).Status(ctx)
	if err != nil {
		return act, err
	}
	if theirs, err := foreignCilium(ctx, client, installed, r.opts.Name); err != nil {
		return act, err
	} else if theirs != "" {
		if !r.state().Cluster.Adopted {
			return act, fmt.Errorf("%s is in this cluster already, and this lab did not install it: --adopt lets the lab use it", theirs)
		}
		if why := notReady(ctx, r.ciliumChecks(client)); why != "" {
			return act, fmt.Errorf("%s, which was in this cluster before, is not ready: %s", theirs, why)
		}
		return Action{Phase: phaseCilium, Kind: Keep, Detail: theirs + ", which was here before"}, nil
	}
	switch {
	case installed == nil && act.Kind == Keep:
		act.Kind, act.Detail = Redo, act.Detail+" (it is gone)"
	case installed != nil && act.Kind == Keep && (installed.Pending || installed.Failed):
		act.Kind, act.Detail = Redo, act.Detail+" (its installation was interrupted)"
	}
	if act.Kind == Keep {
		if why := notReady(ctx, r.ciliumChecks(client)); why != "" {
			act.Kind, act.Detail = Redo, act.Detail+" ("+why+")"
		}
	}
	return act, nil
}

// lookNetwork looks at the Cilium that the cluster came with. An up only waits for it.
func (r *run) lookNetwork(ctx context.Context, network string) (Action, error) {
	act := r.action(phaseCilium, network, network)
	if act.Kind != Keep {
		return act, nil
	}
	client, err := r.kube()
	if err != nil {
		return act, err
	}
	if why := notReady(ctx, r.ciliumChecks(client)); why != "" {
		act.Kind, act.Detail = Redo, act.Detail+" ("+why+")"
	}
	return act, nil
}

// awaitCilium waits until a Cilium whose objects are there is ready.
func (r *run) awaitCilium(ctx context.Context, client *kube.Client, p *progress) error {
	p.signal(signalInstalled)
	wait := kube.Waiting{Timeout: r.m.Settings.Timeouts.Cilium, Progress: p.step}
	if err := wait.Wait(ctx, clusterDNS(client)); err != nil {
		return err
	}
	p.signal(signalDNS)
	return wait.Wait(ctx, r.ciliumChecks(client)...)
}

// clusterDNS checks the DNS of the cluster: CoreDNS, or, on GKE, kube-dns.
func clusterDNS(client *kube.Client) kube.Check {
	see := func(ctx context.Context) (kube.Look, error) {
		for _, name := range []string{"coredns", "kube-dns"} {
			_, err := client.Typed.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
			if err == nil {
				return client.Deployment(metav1.NamespaceSystem, name).Look(ctx)
			}
			if !apierrors.IsNotFound(err) {
				return kube.Look{}, err
			}
		}
		return kube.Look{Why: "there is neither a Deployment coredns nor kube-dns"}, nil
	}
	return kube.Check{Object: "the cluster's DNS", Look: see}
}

// foreignCilium names the Cilium that somebody else has put into the cluster, by Helm or not; empty: there is none.
func foreignCilium(ctx context.Context, client *kube.Client, installed *cilium.Installed, instance string) (string, error) {
	if installed != nil {
		if installed.Owner == instance {
			return "", nil
		}
		return "Cilium " + installed.ChartVersion, nil
	}
	ds, err := client.Typed.AppsV1().DaemonSets(cilium.Namespace).Get(ctx, "cilium", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for Cilium: %w", err)
	}
	if ds.Annotations["meta.helm.sh/release-name"] == cilium.Release {
		return "", nil // of an installation of ours that was interrupted; its release is gone
	}
	return "Cilium (not installed by Helm)", nil
}

// notReady says which check is not ready now; empty: all are.
func notReady(ctx context.Context, checks []kube.Check) string {
	for _, c := range checks {
		if look := c.See(ctx); !look.Ready {
			return kube.Unmet{Object: c.Object, Why: look.Why}.String()
		}
	}
	return ""
}

// ciliumChecks are what must be rolled out for Cilium and Hubble to be ready.
func (r *run) ciliumChecks(client *kube.Client) []kube.Check {
	if _, daemonSet := r.network(); daemonSet != "" {
		return []kube.Check{client.DaemonSet(metav1.NamespaceSystem, daemonSet), client.Nodes(1), clusterDNS(client)}
	}
	checks := append(networkChecks(client), client.Deployment(cilium.Namespace, "cilium-operator"), clusterDNS(client))
	if r.lab.Cilium.Relay {
		checks = append(checks, client.Deployment(cilium.Namespace, "hubble-relay"), hubble.Serves(client))
	}
	return checks
}

// recordDefinitions notes, before the first installation, which of Cilium's resource definitions somebody else
// has left in the cluster.
func (r *run) recordDefinitions(ctx context.Context, client *kube.Client) error {
	if r.state().Cilium.Definitions != nil {
		return nil
	}
	names, err := cilium.Defined(ctx, client)
	if err != nil {
		return err
	}
	return r.save(func(st *State) { st.Cilium.Definitions = names })
}

func networkChecks(client *kube.Client) []kube.Check {
	return []kube.Check{client.DaemonSet(cilium.Namespace, "cilium"), client.Nodes(1)}
}

func (r *run) installCilium(ctx context.Context, p *progress) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	if network, _ := r.network(); network != "" {
		p.warnf("the cluster has a Cilium of its own: without Hubble's flows a drop is told by its time-out, and reports lack that evidence")
		return r.awaitCilium(ctx, client, p)
	}
	if version, err := client.Typed.Discovery().ServerVersion(); err == nil {
		if ok, why := cilium.Tested(r.lab.Cilium.Version, version.GitVersion); !ok {
			p.warnf("%s", why)
		}
	}
	if r.chart == nil {
		if r.chart, err = r.source().Fetch(ctx); err != nil {
			return err
		}
	}
	if err := r.recordDefinitions(ctx, client); err != nil {
		return err
	}
	if err := cilium.Define(ctx, client, r.lab.Cilium.Version); err != nil {
		return err
	}
	p.step("waiting for the nodes to have the images")
	if err := p.await(ctx, signalNetworkImages); err != nil {
		return err
	}
	p.step("installing the chart")
	installed, err := cilium.NewHelm(client, r.opts.Name, r.m.log()).Install(ctx, r.chart, r.values)
	if err != nil {
		return err
	}
	err = r.save(func(st *State) {
		st.Cilium.Version, st.Cilium.Chart, st.Cilium.Installed = installed.ChartVersion, r.chart.From, true
	})
	if err != nil {
		return err
	}
	return r.awaitCilium(ctx, client, p)
}

// sctpValues let Cilium's datapath take SCTP where an app of the lab speaks it: by default it drops it.
func sctpValues(lab *labs.Lab) map[string]any {
	for i := range lab.Apps {
		if slices.ContainsFunc(lab.Apps[i].Ports, func(p labs.Port) bool { return p.Protocol == "SCTP" }) {
			return map[string]any{"sctp": map[string]any{"enabled": true}}
		}
	}
	return nil
}
