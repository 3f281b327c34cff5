package grade

import (
	"context"

	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// CheckKind is the type of the block in the lab that a check comes from: one of schema.CheckKinds.
type CheckKind string

// kind is how blocks of one type are graded. Each kind has a file of its own.
type kind struct {
	// plan lists the checks of a block, in order. It registers the connections that they ask for with the plan.
	plan func(*taskPlan, labs.Check) []plannedCheck
	// connections: every check is about one connection, so that reports can show them in a table.
	connections bool
}

// kinds are those of schema.CheckKinds.
var kinds = map[CheckKind]kind{
	CheckExpect:    {plan: planOf(planExpectation), connections: true},
	CheckMatrix:    {plan: planOf(planMatrix), connections: true},
	CheckInvariant: {plan: planOf(planInvariant)},
	CheckObject:    {plan: planOf(planObject)},
}

// planOf is a plan for blocks of one Go type.
func planOf[B labs.Check](plan func(*taskPlan, B) []plannedCheck) func(*taskPlan, labs.Check) []plannedCheck {
	return func(p *taskPlan, b labs.Check) []plannedCheck { return plan(p, b.(B)) }
}

// AboutConnections reports whether every check of the kind is about one connection.
func (k CheckKind) AboutConnections() bool { return kinds[k].connections }

// question is what a check asks at a checkpoint, of the engine or of the state.
type question interface {
	// answer asks and completes the check: Passed, or Verdict and Error. A miss that is not about a connection says Why
	// too; one that is returns what was observed. An error ends the grading: it is the lab's, or there is no time or
	// budget left.
	answer(ctx context.Context, at *checkpoint, c *Check) (missed *engine.Observation, err error)
}

// checkpoint is the end of a task, at which questions are asked.
type checkpoint struct {
	grader *Grader
	plan   *taskPlan
	state  func() *engine.State
	prober func() (engine.Prober, error)
	found  []engine.Observation // of plan.probes, which were asked all at once; nil: each is asked when it is needed
	force  *objectsInForce      // see inForce
}

// newCheckpoint is that of a task, by its index.
func (g *Grader) newCheckpoint(task int, state *engine.State, prober engine.Prober) *checkpoint {
	return &checkpoint{
		grader: g, plan: &g.plans[task],
		state:  func() *engine.State { return state },
		prober: func() (engine.Prober, error) { return prober, nil },
	}
}

// holds reports whether a check passes.
func (at *checkpoint) holds(ctx context.Context, pc *plannedCheck) (bool, error) {
	c := pc.Check
	_, err := pc.answer(ctx, at, &c)
	return err == nil && c.Passed, err
}
