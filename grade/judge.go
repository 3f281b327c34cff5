package grade

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
)

// taskResult is the answers to a task's plan: one check for each planned one, in the same places.
type taskResult struct {
	checks   [][]Check
	findings [][]Finding // one list an objective
}

// judge asks the engine what the needed tasks' plans ask, one checkpoint after the other.
func (g *Grader) judge(ctx context.Context, eng engine.Engine, states []*engine.State, needed []bool) ([]*taskResult, engine.Notes, error) {
	outcomes := make([]*taskResult, len(states))
	var probers []engine.Prober // that have something to note: a Simulator's do not, and what they hold is large
	_, simulates := eng.(engine.Simulator)
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
				return nil, engine.Notes{}, &engine.Refused{Problems: problems}
			}
			return nil, engine.Notes{}, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
		if !simulates {
			probers = append(probers, prober)
		}
		if outcomes[i], err = g.judgeTask(ctx, eng, prober, state, i); err != nil {
			return nil, engine.Notes{}, fmt.Errorf("task %q: %w", g.lab.Tasks[i].Name, err)
		}
		if remember {
			g.memo.add(key, i, outcomes[i])
		}
	}
	return outcomes, notesOf(probers), nil
}

// notesOf puts together what the probers of all checkpoints noted.
func notesOf(probers []engine.Prober) engine.Notes {
	var all engine.Notes
	for _, p := range probers {
		n := p.Notes()
		all.Probers = engine.MergeProbers(all.Probers, n.Probers)
		all.Disagreements = append(all.Disagreements, n.Disagreements...)
	}
	return all
}

func (g *Grader) judgeTask(ctx context.Context, eng engine.Engine, prober engine.Prober, state *engine.State, task int) (*taskResult, error) {
	plan := &g.plans[task]
	found, err := prober.Probe(ctx, plan.probes)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if over := (*policy.BudgetError)(nil); errors.As(err, &over) {
		return nil, g.tooMuchWork(over, task)
	}
	if err == nil && len(found) != len(plan.probes) {
		err = fmt.Errorf("the engine answered %d of %d probes", len(found), len(plan.probes))
	}
	if err != nil {
		// None could be run: every one of them is an error, and none a miss.
		found = make([]engine.Observation, len(plan.probes))
		for i := range found {
			found[i] = engine.Observation{Probe: plan.probes[i], Verdict: verdict.ProbeError, Error: err.Error()}
		}
	}
	out := &taskResult{
		checks:   make([][]Check, len(plan.objectives)),
		findings: make([][]Finding, len(plan.objectives)),
	}
	at := g.newCheckpoint(task, state, prober)
	at.found = found
	names := naming{at: at, task: task, prober: prober, authored: authoredMistakes{at: at, task: &g.lab.Tasks[task]}}
	by := g.newBystanders(task, state, prober)
	for i := range plan.objectives {
		op := &plan.objectives[i]
		out.checks[i] = make([]Check, len(op.checks))
		for j := range op.checks {
			pc, c := &op.checks[j], &out.checks[i][j]
			*c = pc.Check
			missed, err := pc.answer(ctx, at, c)
			if over := (*policy.BudgetError)(nil); errors.As(err, &over) {
				return nil, g.tooMuchWork(over, task)
			}
			if err != nil {
				return nil, err
			}
			if c.Passed || c.Error != "" {
				continue
			}
			c.Because = pc.because
			if missed != nil {
				c.Why = why(missed)
				by.tell(c.Why, missed.Probe.Want)
			}
			out.findings[i] = append(out.findings[i], names.name(ctx, op, j, missed, c)...)
		}
	}
	return out, nil
}

// naming names the mistakes behind checks that missed at a checkpoint. What it needs is made when the first one does.
type naming struct {
	at       *checkpoint
	task     int
	prober   engine.Prober
	authored authoredMistakes
	scene    *mistake.Scene
	held     []plannedCheck // the checks of the task that pass; nil: see keeps
}

// name names the mistake behind a check that missed, and puts it on the check: the one of the lab's author, who knows the
// task, or otherwise a classic one. If that fails, the check says so where its hint would stand; the verdict and the
// points are what they are.
func (n *naming) name(ctx context.Context, op *objectivePlan, check int, missed *engine.Observation, c *Check) []Finding {
	if f := n.authored.find(ctx, op.Objective); f != nil {
		c.Mistake, c.Hint = f.ID, f.Hint
		return []Finding{*f}
	}
	g := n.at.grader
	if n.scene == nil {
		n.scene = g.mistakes.Scene(n.at.state(), n.task)
	}
	pc := &op.checks[check]
	miss := mistake.Miss{
		Scene: n.scene, Check: pc.block,
		Passes: g.passes(ctx, n.prober, n.scene, op.checks[check:check+1], n.at.plan),
		Solves: g.passes(ctx, n.prober, n.scene, op.checks, n.at.plan),
		Keeps:  n.keeps(ctx),
	}
	if missed != nil {
		miss.Observation, miss.Probe = missed, missed.Probe
		miss.Probe.Want = pc.Expected
	}
	findings, err := mistake.Recognize(miss)
	if err != nil {
		c.Hint = fmt.Sprintf("there is none: %v. That is a fault of labctl's and costs no points; please report it.", err)
		return nil
	}
	for i := range findings {
		findings[i].Task, findings[i].Objective = miss.Task.Name, op.Name
	}
	if len(findings) > 0 {
		c.Mistake, c.Hint = findings[0].ID, findings[0].Hint
	}
	return findings
}

// keeps returns a function that asks every check of the task that passes again with something changed, for
// mistake.Recognize.
func (n *naming) keeps(ctx context.Context) func(engine.Change) bool {
	return func(c engine.Change) bool {
		if n.held == nil {
			n.held = []plannedCheck{}
			for i := range n.at.plan.objectives {
				for _, pc := range n.at.plan.objectives[i].checks {
					n.scene.Spend(1)
					if holds, err := n.at.holds(ctx, &pc); err == nil && holds {
						n.held = append(n.held, pc)
					}
				}
			}
		}
		return n.at.grader.passes(ctx, n.prober, n.scene, n.held, n.at.plan)(c)
	}
}

// tooMuchWork refuses a submission whose policies take more work to judge at a task's checkpoint than the budget allows.
func (g *Grader) tooMuchWork(over *policy.BudgetError, task int) error {
	return &engine.Refused{Problems: manifest.Problems{{
		Message: fmt.Sprintf("at the checkpoint of the task %q %v (the limit on the work of a task)", g.lab.Tasks[task].Name, over),
		Hint:    "write fewer and shorter rules: most labs need a handful",
	}}}
}

// passes returns a function that asks checks again with something changed, for mistake.Recognize. It is nil for a prober
// that would have to change a cluster for it.
func (g *Grader) passes(ctx context.Context, prober engine.Prober, scene *mistake.Scene, checks []plannedCheck,
	plan *taskPlan) func(engine.Change) bool {
	changer, ok := prober.(engine.Changer)
	if !ok {
		return nil
	}
	return func(c engine.Change) bool {
		changed := checkpoint{
			grader: g, plan: plan,
			state: func() *engine.State {
				scene.Spend(1 + len(scene.State.Policies))
				return c.In(scene.State)
			},
			prober: sync.OnceValues(func() (engine.Prober, error) { return changer.Changed(scene.Work, c) }),
		}
		for i := range checks {
			if holds, err := changed.holds(ctx, &checks[i]); err != nil || !holds {
				return false
			}
		}
		return true
	}
}

// Holds reports whether every check of an objective passes at a checkpoint, whose prober and state are given; task and
// objective are indices. It stops at the first check that fails.
func (g *Grader) Holds(ctx context.Context, prober engine.Prober, state *engine.State, task, objective int) (bool, error) {
	at := g.newCheckpoint(task, state, prober)
	checks := at.plan.objectives[objective].checks
	for i := range checks {
		if holds, err := at.holds(ctx, &checks[i]); err != nil || !holds {
			return false, err
		}
	}
	return true, nil
}
