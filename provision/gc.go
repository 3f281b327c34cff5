package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/labctl/labctl/labs"
)

// Leftover is a cluster that labctl made, and why it may go. Empty: it is in use.
type Leftover struct {
	Owned
	Why string `json:"why"`
}

// Leftovers lists all clusters that labctl made where the block's provider makes them, whoever did, and says which may go: those
// that have outlived their time, and this user's that no instance knows any more.
func (m *Manager) Leftovers(ctx context.Context, block labs.Cluster) ([]Leftover, error) {
	collector, err := m.collector(block)
	if err != nil {
		return nil, err
	}
	owned, err := collector.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	names, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{} // clusters of instances
	for _, name := range names {
		st, err := m.Store.Read(name)
		if err != nil {
			// An instance that cannot be read may be of any cluster: nothing is taken for lost.
			return nil, fmt.Errorf("which clusters are in use is not known: %w", err)
		}
		known[st.Cluster.Provider+" "+st.Cluster.Name] = true
	}
	list := make([]Leftover, len(owned))
	for i, o := range owned {
		list[i] = Leftover{Owned: o}
		switch {
		case !o.Expires.IsZero() && m.Now().After(o.Expires):
			list[i].Why = fmt.Sprintf("it has outlived its time, since %s", o.Expires.Format(time.RFC3339))
		case o.Mine && !known[o.Provider+" "+o.Name]:
			list[i].Why = "no lab instance knows it"
		}
	}
	return list, nil
}

// Collect deletes leftovers, all at the same time. Each one's end is reported; the error has all that failed.
func (m *Manager) Collect(ctx context.Context, block labs.Cluster, list []Leftover) error {
	collector, err := m.collector(block)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for _, l := range list {
		go func() {
			err := collector.Remove(ctx, l.Owned)
			if err != nil {
				err = fmt.Errorf("%s (%s): %w", l.Name, l.Place, err)
			}
			errs <- err
		}()
	}
	var failed []error
	for range list {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

func (m *Manager) collector(block labs.Cluster) (Collector, error) {
	provider, err := m.provider(block)
	if err != nil {
		return nil, err
	}
	collector, ok := provider.(Collector)
	if !ok {
		return nil, &UsageError{fmt.Errorf("clusters of the provider %s cost nothing and are not collected: labctl list shows them", block.Provider)}
	}
	return collector, nil
}

// Collected are the leftovers that may go.
func Collected(list []Leftover) []Leftover {
	return slices.DeleteFunc(slices.Clone(list), func(l Leftover) bool { return l.Why == "" })
}
