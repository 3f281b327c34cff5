package labs

import (
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// ConditionCostLimit bounds the evaluation of a condition, in CEL's units of cost.
const ConditionCostLimit = 10_000_000

// conditionEnv declares what a condition sees: objects, the objects in force of the block's kind and
// namespace as the API server would show them, and namespaces, the labels of each namespace by its name.
var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("objects", cel.ListType(cel.DynType)),
		cel.Variable("namespaces", cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.StringType))),
		ext.Strings(), ext.Sets(), ext.Lists(),
	)
})

// Condition compiles the CEL expression of an object or mistake block. Evaluate it with the variables "objects"
// ([]any) and "namespaces" (map[string]map[string]string); the result is a bool.
func Condition(expr string) (cel.Program, error) {
	env, err := conditionEnv()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expr)
	if issues.Err() != nil {
		var problems []string
		for _, e := range issues.Errors() {
			problems = append(problems, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(),
				e.Location.Column()+1, e.Message))
		}
		return nil, conditionError(strings.Join(problems, "; "))
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, conditionError("the result is " + t.String() + ", not a bool")
	}
	return env.Program(ast, cel.CostLimit(ConditionCostLimit), cel.InterruptCheckFrequency(100))
}

// CheckCondition returns what is wrong with a CEL expression, or nil.
func CheckCondition(expr string) (err error) {
	if len(expr) > 16<<10 {
		return conditionError("it is longer than 16 KiB")
	}
	_, err = Condition(expr)
	return err
}

type conditionError string

func (e conditionError) Error() string { return string(e) }
