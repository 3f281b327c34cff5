package provision

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labctl/labctl/labs"
)

// cloud is a provider whose clusters cost money.
type cloud struct {
	*fakeProvider
	clusters []ManagedCluster
	stuck    string // the cluster that cannot be removed

	mu      sync.Mutex
	removed []string
}

func (c *cloud) Clusters(context.Context) ([]ManagedCluster, error) { return c.clusters, nil }

func (c *cloud) Remove(_ context.Context, o ManagedCluster) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Name == c.stuck {
		return errors.New("it is busy")
	}
	c.removed = append(c.removed, o.Name)
	return nil
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	past, future := start.Add(-time.Hour), start.Add(24*time.Hour)
	c := &cloud{fakeProvider: &fakeProvider{}, stuck: "expired-of-another"}
	m, _ := newManager(t, c)
	me, err := m.Store.Owner()
	if err != nil {
		t.Fatal(err)
	}
	c.clusters = []ManagedCluster{
		{Provider: "fake", Name: "labctl-shop", Owner: me, ID: "shop1", Expires: future},
		{Provider: "fake", Name: "labctl-shop", Owner: me, ID: "shop0", Place: "an earlier project", Expires: future},
		{Provider: "fake", Name: "lost", Owner: me, Expires: future},
		{Provider: "fake", Name: "of-my-namesake", Owner: me + "x", Expires: future},
		{Provider: "fake", Name: "of-another", Expires: future},
		{Provider: "fake", Name: "expired-of-another", Expires: past},
		{Provider: "fake", Name: "without-end"},
		{Provider: "fake", Name: "labctl-late", Owner: me, Expires: past},
	}
	for _, name := range []string{"shop", "late"} {
		inst, err := m.Store.Create(t.Context(), name, "test")
		if err != nil {
			t.Fatal(err)
		}
		inst.State = &State{Name: name, ID: name + "1", Cluster: ClusterState{Provider: "fake", Name: "labctl-" + name}}
		if err := errors.Join(inst.Save(), inst.Close()); err != nil {
			t.Fatal(err)
		}
	}
	block := labs.Cluster{Provider: "fake"}
	list, err := m.Orphans(t.Context(), block)
	if err != nil || len(list) != len(c.clusters) {
		t.Fatalf("%v, %v", list, err)
	}
	remove := Prunable(list)
	var names []string
	for _, l := range remove {
		names = append(names, l.Name)
	}
	if want := []string{"labctl-shop", "lost", "expired-of-another", "labctl-late"}; !slices.Equal(names, want) {
		t.Fatalf("to delete: %v, want %v", names, want)
	}
	err = m.Prune(t.Context(), block, remove)
	if err == nil || !strings.Contains(err.Error(), "expired-of-another") || strings.Contains(err.Error(), "lost") {
		t.Errorf("Prune: %v", err)
	}
	slices.Sort(c.removed)
	if want := []string{"labctl-late", "labctl-shop", "lost"}; !slices.Equal(c.removed, want) {
		t.Errorf("removed %v, want %v", c.removed, want)
	}
}

func TestOrphansOfOtherProviders(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{})
	_, err := m.Orphans(t.Context(), labs.Cluster{Provider: "fake"})
	wantError(t, err, "cost nothing", true)
}

// resolver is a provider whose project comes from the user's environment.
type resolver struct {
	*fakeProvider
	project string
}

func (p *resolver) ResolvedSettings(context.Context) (map[string]any, error) {
	return map[string]any{"project": p.project}, nil
}

// The settings that a cluster was created with are kept: another environment does not move it.
func TestResolvedSettings(t *testing.T) {
	t.Parallel()
	p := &resolver{&fakeProvider{}, "first"}
	m, _ := newManager(t, p)
	m.Settings.Chart = chartOf(t)
	var asked []any
	m.Providers["fake"] = func(block labs.Cluster, _ *Settings, _ *slog.Logger) (Provider, error) {
		asked = append(asked, block.Settings["project"])
		return p, nil
	}
	p.create = func(context.Context, func(Milestone)) error { return errors.New("no more") }
	opts := UpOptions{Lab: fakeLab("shop"), Ref: LabRef{Name: "shop"}, Retain: true}
	for _, project := range []string{"first", "second"} {
		p.project = project
		if _, err := m.Up(t.Context(), opts); err == nil {
			t.Fatal("no error")
		}
	}
	if want := []any{nil, "first"}; !slices.Equal(asked, want) {
		t.Errorf("the provider was created for the projects %v, want %v", asked, want)
	}
}
