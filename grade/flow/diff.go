package flow

import (
	"context"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// Difference is a connection that two submissions treat differently at a checkpoint.
type Difference struct {
	Task string          `json:"task"`
	From string          `json:"from"`
	To   string          `json:"to"`
	A    verdict.Verdict `json:"a"`
	B    verdict.Verdict `json:"b"`
}

// Diff lists the differences between two runs through the same checkpoints.
func Diff(ctx context.Context, eng engine.Engine, a, b []*engine.State, flows []engine.Probe) ([]Difference, error) {
	diffs := []Difference{}
	for i := range a {
		left, err := Tabulate(ctx, eng, a[i], flows)
		if err != nil {
			return nil, err
		}
		right, err := Tabulate(ctx, eng, b[i], flows)
		if err != nil {
			return nil, err
		}
		diffs = append(diffs, Compare(left, right)...)
	}
	return diffs, nil
}

// Compare lists the differences between two tables of the same flows.
func Compare(a, b *Table) []Difference {
	diffs := []Difference{}
	for i, c := range a.Cells {
		if other := b.Cells[i].Verdict; other != c.Verdict {
			diffs = append(diffs, Difference{Task: a.Task, From: c.From, To: c.To, A: c.Verdict, B: other})
		}
	}
	return diffs
}
