package provision

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/labctl/labctl/labs"
)

// Manager runs the life cycle of lab instances. All fields but Log and Report are needed.
type Manager struct {
	Store     *Store
	Settings  *Settings
	Providers map[string]NewProvider
	Cache     string       // directory for what was downloaded; empty: nothing is kept
	Log       *slog.Logger // nil: nothing is logged
	Report    func(Event)  // called from one goroutine at a time; nil: nobody waits
	Now       func() time.Time
}

func (m *Manager) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

func (m *Manager) provider(block labs.Cluster) (Provider, error) {
	make, ok := m.Providers[block.Provider]
	if !ok {
		known := slices.Sorted(maps.Keys(m.Providers))
		return nil, &UsageError{fmt.Errorf("this version has no cluster provider %q; it has %s", block.Provider, strings.Join(known, ", "))}
	}
	p, err := make(block, m.Settings, m.log())
	if err != nil {
		return nil, &UsageError{err}
	}
	return p, nil
}

// cluster names a cluster to its provider.
func (m *Manager) cluster(name, instance, lab string) Cluster {
	return Cluster{Name: name, Kubeconfig: m.Store.Kubeconfig(instance), Instance: instance, Lab: lab}
}

// clusterTimeout is how long a provider may take to make or delete a cluster.
func (m *Manager) clusterTimeout(p Provider) time.Duration {
	return cmp.Or(m.Settings.Timeouts.Cluster, p.Timeout())
}

// UsageError is the user's or the lab author's: another try would fail the same way. All other errors of
// this package are the machine's or the cluster's.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }
