package labs

import (
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"

	"github.com/labctl/labctl/internal/wording"
)

// ConditionCostLimit bounds the evaluation of a condition, in CEL's units of cost.
const ConditionCostLimit = 10_000_000

var conditionNames = []string{"objects", "namespaces"}

// conditionEnv declares what a condition sees: objects, the objects in force of the block's kind and
// namespace as the API server would show them, and namespaces, the labels of each namespace by its name.
var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(conditionNames[0], cel.ListType(cel.DynType)),
		cel.Variable(conditionNames[1], cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.StringType))),
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
	if errs := issues.Errors(); len(errs) > 0 {
		first := errs[0] // the others often follow from it
		return nil, &ConditionError{first.Location.Line(), plainCEL(first.Message)}
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, &ConditionError{1, "the result is " + plainType(t.String()) + ", not true or false"}
	}
	return env.Program(ast, cel.CostLimit(ConditionCostLimit), cel.InterruptCheckFrequency(100))
}

// CheckCondition returns what is wrong with a CEL expression, or nil.
func CheckCondition(expr string) error {
	switch {
	case strings.TrimSpace(expr) == "":
		return &ConditionError{1, "it is empty"}
	case len(expr) > 16<<10:
		return &ConditionError{1, "it is longer than 16 KiB"}
	}
	_, err := Condition(expr)
	return err
}

// ConditionError is an expression that is no condition.
type ConditionError struct {
	Line   int // in the expression, from 1
	Reason string
}

// Error implements error.
func (e *ConditionError) Error() string { return e.Reason }

// otherFunctions are those of other languages, with CEL's.
var otherFunctions = map[string]string{
	"every": "all", "forEach": "all", "each": "all", "any": "exists", "some": "exists", "find": "filter",
	"length": "size", "len": "size", "count": "size", "contains": "in, and contains for text", "includes": "in",
	"defined": "has", "isset": "has",
	"none": "null", "None": "null", "nil": "null", "undefined": "null", "True": "true", "False": "false",
}

// plainCEL says a message of CEL's compiler in plain words, as far as it is one of the common ones.
func plainCEL(message string) string {
	if name, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		if ours, ok := otherFunctions[name]; ok {
			return fmt.Sprintf("there is no %q; CEL has %s", name, ours)
		}
		if near := wording.Meant(name, conditionNames); near != "" {
			return fmt.Sprintf("there is no %q (did you mean %q?)", name, near)
		}
		return fmt.Sprintf("there is no %q; an expression knows %s", name, wording.And(conditionNames))
	}
	if rest, ok := strings.CutPrefix(message, "Syntax error: "); ok {
		rest, _, _ = strings.Cut(rest, " expecting ")
		switch missing, atEnd := strings.CutSuffix(rest, " at '<EOF>'"); {
		case atEnd && strings.HasPrefix(missing, "missing "):
			return missing + " at its end"
		case strings.Contains(rest, "'<EOF>'"):
			return "it ends too early"
		case strings.Contains(rest, "'and'"), strings.Contains(rest, "'or'"), strings.Contains(rest, "'not'"):
			return "CEL writes && for and, || for or, and ! for not"
		case strings.Contains(rest, "at: '= '"):
			return "CEL compares with =="
		}
		return plainSyntax(rest)
	}
	if rest, ok := strings.CutPrefix(message, "found no matching overload for '"); ok {
		if name, types, ok := strings.Cut(rest, "' applied to '"); ok {
			types = strings.Trim(types, "'()")
			return fmt.Sprintf("%q does not take %s", strings.Trim(name, "_"), plainType(types))
		}
	}
	if rest, ok := strings.CutSuffix(message, "' does not support field selection"); ok {
		return plainType(strings.TrimPrefix(rest, "type '")) +
			" has no fields; exists(…), all(…) and [0] look into a list"
	}
	return message
}

// plainSyntax says what a syntax error of CEL is about.
func plainSyntax(rest string) string {
	if token, ok := strings.CutPrefix(rest, "token recognition error at: "); ok {
		return "CEL does not know " + strings.Trim(token, "' ")
	}
	for _, prefix := range []string{"extraneous input ", "mismatched input ", "no viable alternative at input "} {
		if token, ok := strings.CutPrefix(rest, prefix); ok {
			return "unexpected " + token
		}
	}
	return "syntax error: " + rest
}

// celTypes are CEL's names of types, in plain words.
var celTypes = strings.NewReplacer(
	"list(dyn)", "a list", "map(string, map(string, string))", "a map", "map(string, string)", "a map", "string", "text", "double", "a number", "uint", "a number", "int", "a number", "dyn", "any value", ", ", " and ")

func plainType(name string) string { return celTypes.Replace(name) }
