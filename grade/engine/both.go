package engine

import (
	"context"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

// Disagreement is a probe on which two engines came to different verdicts.
type Disagreement struct {
	Task     string
	Probe    Probe
	Opinions []Opinion // one for each engine
}

// Opinion is what one engine found. One that proved that no connection breaks an invariant observed nothing.
type Opinion struct {
	Engine      string
	Observation *Observation // nil: the engine found that Invariant holds
	Invariant   string
}

// Both is an engine that asks two: the first one's verdicts count, and where the second one's differ, the probers'
// Notes say so.
func Both(first, second Engine) Engine { return both{first, second} }

type both struct{ first, second Engine }

func (b both) Name() string { return "both" }

// At puts the state in force in both.
func (b both) At(ctx context.Context, state *State) (Prober, error) {
	second, err := b.second.At(ctx, state)
	if err != nil {
		return nil, err
	}
	first, err := b.first.At(ctx, state)
	if err != nil {
		return nil, err
	}
	return &bothProbers{both: b, task: state.Task, first: first, second: second}, nil
}

type bothProbers struct {
	both          both
	task          string
	first, second Prober
	differ        []Disagreement
}

// Notes are the first prober's, and where the second one differs.
func (p *bothProbers) Notes() Notes {
	n := p.first.Notes()
	n.Disagreements = p.differ
	return n
}

func (p *bothProbers) Probe(ctx context.Context, probes []Probe) ([]Observation, error) {
	found, err := p.first.Probe(ctx, probes)
	if err != nil {
		return nil, err
	}
	other, err := p.second.Probe(ctx, probes)
	if err != nil {
		return nil, err
	}
	for i := range found {
		// A probe that could not be run has no opinion; the report shows it as an error.
		if found[i].Verdict != other[i].Verdict && found[i].Verdict != verdict.ProbeError {
			p.note(ctx, &found[i], &other[i])
		}
	}
	return found, nil
}

// note notes a disagreement with both accounts.
func (p *bothProbers) note(ctx context.Context, found, other *Observation) {
	if e, ok := p.second.(Explainer); ok {
		if explained, err := e.Explain(ctx, []Probe{other.Probe}); err == nil {
			other = &explained[0]
		}
	}
	p.differ = append(p.differ, Disagreement{
		Task: p.task, Probe: found.Probe,
		Opinions: []Opinion{
			{Engine: p.both.first.Name(), Observation: found}, {Engine: p.both.second.Name(), Observation: other},
		},
	})
}

// Prove asks the first engine, which has the rule model prove what cannot be probed.
func (p *bothProbers) Prove(ctx context.Context, inv labs.Invariant) (*Observation, error) {
	broken, err := p.first.Prove(ctx, inv)
	if err != nil || broken == nil || broken.Verdict == verdict.ProbeError {
		return broken, err
	}
	modelled, err := p.second.Prove(ctx, inv)
	if err == nil && modelled == nil {
		probe := broken.Probe
		probe.Want = verdict.Denied
		p.differ = append(p.differ, Disagreement{
			Task: p.task, Probe: probe,
			Opinions: []Opinion{
				{Engine: p.both.first.Name(), Observation: broken}, {Engine: p.both.second.Name(), Invariant: inv.Name},
			},
		})
	}
	return broken, err
}
