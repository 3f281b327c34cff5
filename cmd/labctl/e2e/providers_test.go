//go:build e2e

package e2e

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/existing"
	"github.com/labctl/labctl/provision/kind"
	"github.com/labctl/labctl/provision/providertest"
)

// providers holds those providers to the contract that need a real cluster to keep it.
func (s *suite) providers(t *testing.T) {
	site, err := provision.ReadSettings("", false, s.env)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("kind", func(t *testing.T) {
		providertest.Run(t, providertest.Subject{
			New: func(t *testing.T) provision.Provider {
				return s.provider(t, kind.New, labs.Cluster{Provider: kind.Name, Settings: map[string]any{"workers": 0}}, site)
			},
			Cluster:   provision.Cluster{Name: "labctl-" + s.name + "-contract", Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")},
			Interrupt: 1, Images: []string{site.AppImage},
		})
		if left := s.containers(t, s.name+"-contract"); len(left) > 0 {
			t.Errorf("containers are left: %v", left)
		}
	})
	t.Run("existing", func(t *testing.T) {
		s.lab(t)
		block := labs.Cluster{Provider: existing.Name, Settings: map[string]any{"kubeconfig": s.kubeconfig()}}
		providertest.Run(t, providertest.Subject{
			New:     func(t *testing.T) provision.Provider { return s.provider(t, existing.New, block, site) },
			Cluster: provision.Cluster{Name: "labctl-" + s.name, Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")},
		})
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
