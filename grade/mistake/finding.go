package mistake

import (
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// longestMessage is how many bytes of a message reports show: what a student wrote may be quoted in it.
const longestMessage = 1000

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

// Miss is a check that missed: what was probed, how its verdict came about, and everything that was in force then.
type Miss struct {
	*Scene
	Check labs.Check   // the block of the lab that was missed
	Probe engine.Probe // Probe.Want is the verdict that was expected
	// Observation is of the connection that missed; for an invariant, of one that breaks it. nil: the check is about no
	// connection. A live engine may leave Detail nil.
	Observation *engine.Observation

	// Passes reports whether this very check would pass with something changed: how a mistake is distinguished from a
	// coincidence. nil if the engine cannot judge other states.
	Passes func(engine.Change) bool
	// Solves is the same for every check of the objective, for mistakes that one connection does not show. nil if Passes is.
	Solves func(engine.Change) bool
	// Keeps reports whether every check of the task that passes still does with something changed. nil if Passes is.
	Keeps func(engine.Change) bool
}
