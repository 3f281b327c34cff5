package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labctl/labctl/internal/wording"
)

// phase is one step of an up. It is idempotent: run again after an interruption at any point, it ends in the same
// state.
type phase struct {
	name   string
	needs  []string // phases and signals that it begins after
	awaits []string // signals that do waits for itself, through progress.await
	emits  []string // signals that it gives before it ends
	// look says what has to be done, and why, without doing it. `labctl plan` shows it too.
	look func(ctx context.Context) (Action, error)
	do   func(ctx context.Context, p *progress) error
}

// result is what one phase hands to others. It is set before the phase gives the signal that they need; until then it
// holds the zero value, as in a plan of something new.
type result[T any] struct{ value atomic.Pointer[T] }

func (r *result[T]) set(v T) { r.value.Store(&v) }

func (r *result[T]) get() (v T) {
	if p := r.value.Load(); p != nil {
		v = *p
	}
	return v
}

// Action is what an up does in a phase.
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
	Redo   ActionKind = "redo" // it was interrupted, or its result is gone
)

// progress reports what a phase does, and gives and awaits signals.
type progress struct {
	name   string
	report func(Event)
	signal func(string)
	await  func(context.Context, string) error
}

// standalone is the progress of a step that runs without other phases.
func (r *run) standalone(name string) *progress {
	return &progress{name, r.report, func(string) {}, func(context.Context, string) error { return nil }}
}

func (p *progress) step(text string)              { p.report(Event{Phase: p.name, Kind: Step, Text: text}) }
func (p *progress) stepf(format string, a ...any) { p.step(fmt.Sprintf(format, a...)) }
func (p *progress) note(text string)              { p.report(Event{Phase: p.name, Kind: Noted, Text: text}) }
func (p *progress) warnf(format string, a ...any) {
	p.report(Event{Phase: p.name, Kind: Warned, Text: fmt.Sprintf(format, a...)})
}

// checkGraph reports what would make runPhases wait forever: a name that is used twice, a need that nothing gives,
// a cycle.
func checkGraph(phases []phase) error {
	givenBy := map[string]int{} // phase or signal → index of the phase
	for i, p := range phases {
		for _, name := range slices.Concat(p.emits, []string{p.name}) {
			if other, ok := givenBy[name]; ok {
				return fmt.Errorf("phase graph: %q is given by phase %q and phase %q", name, phases[other].name, p.name)
			}
			givenBy[name] = i
		}
	}
	waitsFor := make([][]int, len(phases))
	for i, p := range phases {
		for _, need := range slices.Concat(p.needs, p.awaits) {
			by, ok := givenBy[need]
			if !ok {
				return fmt.Errorf("phase graph: phase %q needs %q, which no phase gives", p.name, need)
			}
			waitsFor[i] = append(waitsFor[i], by)
		}
	}
	const (
		visiting = 1
		visited  = 2
	)
	state := make([]int, len(phases))
	var visit func(i int) error
	visit = func(i int) error {
		switch state[i] {
		case visiting:
			return fmt.Errorf("phase graph: phase %q needs itself through others", phases[i].name)
		case visited:
			return nil
		}
		state[i] = visiting
		for _, j := range waitsFor[i] {
			if err := visit(j); err != nil {
				return err
			}
		}
		state[i] = visited
		return nil
	}
	for i := range phases {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// signals are what the phases of one run give and wait for: their signals, and their names when they end.
type signals struct {
	mu    sync.Mutex
	given map[string]bool
	done  map[string]chan struct{}
}

func newSignals(phases []phase) *signals {
	s := &signals{given: map[string]bool{}, done: map[string]chan struct{}{}}
	for _, p := range phases {
		for _, name := range slices.Concat(p.emits, []string{p.name}) {
			s.done[name] = make(chan struct{})
		}
	}
	return s
}

// give gives a signal; a second time changes nothing.
func (s *signals) give(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.given[name] {
		s.given[name] = true
		close(s.done[name])
	}
}

func (s *signals) await(ctx context.Context, name string) error {
	select {
	case <-s.done[name]:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// of is the progress of a phase. A signal that the phase does not declare is a bug, and fails the phase.
func (s *signals) of(p phase, report func(Event), mistake *error) *progress {
	return &progress{
		name: p.name, report: report,
		signal: func(name string) {
			if !slices.Contains(p.emits, name) {
				*mistake = fmt.Errorf("phase %q gives the undeclared signal %q", p.name, name)
				return
			}
			s.give(name)
		},
		await: func(ctx context.Context, name string) error {
			if !slices.Contains(p.awaits, name) && !slices.Contains(p.needs, name) {
				return fmt.Errorf("phase %q awaits the undeclared signal %q", p.name, name)
			}
			return s.await(ctx, name)
		},
	}
}

// errOther stops the remaining phases when one has failed.
var errOther = errors.New("another phase failed")

// runPhases runs every phase as soon as what it needs is given, and all that can concurrently. The first failure
// stops the rest, and is returned.
func (r *run) runPhases(ctx context.Context, phases []phase) error {
	if err := checkGraph(phases); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := newSignals(phases)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	for _, p := range phases {
		wg.Go(func() {
			for _, need := range p.needs {
				if signals.await(ctx, need) != nil {
					return
				}
			}
			var mistake error
			err := r.runPhase(ctx, p, signals.of(p, r.report, &mistake))
			if err == nil && mistake != nil {
				err = &PhaseError{p.name, mistake}
			}
			if err != nil {
				mu.Lock()
				if first == nil && !errors.Is(err, errOther) {
					first = err
				}
				mu.Unlock()
				cancel(errOther)
				return
			}
			for _, s := range slices.Concat(p.emits, []string{p.name}) {
				signals.give(s)
			}
		})
	}
	wg.Wait()
	return first
}

func (r *run) runPhase(ctx context.Context, p phase, progress *progress) error {
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
	if err := p.do(ctx, progress); err != nil {
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
		return cause // it was stopped and did not fail
	}
	// Writing the state may be what failed; the first error says more.
	_ = r.save(func(st *State) {
		// A phase that failed before it began has created nothing: what exists under its name belongs to somebody else.
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

// action compares the inputs of a phase with those of its last run.
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
		// Values come from HCL, YAML and our own types, which all have a JSON form.
		data = []byte(fmt.Sprint(values))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func plural(n int, what string) string { return wording.Count(n, what) }
