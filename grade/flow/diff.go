package flow

import (
	"context"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// Difference is a connection that two submissions treat differently at a checkpoint.
type Difference struct {
	Task string       `json:"task"`
	From string       `json:"from"`
	To   string       `json:"to"`
	A    labs.Verdict `json:"a"`
	B    labs.Verdict `json:"b"`
}

// Diff lists the differences between two runs through the same checkpoints.
func Diff(ctx context.Context, eng grade.Engine, a, b []*grade.State, flows []grade.Probe) ([]Difference, error) {
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
		for j, c := range left.Cells {
			if other := right.Cells[j].Verdict; other != c.Verdict {
				diffs = append(diffs, Difference{Task: left.Task, From: c.From, To: c.To, A: c.Verdict, B: other})
			}
		}
	}
	return diffs, nil
}
