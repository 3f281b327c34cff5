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

// helmValues are the values that Cilium is installed with. Later layers win: the user's values over the lab's, over the
// provider's, over labctl's defaults.
func (r *run) helmValues(ctx context.Context) (map[string]any, error) {
	user, err := cilium.ReadValues(r.m.Settings.Values...)
	if err != nil {
		return nil, err
	}
	provider, err := r.provider.Values(ctx, r.cluster)
	if err != nil {
		return nil, err
	}
	return cilium.Merge(cilium.Defaults(r.lab.Cilium.Relay), sctpValues(r.lab), provider,
		r.lab.Cilium.Values, user), nil
}

// ciliumAction compares the chart, version and values of Cilium with those that are installed.
func (r *run) ciliumAction(ctx context.Context) (Action, error) {
	values, err := r.helmValues(ctx)
	if err != nil {
		return Action{}, err
	}
	return r.action(phaseCilium, "Cilium "+r.lab.Cilium.Version, r.source().String(), r.lab.Cilium.Version, values), nil
}

func (r *run) lookChart(ctx context.Context) (Action, error) {
	if network, _ := bundledCNI(r.provider); network != "" {
		return Action{Phase: phaseChart, Kind: Keep, Detail: network + " needs none"}, nil
	}
	act, err := r.ciliumAction(ctx)
	if err != nil {
		return Action{}, err
	}
	if act.Kind == Keep {
		return Action{Phase: phaseChart, Kind: Keep, Detail: "Cilium is already installed from it"}, nil
	}
	return Action{Phase: phaseChart, Kind: Create, Detail: r.source().String()}, nil
}

// fetchChart fetches the chart, and checks the values against its schema before anything is created.
func (r *run) fetchChart(ctx context.Context) (*cilium.Chart, error) {
	chart, err := r.downloadChart(ctx)
	if err != nil {
		return nil, err
	}
	values, err := r.helmValues(ctx)
	if err != nil {
		return nil, err
	}
	return chart, cilium.CheckValues(chart, values)
}

func (r *run) downloadChart(ctx context.Context) (*cilium.Chart, error) {
	timeout := r.m.Settings.Timeouts.Cilium
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done after %s (timeout_cilium)", timeout))
	defer cancel()
	return r.source().Fetch(ctx)
}

// bundledCNI names the Cilium that a provider's clusters come with, and its DaemonSet; empty: labctl installs Cilium.
func bundledCNI(p Provider) (name, daemonSet string) {
	if c, ok := p.(BundledCNI); ok {
		return c.CNI()
	}
	return "", ""
}

// lookCilium reads the state of Cilium in a cluster; a nil client means that the cluster does not exist yet.
func (r *run) lookCilium(ctx context.Context, client *kube.Client) (Action, error) {
	if network, _ := bundledCNI(r.provider); network != "" {
		return r.lookNetwork(ctx, client, network)
	}
	act, err := r.ciliumAction(ctx)
	if err != nil || client == nil {
		return act, err
	}
	installed, err := cilium.NewHelm(client, r.identity(), r.m.log()).Status(ctx)
	if err != nil {
		return act, err
	}
	if theirs, err := foreignCilium(ctx, client, installed, r.identity()); err != nil {
		return act, err
	} else if theirs != "" {
		if why := notReady(ctx, r.ciliumChecks(client)); why != "" {
			return act, fmt.Errorf("%s, which was already in this cluster, is not ready: %s", theirs, why)
		}
		return Action{Phase: phaseCilium, Kind: Keep, Detail: theirs + ", which was already installed"}, nil
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

// lookNetwork looks at the Cilium that the cluster came with. An up only waits until it is ready.
func (r *run) lookNetwork(ctx context.Context, client *kube.Client, network string) (Action, error) {
	act := r.action(phaseCilium, network, network)
	if act.Kind != Keep || client == nil {
		return act, nil
	}
	if why := notReady(ctx, r.ciliumChecks(client)); why != "" {
		act.Kind, act.Detail = Redo, act.Detail+" ("+why+")"
	}
	return act, nil
}

// awaitCilium waits until an installed Cilium is ready.
func (r *run) awaitCilium(ctx context.Context, client *kube.Client, p *progress) error {
	p.signal(signalInstalled)
	wait := kube.Waiter{Timeout: r.m.Settings.Timeouts.Cilium, Progress: p.step}
	if err := wait.Wait(ctx, clusterDNS(client)); err != nil {
		return err
	}
	p.signal(signalDNS)
	// Until the relay's image is loaded, its pod tries to pull it, which says nothing on a slow machine.
	if err := p.await(ctx, phaseImages); err != nil {
		return err
	}
	return wait.Wait(ctx, r.ciliumChecks(client)...)
}

// clusterDNS checks the DNS of the cluster: CoreDNS, or, on GKE, kube-dns.
func clusterDNS(client *kube.Client) kube.Check {
	see := func(ctx context.Context) (kube.Status, error) {
		for _, name := range []string{"coredns", "kube-dns"} {
			_, err := client.Typed.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
			if err == nil {
				return client.Deployment(metav1.NamespaceSystem, name).Observe(ctx)
			}
			if !apierrors.IsNotFound(err) {
				return kube.Status{}, err
			}
		}
		return kube.Status{Why: "neither Deployment coredns nor kube-dns exists"}, nil
	}
	return kube.Check{Object: "the cluster's DNS", Observe: see}
}

// foreignCilium names a Cilium that the instance did not install, by Helm or otherwise; empty if there is none.
func foreignCilium(ctx context.Context, client *kube.Client, installed *cilium.Installed,
	instance string) (string, error) {
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
		return "", fmt.Errorf("find Cilium: %w", err)
	}
	if cilium.OfRelease(ds) {
		return "", nil // from our own interrupted installation, whose release is gone
	}
	return "Cilium (not installed by Helm)", nil
}

// notReady names the first check that is not ready, and why; empty if all are ready.
func notReady(ctx context.Context, checks []kube.Check) string {
	for _, c := range checks {
		if look := c.Explain(ctx); !look.Ready {
			return kube.Pending{Object: c.Object, Why: look.Why}.String()
		}
	}
	return ""
}

// ciliumChecks are what must be rolled out for Cilium and Hubble to be ready.
func (r *run) ciliumChecks(client *kube.Client) []kube.Check {
	if _, daemonSet := bundledCNI(r.provider); daemonSet != "" {
		return []kube.Check{client.DaemonSet(metav1.NamespaceSystem, daemonSet), client.Nodes(1), clusterDNS(client)}
	}
	checks := append(networkChecks(client), client.Deployment(cilium.Namespace, "cilium-operator"), clusterDNS(client))
	if r.lab.Cilium.Relay {
		checks = append(checks, client.Deployment(cilium.Namespace, "hubble-relay"), hubble.Serves(client))
	}
	return checks
}

// recordDefinitions saves, before the first installation, which of Cilium's resource definitions are already in the
// cluster.
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

// installCilium installs or upgrades Cilium and waits until it is ready. chart is nil if phaseChart had nothing to
// fetch.
func (r *run) installCilium(ctx context.Context, p *progress, client *kube.Client, chart *cilium.Chart) (err error) {
	if network, _ := bundledCNI(r.provider); network != "" {
		p.warnf("the cluster has its own Cilium: without Hubble's flows, a drop is recognized by its timeout, and reports lack that evidence")
		return r.awaitCilium(ctx, client, p)
	}
	if version, err := client.Typed.Discovery().ServerVersion(); err == nil {
		if ok, why := cilium.CheckCompatibility(r.lab.Cilium.Version, version.GitVersion); !ok {
			p.warnf("%s", why)
		}
	}
	if chart == nil {
		if chart, err = r.fetchChart(ctx); err != nil {
			return err
		}
	}
	values, err := r.helmValues(ctx) // now that the cluster exists
	if err != nil {
		return err
	}
	if err := r.recordDefinitions(ctx, client); err != nil {
		return err
	}
	if err := cilium.Define(ctx, client, r.lab.Cilium.Version); err != nil {
		return err
	}
	p.step("waiting until the nodes have the images")
	if err := p.await(ctx, signalNetworkImages); err != nil {
		return err
	}
	p.step("installing the chart")
	installed, err := cilium.NewHelm(client, r.identity(), r.m.log()).Install(ctx, chart, values)
	if err != nil {
		return err
	}
	err = r.save(func(st *State) {
		st.Cilium.Version, st.Cilium.Chart, st.Cilium.Installed = installed.ChartVersion, chart.From, true
	})
	if err != nil {
		return err
	}
	return r.awaitCilium(ctx, client, p)
}

// sctpValues enable SCTP if an app of the lab uses it. By default Cilium drops it.
func sctpValues(lab *labs.Lab) map[string]any {
	for i := range lab.Apps {
		if slices.ContainsFunc(lab.Apps[i].Ports, func(p labs.Port) bool { return p.Protocol == "SCTP" }) {
			return map[string]any{"sctp": map[string]any{"enabled": true}}
		}
	}
	return nil
}
