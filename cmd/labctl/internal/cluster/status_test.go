package cluster

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/provision"
)

// TestWaitIsOver: --wait waits until nothing is missing and nothing warns, and --ignore-warnings for the former only.
func TestWaitIsOver(t *testing.T) {
	t.Parallel()
	ready, missing := provision.Status{Ready: true}, provision.Status{NotReady: []string{"x"}}
	warns := provision.Status{Ready: true, Warnings: []string{"x"}}
	for _, tc := range []struct {
		name string
		wait waitFlags
		st   provision.Status
		want bool
	}{
		{"no wait", waitFlags{}, missing, true},
		{"ready", waitFlags{wait: true}, ready, true},
		{"missing", waitFlags{wait: true}, missing, false},
		{"a warning", waitFlags{wait: true}, warns, false},
		{"a warning that is ignored", waitFlags{wait: true, ignoreWarnings: true}, warns, true},
		{"missing, warnings are ignored", waitFlags{wait: true, ignoreWarnings: true}, missing, false},
	} {
		if got := tc.wait.over(&tc.st); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestSummary: the summary has what the lab runs on, with what is wrong, and nothing of the lab's own.
func TestSummary(t *testing.T) {
	t.Parallel()
	st := &provision.Status{
		NotReady: []string{"node n1 is not ready"}, Warnings: []string{"1 pod is not managed"},
		Nodes: []provision.NodeStatus{{Name: "n1", Version: "v1.37.2"}},
		Apps:  []provision.AppStatus{{Name: "web", Namespace: "default", Desired: 1}},
		Cilium: &cilium.Status{
			Agents: cilium.Component{Name: "cilium", Desired: 1, Ready: 1, Updated: 1, Version: "v1.20.2"}, Operator: cilium.Component{Name: "cilium-operator"},
			Envoy: cilium.Component{Name: "cilium-envoy", Desired: 1}, Pods: &cilium.Pods{All: 3, Managed: 2},
		},
	}
	var b strings.Builder
	if err := writeSummary(&b, st); err != nil {
		t.Fatal(err)
	}
	const want = `✗ node             n1            Kubernetes v1.37.2
✓ cilium agents    1 of 1 ready  v1.20.2
✗ cilium operator  0 of 0 ready  
✗ cilium envoy     0 of 1 ready  
! pods             2 of 3 managed by Cilium
! 1 pod is not managed

Not ready:
  node n1 is not ready
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}
