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
		prober, err := eng.At(ctx, state)
		if err != nil {
			if problems := (manifest.Problems)(nil); errors.As(err, &problems) {
				return nil, &Refused{Problems: problems}
			}
			return nil, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
		if outcomes[i], err = g.judgeTask(ctx, prober, state, i); err != nil {
			return nil, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
	}
	return outcomes, nil
}

func (g *Grader) judgeTask(ctx context.Context, prober Prober, state *State, task int) (*taskOutcome, error) {
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
			var c Check
			switch {
			case pc.invariant != nil:
				if c, err = checkInvariant(ctx, prober, pc); err != nil {
					return nil, err
				}
			case pc.object != nil:
				if c, err = objects.check(ctx, pc); err != nil {
					return nil, err
				}
			default:
				var findings []Finding
				c, findings = g.checkProbe(state, task, op, pc, &found[pc.probe])
				out.findings[i] = append(out.findings[i], findings...)
			}
			if !c.Passed && c.Error == "" {
				c.Because = pc.because
			}
			out.checks[i][j] = c
		}
	}
	return out, nil
}

// checkProbe holds a probe's outcome against what was expected.
func (g *Grader) checkProbe(state *State, task int, op *objectivePlan, pc *plannedCheck, found *Outcome) (Check, []Finding) {
	c := pc.Check
	c.Verdict = found.Verdict
	if found.Verdict == labs.ProbeError || found.Verdict == "" {
		c.Verdict = labs.ProbeError
		c.Error = found.Error
		if c.Error == "" {
			c.Error = "the probe could not be run"
		}
		return c, nil
	}
	if c.Passed = found.Verdict.Meets(pc.Expected); c.Passed {
		return c, nil
	}
	c.Why = why(found)
	findings := recognize(mistakeInput{
		lab: g.lab, task: &g.lab.Tasks[task], objective: op.Objective, state: state,
		probe: found.Probe, outcome: found,
	})
	for i := range findings {
		findings[i].Task, findings[i].Objective = g.lab.Tasks[task].Name, op.Name
	}
	if len(findings) > 0 {
		c.Mistake, c.Hint = findings[0].ID, findings[0].Hint
	}
	return c, findings
}

// checkInvariant looks for a connection that breaks the invariant.
func checkInvariant(ctx context.Context, prober Prober, pc *plannedCheck) (Check, error) {
	c := pc.Check
	breaks, err := prober.Prove(ctx, *pc.invariant)
	switch {
	case ctx.Err() != nil:
		return c, ctx.Err()
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
	return c, nil
}
