package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// studentsPolicies are what a student has in force in the shared lab.
const studentsPolicies = `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: team, labels: {of: mine}, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}, spec: {podSelector: {}, policyTypes: [Ingress]}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: open, namespace: default}, spec: {endpointSelector: {matchLabels: {app: client}}, egress: [{toEntities: [world]}]}}
`

// content is what objects say, without what the server adds to one that is created again.
func content(t *testing.T, objs map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, text := range objs {
		var obj unstructured.Unstructured
		if err := obj.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		manager, apply := managerOf(&obj)
		for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
			unstructured.RemoveNestedField(obj.Object, "metadata", field)
		}
		data, err := obj.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = fmt.Sprintf("%s by %s, %v", data, manager, apply)
	}
	return out
}

// TestWithoutPolicies: while the baseline is measured, no policy of the student's is in force; afterwards all are, as
// they were, also if the measurement fails, is interrupted, or is killed.
func TestWithoutPolicies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(cancel context.CancelFunc) error
		kill bool // between deleting and restoring
	}{
		{"measured", func(context.CancelFunc) error { return nil }, false},
		{"fails", func(context.CancelFunc) error { return errors.New("no route") }, false},
		{"Ctrl-C", func(cancel context.CancelFunc) error { cancel(); return context.Canceled }, false},
		{"kill -9, and up again", func(context.CancelFunc) error { return nil }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := upShared(t, true)
			s.Add(studentsPolicies)
			was := content(t, s.Objects())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := s.m.reopen(ctx, s.lab, "shop", "test")
			if err != nil {
				t.Fatal(err)
			}
			if tc.kill {
				policies, err := r.policiesInForce(ctx, s.Client)
				if err != nil || len(policies) != 2 {
					t.Fatal(policies, err)
				}
				if err := r.suspend(policies); err != nil {
					t.Fatal(err)
				}
				if err := s.Client.Delete(ctx, policies[0]); err != nil { // and not the other
					t.Fatal(err)
				}
				r.inst.Close()
				if r, err = s.m.reopen(ctx, s.lab, "shop", "test"); err != nil {
					t.Fatal(err)
				}
			}
			defer r.inst.Close()
			var during map[string]string
			want := tc.do(func() {})
			err = r.withoutPolicies(ctx, s.Client, r.standalone("test"), func() error {
				during = s.Objects()
				return tc.do(cancel)
			})
			if !errors.Is(err, want) && (want == nil || err == nil || !strings.Contains(err.Error(), want.Error())) {
				t.Errorf("the error is %v, want %v", err, want)
			}
			for _, name := range []string{"NetworkPolicy team/deny", "CiliumNetworkPolicy default/open"} {
				if _, there := during[name]; there {
					t.Errorf("%s was in force meanwhile", name)
				}
			}
			if now := content(t, s.Objects()); !maps.Equal(now, was) {
				t.Errorf("not as it was: %v", differ(was, now))
			}
			if left := r.saved(t).Suspended; len(left) > 0 {
				t.Errorf("%d policies are still noted as suspended", len(left))
			}
		})
	}
}

// TestResetForgetsSuspended: what a reset deletes, no later up brings back.
func TestResetForgetsSuspended(t *testing.T) {
	t.Parallel()
	s := upShared(t, true)
	s.Add(studentsPolicies)
	r, err := s.m.reopen(t.Context(), s.lab, "shop", "test")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := r.policiesInForce(t.Context(), s.Client)
	if err == nil {
		err = r.suspend(policies)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.inst.Close()
	if _, err := s.m.Reset(t.Context(), s.lab, "shop", false); err != nil {
		t.Fatal(err)
	}
	if left := r.saved(t).Suspended; len(left) > 0 {
		t.Errorf("%d policies would come back", len(left))
	}
}

// TestDigestsKnowNoPlaces: where something is written in a lab, and comments, are no reason to do a phase again; nor is
// that Cilium was restarted.
func TestDigestsKnowNoPlaces(t *testing.T) {
	t.Parallel()
	parts := []string{`app "web" {
  labels = { app = "web" }
  port "http" {
    port = 8080
  }
}
`, `app "client" {
  labels = { app = "client" }
}
`, `external "internet" {
  host = "kubernetes.io"
  port = 443
}
`, `external "other" {
  host = "example.org"
  port = 443
}
`, `task "close" {
  title        = "Close"
  instructions = "Close it."
  objective "closed" {
    points = 1
    expect "denied" {
      from = app.client
      to   = app.web.port.http
    }
    expect "allowed" {
      from = app.client
      to   = external.internet
    }
  }
}
`}
	head := "lab \"shop\" {\n  title = \"Shop\"\n}\n"
	inputs := func(source string) map[string]string {
		m, _ := newManager(t, &fakeProvider{})
		r, err := m.newRun(UpOptions{Lab: loadLab(t, source), On: "fake"})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, p := range r.phases(new(results)) {
			if p.name == phasePreflight {
				continue
			}
			act, err := p.look(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			all[p.name] = act.inputs
		}
		return all
	}
	was := inputs(head + strings.Join(parts, ""))
	moved := head + "# a comment\n\n" + parts[4] + parts[1] + "# another\n" + parts[2] + parts[3] + parts[0]
	if now := inputs(moved); !maps.Equal(was, now) {
		t.Errorf("the inputs of phases differ:\n%v\n%v", was, now)
	}
	other := strings.Replace(head+strings.Join(parts, ""), "8080", "8081", 1)
	if now := inputs(other); now[phaseApps] == was[phaseApps] || now[phaseBaseline] == was[phaseBaseline] {
		t.Error("another port changes nothing")
	}
}

// TestBaselineOutlivesCilium: that Cilium was installed again from the same chart, with the same values, does not
// affect what was measured.
func TestBaselineOutlivesCilium(t *testing.T) {
	t.Parallel()
	r, _ := newTestRun(t, &fakeProvider{})
	done := func(inputs string) PhaseState {
		return PhaseState{Status: PhaseDone, Inputs: inputs, Started: r.m.Now()}
	}
	for name, look := range map[string]func(context.Context) (Action, error){
		phaseCanary: r.lookCanary, phaseBaseline: r.lookBaseline,
	} {
		r.inst.State.Phases[phaseCilium] = done("same")
		act, err := look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.inst.State.Phases[name] = done(act.inputs)
		r.inst.State.Phases[phaseCilium] = done("same")
		if act, err := look(t.Context()); err != nil || act.Kind != Keep {
			t.Errorf("%s after Cilium was started again: %s, %v", name, act.Kind, err)
		}
		r.inst.State.Phases[phaseCilium] = done("other values")
		if act, err := look(t.Context()); err != nil || act.Kind != Change {
			t.Errorf("%s after Cilium's values changed: %s, %v", name, act.Kind, err)
		}
	}
}

// TestRestoreKeepsNewer: a policy that the student has created again meanwhile is the newer one.
func TestRestoreKeepsNewer(t *testing.T) {
	t.Parallel()
	s := upShared(t, true)
	s.Add(studentsPolicies)
	r, err := s.m.reopen(t.Context(), s.lab, "shop", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.inst.Close()
	var newer map[string]string
	err = r.withoutPolicies(t.Context(), s.Client, r.standalone("test"), func() error {
		s.Add(strings.ReplaceAll(studentsPolicies, "mine", "newer"))
		newer = s.Objects()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := s.Objects(); !maps.Equal(now, newer) {
		t.Errorf("the newer ones were changed: %v", differ(newer, now))
	}
}
