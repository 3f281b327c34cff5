//go:build e2e

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/provision"
)

// again runs up on a lab that is complete: it must find nothing to do, soon, and change nothing.
func (s *suite) again(t *testing.T) {
	s.lab(t)
	// The generation of an object counts changes of what is asked of it.
	generations := func() string {
		return s.kubectl(t, "get", "deployments,daemonsets", "-A",
			"-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.generation}{"\n"}{end}`)
	}
	before, objects := s.phases(t), generations()
	r := s.run(t, 0, "up", "networkpolicy", "--name", s.name)
	t.Logf("up with nothing to do took %.1f s", r.took.Seconds())
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "= ") && !strings.Contains(line, "preflight") {
			t.Errorf("up with nothing to do says: %s", line)
		}
	}
	if after := s.phases(t); !slices.Equal(before, after) {
		t.Errorf("phases were done again:\n%v\n%v", before, after)
	}
	if after := generations(); objects != after {
		t.Errorf("objects were changed:\n%s\n%s", objects, after)
	}

	s.run(t, 0, "plan", "networkpolicy", "--name", s.name).has(t, `(?m)^Nothing to do\.$`)
	var plan provision.Plan
	s.run(t, 0, "plan", "networkpolicy", "--name", s.name, "-o", "json").json(t, &plan)
	if len(plan.Actions) < 6 || plan.Changes() {
		t.Errorf("plan: %+v", plan.Actions)
	}
}

// phases lists when each phase of the shared lab was done; preflight is done every time.
func (s *suite) phases(t *testing.T) []string {
	t.Helper()
	st, err := s.state(s.name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(st.Phases)) {
		if name != "preflight" {
			out = append(out, name+" "+st.Phases[name].Finished.String())
		}
	}
	return out
}
