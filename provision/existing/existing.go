// Package existing uses a cluster that is there already: a context of a kubeconfig. It makes and deletes
// nothing; what labctl puts into the cluster is package provision's, which also takes it out again.
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
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "existing"

// settings are the attributes of a `cluster "existing"` block.
type settings struct {
	Kubeconfig string `mapstructure:"kubeconfig"` // default: as kubectl finds it
	Context    string `mapstructure:"context"`    // default: the current one
}

// Provider implements provision.Provider.
type Provider struct{ settings settings }

// New implements provision.NewProvider.
func New(block labs.Cluster, _ *provision.Settings, _ *slog.Logger) (provision.Provider, error) {
	p := &Provider{}
	if err := provision.DecodeSettings(block, &p.settings); err != nil {
		return nil, err
	}
	return p, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Timeout implements provision.Provider.
func (p *Provider) Timeout() time.Duration { return time.Minute }

// Ephemeral implements provision.Provider: the cluster stays.
func (p *Provider) Ephemeral() bool { return false }

// Values implements provision.Provider. The cluster's network is its owner's: only the chart's defaults hold.
func (p *Provider) Values(provision.Cluster) map[string]any { return nil }

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

// Find implements provision.Provider. A cluster that does not answer need not be gone: it is an error.
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

// Create implements provision.Provider: it only looks whether the cluster answers.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, watch provision.Watch) error {
	client, err := p.client(ctx, c)
	if err != nil {
		return err
	}
	if err := client.WaitAPI(ctx, 15*time.Second); err != nil {
		return err
	}
	watch.Reached(provision.NodesUp)
	watch.Reached(provision.APIUp)
	return nil
}

// Delete implements provision.Provider: the cluster is not labctl's.
func (p *Provider) Delete(context.Context, provision.Cluster) error { return nil }

// Kubeconfig implements provision.Provider: the context alone, with what its files hold put in. Once an
// instance has its own, that one counts, so that another current context does not move the lab.
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
		return nil, fmt.Errorf("there is no kubeconfig with a cluster in it (looked at %v)", rules.GetLoadingPrecedence())
	}
	if p.settings.Context != "" {
		cfg.CurrentContext = p.settings.Context
	}
	if cfg.CurrentContext == "" {
		return nil, errors.New("the kubeconfig has no current context: name one in the lab's cluster block")
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
