//go:build e2e

package e2e

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/provision"
)

// pause stops the lab and starts it again; a policy that was in force before is in force afterwards.
func (s *suite) pause(t *testing.T) {
	s.lab(t)
	s.kubectl(t, "apply", "-f", s.solution("02-backend-ingress-deny"))
	s.run(t, 0, "pause", s.name).has(t, `is paused`)
	if running := command(t, "docker", "ps", "--filter", "name=^labctl-"+s.name+"-", "--format", "{{.Names}}"); running != "" {
		t.Errorf("still running: %s", running)
	}
	s.run(t, 0, "list").has(t, s.name+` .*stopped`)
	st := s.status(t, 3)
	if st.Cluster.State != provision.Stopped || !strings.Contains(strings.Join(st.NotReady, "\n"), "labctl resume "+s.name) {
		t.Errorf("status of a paused lab: %+v", st)
	}
	r := s.run(t, 0, "resume", s.name)
	t.Logf("resume took %.1f s", r.took.Seconds())
	st = s.status(t, 0)
	if len(st.Policies) != 1 {
		t.Errorf("policies after resume: %v", st.Policies)
	}
	s.tryAll(t, map[connection]string{
		{"default/frontend", "http://backend"}:       timesOut,
		{"default/backend", "http://frontend"}:       works,
		{"batch/agent", "http://frontend.default"}:   works,
		{"default/backend", "https://kubernetes.io"}: works,
		{"default/worker", "https://kubernetes.io"}:  works,
	})
	s.run(t, 0, "reset", s.name)
	s.try(t, "default/frontend", "http://backend", works)
}

// merge adds the lab to a kubeconfig that has another cluster. down, at the end, takes it out again.
func (s *suite) merge(t *testing.T) {
	s.lab(t)
	s.merged = filepath.Join(s.dir, "merged")
	command(t, "kubectl", "--kubeconfig", s.merged, "config", "set-cluster", "mine", "--server=https://mine.invalid")
	command(t, "kubectl", "--kubeconfig", s.merged, "config", "set-credentials", "mine", "--token=t")
	command(t, "kubectl", "--kubeconfig", s.merged, "config", "set-context", "mine", "--cluster=mine", "--user=mine")
	s.run(t, 0, "up", "networkpolicy", "--name", s.name, "--merge-kubeconfig", s.merged)
	if nodes := command(t, "kubectl", "--kubeconfig", s.merged, "get", "nodes", "-o", "name"); strings.Count(nodes, "node/") != 2 {
		t.Errorf("nodes by the merged kubeconfig: %s", nodes)
	}
	if contexts := s.contexts(t); contexts != "labctl-"+s.name+" mine" {
		t.Errorf("contexts: %s", contexts)
	}
}

// contexts lists the contexts of the merged kubeconfig.
func (s *suite) contexts(t *testing.T) string {
	t.Helper()
	return strings.Join(strings.Fields(command(t, "kubectl", "--kubeconfig", s.merged, "config", "get-contexts", "-o", "name")), " ")
}

// down removes what is left of the lab, one node having been taken away by hand.
func (s *suite) down(t *testing.T) {
	if _, err := s.state(s.name); err != nil {
		s.lab(t)
	}
	r := s.run(t, 0, "down", s.name)
	r.has(t, `labctl-`+s.name+` is gone`)
	t.Logf("down took %.1f s", r.took.Seconds())
	s.gone(t, s.name)
	s.complete = false
	s.run(t, 0, "list").has(t, `There is no lab instance`)
	s.run(t, 2, "down", s.name).has(t, `no such lab instance`)
	if s.merged != "" {
		if contexts := s.contexts(t); contexts != "mine" {
			t.Errorf("contexts after down: %s", contexts)
		}
		if view := command(t, "kubectl", "--kubeconfig", s.merged, "config", "view"); strings.Contains(view, "labctl") || !strings.Contains(view, "mine.invalid") {
			t.Errorf("the kubeconfig after down:\n%s", view)
		}
	}
}

// reboot restarts the nodes as a reboot of the machine does, and they come back with each other's addresses: a grading
// works at once, the student's policy is in force, and up has nothing to mend.
func (s *suite) reboot(t *testing.T) {
	s.lab(t)
	s.kubectl(t, "apply", "-f", s.solution("02-backend-ingress-deny"))
	// The engine assigns the lowest free address: the node that had the higher one is started first.
	nodes := []string{s.node("worker"), s.node("control-plane")}
	if s.address(t, nodes[0]).Less(s.address(t, nodes[1])) {
		slices.Reverse(nodes)
	}
	first := s.address(t, nodes[0])
	command(t, "docker", append([]string{"stop"}, nodes...)...)
	for _, node := range nodes {
		command(t, "docker", "start", node)
	}
	if after := s.address(t, nodes[0]); after == first {
		t.Errorf("%s has the address that it had: %s", nodes[0], after)
	}
	r := s.run(t, 0, "grade", s.name, "--task", "backend-ingress-deny")
	r.has(t, `100%`)
	t.Logf("%s took %.1f s", r.line, r.took.Seconds())
	if st := s.status(t, 0); len(st.Policies) != 1 {
		t.Errorf("policies after the restart: %v", st.Policies)
	}
	s.tryAll(t, map[connection]string{
		{"default/frontend", "http://backend"}:       timesOut,
		{"default/backend", "http://frontend"}:       works,
		{"default/backend", "https://kubernetes.io"}: works,
	})
	s.run(t, 0, "up", "networkpolicy", "--name", s.name)
	if st := s.status(t, 0); len(st.Policies) != 1 {
		t.Errorf("policies after up: %v", st.Policies)
	}
	s.run(t, 0, "reset", s.name)
}

// address is that of a running node's container.
func (s *suite) address(t *testing.T, node string) netip.Addr {
	t.Helper()
	format := "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
	addr, err := netip.ParseAddr(command(t, "docker", "inspect", "-f", format, node))
	if err != nil {
		t.Fatalf("the address of %s: %v", node, err)
	}
	return addr
}
