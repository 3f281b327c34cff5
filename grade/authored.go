package grade

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// authoredMistakes finds the mistakes of the lab's own mistake blocks that were made at a checkpoint.
type authoredMistakes struct {
	at   *checkpoint
	task *labs.Task
	made map[*labs.Mistake]*Finding // of those that were looked for; nil: not made
}

// find returns the first mistake that was made: of the objective, then of its task, then of the lab. It is nil if there is
// none, or if nothing was submitted for the task: then there is no mistake, only work left.
func (a *authoredMistakes) find(ctx context.Context, o *labs.Objective) *Finding {
	if !a.at.state().Attempted {
		return nil
	}
	for _, list := range [][]labs.Mistake{o.Mistakes, a.task.Mistakes, a.at.grader.lab.Mistakes} {
		for i := range list {
			m := &list[i]
			f, known := a.made[m]
			if !known {
				f = a.look(ctx, m)
				if a.made == nil {
					a.made = make(map[*labs.Mistake]*Finding)
				}
				a.made[m] = f
			}
			if f != nil {
				found := *f
				found.Task, found.Objective = a.task.Name, o.Name
				return &found
			}
		}
	}
	return nil
}

// look looks for one mistake. An expression that cannot be evaluated shows none: naming a mistake is not worth a grade, and
// `labctl validate` tells the author.
func (a *authoredMistakes) look(ctx context.Context, m *labs.Mistake) *Finding {
	objects, err := a.at.inForce().objects(m.Kind, m.Namespace)
	if err != nil {
		return nil
	}
	if made, err := a.at.evaluate(ctx, m.When, objects); err != nil || !made {
		return nil
	}
	f := &Finding{ID: m.Name, Title: m.Title, Message: m.Message, Hint: m.Hint}
	if o := a.culprit(ctx, m); o != nil {
		f.File, f.Line, f.Policy = o.File, o.Line, o.Ref().String()
	}
	return f
}

// mostCulprits is how many objects are looked at one by one for the one that makes a mistake.
const mostCulprits = 50

// culprit returns the object that makes the mistake by itself, the latest first; nil if no single one does, such as where
// something is missing.
func (a *authoredMistakes) culprit(ctx context.Context, m *labs.Mistake) *manifest.Object {
	if made, err := a.at.evaluate(ctx, m.When, []any{}); err != nil || made {
		return nil
	}
	looked := 0
	for _, o := range slices.Backward(a.at.state().Policies) {
		if !m.About(o.Kind, o.Namespace) {
			continue
		}
		if looked++; looked > mostCulprits {
			return nil
		}
		decoded, err := a.at.inForce().decode(o)
		if err != nil {
			return nil
		}
		if made, err := a.at.evaluate(ctx, m.When, []any{decoded}); err == nil && made {
			return o
		}
	}
	return nil
}

// FailedCondition is a CEL expression of the lab that cannot be evaluated in some state. That is the lab's error.
type FailedCondition struct {
	At   hcl.Range
	What string // `the condition of the object "x"`
	Err  error
}

// FailedConditions evaluates all CEL expressions that grading a task may evaluate, at the checkpoint of a task with that
// index, and returns those that fail.
func (g *Grader) FailedConditions(ctx context.Context, state *engine.State, task int) ([]FailedCondition, error) {
	at := g.newCheckpoint(task, state, nil)
	var failed []FailedCondition
	try := func(where hcl.Range, what, condition, kind, namespace string) error {
		objects, err := at.inForce().objects(kind, namespace)
		if err != nil {
			return err
		}
		if _, err := at.evaluate(ctx, condition, objects); err != nil {
			failed = append(failed, FailedCondition{where, what, err})
		}
		return ctx.Err()
	}
	t := &g.lab.Tasks[task]
	lists := [][]labs.Mistake{t.Mistakes, g.lab.Mistakes}
	for i := range t.Objectives {
		lists = append(lists, t.Objectives[i].Mistakes)
		for _, c := range t.Objectives[i].Checks {
			if o, ok := c.(*labs.ObjectAssertion); ok {
				if err := try(o.Written, fmt.Sprintf("The condition of the object block %q", o.Name), o.Condition, o.Kind, o.Namespace); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, list := range lists {
		for i := range list {
			m := &list[i]
			if err := try(m.Written, fmt.Sprintf("The expression (when) of the mistake %q", m.Name), m.When, m.Kind, m.Namespace); err != nil {
				return nil, err
			}
		}
	}
	return failed, nil
}
