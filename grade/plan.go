package grade

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// taskPlan is what has to be asked to grade a task: each connection once, however many checks name it.
type taskPlan struct {
	probes     []engine.Probe
	index      map[string]connectionQuestion // of probes, by engine.ProbeKey
	objectives []objectivePlan
	exact      *big.Rat // points of all objectives but bonus ones
	rounded    float64  // the same, as it is shown
}

type objectivePlan struct {
	*labs.Objective
	points  *big.Rat
	rounded float64 // the same, as it is shown
	checks  []plannedCheck
}

// plannedCheck is a check before its answer.
type plannedCheck struct {
	Check // Kind, Name, From, To and Expected
	question
	because string     // the author's sentence
	block   labs.Check // where it comes from
}

// planTask expands the blocks of a task's objectives into checks.
func planTask(t *labs.Task) (taskPlan, error) {
	plan := taskPlan{exact: new(big.Rat), index: make(map[string]connectionQuestion)}
	for i := range t.Objectives {
		o := &t.Objectives[i]
		op := objectivePlan{Objective: o, points: exact(o.Points)}
		op.rounded = rounded(op.points)
		if !o.Bonus {
			plan.exact.Add(plan.exact, op.points)
		}
		for _, b := range o.Checks {
			k, ok := kinds[CheckKind(b.Type())]
			if !ok {
				return taskPlan{}, fmt.Errorf("task %q, objective %q: labctl cannot grade %s blocks", t.Name, o.Name, b.Type())
			}
			for _, pc := range k.plan(&plan, b) {
				pc.Kind, pc.block = CheckKind(b.Type()), b
				op.checks = append(op.checks, pc)
			}
		}
		plan.objectives = append(plan.objectives, op)
	}
	plan.rounded = rounded(plan.exact)
	return plan, nil
}

// Question is a connection that a check asks for.
type Question struct {
	engine.Probe
	Objective string     // its name
	Block     labs.Check // that asks for it
}

// Questions lists the connections that the checks of a task ask for, in order. task is an index.
func (g *Grader) Questions(task int) []Question {
	var all []Question
	plan := &g.plans[task]
	for i := range plan.objectives {
		for _, c := range plan.objectives[i].checks {
			if q, ok := c.question.(connectionQuestion); ok {
				all = append(all, Question{plan.probes[q], plan.objectives[i].Name, c.block})
			}
		}
	}
	return all
}

// exact is the number as it is written in decimals.
func exact(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// list joins words as a sentence does.
func list(words []string) string { return wording.And(words) }
