//go:build e2e

package e2e

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/existing"
	"github.com/labctl/labctl/provision/providertest"
)

// providers holds the provider existing to the contract; the step bare does so with kind.
func (s *suite) providers(t *testing.T) {
	site, err := provision.ReadSettings("", false, s.env)
	if err != nil {
		t.Fatal(err)
	}
	s.lab(t)
	block := labs.Cluster{Provider: existing.Name, Settings: map[string]any{"kubeconfig": s.kubeconfig()}}
	providertest.Run(t, providertest.Subject{
		New:     func(t *testing.T) provision.Provider { return s.provider(t, existing.New, block, site) },
		Cluster: provision.Cluster{Name: "labctl-" + s.name, Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")},
	})
}

func (s *suite) provider(t *testing.T, make provision.NewProvider, block labs.Cluster, site *provision.Settings) provision.Provider {
	t.Helper()
	p, err := make(block, site, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
