package provision

import "time"

// Event reports the progress of a phase.
type Event struct {
	Phase string
	Kind  EventKind
	Text  string        // what is done, was found, or went wrong; one line
	Took  time.Duration // of the phase, when it ends
}

// EventKind says what happened in a phase.
type EventKind string

const (
	Began  EventKind = "began"
	Step   EventKind = "step"   // Text says what it does or waits for now
	Noted  EventKind = "noted"  // Text says what everybody should see before the phase continues
	Warned EventKind = "warned" // Text says what; the phase continues
	Done   EventKind = "done"
	Kept   EventKind = "kept" // there was nothing to do
	Failed EventKind = "failed"
)
