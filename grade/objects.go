package grade

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/google/cel-go/cel"

	"github.com/labctl/labctl/cilium/policy/manifest"
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

// objectsAt evaluates object assertions at one checkpoint.
type objectsAt struct {
	grader *Grader
	state  *State

	decoded    map[*manifest.Object]map[string]any
	namespaces map[string]map[string]string
}

// check evaluates an object assertion. A condition that does not compile is the lab's error; one that fails
// on what the student wrote (a field that is not there) does not hold.
func (a *objectsAt) check(ctx context.Context, pc *plannedCheck) (Check, error) {
	c := pc.Check
	program, err := a.grader.conditions.program(pc.object.Condition)
	if err != nil {
		return c, fmt.Errorf("object %q: condition: %w", pc.object.Name, err)
	}
	objects, err := a.objects(pc.object)
	if err != nil {
		return c, err
	}
	value, _, err := program.ContextEval(ctx, map[string]any{"objects": objects, "namespaces": a.labels()})
	if ctx.Err() != nil {
		return c, ctx.Err()
	}
	if err != nil {
		c.Why = &Why{Text: []string{fmt.Sprintf("The condition could not be evaluated on these objects: %v.", err)}}
		return c, nil
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return c, fmt.Errorf("object %q: the condition gives a %s, and must give a bool", pc.object.Name, value.Type().TypeName())
	}
	if c.Passed = holds; !holds {
		c.Why = &Why{Text: []string{objectsSeen(pc.object, len(objects))}}
	}
	return c, nil
}

// objectsSeen says what a condition that does not hold was evaluated on.
func objectsSeen(o *labs.ObjectAssertion, n int) string {
	what := o.Kind
	if what == "" {
		what = "object"
	}
	if o.Namespace != "" {
		what += " in the namespace " + o.Namespace
	}
	if n == 0 {
		return fmt.Sprintf("The condition does not hold: no %s is in force.", what)
	}
	return fmt.Sprintf("The condition does not hold; in force: %d × %s.", n, what)
}

// objects decodes what is in force, of the kind and in the namespace that the assertion names.
func (a *objectsAt) objects(o *labs.ObjectAssertion) ([]any, error) {
	if a.decoded == nil {
		a.decoded = make(map[*manifest.Object]map[string]any)
	}
	all := make([]any, 0)
	for _, list := range [][]*manifest.Object{a.state.Policies, a.state.Applied} {
		for _, obj := range list {
			if (o.Kind != "" && obj.Kind != o.Kind) || (o.Namespace != "" && obj.Namespace != o.Namespace) {
				continue
			}
			m, ok := a.decoded[obj]
			if !ok {
				if err := json.Unmarshal(obj.JSON, &m); err != nil {
					return nil, fmt.Errorf("decode %s: %w", obj.Ref(), err)
				}
				a.decoded[obj] = m
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// labels are those of every namespace at the checkpoint.
func (a *objectsAt) labels() map[string]map[string]string {
	if a.namespaces == nil {
		a.namespaces = make(map[string]map[string]string, len(a.grader.namespaces))
		for ns, labels := range a.grader.namespaces {
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
