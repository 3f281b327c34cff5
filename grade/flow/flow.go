// Package flow asks an engine about a lab's connections beside what is graded: the truth table of a
// checkpoint, what two submissions treat differently, and why one connection is judged as it is.
package flow

import (
	"context"
	"fmt"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// at returns what probes the state.
func at(ctx context.Context, eng grade.Engine, state *grade.State) (grade.Prober, error) {
	prober, err := eng.At(ctx, state)
	if err != nil {
		return nil, fmt.Errorf("put the checkpoint of task %s in force: %w", state.Task, err)
	}
	return prober, nil
}

// Target names a target the way people write it: "backend:8080", "external internet:443", "backend:8080 by IP".
func targetName(t labs.Target) string {
	return t.String()
}
