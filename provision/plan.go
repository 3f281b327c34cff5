package provision

import (
	"context"
	"errors"
	"slices"
)

// Plan lists what an up would do.
type Plan struct {
	Instance string   `json:"instance"`
	Provider string   `json:"provider"`
	Actions  []Action `json:"actions"`
}

// Changes reports whether an up would do anything at all.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind != Keep })
}

// Plan finds out what an up would create, change or keep. It changes nothing.
func (m *Manager) Plan(ctx context.Context, opts UpOptions) (*Plan, error) {
	r, err := m.newRun(opts)
	if err != nil {
		return nil, err
	}
	st, err := m.Store.Read(r.opts.Name)
	if err != nil && !errors.Is(err, ErrNoInstance) {
		return nil, err
	}
	r.inst = &Instance{State: st}
	plan := &Plan{Instance: r.opts.Name, Provider: r.provider.Name(), Actions: []Action{}}
	later := false // the cluster has to be started before the rest can be looked at
	for _, p := range r.phases(new(results)) {
		if p.name == phasePreflight {
			continue
		}
		if later {
			plan.Actions = append(plan.Actions,
				Action{Phase: p.name, Kind: Keep, Detail: "unknown until the cluster runs"})
			continue
		}
		act, err := p.look(ctx)
		if err != nil {
			return nil, &PhaseError{p.name, err}
		}
		if p.name == phaseCluster {
			later = act.Kind == Change
			if st != nil && (act.Kind == Create || act.Kind == Redo) {
				st.forgetCluster()
			}
		}
		plan.Actions = append(plan.Actions, act)
	}
	return plan, nil
}
