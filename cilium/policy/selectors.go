package policy

import (
	"reflect"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxExpressions is how many matchExpressions a selector may have. Cilium names a selector by its text, and putting
// that together takes the square of them.
const MaxExpressions = 200

// leastJSON is how many bytes of JSON so many expressions have at least.
const leastJSON = MaxExpressions * len(`{"key":"k","operator":"Exists"}`)

// checkSelectors refuses a policy with a selector that has too many expressions.
func (c *compiler) checkSelectors() {
	if len(c.obj.JSON) < leastJSON && c.obj.JSON != nil {
		return
	}
	if n := maxExpressions(reflect.ValueOf(c.obj.Value)); n > MaxExpressions {
		c.problem("",
			"a selector has %d expressions, more than the limit of %d (the limit on the expressions of a selector)",
			n, MaxExpressions)
	}
}

// maxExpressions is how many expressions that selector has that has most of them.
func maxExpressions(v reflect.Value) int {
	most := 0
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return maxExpressions(v.Elem())
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Pointer {
			return 0
		}
		for i := range v.Len() {
			most = max(most, maxExpressions(v.Index(i)))
		}
	case reflect.Struct:
		if !v.CanInterface() {
			return 0
		}
		switch s := v.Interface().(type) {
		case metav1.LabelSelector:
			return len(s.MatchExpressions)
		case slimv1.LabelSelector:
			return len(s.MatchExpressions)
		}
		for i := range v.NumField() {
			most = max(most, maxExpressions(v.Field(i)))
		}
	}
	return most
}
