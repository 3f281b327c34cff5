package provision

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

func (r *run) externalsPhase(client *result[*kube.Client]) phase {
	return phase{
		name: phaseExternals, needs: []string{signalNodes, signalAPI},
		look: r.lookExternals,
		do:   func(ctx context.Context, p *progress) error { return r.externals(ctx, client.get(), p) },
	}
}

func (r *run) lookExternals(context.Context) (Action, error) {
	if len(r.lab.Externals) == 0 {
		return Action{Phase: phaseExternals, Kind: Keep, Detail: "the lab has none"}, nil
	}
	// Without where they are written: a comment above changes nothing.
	inputs := slices.Clone(r.lab.Externals)
	for i := range inputs {
		inputs[i].Range = hcl.Range{}
	}
	return r.action(phaseExternals, names(r.lab.Externals), inputs, r.m.Settings.Externals,
		r.m.Settings.AppImage), nil
}

// externals ensures that something answers for each of the lab's externals: the real host if this machine reaches
// it, otherwise a stand-in next to the cluster, with an entry in the cluster's DNS.
func (r *run) externals(ctx context.Context, client *kube.Client, p *progress) error {
	var missing []labs.External
	states := map[string]ExternalState{}
	for _, ext := range r.lab.Externals {
		real := r.m.Settings.Externals == ExternalsReal
		if r.m.Settings.Externals == ExternalsAuto || r.m.Settings.Externals == "" {
			real = reachable(ctx, ext)
		}
		states[ext.Name] = ExternalState{StandIn: !real, Addrs: ext.Addrs}
		if !real {
			missing = append(missing, ext)
		}
	}
	provider, hasStandIns := r.provider.(StandInProvider)
	if len(missing) > 0 && !hasStandIns {
		p.warnf("%s cannot be reached from this machine, and %s clusters have no stand-ins",
			names(missing), r.provider.Name())
		for _, ext := range missing { // the cluster may reach it all the same
			states[ext.Name] = ExternalState{Addrs: ext.Addrs}
		}
		missing = nil
	}
	if len(missing) > 0 {
		p.stepf("starting a stand-in for %s", names(missing))
		if err := provider.StandIn(ctx, r.cluster, r.m.Settings.AppImage, endpoints(missing)); err != nil {
			return err
		}
		// A new cluster's DNS is configured after its API server is up.
		wait := kube.Waiter{Timeout: r.m.clusterTimeout(r.provider), Progress: p.step}
		if err := wait.Wait(ctx, client.ConfigMap(metav1.NamespaceSystem, "coredns")); err != nil {
			return err
		}
	}
	if hasStandIns { // otherwise the cluster's DNS needs no change
		if err := setHosts(ctx, client, missing); err != nil {
			return err
		}
	}
	return r.save(func(st *State) { st.External = states })
}

func names(list []labs.External) string {
	out := make([]string, len(list))
	for i, ext := range list {
		out[i] = ext.Name
	}
	return strings.Join(out, ", ")
}

func endpoints(list []labs.External) []Endpoint {
	var out []Endpoint
	for _, ext := range list {
		for _, addr := range ext.Addrs {
			out = append(out, Endpoint{Addr: addr, Port: ext.Port, Protocol: ext.Protocol})
		}
	}
	return out
}

// reachable reports whether this machine can connect to the external, by each of its names.
func reachable(ctx context.Context, ext labs.External) bool {
	if ext.Host == "" || ext.Protocol == "UDP" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, host := range ext.Hosts() {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(ext.Port)))
		if err != nil {
			return false
		}
		conn.Close()
	}
	return true
}

// labctl writes the part of CoreDNS's configuration between these lines.
const (
	hostsBegin = "    # labctl: stand-ins"
	hostsEnd   = "    # labctl: end"
)

// setHosts makes the cluster's DNS resolve the hosts of the stand-ins. Without any, it restores the configuration.
func setHosts(ctx context.Context, client *kube.Client, standIns []labs.External) error {
	maps := client.Typed.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	var changed bool
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		cm, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
		if apierrors.IsNotFound(err) && len(standIns) == 0 {
			return nil // the cluster has another DNS
		}
		if err != nil {
			return err
		}
		now := withHosts(cm.Data["Corefile"], standIns)
		if changed = now != cm.Data["Corefile"]; !changed {
			return nil
		}
		cm.Data["Corefile"] = now
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: kube.FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("update CoreDNS with the stand-in hosts: %w", err)
	}
	if !changed {
		return nil
	}
	// Running pods would notice the change within half a minute. In a new cluster none has a node yet.
	pods, err := client.Typed.CoreV1().Pods(metav1.NamespaceSystem).
		List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return fmt.Errorf("update CoreDNS with the stand-in hosts: %w", err)
	}
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			if err := client.Restart(ctx, metav1.NamespaceSystem, "coredns"); err != nil {
				return fmt.Errorf("update CoreDNS with the stand-in hosts: %w", err)
			}
			break
		}
	}
	return nil
}

// withHosts replaces the stand-ins' hosts in a Corefile.
func withHosts(corefile string, standIns []labs.External) string {
	lines := strings.Split(corefile, "\n")
	if from := slices.Index(lines, hostsBegin); from >= 0 {
		if to := slices.Index(lines, hostsEnd); to > from {
			lines = slices.Delete(lines, from, to+1)
		}
	}
	var hosts []string
	for _, ext := range standIns {
		for _, addr := range ext.Addrs {
			for _, host := range ext.Hosts() {
				hosts = append(hosts, "       "+addr+" "+host)
			}
		}
	}
	// The main server block begins with ".:53 {".
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, ".:53") })
	if len(hosts) == 0 || at < 0 {
		return strings.Join(lines, "\n")
	}
	block := slices.Concat([]string{hostsBegin, "    hosts {"}, hosts,
		[]string{"       fallthrough", "    }", hostsEnd})
	return strings.Join(slices.Insert(lines, at+1, block...), "\n")
}
