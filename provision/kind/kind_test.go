package kind

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

type m = map[string]any

// newProvider makes a provider from the attributes of a cluster block.
func newProvider(t *testing.T, settings map[string]any, site *provision.Settings) *Provider {
	t.Helper()
	if site == nil {
		site = provision.DefaultSettings()
	}
	p, err := New(labs.Cluster{Provider: Name, Settings: settings}, site, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p.(*Provider)
}

func TestSettingsErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		settings m
		want     string
	}{
		{"unknown", m{"wrokers": 1}, "wrokers"},
		{"no number", m{"workers": "many"}, "workers"},
		{"an even control plane", m{"control_planes": 2}, "control_planes must be an odd number, not 2"},
		{"a control plane of -1", m{"control_planes": -1}, "control_planes must be a whole number from 1 to 9, not -1"},
		{"too many workers", m{"workers": 51}, "workers must be a whole number from 0 to 50, not 51"},
		{"a kube-proxy that is none", m{"kube_proxy": "off"}, `kube_proxy must be "iptables", "ipvs", "nftables" or "none", not "off"`},
		{"a family of addresses", m{"ip_family": "ipx"}, `ip_family must be "ipv4" or "dual", not "ipx"`},
		{"IPv6 alone", m{"ip_family": "ipv6"}, `ip_family cannot be "ipv6". Probes of DNS`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(labs.Cluster{Provider: Name, Settings: tc.settings}, provision.DefaultSettings(), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `cluster "kind"`) {
				t.Errorf("the error is %v; want one with %q", err, tc.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c := newProvider(t, nil, nil).config("labctl-shop")
	if c.Name != "labctl-shop" || !c.Networking.DisableDefaultCNI || len(c.Nodes) != 2 ||
		c.Nodes[0].Role != v1alpha4.ControlPlaneRole || c.Nodes[1].Role != v1alpha4.WorkerRole || c.Nodes[0].Image != defaults.Image {
		t.Errorf("by default: %+v", c)
	}
	c = newProvider(t, m{
		"control_planes": 3, "workers": 0, "kube_proxy": "none", "ip_family": "dual", "api_port": 6443,
		"pod_subnet": "10.1.0.0/16,fd00:1::/56", "service_subnet": "10.2.0.0/16,fd00:2::/112", "node_image": "mine:1",
		"port_mappings": []m{{"container_port": 30080, "host_port": 8080, "listen_address": "127.0.0.1", "protocol": "UDP"}},
	}, nil).config("x")
	want := v1alpha4.Networking{
		IPFamily: v1alpha4.DualStackFamily, APIServerPort: 6443, APIServerAddress: "127.0.0.1", PodSubnet: "10.1.0.0/16,fd00:1::/56",
		ServiceSubnet: "10.2.0.0/16,fd00:2::/112", DisableDefaultCNI: true, KubeProxyMode: "none",
	}
	if diff := cmp.Diff(want, c.Networking); diff != "" {
		t.Error(diff)
	}
	if len(c.Nodes) != 3 || c.Nodes[2].Role != v1alpha4.ControlPlaneRole || c.Nodes[2].Image != "mine:1" {
		t.Errorf("nodes %+v", c.Nodes)
	}
	mapping := []v1alpha4.PortMapping{{ContainerPort: 30080, HostPort: 8080, ListenAddress: "127.0.0.1", Protocol: "UDP"}}
	if diff := cmp.Diff(mapping, c.Nodes[0].ExtraPortMappings); diff != "" {
		t.Error(diff)
	}
	if len(c.Nodes[1].ExtraPortMappings) > 0 {
		t.Error("a port of this machine is mapped twice")
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		settings m
		site     string
		want     string
	}{
		{"kind's", nil, "", defaults.Image},
		{"of a version", m{"kubernetes_version": "1.36.1"}, "", "kindest/node:v1.36.1"},
		{"of a version with a v", m{"kubernetes_version": "v1.36.1"}, "", "kindest/node:v1.36.1"},
		{"the site's", m{"kubernetes_version": "1.36.1"}, "registry.school/node:1", "registry.school/node:1"},
		{"the lab's own", m{"node_image": "lab:1"}, "registry.school/node:1", "lab:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := newProvider(t, tc.settings, &provision.Settings{NodeImage: tc.site}).image(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNodeNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		settings     m
		want         []string
		loadBalancer string
		api          string
	}{
		{"by default", nil, []string{"c-control-plane", "c-worker"}, "", "c-control-plane"},
		{"one node", m{"workers": 0}, []string{"c-control-plane"}, "", "c-control-plane"},
		{"many", m{"workers": 3, "control_planes": 3}, []string{
			"c-control-plane", "c-control-plane2", "c-control-plane3", "c-worker", "c-worker2", "c-worker3",
		}, "c-external-load-balancer", "c-external-load-balancer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newProvider(t, tc.settings, nil).settings
			if got := s.nodeNames("c"); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if s.loadBalancer("c") != tc.loadBalancer || s.apiHost("c") != tc.api {
				t.Errorf("load balancer %q, API %q", s.loadBalancer("c"), s.apiHost("c"))
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	c := provision.Cluster{Name: "c"}
	for _, tc := range []struct {
		name     string
		settings m
		key      string
		want     any
	}{
		{"addresses by node", nil, "ipam", m{"mode": "kubernetes"}},
		{"kube-proxy stays", nil, "kubeProxyReplacement", nil},
		{"kube-proxy replaced", m{"kube_proxy": "none"}, "kubeProxyReplacement", "true"},
		{"agents find the API without kube-proxy", m{"kube_proxy": "none"}, "k8sServiceHost", "c-control-plane"},
		{"through the load balancer", m{"kube_proxy": "none", "control_planes": 3}, "k8sServiceHost", "c-external-load-balancer"},
		{"both", m{"ip_family": "dual"}, "ipv6", m{"enabled": true}},
		{"IPv4 is not turned off with both", m{"ip_family": "dual"}, "ipv4", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			values, err := newProvider(t, tc.settings, nil).Values(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, values[tc.key]); diff != "" {
				t.Error(diff)
			}
		})
	}
}
