package grade

import (
	"context"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// CheckExpect is one connection of an expect block.
const CheckExpect CheckKind = "expect"

func planExpectation(p *taskPlan, e *labs.Expectation) []plannedCheck {
	var checks []plannedCheck
	for _, pair := range e.Connections() {
		checks = append(checks, p.connection(engine.Probe{From: pair.From, To: pair.To, Want: e.Verdict}, e.Because))
	}
	return checks
}

// connectionQuestion asks for the verdict of one connection: an index of taskPlan.probes.
type connectionQuestion int

// connection plans a check of one connection.
func (p *taskPlan) connection(probe engine.Probe, because string) plannedCheck {
	key := engine.ProbeKey(probe)
	q, ok := p.index[key]
	if !ok {
		q = connectionQuestion(len(p.probes))
		p.index[key] = q
		p.probes = append(p.probes, probe)
	}
	return plannedCheck{
		Check:    Check{From: probe.From.String(), To: engine.TargetName(probe.To), Expected: probe.Want},
		question: q, because: because,
	}
}

// answer implements question.
func (q connectionQuestion) answer(ctx context.Context, at *checkpoint, c *Check) (*engine.Observation, error) {
	seen, err := at.observe(ctx, q)
	if err != nil {
		return nil, err
	}
	c.Verdict = seen.Verdict
	switch {
	case seen.Verdict == verdict.ProbeError || seen.Verdict == "":
		c.Verdict, c.Error = verdict.ProbeError, seen.Error
		if c.Error == "" {
			c.Error = "the probe could not be run"
		}
	case seen.Verdict.Meets(c.Expected):
		c.Passed = true
	default:
		return seen, nil
	}
	return nil, nil
}

// observe returns what becomes of a connection.
func (at *checkpoint) observe(ctx context.Context, q connectionQuestion) (*engine.Observation, error) {
	if at.found != nil {
		return &at.found[q], nil
	}
	prober, err := at.prober()
	if err != nil {
		return nil, err
	}
	found, err := prober.Probe(ctx, at.plan.probes[q:q+1])
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}
