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

// Manager runs the life cycle of lab instances. Log and Report are optional.
type Manager struct {
	Store     *Store
	Settings  *Settings
	Providers map[string]NewProvider
	Cache     string       // directory for downloads; empty: nothing is kept
	Log       *slog.Logger // nil: nothing is logged
	Report    func(Event)  // called from one goroutine at a time
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
		return nil, &UsageError{fmt.Errorf("unknown cluster provider %q; known are %s",
			block.Provider, strings.Join(known, ", "))}
	}
	p, err := make(block, m.Settings, m.log())
	if err != nil {
		return nil, &UsageError{err}
	}
	return p, nil
}

// cluster identifies the cluster of an instance for its provider.
func (m *Manager) cluster(st *State) Cluster {
	return Cluster{
		Name: st.Cluster.Name, Kubeconfig: m.Store.Kubeconfig(st.Name), Instance: st.Name, Lab: st.Lab.Name, ID: st.ID,
	}
}

// clusterTimeout limits how long a provider may take to create or delete a cluster.
func (m *Manager) clusterTimeout(p Provider) time.Duration {
	return cmp.Or(m.Settings.Timeouts.Cluster, p.Timeout())
}

// UsageError is a mistake of the user or the lab author. A retry fails the same way. All other errors of this
// package come from the machine or the cluster.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// OptionError is an error that another value of an option avoids. Its message ends with what to do, and the command
// line adds how: "use another name" "with --instance".
type OptionError struct {
	Option Option
	Err    error
}

// Option is an option of an instance that a user can set.
type Option string

const (
	OptionSpend Option = "spend" // UpOptions.Spend
	OptionName  Option = "name"  // UpOptions.Name
	OptionAdopt Option = "adopt" // UpOptions.Adopt

	OptionInstallCilium Option = "install-cilium" // UpOptions.InstallCilium
)

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// NameError is an OptionError of OptionName. The format ends with "use another name".
func NameError(format string, args ...any) error {
	return &OptionError{OptionName, fmt.Errorf(format, args...)}
}
