package labtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// mutate applies every mutation to every object of a solution, one at a time, and checks whether the lab notices. The
// solution has full marks. It calls progress after each mutant.
func mutate(ctx context.Context, g *grade.Grader, eng engine.Engine, sample *labs.Sample, solution *submission.Submission,
	result *MutationResult, progress func()) error {
	t := mutationTest{grader: g, eng: eng, flows: engine.Connections(g.Lab())}
	if err := t.begin(ctx, solution); err != nil {
		return err
	}
	for step := range solution.Steps {
		for _, m := range Mutations(g.Lab(), solution, step) {
			if err := ctx.Err(); err != nil {
				return err
			}
			result.Mutants++
			changed, verdict, err := t.try(ctx, m.Apply(solution))
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
				if m.File != "" { // a path to open from here
					m.File = path.Join(g.Lab().Dir, sample.Path, m.File)
				}
				result.Survivors = append(result.Survivors, m.Mutant)
			}
			progress()
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
	grader *grade.Grader
	eng    engine.Engine
	flows  []engine.Probe
	states []*engine.State
	before [][]verdict.Verdict // verdicts of flows at each checkpoint
	met    [][]bool            // objectives at each checkpoint
}

func (t *mutationTest) begin(ctx context.Context, solution *submission.Submission) error {
	var err error
	if t.states, err = t.grader.Rules.Checkpoints(solution); err != nil {
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
		for j := range t.grader.Lab().Tasks[i].Objectives {
			holds, err := t.grader.Holds(ctx, prober, state, i, j)
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
func (t *mutationTest) try(ctx context.Context, mutant *submission.Submission) (ChangedFlow, mutantVerdict, error) {
	states, err := t.grader.Rules.Checkpoints(mutant)
	if refused := (*engine.Refused)(nil); errors.As(err, &refused) {
		return ChangedFlow{}, mutantInvalid, nil
	}
	if err != nil {
		return ChangedFlow{}, 0, err
	}
	probers := make([]engine.Prober, len(states))
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
			holds, err := t.grader.Holds(ctx, probers[i], state, i, j)
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
					Task: t.grader.Lab().Tasks[i].Name, From: t.flows[k].From.String(), To: engine.TargetName(t.flows[k].To),
					Before: t.before[i][k], After: after[k],
				}, mutantSurvives, nil
			}
		}
	}
	return ChangedFlow{}, mutantEquivalent, nil
}

// verdicts judges the lab's flows.
func (t *mutationTest) verdicts(ctx context.Context, prober engine.Prober) ([]verdict.Verdict, error) {
	outcomes, err := prober.Probe(ctx, t.flows)
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdict.Verdict, len(outcomes))
	for i := range outcomes {
		verdicts[i] = outcomes[i].Verdict
	}
	return verdicts, nil
}

// sameState reports whether two states consist of the very same objects and labels.
func sameState(a, b *engine.State) bool {
	return slices.Equal(a.Policies, b.Policies) && slices.Equal(a.Applied, b.Applied) &&
		maps.EqualFunc(a.NamespaceLabels, b.NamespaceLabels, maps.Equal[map[string]string, map[string]string])
}
