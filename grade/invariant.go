package grade

import (
	"context"
	"errors"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// CheckInvariant is an invariant block. If it is missed, From and To are a connection that breaks it.
const CheckInvariant CheckKind = "invariant"

func planInvariant(_ *taskPlan, inv *labs.Invariant) []plannedCheck {
	return []plannedCheck{{
		Check:    Check{Name: inv.Name, Expected: verdict.Denied},
		question: (*invariantQuestion)(inv),
	}}
}

// invariantQuestion asks for a connection that breaks the invariant.
type invariantQuestion labs.Invariant

// answer implements question.
func (q *invariantQuestion) answer(ctx context.Context, at *checkpoint, c *Check) (*engine.Observation, error) {
	prober, err := at.prober()
	if err != nil {
		return nil, err
	}
	breaks, err := prober.Prove(ctx, labs.Invariant(*q))
	over := (*policy.BudgetError)(nil)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &over):
		return nil, over
	case err != nil:
		c.Verdict, c.Error = verdict.ProbeError, err.Error()
	case breaks == nil:
		c.Passed = true
	case breaks.Verdict == verdict.ProbeError:
		c.Verdict, c.Error = verdict.ProbeError, breaks.Error
	default:
		c.Verdict = breaks.Verdict
		c.From, c.To = breaks.Probe.From.String(), engine.TargetName(breaks.Probe.To)
		if d := breaks.Detail; d != nil {
			c.From, c.To = d.From, connection(d.Probe)
		}
		return breaks, nil
	}
	return nil, nil
}
