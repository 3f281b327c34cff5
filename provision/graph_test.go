package provision

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/kube"
)

// TestGraphOfUp: the phases of an up, of any lab, form a valid graph.
func TestGraphOfUp(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{})
	if err := checkGraph(r.phases(new(results))); err != nil {
		t.Fatal(err)
	}
	var client result[*kube.Client]
	if p := r.externalsPhase(&client); p.name != phaseExternals || p.look == nil || p.do == nil {
		t.Errorf("externals: %+v", p)
	}
}

func TestCheckGraph(t *testing.T) {
	t.Parallel()
	s := func(names ...string) []string { return names }
	for _, tc := range []struct {
		name   string
		phases []phase
		want   string // empty: valid
	}{
		{"none", nil, ""},
		{"a signal of a phase", []phase{{name: "a", emits: s("x")}, {name: "b", needs: s("x", "a")}}, ""},
		{"nothing gives it", []phase{{name: "a"}, {name: "b", needs: s("x")}}, `phase "b" needs "x", which no phase gives`},
		{"nothing gives what it awaits", []phase{{name: "a", awaits: s("x")}}, `phase "a" needs "x"`},
		{"it needs itself", []phase{{name: "a", needs: s("a")}}, `phase "a" needs itself`},
		{"it needs its own signal", []phase{{name: "a", needs: s("x"), emits: s("x")}}, `phase "a" needs itself`},
		{"a cycle through a signal", []phase{{name: "a", needs: s("b")}, {name: "b", needs: s("x")}, {name: "c", awaits: s("a"), emits: s("x")}}, "needs itself through others"},
		{"two phases of a name", []phase{{name: "a"}, {name: "a"}}, `"a" is given by`},
		{"two phases give a signal", []phase{{name: "a", emits: s("x")}, {name: "b", emits: s("x")}}, `"x" is given by phase "a" and phase "b"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := checkGraph(tc.phases)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v; want one with %q", err, tc.want)
			}
			// Before it was checked, such a graph hung.
			r, _ := newTestRun(t, &fakeProvider{})
			if got := r.runPhases(context.Background(), tc.phases); got == nil || got.Error() != err.Error() {
				t.Errorf("runPhases returned %v", got)
			}
		})
	}
}

// TestUndeclaredSignals: a signal that a phase does not declare fails the phase; it neither hangs nor panics.
func TestUndeclaredSignals(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, *progress) error{
		"gives":  func(_ context.Context, p *progress) error { p.signal("x"); return nil },
		"awaits": func(ctx context.Context, p *progress) error { return p.await(ctx, "x") },
	} {
		r, _ := newTestRun(t, &fakeProvider{})
		err := r.runPhases(context.Background(), []phase{{name: "a", look: r.always("a"), do: do}})
		if want := fmt.Sprintf(`a: phase "a" %s the undeclared signal "x"`, name); err == nil || err.Error() != want {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// TestAnyGraph draws graphs. Those that checkGraph accepts run to their end, each phase once and after all that it
// needs; the others run nothing. Acceptance is compared with a plain definition: phases can be put in an order.
func TestAnyGraph(t *testing.T) {
	t.Parallel()
	accepted := 0
	for seed := range uint64(300) {
		phases, valid := drawGraph(rand.New(rand.NewPCG(seed, 1)))
		r, _ := newTestRun(t, &fakeProvider{})
		var mu sync.Mutex
		given := map[string]bool{}
		ran := map[string]int{}
		for i := range phases {
			p := phases[i]
			phases[i].look = r.always(p.name)
			phases[i].do = func(ctx context.Context, pr *progress) error {
				for _, s := range p.awaits {
					if err := pr.await(ctx, s); err != nil {
						return err
					}
				}
				mu.Lock()
				defer mu.Unlock()
				ran[p.name]++
				for _, need := range p.needs {
					if !given[need] {
						t.Errorf("seed %d: %s ran before %s", seed, p.name, need)
					}
				}
				for _, s := range slices.Concat(p.emits, []string{p.name}) {
					given[s] = true
				}
				return nil
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := r.runPhases(ctx, phases)
		cancel()
		if (err == nil) != valid {
			t.Fatalf("seed %d: valid %v, but runPhases returned %v", seed, valid, err)
		}
		for _, p := range phases {
			if want := map[bool]int{true: 1}[valid]; ran[p.name] != want {
				t.Errorf("seed %d: phase %s ran %d times, want %d", seed, p.name, ran[p.name], want)
			}
		}
		if valid {
			accepted++
		}
	}
	if accepted < 30 || accepted > 270 {
		t.Errorf("%d of 300 graphs were valid: the test draws too few of one kind", accepted)
	}
}

// drawGraph draws a few phases that mostly need earlier ones, and says whether they can be put in an order.
func drawGraph(rng *rand.Rand) (phases []phase, valid bool) {
	n := 1 + rng.IntN(6)
	for i := range n {
		p := phase{name: fmt.Sprint("p", i)}
		if rng.IntN(2) == 0 {
			p.emits = []string{fmt.Sprint("s", i)}
		}
		for range rng.IntN(3) {
			need := fmt.Sprint([]string{"p", "s"}[rng.IntN(2)], rng.IntN(max(i, 1)))
			if rng.IntN(12) == 0 {
				need = fmt.Sprint("p", rng.IntN(n+1)) // may be later, itself, or nobody's
			}
			if rng.IntN(4) == 0 {
				p.awaits = append(p.awaits, need)
			} else {
				p.needs = append(p.needs, need)
			}
		}
		phases = append(phases, p)
	}
	given := map[string]bool{}
	for ordered := 0; ordered < n; {
		before := ordered
		for _, p := range phases {
			if given[p.name] {
				continue
			}
			if !slices.ContainsFunc(slices.Concat(p.needs, p.awaits), func(s string) bool { return !given[s] }) {
				ordered++
				for _, s := range slices.Concat(p.emits, []string{p.name}) {
					given[s] = true
				}
			}
		}
		if ordered == before {
			return phases, false
		}
	}
	return phases, true
}

// TestValuesBesideFind: whether Cilium is up to date does not depend on which phase looks first. A provider whose
// values come from the cluster gives the same before and after Find.
func TestValuesBesideFind(t *testing.T) {
	t.Parallel()
	p := &fakeProvider{values: func(found Found) map[string]any {
		if found.State != Running {
			return nil
		}
		return map[string]any{"ipv4NativeRoutingCIDR": "10.0.0.0/8"}
	}}
	r, _ := newTestRun(t, p)
	p.found.State = Running
	act, err := r.lookCilium(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.inst.State.Phases[phaseCilium] = PhaseState{Status: PhaseDone, Inputs: act.inputs}
	if act, err := r.lookChart(t.Context()); err != nil || act.Kind != Keep {
		t.Errorf("the chart of an installed Cilium: %+v, %v", act, err)
	}
	p.found.State = Absent
	if act, err := r.lookChart(t.Context()); err != nil || act.Kind != Create {
		t.Errorf("with other values: %+v, %v", act, err)
	}
}

// TestForInstance: a manager serves several instances, each with the image that it was created with.
func TestForInstance(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t, &fakeProvider{})
	m.Settings.AppImage = "site"
	if got := m.ForInstance(&State{AppImage: "old"}).Settings.AppImage; got != "old" {
		t.Errorf("the instance's image is %q", got)
	}
	if got := m.ForInstance(&State{}).Settings.AppImage; got != "site" {
		t.Errorf("an instance without one has %q", got)
	}
	if m.Settings.AppImage != "site" {
		t.Errorf("the site's setting has become %q", m.Settings.AppImage)
	}
}
