package grade

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/google/cel-go/cel"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// conditions compiles the CEL conditions of a lab, each when it is first asked for: most labs have none,
// and setting CEL up is not cheap.
type conditions struct {
	compiled sync.Map // condition → func() (cel.Program, error)
}

func (c *conditions) program(source string) (cel.Program, error) {
	compile, ok := c.compiled.Load(source)
	if !ok {
		compile, _ = c.compiled.LoadOrStore(source, sync.OnceValues(func() (cel.Program, error) { return labs.Condition(source) }))
	}
	return compile.(func() (cel.Program, error))()
}

// CheckObject is an object block.
const CheckObject CheckKind = "object"

func planObject(_ *taskPlan, o *labs.ObjectAssertion) []plannedCheck {
	return []plannedCheck{{Check: Check{Name: o.Name}, question: (*objectQuestion)(o), because: o.Message}}
}

// objectQuestion evaluates the condition of an object block.
type objectQuestion labs.ObjectAssertion

// answer implements question. A condition that cannot be evaluated is the lab's error, whatever a student wrote: it has to be
// ready for all objects that the lab takes. Such a check is neither passed nor missed.
func (q *objectQuestion) answer(ctx context.Context, at *checkpoint, c *Check) (*engine.Observation, error) {
	objects, err := at.inForce().objects(q.Kind, q.Namespace)
	if err != nil {
		return nil, err
	}
	holds, err := at.evaluate(ctx, q.Condition, objects)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		c.Error = fmt.Sprintf("the condition of the object block %q, which is the lab's and not yours, fails: %v", q.Name, err)
		return nil, nil
	}
	if c.Passed = holds; !holds {
		c.Why = &Why{Text: []string{q.objectsSeen(len(objects))}}
	}
	return nil, nil
}

// evaluate evaluates a CEL expression of the lab on objects in force.
func (at *checkpoint) evaluate(ctx context.Context, condition string, objects []any) (bool, error) {
	program, err := at.grader.conditions.program(condition)
	if err != nil {
		return false, err
	}
	value, _, err := program.ContextEval(ctx, map[string]any{"objects": objects, "namespaces": at.inForce().labels()})
	if err != nil {
		return false, err
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the result is %s, not a bool", value.Type().TypeName())
	}
	return holds, nil
}

// objectsSeen says what a condition that does not hold was evaluated on.
func (q *objectQuestion) objectsSeen(n int) string {
	what := q.Kind
	if what == "" {
		what = "object"
	}
	if q.Namespace != "" {
		what += " in the namespace " + q.Namespace
	}
	if n == 0 {
		return fmt.Sprintf("The condition does not hold: no %s is in force.", what)
	}
	return fmt.Sprintf("The condition does not hold; in force: %d × %s.", n, what)
}

// objectsInForce decodes what is in force at a checkpoint, each object once.
type objectsInForce struct {
	grader *Grader
	state  *engine.State

	decoded    map[*manifest.Object]map[string]any
	namespaces map[string]map[string]string
}

func (at *checkpoint) inForce() *objectsInForce {
	if at.force == nil {
		at.force = &objectsInForce{grader: at.grader, state: at.state()}
	}
	return at.force
}

// objects decodes the objects of a kind and in a namespace; "" is any.
func (a *objectsInForce) objects(kind, namespace string) ([]any, error) {
	all := make([]any, 0)
	for _, list := range [][]*manifest.Object{a.state.Policies, a.state.Applied} {
		for _, obj := range list {
			if (kind != "" && obj.Kind != kind) || (namespace != "" && obj.Namespace != namespace) {
				continue
			}
			m, err := a.decode(obj)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
	}
	return all, nil
}

func (a *objectsInForce) decode(obj *manifest.Object) (map[string]any, error) {
	if m, ok := a.decoded[obj]; ok {
		return m, nil
	}
	var m map[string]any
	if err := json.Unmarshal(obj.JSON, &m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", obj.Ref(), err)
	}
	if np, ok := obj.Value.(*networkingv1.NetworkPolicy); ok && m["spec"] == nil {
		m["spec"] = defaultSpec(np)
	}
	if a.decoded == nil {
		a.decoded = make(map[*manifest.Object]map[string]any)
	}
	a.decoded[obj] = m
	return m, nil
}

// defaultSpec is what the API server makes of a NetworkPolicy without a spec.
func defaultSpec(np *networkingv1.NetworkPolicy) map[string]any {
	types := make([]any, len(np.Spec.PolicyTypes))
	for i, t := range np.Spec.PolicyTypes {
		types[i] = string(t)
	}
	return map[string]any{"podSelector": map[string]any{}, "policyTypes": types}
}

// labels are those of every namespace at the checkpoint.
func (a *objectsInForce) labels() map[string]map[string]string {
	if a.namespaces == nil {
		a.namespaces = make(map[string]map[string]string, len(a.grader.Rules.Namespaces()))
		for ns, labels := range a.grader.Rules.Namespaces() {
			a.namespaces[ns] = maps.Clone(labels)
		}
		for ns, labels := range a.state.NamespaceLabels {
			if a.namespaces[ns] == nil {
				a.namespaces[ns] = make(map[string]string)
			}
			maps.Copy(a.namespaces[ns], labels)
		}
	}
	return a.namespaces
}
