package policy

import (
	"fmt"
	"sync/atomic"
)

// Budget bounds the work of evaluating. It counts steps instead of time, so that the same policies have the same
// outcome on every machine: a step is one requirement of a selector, one peer, port or rule that is looked at, and
// takes up to 100 ns. A Budget is safe for concurrent use. nil does not bound anything.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many steps.
func NewBudget(steps int64) *Budget { return &Budget{limit: steps} }

// Spend counts steps, and reports whether the budget covers them.
func (b *Budget) Spend(steps int) bool {
	return b == nil || b.used.Add(int64(steps)) <= b.limit
}

// Exceeded reports whether more than the budget has been spent.
func (b *Budget) Exceeded() bool { return b != nil && b.used.Load() > b.limit }

// Used returns the steps that were spent.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// BudgetError is the error of Evaluate, Explain and Prove for policies that take more work than the engine's budget
// covers.
type BudgetError struct {
	Limit int64 // in steps
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("the policies in force take more than %d steps to judge: they have too many rules, peers, ports or different labels", e.Limit)
}

// spend counts steps, and ends what the engine is doing if the budget does not cover them: see budgetError.
func (e *Engine) spend(steps int) { e.budget.mustSpend(steps) }

func (b *Budget) mustSpend(steps int) {
	if !b.Spend(steps) {
		panic(&BudgetError{Limit: b.limit})
	}
}

// budgetError turns the panic of spend into the error of an exported function.
func budgetError(err *error) {
	switch p := recover().(type) {
	case nil:
	case *BudgetError:
		*err = p
	default:
		panic(p)
	}
}
