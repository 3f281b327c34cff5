package grade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// Grader grades submissions of one lab. What depends on the lab alone is worked out once, so use one Grader for many
// submissions. It is safe for concurrent use.
type Grader struct {
	// Rules read the submissions that Grade takes.
	Rules *submission.Rules

	lab        *labs.Lab
	plans      []taskPlan // one a task
	conditions *conditions
	mistakes   *mistake.Namer
	memo       *memo // nil: nothing is remembered
}

// NewGrader prepares a lab for grading. An error is the lab's: a setup manifest that does not parse.
func NewGrader(lab *labs.Lab) (*Grader, error) {
	rules, err := submission.NewRules(lab)
	if err != nil {
		return nil, err
	}
	g := &Grader{
		Rules:      rules,
		lab:        lab,
		plans:      make([]taskPlan, len(lab.Tasks)),
		conditions: &conditions{},
		mistakes:   mistake.NewNamer(lab),
	}
	for i := range lab.Tasks {
		if g.plans[i], err = planTask(&lab.Tasks[i]); err != nil {
			return nil, fmt.Errorf("lab %q, %w", lab.Name, err)
		}
	}
	return g, nil
}

// Lab returns the lab that is graded.
func (g *Grader) Lab() *labs.Lab { return g.lab }

// Options choose which tasks are graded, and which objectives the report shows.
type Options struct {
	Tasks    []string // names of tasks; empty: all. The score is then of these tasks alone
	Hints    []string // hints that were taken: "task/hint" or "task/objective/hint"
	AfterDue bool     // show objectives that students see after the due date
	Reveal   bool     // show all objectives, hidden ones too: for authors and graders
}

// Grade grades a submission that the grader's rules read; nil is an empty one. The error is *engine.Refused if the
// engine does not model a policy of the submission; any other is the lab's, the options' or the engine's.
func (g *Grader) Grade(ctx context.Context, sub *submission.Submission, eng engine.Engine, opts Options) (*Report, error) {
	selected, err := g.selectTasks(opts.Tasks)
	if err != nil {
		return nil, err
	}
	hints, err := g.hintsTaken(opts.Hints)
	if err != nil {
		return nil, err
	}
	if sub == nil {
		sub = g.Rules.Empty()
	}
	states, err := g.Rules.Checkpoints(sub)
	if err != nil {
		return nil, err
	}
	if c, ok := eng.(engine.Simulator); ok {
		check := c.Check
		if g.remembers(eng) {
			check = func(objs []*manifest.Object) manifest.Problems { return g.memo.check(c, objs) }
		}
		if problems := check(sub.Objects()); len(problems) > 0 {
			return nil, &engine.Refused{Problems: problems}
		}
	}
	outcomes, notes, err := g.judge(ctx, eng, states, g.needed(selected))
	if err != nil {
		return nil, err
	}
	rep := g.report(sub, eng.Name(), outcomes, selected, hints, opts)
	rep.Probers = notes.Probers
	if len(notes.Disagreements) > 0 {
		rep.Disagreements = g.disagreements(notes.Disagreements)
		rep.Status = Errored
	}
	return rep, nil
}

// selectTasks turns names into a set of task indices; no names are all tasks.
func (g *Grader) selectTasks(names []string) ([]bool, error) {
	selected := make([]bool, len(g.lab.Tasks))
	for _, name := range names {
		i, err := g.Rules.Task(name)
		if err != nil {
			return nil, err
		}
		selected[i] = true
	}
	if len(names) == 0 {
		for i := range selected {
			selected[i] = true
		}
	}
	return selected, nil
}

// Check says which of the names in options the lab does not have.
func (g *Grader) Check(o Options) error {
	_, tasks := g.selectTasks(o.Tasks)
	_, hints := g.hintsTaken(o.Hints)
	return errors.Join(tasks, hints)
}

// needed adds to the selected tasks those that their objectives depend on.
func (g *Grader) needed(selected []bool) []bool {
	needed := slices.Clone(selected)
	for changed := true; changed; {
		changed = false
		for i := range g.lab.Tasks {
			if !needed[i] {
				continue
			}
			for _, dep := range g.dependencies(i) {
				if j, err := g.Rules.Task(dep); err == nil && !needed[j] {
					needed[j], changed = true, true
				}
			}
		}
	}
	return needed
}

// dependencies names the other tasks that a task and its objectives depend on.
func (g *Grader) dependencies(task int) []string {
	t := &g.lab.Tasks[task]
	deps := slices.Clone(t.DependsOn)
	for i := range t.Objectives {
		for _, d := range t.Objectives[i].DependsOn {
			if name, _, other := strings.Cut(d, "/"); other {
				deps = append(deps, name)
			}
		}
	}
	return deps
}

// hintsTaken returns, for each task, the hints that were taken.
func (g *Grader) hintsTaken(names []string) (map[int][]HintTaken, error) {
	taken := make(map[int][]HintTaken)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		task, rest, found := strings.Cut(name, "/")
		if !found {
			return nil, fmt.Errorf("hint %q: write it as TASK/NAME", name)
		}
		i, err := g.Rules.Task(task)
		if err != nil {
			return nil, fmt.Errorf("hint %q: %w", name, err)
		}
		before := len(taken[i])
		for hint, h := range g.lab.Tasks[i].AllHints() {
			if hint == rest {
				taken[i] = append(taken[i], HintTaken{Name: rest, Cost: h.Cost})
				break
			}
		}
		if len(taken[i]) == before {
			return nil, fmt.Errorf("lab %q has no hint %q", g.lab.Name, name)
		}
	}
	return taken, nil
}
