package grade

import (
	"slices"

	"github.com/labctl/labctl/labs"
)

// hintsLeft reports whether a task has hints that were not taken, and whether one of them costs points.
func hintsLeft(t *labs.Task, taken []HintTaken) (some, priced bool) {
	for name, h := range t.AllHints() {
		if !slices.ContainsFunc(taken, func(x HintTaken) bool { return x.Name == name }) {
			some, priced = true, priced || h.Cost > 0
		}
	}
	return some, priced
}

// withholdHints takes the hints of mistakes out of a task's report and from its findings: they say what the task's own
// hints sell. What a mistake is called, and where it is, stays. It reports whether there was any.
func withholdHints(t *TaskReport, findings []Finding) (found bool) {
	for i := range t.Objectives {
		if !slices.ContainsFunc(t.Objectives[i].Checks, func(c Check) bool { return c.Mistake != "" }) {
			continue
		}
		checks := slices.Clone(t.Objectives[i].Checks) // they may be those of other reports, too
		for j := range checks {
			if checks[j].Mistake != "" {
				checks[j].Hint, found = "", true
			}
		}
		t.Objectives[i].Checks = checks
	}
	for i := range findings {
		if findings[i].Task == t.Name && findings[i].Objective != "" {
			findings[i].Hint, found = "", true
		}
	}
	return found
}
