package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// phase is one step of an up. It is idempotent: done again after an interruption at any point, it ends in
// the same state.
type phase struct {
	name  string
	needs []string // phases and signals that must be there before it begins
	emits []string // signals that it gives before it ends
	// look says what is to be done, and why, without doing it. It is also what `labctl plan` shows.
	look func(ctx context.Context) (Action, error)
	do   func(ctx context.Context, p *progress) error
}

// Action is what an up does about a phase.
type Action struct {
	Phase  string     `json:"phase"`
	Kind   ActionKind `json:"action"`
	Detail string     `json:"detail"` // what, or why
	inputs string
}

// ActionKind says what is done.
type ActionKind string

const (
	Keep   ActionKind = "keep"
	Create ActionKind = "create"
	Change ActionKind = "change"
	Redo   ActionKind = "redo" // was interrupted, or what it made is gone
)

// progress is how a phase speaks to those who wait.
type progress struct {
	name   string
	report func(Event)
	signal func(string)
	await  func(context.Context, string) error // waits for a signal
}

// alone is the progress of what runs beside no other phase.
func (r *run) alone(name string) *progress {
	return &progress{name, r.report, func(string) {}, func(context.Context, string) error { return nil }}
}

func (p *progress) step(text string)              { p.report(Event{Phase: p.name, Kind: Step, Text: text}) }
func (p *progress) stepf(format string, a ...any) { p.step(fmt.Sprintf(format, a...)) }
func (p *progress) warnf(format string, a ...any) {
	p.report(Event{Phase: p.name, Kind: Warned, Text: fmt.Sprintf(format, a...)})
}

// errOther ends the phases that go on when another has failed.
var errOther = errors.New("another phase failed")

// runPhases runs every phase as soon as what it needs is there, and all that can at the same time. The first
// failure stops the rest, and is what comes back.
func (r *run) runPhases(ctx context.Context, phases []phase) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := map[string]chan struct{}{}
	for _, p := range phases {
		for _, s := range append(p.emits, p.name) {
			signals[s] = make(chan struct{})
		}
	}
	var mu sync.Mutex
	given := map[string]bool{}
	signal := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if !given[s] {
			given[s] = true
			close(signals[s])
		}
	}
	await := func(ctx context.Context, s string) error {
		select {
		case <-signals[s]:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var (
		wg    sync.WaitGroup
		first error
	)
	for _, p := range phases {
		wg.Go(func() {
			for _, need := range p.needs {
				if await(ctx, need) != nil {
					return
				}
			}
			if err := r.runPhase(ctx, p, signal, await); err != nil {
				mu.Lock()
				if first == nil && !errors.Is(err, errOther) {
					first = err
				}
				mu.Unlock()
				cancel(errOther)
				return
			}
			for _, s := range append(p.emits, p.name) {
				signal(s)
			}
		})
	}
	wg.Wait()
	return first
}

func (r *run) runPhase(ctx context.Context, p phase, signal func(string), await func(context.Context, string) error) error {
	start := r.m.Now()
	act, err := p.look(ctx)
	if err != nil {
		return r.failed(ctx, p, start, err)
	}
	if act.Kind == Keep {
		r.report(Event{Phase: p.name, Kind: Kept, Text: act.Detail, Took: r.m.Now().Sub(start)})
		return nil
	}
	err = r.save(func(st *State) {
		st.Phases[p.name] = PhaseState{Status: PhaseRunning, Inputs: act.inputs, Started: start}
	})
	if err != nil {
		return r.failed(ctx, p, start, err)
	}
	r.report(Event{Phase: p.name, Kind: Began, Text: act.Detail})
	if err := p.do(ctx, &progress{p.name, r.report, signal, await}); err != nil {
		return r.failed(ctx, p, start, err)
	}
	err = r.save(func(st *State) {
		st.Phases[p.name] = PhaseState{Status: PhaseDone, Inputs: act.inputs, Started: start, Finished: r.m.Now()}
	})
	if err != nil {
		return r.failed(ctx, p, start, err)
	}
	r.report(Event{Phase: p.name, Kind: Done, Text: act.Detail, Took: r.m.Now().Sub(start)})
	return nil
}

func (r *run) failed(ctx context.Context, p phase, start time.Time, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // it was stopped, it did not fail
	}
	// The state may be what cannot be written; the error in hand says more.
	_ = r.save(func(st *State) {
		// One that failed before it began has made nothing: what is there under its name is somebody else's.
		if ps, begun := st.Phases[p.name]; begun {
			ps.Status, ps.Finished, ps.Error = PhaseFailed, r.m.Now(), err.Error()
			st.Phases[p.name] = ps
		}
	})
	r.report(Event{Phase: p.name, Kind: Failed, Text: err.Error(), Took: r.m.Now().Sub(start)})
	return &PhaseError{p.name, err}
}

// PhaseError says which phase failed.
type PhaseError struct {
	Phase string
	Err   error
}

func (e *PhaseError) Error() string { return e.Phase + ": " + e.Err.Error() }
func (e *PhaseError) Unwrap() error { return e.Err }

// action compares what a phase would work from with what it worked from the last time.
func (r *run) action(name, detail string, inputs ...any) Action {
	act := Action{Phase: name, Kind: Create, Detail: detail, inputs: digestOf(inputs)}
	before, ok := r.state().Phases[name]
	switch {
	case !ok:
	case before.Status != PhaseDone:
		act.Kind = Redo
		if before.Status == PhaseRunning {
			act.Detail += " (was interrupted)"
		}
	case before.Inputs != act.inputs:
		act.Kind = Change
	default:
		act.Kind = Keep
	}
	return act
}

// digestOf is a short digest over values.
func digestOf(values []any) string {
	data, err := json.Marshal(values)
	if err != nil {
		// Values come from HCL, YAML and our own types, all of which have a JSON form.
		data = []byte(fmt.Sprint(values))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}
