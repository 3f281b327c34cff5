// Package existing uses a cluster that already exists, through a context of a kubeconfig. It creates and deletes
// nothing; package provision creates the lab's objects in the cluster, and deletes them.
package existing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "existing"

// Provider implements provision.Provider.
type Provider struct{ settings schema.Existing }

// New implements provision.NewProvider.
func New(block labs.Cluster, _ *provision.Settings, _ *slog.Logger) (provision.Provider, error) {
	settings, err := schema.DecodeCluster[schema.Existing](Name, block.Settings)
	if err != nil {
		return nil, err
	}
	return &Provider{settings: settings}, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Timeout implements provision.Provider.
func (p *Provider) Timeout() time.Duration { return time.Minute }

// Ephemeral implements provision.Provider: the cluster stays.
func (p *Provider) Ephemeral() bool { return false }

// Local implements provision.Provider: where the nodes are is unknown.
func (p *Provider) Local() bool { return false }

// Values implements provision.Provider: the chart's defaults, since nothing is known about the cluster's network.
func (p *Provider) Values(context.Context, provision.Cluster) (map[string]any, error) {
	return nil, nil
}

// Preflight implements provision.Provider.
func (p *Provider) Preflight(ctx context.Context, c provision.Cluster) []provision.Finding {
	f := provision.Finding{Check: "cluster", Severity: provision.OK}
	client, err := p.client(ctx, c)
	if err == nil {
		f.Message = client.Config.Host + " answers"
		err = client.WaitAPI(ctx, 5*time.Second)
	}
	if err != nil {
		f.Severity, f.Message = provision.Failure, err.Error()
		f.Fix = "check the kubeconfig and context of the lab's cluster block: kubectl get nodes"
	}
	return []provision.Finding{f}
}

// Find implements provision.Provider. A cluster that does not answer is an error, since it may still exist.
func (p *Provider) Find(ctx context.Context, c provision.Cluster) (provision.Found, error) {
	client, err := p.client(ctx, c)
	if err != nil {
		return provision.Found{}, err
	}
	if err := client.WaitAPI(ctx, 5*time.Second); err != nil {
		return provision.Found{}, err
	}
	return provision.Found{State: provision.Running}, nil
}

// Create implements provision.Provider. It only checks that the cluster answers.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, progress provision.CreateProgress) error {
	client, err := p.client(ctx, c)
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, 15*time.Second); err != nil {
		return err
	}
	progress.Milestone(provision.NodesUp)
	progress.Milestone(provision.APIUp)
	return nil
}

// Delete implements provision.Provider: labctl does not own the cluster.
func (p *Provider) Delete(context.Context, provision.Cluster) error { return nil }

// Kubeconfig implements provision.Provider: the context alone, with the content of the files that it names. Once an
// instance has its own kubeconfig, that is used, so that another current context does not move the lab.
func (p *Provider) Kubeconfig(_ context.Context, c provision.Cluster) ([]byte, error) {
	if data, err := os.ReadFile(c.Kubeconfig); err == nil {
		return data, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if p.settings.Kubeconfig != "" {
		rules.ExplicitPath = expand(p.settings.Kubeconfig)
	}
	cfg, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if len(cfg.Contexts) == 0 {
		return nil, fmt.Errorf("no kubeconfig with a cluster found in %v", rules.GetLoadingPrecedence())
	}
	if p.settings.Context != "" {
		cfg.CurrentContext = p.settings.Context
	}
	if cfg.CurrentContext == "" {
		return nil, errors.New("the kubeconfig has no current context; set context in the lab's cluster block")
	}
	if cfg.Contexts[cfg.CurrentContext] == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %q", cfg.CurrentContext)
	}
	if err := api.MinifyConfig(cfg); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if err := api.FlattenConfig(cfg); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return clientcmd.Write(*cfg)
}

func (p *Provider) client(ctx context.Context, c provision.Cluster) (*kube.Client, error) {
	data, err := p.Kubeconfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return kube.Parse(data)
}

// expand replaces a leading "~/" as shells do.
func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}
