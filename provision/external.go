package provision

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

func (r *run) externalsPhase() phase {
	return phase{phaseExternals, []string{signalNodes, signalAPI}, nil, r.lookExternals, r.standIn}
}

func (r *run) lookExternals(context.Context) (Action, error) {
	if len(r.lab.Externals) == 0 {
		return Action{Phase: phaseExternals, Kind: Keep, Detail: "the lab has none"}, nil
	}
	return r.action(phaseExternals, names(r.lab.Externals), r.lab.Externals, r.m.Settings.Externals, r.m.Settings.AppImage), nil
}

func (r *run) standIn(ctx context.Context, p *progress) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	return r.externals(ctx, client, p)
}

// externals sees to it that something answers for each of the lab's externals: the real one, where this
// machine reaches it, or a stand-in beside the cluster, and the cluster's DNS says so.
func (r *run) externals(ctx context.Context, client *kube.Client, p *progress) error {
	var stand []labs.External
	states := map[string]ExternalState{}
	for _, ext := range r.lab.Externals {
		real := r.m.Settings.Externals == ExternalsReal
		if r.m.Settings.Externals == ExternalsAuto || r.m.Settings.Externals == "" {
			real = reachable(ctx, ext)
		}
		states[ext.Name] = ExternalState{StandIn: !real, Addrs: ext.Addrs}
		if !real {
			stand = append(stand, ext)
		}
	}
	if len(stand) > 0 {
		outsider, ok := r.provider.(Outsider)
		if !ok {
			p.warnf("%s does not answer from here, and a %s cluster has no stand-in for it", stand[0].Host, r.provider.Name())
			stand = nil
		} else {
			p.stepf("starting a stand-in for %s", names(stand))
			if err := outsider.StandIn(ctx, r.cluster, r.m.Settings.AppImage, endpoints(stand)); err != nil {
				return err
			}
		}
	}
	if len(stand) > 0 {
		// A new cluster's DNS is set up a moment after its API answers.
		wait := kube.Waiting{Timeout: r.m.clusterTimeout(r.provider), Progress: p.step}
		if err := wait.Wait(ctx, client.ConfigMap("kube-system", "coredns")); err != nil {
			return err
		}
	}
	// The DNS of a cluster without stand-ins is not the lab's to change.
	if _, ok := r.provider.(Outsider); ok {
		if err := setHosts(ctx, client, stand); err != nil {
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
			port := ext.Port
			if port == 0 {
				port = 443
			}
			out = append(out, Endpoint{Addr: addr, Port: port, Protocol: ext.Protocol})
		}
	}
	return out
}

// reachable says whether this machine can connect to the external now.
func reachable(ctx context.Context, ext labs.External) bool {
	if ext.Host == "" || ext.Port == 0 || ext.Protocol == "UDP" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(ext.Host, strconv.Itoa(ext.Port)))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// The part of CoreDNS's configuration that labctl writes stands between these lines.
const (
	hostsBegin = "    # labctl: stand-ins"
	hostsEnd   = "    # labctl: end"
)

// setHosts lets the cluster's DNS answer for the hosts of the stand-ins; none: as it was before.
func setHosts(ctx context.Context, client *kube.Client, stand []labs.External) error {
	maps := client.Typed.CoreV1().ConfigMaps("kube-system")
	var changed bool
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		cm, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
		if apierrors.IsNotFound(err) && len(stand) == 0 {
			return nil // its DNS is another one
		}
		if err != nil {
			return err
		}
		now := withHosts(cm.Data["Corefile"], stand)
		if changed = now != cm.Data["Corefile"]; !changed {
			return nil
		}
		cm.Data["Corefile"] = now
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: kube.FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("tell the cluster's DNS about the stand-ins: %w", err)
	}
	if !changed {
		return nil
	}
	// Pods that are on a node may have read it already, and would notice within half a minute; in a new cluster
	// none has a node yet.
	pods, err := client.Typed.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return fmt.Errorf("tell the cluster's DNS about the stand-ins: %w", err)
	}
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			if err := client.Restart(ctx, "kube-system", "coredns"); err != nil {
				return fmt.Errorf("tell the cluster's DNS about the stand-ins: %w", err)
			}
			break
		}
	}
	return nil
}

// withHosts puts the stand-ins' hosts into a Corefile, in the place of those that it had.
func withHosts(corefile string, stand []labs.External) string {
	lines := strings.Split(corefile, "\n")
	if from := slices.Index(lines, hostsBegin); from >= 0 {
		if to := slices.Index(lines, hostsEnd); to > from {
			lines = slices.Delete(lines, from, to+1)
		}
	}
	var hosts []string
	for _, ext := range stand {
		for _, addr := range ext.Addrs {
			if ext.Host != "" {
				hosts = append(hosts, "       "+addr+" "+ext.Host)
			}
		}
	}
	// The main server block begins with ".:53 {".
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, ".:53") })
	if len(hosts) == 0 || at < 0 {
		return strings.Join(lines, "\n")
	}
	block := slices.Concat([]string{hostsBegin, "    hosts {"}, hosts, []string{"       fallthrough", "    }", hostsEnd})
	return strings.Join(slices.Insert(lines, at+1, block...), "\n")
}

// externalAddr is an address of an external: the stand-in's, or what its name stands for now; empty: none.
func (r *run) externalAddr(ctx context.Context, ext labs.External) string {
	if st := r.state().External[ext.Name]; (st.StandIn || ext.Host == "") && len(ext.Addrs) > 0 {
		return ext.Addrs[0]
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", ext.Host)
	if err != nil || len(addrs) == 0 {
		return ""
	}
	return addrs[0].Unmap().String()
}
