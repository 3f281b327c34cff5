package grade

import (
	"github.com/labctl/labctl/labs"
)

// Finding is something worth knowing about a submission beyond a check that missed: a classic mistake,
// recognised by name, or a step without effect. It costs nothing by itself.
type Finding struct {
	ID        string `json:"id"`    // "and-or-peers"
	Title     string `json:"title"` // "One list item or two"
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"` // names the mistake, not the solution
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Policy    string `json:"policy,omitempty"` // manifest.Ref as text
	Task      string `json:"task"`
	Objective string `json:"objective,omitempty"`
}

// mistakeInput is what recognize may look at: a probe that missed, how its verdict came about, and
// everything that was in force then.
type mistakeInput struct {
	lab       *labs.Lab
	task      *labs.Task
	objective *labs.Objective
	state     *State
	probe     Probe    // probe.Want is the verdict that was expected
	outcome   *Outcome // outcome.Detail is from policy.Engine.Explain; nil for a live engine without evidence

	// invariant is what was broken, if the check is one; outcome is then the counterexample. For an object
	// assertion outcome is nil.
	invariant *labs.Invariant
	// passes reports whether this very check would pass in another state: how a mistake is told from a
	// coincidence. nil if the engine cannot judge other states.
	passes func(*State) bool
}
