package provision

import (
	"context"
	"sync"
	"time"
)

// Listed is one line of `labctl list`.
type Listed struct {
	Name     string     `json:"name"`
	Lab      string     `json:"lab"`
	Provider string     `json:"provider"`
	Cluster  string     `json:"cluster"`
	State    FoundState `json:"state"`
	Complete bool       `json:"complete"` // its up has succeeded
	Detail   string     `json:"detail,omitempty"`
	Created  time.Time  `json:"created"`
}

// complete reports whether the instance's last up succeeded: it ended with the baseline, and left no phase undone. A
// phase that had nothing to do, such as that of a Cilium which was there before, is not in the state.
func (st *State) complete() bool {
	for _, ph := range st.Phases {
		if ph.Status != PhaseDone {
			return false
		}
	}
	return st.Phases[phaseBaseline].Status == PhaseDone
}

// List looks at all instances concurrently. An instance that cannot be read is listed with the reason.
func (m *Manager) List(ctx context.Context) ([]Listed, error) {
	names, err := m.Store.Names()
	if err != nil {
		return nil, err
	}
	list := make([]Listed, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { list[i] = m.listed(ctx, name) })
	}
	wg.Wait()
	return list, nil
}

func (m *Manager) listed(ctx context.Context, name string) Listed {
	l := Listed{Name: name, State: "unknown"}
	st, err := m.Store.Read(name)
	if err != nil {
		l.Detail = err.Error()
		return l
	}
	l.Lab, l.Provider, l.Cluster, l.Created = st.Lab.Name, st.Cluster.Provider, st.Cluster.Name, st.Created
	l.Complete = st.complete()
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		l.Detail = err.Error()
		return l
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := provider.Find(ctx, m.cluster(st))
	if err != nil {
		l.Detail = err.Error()
		return l
	}
	l.State, l.Detail = found.State, found.Detail
	return l
}
