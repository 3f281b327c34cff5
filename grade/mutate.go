package grade

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// mutate applies every mutation to every object of a solution, one at a time, and looks whether the lab
// notices. The solution has full marks.
func (g *Grader) mutate(ctx context.Context, eng Engine, sample *labs.Sample, solution *Submission, result *MutationResult) error {
	t := mutationTest{g: g, eng: eng, flows: Flows(g.lab)}
	if err := t.begin(ctx, solution); err != nil {
		return err
	}
	for step := range solution.Steps {
		for _, m := range g.mutants(solution, step) {
			if err := ctx.Err(); err != nil {
				return err
			}
			result.Mutants++
			changed, verdict, err := t.try(ctx, m.apply(solution))
			if err != nil {
				return fmt.Errorf("%s: %w", m.Message, err)
			}
			switch verdict {
			case mutantInvalid:
				result.Invalid++
			case mutantKilled:
				result.Killed++
			case mutantEquivalent:
				result.Equivalent++
			case mutantSurvives:
				m.Sample, m.Flow = sample.Name, changed
				result.Survivors = append(result.Survivors, m.Mutant)
			}
		}
	}
	return nil
}

type mutantVerdict int

const (
	mutantKilled mutantVerdict = iota
	mutantEquivalent
	mutantSurvives
	mutantInvalid
)

// mutationTest holds what is known of the solution that mutants are compared with.
type mutationTest struct {
	g      *Grader
	eng    Engine
	flows  []Probe
	states []*State
	before [][]labs.Verdict // verdicts of flows at each checkpoint
	met    [][]bool         // objectives at each checkpoint
}

func (t *mutationTest) begin(ctx context.Context, solution *Submission) error {
	var err error
	if t.states, err = t.g.Checkpoints(solution); err != nil {
		return err
	}
	for i, state := range t.states {
		prober, err := t.eng.At(ctx, state)
		if err != nil {
			return err
		}
		verdicts, err := t.verdicts(ctx, prober)
		if err != nil {
			return err
		}
		t.before = append(t.before, verdicts)
		var met []bool
		for j := range t.g.plans[i].objectives {
			holds, err := t.holds(ctx, prober, state, i, j)
			if err != nil {
				return err
			}
			met = append(met, holds)
		}
		t.met = append(t.met, met)
	}
	return nil
}

// try finds out what becomes of a mutant. For one that survives it returns a connection that comes out
// differently.
func (t *mutationTest) try(ctx context.Context, mutant *Submission) (ChangedFlow, mutantVerdict, error) {
	states, err := t.g.Checkpoints(mutant)
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		return ChangedFlow{}, mutantInvalid, nil
	}
	if err != nil {
		return ChangedFlow{}, 0, err
	}
	probers := make([]Prober, len(states))
	for i, state := range states {
		if sameState(state, t.states[i]) {
			continue
		}
		if probers[i], err = t.eng.At(ctx, state); err != nil {
			if problems := (manifest.Problems)(nil); errors.As(err, &problems) {
				return ChangedFlow{}, mutantInvalid, nil
			}
			return ChangedFlow{}, 0, err
		}
		for j, met := range t.met[i] {
			if !met {
				continue // a bonus that the solution leaves
			}
			holds, err := t.holds(ctx, probers[i], state, i, j)
			if err != nil {
				return ChangedFlow{}, 0, err
			}
			if !holds {
				return ChangedFlow{}, mutantKilled, nil
			}
		}
	}
	for i, prober := range probers {
		if prober == nil {
			continue
		}
		after, err := t.verdicts(ctx, prober)
		if err != nil {
			return ChangedFlow{}, 0, err
		}
		for k := range after {
			if after[k] != t.before[i][k] {
				return ChangedFlow{
					Task: t.g.lab.Tasks[i].Name, From: t.flows[k].From.String(), To: TargetName(t.flows[k].To),
					Before: t.before[i][k], After: after[k],
				}, mutantSurvives, nil
			}
		}
	}
	return ChangedFlow{}, mutantEquivalent, nil
}

// verdicts judges the lab's flows.
func (t *mutationTest) verdicts(ctx context.Context, prober Prober) ([]labs.Verdict, error) {
	outcomes, err := prober.Probe(ctx, t.flows)
	if err != nil {
		return nil, err
	}
	verdicts := make([]labs.Verdict, len(outcomes))
	for i := range outcomes {
		verdicts[i] = outcomes[i].Verdict
	}
	return verdicts, nil
}

// holds reports whether every check of an objective passes. It stops at the first that does not.
func (t *mutationTest) holds(ctx context.Context, prober Prober, state *State, task, objective int) (bool, error) {
	plan := &t.g.plans[task]
	objects := objectsAt{grader: t.g, state: state}
	checks := plan.objectives[objective].checks
	for i := range checks {
		if holds, err := t.g.checkHolds(ctx, prober, &objects, plan, &checks[i]); err != nil || !holds {
			return false, err
		}
	}
	return true, nil
}

// sameState reports whether two states consist of the very same objects and labels.
func sameState(a, b *State) bool {
	return slices.Equal(a.Policies, b.Policies) && slices.Equal(a.Applied, b.Applied) &&
		maps.EqualFunc(a.NamespaceLabels, b.NamespaceLabels, maps.Equal[map[string]string, map[string]string])
}

// mutation is a Mutant together with how it is made from the solution.
type mutation struct {
	Mutant
	step   int
	object *manifest.Object // of the step's Apply or Delete; nil: add
	put    *manifest.Object // in its place; nil: nothing
}

// apply returns the solution with the mutation in it.
func (m *mutation) apply(solution *Submission) *Submission {
	mutant := &Submission{Layout: solution.Layout, Steps: slices.Clone(solution.Steps)}
	s := &mutant.Steps[m.step]
	s.Apply, s.Delete = m.in(s.Apply), m.in(s.Delete)
	if m.object == nil {
		s.Apply = append(slices.Clip(s.Apply), m.put)
	}
	return mutant
}

func (m *mutation) in(objs []*manifest.Object) []*manifest.Object {
	i := slices.Index(objs, m.object)
	switch {
	case m.object == nil || i < 0:
		return objs
	case m.put == nil:
		return slices.Concat(objs[:i], objs[i+1:])
	}
	objs = slices.Clone(objs)
	objs[i] = m.put
	return objs
}
