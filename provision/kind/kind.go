// Package kind makes clusters whose nodes are containers on this machine, through kind as a library. The
// network is left to Cilium: nodes stay NotReady until it is in.
package kind

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "kind"

// settings are the attributes of a `cluster "kind"` block.
type settings struct {
	ControlPlanes     int           `mapstructure:"control_planes"` // default 1
	Workers           *int          `mapstructure:"workers"`        // default 1
	KubernetesVersion string        `mapstructure:"kubernetes_version"`
	NodeImage         string        `mapstructure:"node_image"`
	KubeProxy         string        `mapstructure:"kube_proxy"` // iptables (default), ipvs, nftables; none: Cilium takes its place
	IPFamily          string        `mapstructure:"ip_family"`  // ipv4 (default), ipv6, dual
	PodSubnet         string        `mapstructure:"pod_subnet"`
	ServiceSubnet     string        `mapstructure:"service_subnet"`
	APIPort           int           `mapstructure:"api_port"` // on this machine; default: a free one
	PortMappings      []portMapping `mapstructure:"port_mappings"`
}

type portMapping struct {
	ContainerPort int    `mapstructure:"container_port"`
	HostPort      int    `mapstructure:"host_port"`
	ListenAddress string `mapstructure:"listen_address"`
	Protocol      string `mapstructure:"protocol"`
}

// Provider implements provision.Provider and all its optional interfaces.
type Provider struct {
	settings settings
	site     *provision.Settings
	log      *slog.Logger
	engine   *engine // found when first needed
}

var _ interface {
	provision.Provider
	provision.ImageLoader
	provision.Pauser
	provision.LogCollector
	provision.Outsider
} = (*Provider)(nil)

// New implements provision.NewProvider.
func New(block labs.Cluster, site *provision.Settings, log *slog.Logger) (provision.Provider, error) {
	p := &Provider{site: site, log: log, engine: new(engine)}
	if err := provision.DecodeSettings(block, &p.settings); err != nil {
		return nil, err
	}
	if p.settings.ControlPlanes == 0 {
		p.settings.ControlPlanes = 1
	}
	if p.settings.Workers == nil {
		one := 1
		p.settings.Workers = &one
	}
	if err := p.settings.check(); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", Name, err)
	}
	return p, nil
}

func (s *settings) check() error {
	oneOf := func(name, value string, allowed ...string) error {
		for _, a := range allowed {
			if value == a {
				return nil
			}
		}
		return fmt.Errorf("%s = %q: want one of %s", name, value, strings.Join(allowed[1:], ", "))
	}
	switch {
	case s.ControlPlanes < 1 || s.ControlPlanes > 9 || s.ControlPlanes%2 == 0:
		return fmt.Errorf("control_planes = %d: want 1, 3, 5, 7 or 9, so that etcd has a majority", s.ControlPlanes)
	case *s.Workers < 0 || *s.Workers > 50:
		return fmt.Errorf("workers = %d: want 0 to 50", *s.Workers)
	}
	if err := oneOf("kube_proxy", s.KubeProxy, "", "iptables", "ipvs", "nftables", "none"); err != nil {
		return err
	}
	return oneOf("ip_family", s.IPFamily, "", "ipv4", "ipv6", "dual")
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Timeout implements provision.Provider.
func (p *Provider) Timeout() time.Duration { return 5 * time.Minute }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Values implements provision.Provider. Pod addresses come from the ranges that Kubernetes gives the nodes,
// so that agents need not wait for the operator.
func (p *Provider) Values(c provision.Cluster) map[string]any {
	values := map[string]any{
		"ipam":  map[string]any{"mode": "kubernetes"},
		"image": map[string]any{"pullPolicy": "IfNotPresent"},
	}
	switch p.settings.IPFamily {
	case "ipv6":
		values["ipv4"] = map[string]any{"enabled": false}
		values["ipv6"] = map[string]any{"enabled": true}
	case "dual":
		values["ipv6"] = map[string]any{"enabled": true}
	}
	// Cilium asks the API server at its own address: kube-proxy, if there is one, may take longer to be ready than
	// the agents, which would try again after 5 s.
	values["k8sServiceHost"] = p.settings.apiHost(c.Name)
	values["k8sServicePort"] = 6443
	if p.settings.KubeProxy == "none" {
		values["kubeProxyReplacement"] = "true"
	}
	return values
}

// Kubeconfig implements provision.Provider.
func (p *Provider) Kubeconfig(ctx context.Context, c provision.Cluster) ([]byte, error) {
	kp, err := p.kind(ctx)
	if err != nil {
		return nil, err
	}
	text, err := kp.KubeConfig(c.Name, false)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of kind cluster %s: %w", c.Name, reason(err))
	}
	return []byte(text), nil
}
