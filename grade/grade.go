// Package grade scores a submission against a lab: it replays the submission's checkpoints, asks an
// engine for the verdict of every connection the objectives name, and says what was missed and why.
//
// It knows probes only through Engine and Prober; where the verdicts come from (the rule model in
// grade/offline, real pods in grade/live) makes no difference to a score.
package grade

import (
	"context"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
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
	Probe(ctx context.Context, probes []Probe) ([]Outcome, error)
	// Prove looks for a connection that breaks the invariant; nil means that there is none (as far as
	// the engine can tell: the live engine samples).
	Prove(ctx context.Context, inv labs.Invariant) (*Outcome, error)
}

// State is what is in force at a checkpoint: the submission's objects and the labels it puts on namespaces,
// and what the lab's setup did.
type State struct {
	Task            string
	Policies        []*manifest.Object           // in order of first application
	NamespaceLabels map[string]map[string]string // added or changed by the submission and by setup
	Applied         []*manifest.Object           // other objects (workloads, services, …) that the lab's setup applied
	Deleted         []manifest.Ref               // objects of the lab that its setup deleted
}

// Probe is one connection of an objective, and the verdict it wants. The engine needs Want to pick the
// replica that misses, and to explain only what needs explaining.
type Probe struct {
	From labs.Source
	To   labs.Target
	Want labs.Verdict
}

// Outcome is what a probe found. For a source or target with several replicas the verdict is the one
// that does not meet Want, if any replica's does not.
type Outcome struct {
	Probe   Probe
	Verdict labs.Verdict
	// Detail is the engine's account of it: who decided, where it stands in the student's files, what nearly matched.
	Detail *policy.Result
	// All verdicts seen, one a replica pair, when they differ.
	Verdicts []labs.Verdict
	// Error says why a probe_error happened.
	Error string
	// Flow is the packet that settled the verdict, where the engine saw it on the wire.
	Flow *Flow
	// Seen is what the probe itself saw, in the words of its tools; empty where nothing was sent.
	Seen string
}
