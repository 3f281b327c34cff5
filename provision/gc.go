package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/labs"
)

// Orphan is a cluster that labctl created, and why it can be deleted. An empty Why means that it is in use.
type Orphan struct {
	ManagedCluster
	Why string `json:"why"`
}

// Orphans lists all clusters that labctl created with the block's provider, for any user, and says which can be
// deleted: expired ones, and this user's own that no instance uses.
func (m *Manager) Orphans(ctx context.Context, block labs.Cluster) ([]Orphan, error) {
	pruner, err := m.pruner(block)
	if err != nil {
		return nil, err
	}
	clusters, err := pruner.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	owner, err := m.Store.Owner()
	if err != nil {
		return nil, err
	}
	names, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	used := map[string]bool{} // clusters of instances, by the instance's ID, and by name where they have none
	for _, name := range names {
		st, err := m.Store.Read(name)
		if err != nil {
			// The unreadable instance may use any of the clusters.
			return nil, fmt.Errorf("cannot tell which clusters are in use: %w", err)
		}
		used[st.ID], used[st.Cluster.Provider+" "+st.Cluster.Name] = true, true
	}
	list := make([]Orphan, len(clusters))
	for i, c := range clusters {
		c.Mine = c.Owner == owner
		list[i] = Orphan{ManagedCluster: c}
		switch {
		case !c.Expires.IsZero() && m.Now().After(c.Expires):
			list[i].Why = "expired at " + c.Expires.Format(time.RFC3339)
		case c.Mine && !used[cmp.Or(c.ID, c.Provider+" "+c.Name)]:
			list[i].Why = "no lab instance uses it"
		}
	}
	return list, nil
}

// Prune deletes clusters concurrently. The error joins all failures.
func (m *Manager) Prune(ctx context.Context, block labs.Cluster, list []Orphan) error {
	pruner, err := m.pruner(block)
	if err != nil {
		return err
	}
	errs := make([]error, len(list))
	var group errgroup.Group
	for i, o := range list {
		group.Go(func() error {
			if err := pruner.Remove(ctx, o.ManagedCluster); err != nil {
				errs[i] = fmt.Errorf("%s (%s): %w", o.Name, o.Place, err)
			}
			return nil // the others are deleted all the same
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

func (m *Manager) pruner(block labs.Cluster) (Pruner, error) {
	provider, err := m.provider(block)
	if err != nil {
		return nil, err
	}
	pruner, ok := provider.(Pruner)
	if !ok {
		return nil, &UsageError{fmt.Errorf("%s clusters cost nothing and are not pruned; list them with: labctl list",
			block.Provider)}
	}
	return pruner, nil
}

// Prunable are the clusters of the list that can be deleted.
func Prunable(list []Orphan) []Orphan {
	return slices.DeleteFunc(slices.Clone(list), func(o Orphan) bool { return o.Why == "" })
}
