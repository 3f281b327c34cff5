// Package engine is what grading asks and what answers: the state of a checkpoint, the connections to probe, and the engines that
// judge them. grade/offline and grade/live implement it; it knows nothing of points, tasks or reports.
package engine

import (
	"context"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/labs"
)

// Engine judges connections in a lab.
type Engine interface {
	// Name is "offline" or "live".
	Name() string
	// At puts the state in force and returns what probes it. Problems with the state's objects that only
	// the engine can see (a rule it does not model) are returned as manifest.Problems.
	At(ctx context.Context, state *State) (Prober, error)
}

// Prober judges connections at one checkpoint.
type Prober interface {
	// Probe judges the probes, in order. A probe that could not be run has the verdict probe_error;
	// an error means that none could.
	Probe(ctx context.Context, probes []Probe) ([]Observation, error)
	// Prove looks for a connection that breaks the invariant; nil means that there is none (as far as
	// the engine can tell: the live engine samples).
	Prove(ctx context.Context, inv labs.Invariant) (*Observation, error)
	// Notes are what came to light beside the verdicts, of all that the prober was asked so far.
	Notes() Notes
}

// Notes are what a prober notes beside its verdicts. The zero value is that of a prober that sends nothing.
type Notes struct {
	Probers       []ProberReport // what probes were sent with, by source
	Disagreements []Disagreement // where two engines differ
}

// Explainer is a prober that accounts for every verdict, not only for those that miss: Observation.Detail then
// has the rules that nearly matched.
type Explainer interface {
	Explain(ctx context.Context, probes []Probe) ([]Observation, error)
}

// Selector is a prober that knows which pods policies select.
type Selector interface {
	// Selects returns what a policy in force selects; false if it is not in force.
	Selects(o *manifest.Object) (policy.Selection, bool)
}

// Simulator is an engine that computes its verdicts. Nothing has to be changed to ask it about another state, equal states have equal
// verdicts, so they can be cached, and it can tell beforehand of all objects at once whether it models them.
type Simulator interface {
	Engine
	// Check returns what of the objects the engine does not model.
	Check(objs []*manifest.Object) manifest.Problems
}

// State is what is in force at a checkpoint: the submission's objects and the labels it puts on namespaces,
// and what the lab's setup did.
type State struct {
	Task            string
	Policies        []*manifest.Object           // in order of first application
	NamespaceLabels map[string]map[string]string // added or changed by the submission and by setup
	Applied         []*manifest.Object           // other objects (workloads, services, …) that the lab's setup applied
	Deleted         []manifest.Ref               // objects of the lab that its setup deleted

	// AppliedIn names the task in which the student applied a policy. What a setup applied is not in it, nor is anything of a flat
	// submission: nothing tells what was applied for which task.
	AppliedIn map[*manifest.Object]string
	// Replaced is, of a policy that the student applied, the one with the same name and another content that it took the place of.
	Replaced  map[*manifest.Object]*manifest.Object
	Deletions []Deletion // what the student deleted, in order
	Flat      bool       // of a flat submission
	Attempted bool       // the submission has something for the task
}

// Deletion is a policy that the student deleted.
type Deletion struct {
	Policy *manifest.Object
	By     *manifest.Object // the manifest that says so
	Task   string
}

// Change is a state with one thing changed: what would be if a student had written something else.
type Change struct {
	Object *manifest.Object // the policy in force that is changed; nil: none, and By is in force beside all others
	By     *manifest.Object // what takes its place; nil: nothing does
	// NamespaceLabels, unless it is nil, is changed instead: all labels that were added to namespaces or changed.
	NamespaceLabels map[string]map[string]string
}

// In returns the state that a change makes of another.
func (c *Change) In(state *State) *State {
	s := *state
	if c.NamespaceLabels != nil {
		s.NamespaceLabels = c.NamespaceLabels
		return &s
	}
	s.Policies = make([]*manifest.Object, 0, len(state.Policies))
	for _, o := range state.Policies {
		switch {
		case o != c.Object:
			s.Policies = append(s.Policies, o)
		case c.By != nil:
			s.Policies = append(s.Policies, c.By)
		}
	}
	if c.Object == nil && c.By != nil {
		s.Policies = append(s.Policies, c.By)
	}
	return &s
}

// Changer is a prober of a Simulator that can judge its state with one thing changed for less than Engine.At costs. What that prober is asked is
// counted, and answered with a *policy.BudgetError once the budget is spent.
type Changer interface {
	Changed(b *policy.Budget, c Change) (Prober, error)
}

// Probe is one connection of an objective, and the verdict it wants. The engine needs Want to pick the
// replica that misses, and to explain only what needs explaining.
type Probe struct {
	From labs.Source
	To   labs.Target
	Want verdict.Verdict
}

// Observation is what a probe found. For a source or target with several replicas the verdict is the one
// that does not meet Want, if any replica's does not.
type Observation struct {
	Probe   Probe
	Verdict verdict.Verdict
	// Detail is the engine's account of it: who decided, where it stands in the student's files, what nearly matched.
	Detail *policy.Result
	// All verdicts seen, one a replica pair, when they differ.
	Verdicts []verdict.Verdict
	// At is the address, name or node that the verdict is about, where an end stands for several.
	At string
	// Error says why a probe_error happened.
	Error string
	// Flow is the packet that settled the verdict, where the engine saw it on the wire.
	Flow *Flow
	// Seen is what the probe itself saw, in the words of its tools; empty where nothing was sent.
	Seen string
}
