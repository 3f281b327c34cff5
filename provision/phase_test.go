package provision

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// newTestRun is a run of a new instance in a store of its own.
func newTestRun(t *testing.T, p Provider) (*run, *events) {
	t.Helper()
	m, seen := newManager(t, p)
	r, err := m.newRun(UpOptions{Lab: fakeLab("shop"), On: "fake"})
	if err != nil {
		t.Fatal(err)
	}
	if r.inst, err = m.Store.Create(context.Background(), "shop", "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.inst.Close() })
	if _, err := r.begin(); err != nil {
		t.Fatal(err)
	}
	return r, seen
}

// saved is the state as it is on the disk.
func (r *run) saved(t *testing.T) *State {
	t.Helper()
	st, err := r.m.Store.Read("shop")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// always is a look that finds the phase to be made.
func (r *run) always(name string) func(context.Context) (Action, error) {
	return func(context.Context) (Action, error) { return r.action(name, name), nil }
}

func TestPhasesRunInOrderAndSaveEach(t *testing.T) {
	t.Parallel()
	r, seen := newTestRun(t, &fakeProvider{})
	var mu sync.Mutex
	var order []string
	note := func(name string) func(context.Context, *progress) error {
		return func(context.Context, *progress) error {
			mu.Lock()
			defer mu.Unlock()
			// What a phase needs is on the disk before it begins, and so is that it runs.
			for _, before := range order {
				if got := r.saved(t).Phases[before].Status; got != PhaseDone {
					t.Errorf("%s began while the state says that %s is %q", name, before, got)
				}
			}
			if got := r.saved(t).Phases[name].Status; got != PhaseRunning {
				t.Errorf("%s runs while the state says %q", name, got)
			}
			order = append(order, name)
			return nil
		}
	}
	err := r.runPhases(context.Background(), []phase{
		{name: "c", needs: []string{"b"}, look: r.always("c"), do: note("c")},
		{name: "a", look: r.always("a"), do: note("a")},
		{name: "b", needs: []string{"a"}, look: r.always("b"), do: note("b")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for _, name := range order {
		ps := r.saved(t).Phases[name]
		if ps.Status != PhaseDone || ps.Inputs == "" || !ps.Finished.After(ps.Started) {
			t.Errorf("%s: %+v", name, ps)
		}
		if got := seen.of(name); !slices.Equal(got, []EventKind{Began, Done}) {
			t.Errorf("%s: events %v", name, got)
		}
	}
}

// TestPhasesOverlap: two phases that need only a signal of a third run while it does.
func TestPhasesOverlap(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	meet := make(chan string)
	reach := func(name string) func(context.Context, *progress) error {
		return func(ctx context.Context, _ *progress) error {
			select {
			case meet <- name:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	err := r.runPhases(ctx, []phase{
		{name: "cluster", emits: []string{"api up"}, look: r.always("cluster"), do: func(ctx context.Context, p *progress) error {
			p.signal("api up")
			p.signal("api up") // twice is once
			for range 2 {
				select {
				case <-meet:
				case <-ctx.Done():
					return errors.New("the others wait for the whole cluster phase")
				}
			}
			return nil
		}},
		{name: "images", needs: []string{"api up"}, look: r.always("images"), do: reach("images")},
		{name: "cilium", needs: []string{"api up"}, look: r.always("cilium"), do: reach("cilium")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeptPhaseGivesItsSignals: what waits for a signal of a phase with nothing to do must not wait for ever.
func TestKeptPhaseGivesItsSignals(t *testing.T) {
	t.Parallel()
	r, seen := newTestRun(t, &fakeProvider{})
	ran := false
	err := r.runPhases(context.Background(), []phase{
		{name: "cluster", emits: []string{"api up"}, look: func(context.Context) (Action, error) {
			return Action{Phase: "cluster", Kind: Keep, Detail: "exists"}, nil
		}, do: func(context.Context, *progress) error { t.Error("a kept phase was done"); return nil }},
		{name: "apps", needs: []string{"api up"}, look: r.always("apps"), do: func(ctx context.Context, p *progress) error {
			ran = true
			return p.await(ctx, "api up")
		}},
	})
	if err != nil || !ran {
		t.Errorf("ran %v, error %v", ran, err)
	}
	if got := seen.of("cluster"); !slices.Equal(got, []EventKind{Kept}) {
		t.Errorf("events %v", got)
	}
	if _, there := r.saved(t).Phases["cluster"]; there {
		t.Error("a phase with nothing to do changed the state")
	}
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	t.Parallel()
	r, seen := newTestRun(t, &fakeProvider{})
	broken := errors.New("no space left on device")
	var late bool
	err := r.runPhases(context.Background(), []phase{
		{name: "images", emits: []string{"nodes"}, look: r.always("images"), do: func(_ context.Context, p *progress) error {
			p.signal("nodes")
			return broken
		}},
		{name: "beside", needs: []string{"nodes"}, look: r.always("beside"), do: func(ctx context.Context, _ *progress) error {
			select {
			case <-ctx.Done():
				return ctx.Err() // stopped; its own error must not take the first one's place
			case <-time.After(10 * time.Second):
				return errors.New("was not stopped")
			}
		}},
		{name: "after", needs: []string{"images"}, look: r.always("after"), do: func(context.Context, *progress) error {
			late = true
			return nil
		}},
	})
	var failed *PhaseError
	if !errors.As(err, &failed) || failed.Phase != "images" || !errors.Is(err, broken) || err.Error() != "images: no space left on device" {
		t.Errorf("the error is %v", err)
	}
	if late {
		t.Error("a phase began although what it needs failed")
	}
	st := r.saved(t)
	if ps := st.Phases["images"]; ps.Status != PhaseFailed || ps.Error != broken.Error() {
		t.Errorf("images: %+v", ps)
	}
	// A phase that was stopped is taken up again by the next run.
	if ps := st.Phases["beside"]; ps.Status == PhaseDone || ps.Status == PhaseFailed {
		t.Errorf("beside: %+v", ps)
	}
	if got := seen.of("images"); !slices.Equal(got, []EventKind{Began, Failed}) {
		t.Errorf("events %v", got)
	}
	if slices.Contains(seen.of("beside"), Failed) {
		t.Error("a phase that was stopped is shown as failed")
	}
}

func TestLookThatFails(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{})
	err := r.runPhases(context.Background(), []phase{
		{name: "cluster", look: func(context.Context) (Action, error) { return Action{}, errors.New("not ours") },
			do: func(context.Context, *progress) error { t.Error("was done"); return nil }},
	})
	if err == nil || err.Error() != "cluster: not ours" {
		t.Errorf("the error is %v", err)
	}
}

func TestCancelledPhases(t *testing.T) {
	t.Parallel()
	r, seen := newTestRun(t, &fakeProvider{})
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	began := time.Now()
	// runPhases reports failures; that it was stopped is for the caller to say, who knows his context.
	err := r.runPhases(ctx, []phase{
		{name: "cluster", look: r.always("cluster"), do: func(ctx context.Context, _ *progress) error {
			cancel(stop)
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		{name: "apps", needs: []string{"cluster"}, look: r.always("apps"), do: func(context.Context, *progress) error {
			t.Error("a phase began after the end")
			return nil
		}},
	})
	if !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
	if time.Since(began) > 5*time.Second {
		t.Error("it took too long")
	}
	if ps := r.saved(t).Phases["cluster"]; ps.Status != PhaseRunning {
		t.Errorf("cluster: %+v", ps)
	}
	if slices.Contains(seen.of("cluster"), Failed) {
		t.Error("it is shown as failed")
	}
}

// TestStateThatCannotBeWritten: a full disk is a failure of the phase, before it does anything.
func TestStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{})
	r.inst.Dir += "/gone"
	err := r.runPhases(context.Background(), []phase{
		{name: "cluster", look: r.always("cluster"), do: func(context.Context, *progress) error { t.Error("was done"); return nil }},
	})
	var failed *PhaseError
	if !errors.As(err, &failed) || failed.Phase != "cluster" {
		t.Errorf("the error is %v", err)
	}
}

func TestAction(t *testing.T) {
	t.Parallel()
	inputs := []any{"agnhost", 2}
	same := digestOf(inputs)
	for _, tc := range []struct {
		name   string
		before *PhaseState
		want   ActionKind
		detail string
	}{
		{"never begun", nil, Create, "2 apps"},
		{"was killed", &PhaseState{Status: PhaseRunning, Inputs: same}, Redo, "2 apps (was interrupted)"},
		{"failed", &PhaseState{Status: PhaseFailed, Inputs: same}, Redo, "2 apps"},
		{"failed from other inputs", &PhaseState{Status: PhaseFailed, Inputs: "other"}, Redo, "2 apps"},
		{"done", &PhaseState{Status: PhaseDone, Inputs: same}, Keep, "2 apps"},
		{"done from other inputs", &PhaseState{Status: PhaseDone, Inputs: "other"}, Change, "2 apps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, _ := newTestRun(t, &fakeProvider{})
			if tc.before != nil {
				r.inst.State.Phases["apps"] = *tc.before
			}
			got := r.action("apps", "2 apps", inputs...)
			if got.Kind != tc.want || got.Detail != tc.detail || got.Phase != "apps" || got.inputs != same {
				t.Errorf("got %+v, want %s %q", got, tc.want, tc.detail)
			}
		})
	}
}

func TestDigestOf(t *testing.T) {
	t.Parallel()
	a := digestOf([]any{map[string]any{"x": 1, "y": []string{"a"}}, "b"})
	if b := digestOf([]any{map[string]any{"y": []string{"a"}, "x": 1}, "b"}); a != b {
		t.Error("the order of a map's keys changes the digest")
	}
	for name, other := range map[string][]any{
		"a value":    {map[string]any{"x": 2, "y": []string{"a"}}, "b"},
		"one more":   {map[string]any{"x": 1, "y": []string{"a"}}, "b", nil},
		"a boundary": {map[string]any{"x": 1, "y": []string{"a", "b"}}},
		"no JSON":    {func() {}},
	} {
		if digestOf(other) == a {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n    int
		what string
		want string
	}{{0, "app", "0 apps"}, {1, "app", "1 app"}, {2, "app", "2 apps"}, {1, "policy", "1 policy"}, {3, "policy", "3 policies"}} {
		if got := plural(tc.n, tc.what); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
