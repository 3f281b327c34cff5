// Package flow asks an engine about a lab's connections beside what is graded: the truth table of a
// checkpoint, what two submissions treat differently, and why one connection is judged as it is and
// what would change that.
package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// Table says what becomes of each of a lab's connections at one checkpoint.
type Table struct {
	Task    string `json:"task"`
	Title   string `json:"title"`
	Subject string `json:"-"`     // what was asked, for people: the lab, the submission and the task
	Cells   []Cell `json:"cells"` // row by row
}

// Cell is one connection and its verdict.
type Cell struct {
	From    string          `json:"from"`
	To      string          `json:"to"`
	Verdict verdict.Verdict `json:"verdict"`
	Probe   engine.Probe    `json:"-"` // that From and To name
}

// From lists the rows' names in order.
func (t *Table) From() []string {
	var rows []string
	for _, c := range t.Cells {
		if !slices.Contains(rows, c.From) {
			rows = append(rows, c.From)
		}
	}
	return rows
}

// To lists the columns' names in order. No row has them all (nothing connects to itself), so each that a
// row adds goes behind the one before it in that row.
func (t *Table) To() []string {
	var columns []string
	row, at := "", 0
	for _, c := range t.Cells {
		if c.From != row {
			row, at = c.From, 0
		}
		i := slices.Index(columns, c.To)
		if i < 0 {
			i = at
			columns = slices.Insert(columns, i, c.To)
		}
		at = i + 1
	}
	return columns
}

// Verdict returns the verdict of a cell, or "" where the table has none: a connection that makes no sense.
func (t *Table) Verdict(from, to string) verdict.Verdict {
	for _, c := range t.Cells {
		if c.From == from && c.To == to {
			return c.Verdict
		}
	}
	return ""
}

// at puts a state in force. Policies that the engine does not take are a refused submission.
func at(ctx context.Context, eng engine.Engine, state *engine.State) (engine.Prober, error) {
	prober, err := eng.At(ctx, state)
	var problems manifest.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &engine.Refused{Problems: problems}
	case err != nil:
		return nil, fmt.Errorf("checkpoint of task %s: %w", state.Task, err)
	}
	return prober, nil
}

// Tabulate judges the flows at the checkpoint.
func Tabulate(ctx context.Context, eng engine.Engine, state *engine.State, flows []engine.Probe) (*Table, error) {
	prober, err := at(ctx, eng, state)
	if err != nil {
		return nil, err
	}
	// What is wanted is left open; "allowed" keeps the engine from explaining every connection that is.
	asked := slices.Clone(flows)
	for i := range asked {
		asked[i].Want = verdict.Allowed
	}
	outcomes, err := prober.Probe(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("checkpoint of task %s: %w", state.Task, err)
	}
	table := &Table{Task: state.Task, Cells: make([]Cell, len(outcomes))}
	for i, o := range outcomes {
		table.Cells[i] = Cell{From: o.Probe.From.String(), To: engine.TargetName(o.Probe.To), Verdict: o.Verdict,
			Probe: o.Probe}
	}
	return table, nil
}
