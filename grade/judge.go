package grade

import (
	"context"
	"errors"
	"fmt"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// taskOutcome is the answers to a task's plan: one check for each planned one, in the same places.
type taskOutcome struct {
	checks   [][]Check
	findings [][]Finding // one list an objective
}

// judge asks the engine what the needed tasks' plans ask, one checkpoint after the other.
func (g *Grader) judge(ctx context.Context, eng Engine, states []*State, needed []bool) ([]*taskOutcome, error) {
	outcomes := make([]*taskOutcome, len(states))
	for i, state := range states {
		if !needed[i] {
			continue
		}
		var key stateKey
		remember := g.remembers(eng)
		if remember {
			key = g.memo.keyOf(state, i)
			if out, ok := g.memo.get(key); ok {
				outcomes[i] = out
				continue
			}
		}
		prober, err := eng.At(ctx, state)
		if err != nil {
			if problems := (manifest.Problems)(nil); errors.As(err, &problems) {
				return nil, &Refused{Problems: problems}
			}
			return nil, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
		if outcomes[i], err = g.judgeTask(ctx, eng, prober, state, i); err != nil {
			return nil, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
		if remember {
			g.memo.add(key, i, outcomes[i])
		}
	}
	return outcomes, nil
}

func (g *Grader) judgeTask(ctx context.Context, eng Engine, prober Prober, state *State, task int) (*taskOutcome, error) {
	plan := &g.plans[task]
	found, err := prober.Probe(ctx, plan.probes)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && len(found) != len(plan.probes) {
		err = fmt.Errorf("the engine answered %d of %d probes", len(found), len(plan.probes))
	}
	if err != nil {
		// None could be run: every one of them is an error, and none a miss.
		found = make([]Outcome, len(plan.probes))
		for i := range found {
			found[i] = Outcome{Probe: plan.probes[i], Verdict: labs.ProbeError, Error: err.Error()}
		}
	}
	out := &taskOutcome{
		checks:   make([][]Check, len(plan.objectives)),
		findings: make([][]Finding, len(plan.objectives)),
	}
	objects := objectsAt{grader: g, state: state}
	for i := range plan.objectives {
		op := &plan.objectives[i]
		out.checks[i] = make([]Check, len(op.checks))
		for j := range op.checks {
			pc := &op.checks[j]
			var outcome *Outcome
			var c Check
			switch {
			case pc.invariant != nil:
				c, outcome, err = checkInvariant(ctx, prober, pc)
			case pc.object != nil:
				c, err = objects.check(ctx, pc)
			default:
				outcome = &found[pc.probe]
				c, err = checkProbe(pc, outcome), nil
			}
			if err != nil {
				return nil, err
			}
			if !c.Passed && c.Error == "" {
				c.Because = pc.because
				in := mistakeInput{
					lab: g.lab, task: &g.lab.Tasks[task], objective: op.Objective, state: state,
					outcome: outcome, invariant: pc.invariant, passes: g.passes(ctx, eng, pc, plan),
				}
				if outcome != nil {
					in.probe = outcome.Probe
					in.probe.Want = pc.Expected
				}
				out.findings[i] = append(out.findings[i], name(in, &c)...)
			}
			out.checks[i][j] = c
		}
	}
	return out, nil
}

// name names the mistakes behind a check that missed, and puts the likeliest on the check. If that fails, the check says so
// where its hint would stand; the verdict and the points are what they are.
func name(in mistakeInput, c *Check) []Finding {
	findings, err := recognize(in)
	if err != nil {
		c.Hint = fmt.Sprintf("there is none: %v. That is a fault of labctl's and costs no points; please report it.", err)
		return nil
	}
	for i := range findings {
		findings[i].Task, findings[i].Objective = in.task.Name, in.objective.Name
	}
	if len(findings) > 0 {
		c.Mistake, c.Hint = findings[0].ID, findings[0].Hint
	}
	return findings
}

// passes returns a function that asks a check again in another state: what recognize compares with. It is
// nil for an engine that would have to change a cluster for it.
func (g *Grader) passes(ctx context.Context, eng Engine, pc *plannedCheck, plan *taskPlan) func(*State) bool {
	if _, ok := eng.(Checker); !ok {
		return nil
	}
	return func(state *State) bool {
		prober, err := eng.At(ctx, state)
		if err != nil {
			return false
		}
		holds, err := g.checkHolds(ctx, prober, &objectsAt{grader: g, state: state}, plan, pc)
		return err == nil && holds
	}
}

// checkHolds reports whether a check passes. It asks for nothing more.
func (g *Grader) checkHolds(ctx context.Context, prober Prober, objects *objectsAt, plan *taskPlan, pc *plannedCheck) (bool, error) {
	switch {
	case pc.invariant != nil:
		c, _, err := checkInvariant(ctx, prober, pc)
		return c.Passed, err
	case pc.object != nil:
		c, err := objects.check(ctx, pc)
		return c.Passed, err
	}
	found, err := prober.Probe(ctx, plan.probes[pc.probe:pc.probe+1])
	return err == nil && found[0].Verdict.Meets(pc.Expected), err
}

// checkProbe holds a probe's outcome against what was expected.
func checkProbe(pc *plannedCheck, found *Outcome) Check {
	c := pc.Check
	c.Verdict = found.Verdict
	switch {
	case found.Verdict == labs.ProbeError || found.Verdict == "":
		c.Verdict, c.Error = labs.ProbeError, found.Error
		if c.Error == "" {
			c.Error = "the probe could not be run"
		}
	case found.Verdict.Meets(pc.Expected):
		c.Passed = true
	default:
		c.Why = why(found)
	}
	return c
}

// checkInvariant looks for a connection that breaks the invariant, which it returns if there is one.
func checkInvariant(ctx context.Context, prober Prober, pc *plannedCheck) (Check, *Outcome, error) {
	c := pc.Check
	breaks, err := prober.Prove(ctx, *pc.invariant)
	switch {
	case ctx.Err() != nil:
		return c, nil, ctx.Err()
	case err != nil:
		c.Verdict, c.Error = labs.ProbeError, err.Error()
	case breaks == nil:
		c.Passed = true
	case breaks.Verdict == labs.ProbeError:
		c.Verdict, c.Error = labs.ProbeError, breaks.Error
	default:
		c.Verdict = breaks.Verdict
		c.From, c.To = breaks.Probe.From.String(), TargetName(breaks.Probe.To)
		if d := breaks.Detail; d != nil {
			c.From, c.To = d.From, connection(d.Probe)
		}
		c.Why = why(breaks)
	}
	return c, breaks, nil
}
