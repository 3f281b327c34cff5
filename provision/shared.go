package provision

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
)

// lookShared looks at a cluster that labctl did not create, before anything in it is changed, and returns its client. It
// puts the context and the server into the action, since the current context is not always the one that its user has in
// mind, and returns an error if the lab must not be deployed there.
func (r *run) lookShared(ctx context.Context, act Action) (Action, *kube.Client, error) {
	where, client, err := r.shared(ctx)
	if err != nil {
		return act, nil, err
	}
	act.Detail = strings.Replace(act.Detail, "cluster "+r.cluster.Name, where, 1)
	if err := r.admit(ctx, client); err != nil {
		return act, nil, fmt.Errorf("%s: %w", where, err)
	}
	return act, client, nil
}

// shared names a cluster that labctl did not create by its context and server, and returns its client.
func (r *run) shared(ctx context.Context) (where string, client *kube.Client, err error) {
	data, err := r.provider.Kubeconfig(ctx, r.cluster)
	if err != nil {
		return "", nil, err
	}
	contextName, err := kube.CurrentContext(data)
	if err != nil {
		return "", nil, err
	}
	if client, err = kube.Parse(data); err != nil {
		return "", nil, err
	}
	server := client.Config.Host
	if u, err := url.Parse(server); err == nil {
		server = u.Redacted()
	}
	return "context " + contextName + ", server " + server, client, nil
}

// announceShared reports which cluster is about to be changed, if labctl did not create it.
func (r *run) announceShared(ctx context.Context, p *progress) error {
	if r.provider.Ephemeral() {
		return nil
	}
	where, _, err := r.shared(ctx)
	if err == nil {
		p.note("using " + where)
	}
	return err
}

// admit returns an error if the cluster has objects or a network of somebody else that the options do not allow to
// use, change or replace.
func (r *run) admit(ctx context.Context, client *kube.Client) error {
	if name, _ := bundledCNI(r.provider); name == "" {
		if err := r.admitNetwork(ctx, client); err != nil {
			return err
		}
	}
	if _, begun := r.state().Phases[phaseApps]; begun || r.adopts() {
		return nil
	}
	objs, err := r.objects()
	if err != nil {
		return err
	}
	return refuseForeign(ctx, client, objs, r.identity())
}

func (r *run) adopts() bool { return r.opts.Adopt || r.state().Cluster.Adopted }

// admitNetwork returns an error if the cluster has a network that the options do not allow to use or to replace.
func (r *run) admitNetwork(ctx context.Context, client *kube.Client) error {
	installed, err := cilium.NewHelm(client, r.identity(), r.m.log()).Status(ctx)
	if err != nil {
		return err
	}
	theirs, err := foreignCilium(ctx, client, installed, r.identity())
	switch {
	case err != nil:
		return err
	case theirs != "" && !r.adopts():
		return &OptionError{OptionAdopt, fmt.Errorf(
			"%s is already in this cluster and was not installed by this lab; allow the lab to use it", theirs)}
	case theirs != "" || installed != nil:
		return nil
	}
	other, err := otherNetwork(ctx, client)
	if err != nil {
		return err
	}
	st := r.state()
	if other == "" && st.Cilium.Installed { // and deleted since; what it configured is left on the nodes
		return nil
	}
	if r.opts.InstallCilium || st.Cluster.InstallCilium {
		return nil
	}
	nodes, err := client.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		if ready, _ := kube.NodeReady(&nodes.Items[i]); ready {
			if other != "" {
				other = " (" + other + ")"
			}
			return &OptionError{OptionInstallCilium, fmt.Errorf(
				"node %s is Ready, so this cluster has a network%s, and it is not Cilium. Cilium would replace it for all new pods; use another cluster, or allow that",
				nodes.Items[i].Name, other)}
		}
	}
	return nil
}

// otherNetwork names a network in the cluster that is not Cilium: a DaemonSet that puts files where nodes look for
// network plugins. Some distributions have one without a DaemonSet. A Cilium in another namespace than its chart's
// default is an error: nothing that looks at Cilium would find it.
func otherNetwork(ctx context.Context, client *kube.Client) (string, error) {
	sets, err := client.Typed.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list DaemonSets: %w", err)
	}
	other := ""
	for i := range sets.Items {
		ds := &sets.Items[i]
		switch {
		case ds.Labels["k8s-app"] == "cilium" && ds.Namespace != cilium.Namespace:
			return "", errors.New("Cilium is installed in namespace " + ds.Namespace + ", and labctl can only use one in " +
				cilium.Namespace + "; use another cluster")
		case other == "" && ds.Name != "cilium" && installsPlugins(ds):
			other = "DaemonSet " + ds.Namespace + "/" + ds.Name
		}
	}
	return other, nil
}

// installsPlugins reports whether a DaemonSet mounts a node's folder of network configurations or plugins.
func installsPlugins(ds *appsv1.DaemonSet) bool {
	for _, v := range ds.Spec.Template.Spec.Volumes {
		if v.HostPath != nil && slices.ContainsFunc([]string{"/etc/cni", "/opt/cni"}, func(dir string) bool {
			return v.HostPath.Path == dir || strings.HasPrefix(v.HostPath.Path, dir+"/")
		}) {
			return true
		}
	}
	return false
}
