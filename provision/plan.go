package provision

import (
	"context"
	"errors"
	"slices"
)

// Plan is what an up would do.
type Plan struct {
	Instance string   `json:"instance"`
	Provider string   `json:"provider"`
	Actions  []Action `json:"actions"`
}

// Changes says whether an up would do anything at all.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind != Keep })
}

// Plan looks what an up would create, change or keep. It changes nothing.
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
	var (
		fresh bool // from here on there is nothing to look at
		later bool // from here on there is, but not yet
	)
	for _, p := range r.phases() {
		if p.name == phasePreflight {
			continue
		}
		if later {
			plan.Actions = append(plan.Actions, Action{Phase: p.name, Kind: Keep, Detail: "to be looked at once the cluster answers"})
			continue
		}
		act, err := r.planned(ctx, p, fresh)
		if err != nil {
			return nil, &PhaseError{p.name, err}
		}
		if p.name == phaseCluster {
			fresh, later = act.Kind == Create || act.Kind == Redo, act.Kind == Change
			if fresh && st != nil {
				st.forgetCluster()
			}
		}
		plan.Actions = append(plan.Actions, act)
	}
	return plan, nil
}

func (r *run) planned(ctx context.Context, p phase, fresh bool) (Action, error) {
	if fresh && p.name == phaseCilium {
		return Action{Phase: p.name, Kind: Create, Detail: "Cilium " + r.lab.Cilium.Version}, nil
	}
	act, err := p.look(ctx)
	if err == nil && fresh && act.Kind != Keep {
		act.Kind = Create
	}
	return act, err
}
