// Package kind creates clusters whose nodes are containers on this machine, with kind as a library. It installs no
// network: nodes are NotReady until Cilium is installed.
package kind

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "kind"

// settings are what the lab says about the cluster.
type settings schema.Kind

// Provider implements provision.Provider and the optional interfaces below.
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
	provision.StandInProvider
} = (*Provider)(nil)

// New implements provision.NewProvider.
func New(cluster labs.Cluster, site *provision.Settings, log *slog.Logger) (provision.Provider, error) {
	block, err := schema.DecodeCluster[schema.Kind](Name, cluster.Settings)
	if err != nil {
		return nil, err
	}
	return &Provider{settings: settings(block), site: site, log: log, engine: new(engine)}, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Timeout implements provision.Provider.
func (p *Provider) Timeout() time.Duration { return 5 * time.Minute }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Local implements provision.Provider.
func (p *Provider) Local() bool { return true }

// Values implements provision.Provider. Pods get addresses from the ranges that Kubernetes assigns to nodes, so
// that agents need not wait for the operator.
func (p *Provider) Values(_ context.Context, c provision.Cluster) (map[string]any, error) {
	values := map[string]any{
		"ipam":  map[string]any{"mode": "kubernetes"},
		"image": map[string]any{"pullPolicy": "IfNotPresent"},
	}
	if p.settings.IPFamily == "dual" {
		values["ipv6"] = map[string]any{"enabled": true}
	}
	// Agents use the API server's own address. Through kube-proxy, which may start after them, they would have to
	// retry after 5 s.
	values["k8sServiceHost"] = p.settings.apiHost(c.Name)
	values["k8sServicePort"] = 6443
	if p.settings.KubeProxy == "none" {
		values["kubeProxyReplacement"] = "true"
	}
	return values, nil
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
