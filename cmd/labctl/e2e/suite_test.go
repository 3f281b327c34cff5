//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/provision"
)

// suite is what the tests share: one lab, which takes a minute to make.
type suite struct {
	labctl
	dir      string
	name     string // of the shared instance; others are named name-…
	networks []string
	merged   string // a kubeconfig that the shared lab was added to; empty: none
	complete bool   // the shared instance is up, and nothing was broken on purpose or by a failed test
}

// TestLab follows one lab from its first up to its down. Each step leaves the lab as it found it; the last ones
// take it apart. A step that runs alone (-run TestLab/walk) makes the lab first.
func TestLab(t *testing.T) {
	s := &suite{
		labctl: newLabctl(os.Getenv(envBinary), os.Getenv(envDir)),
		dir:    os.Getenv(envDir), name: os.Getenv(envInstance),
	}
	s.networks = s.dockerNetworks(t)
	var took []stepTime
	defer func() { fmt.Print(table(took)) }()
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"refused", s.refused},
		{"vanished", s.vanished},
		{"killed", s.killed},
		{"again", s.again},
		{"foreign", s.foreign},
		{"existing", s.existing},
		{"kinds", s.kinds},
		{"bare", s.bare},
		{"look", s.look},
		{"hubble", s.hubble},
		{"walk", s.walk},
		{"reset", s.reset},
		{"samples", s.samples},
		{"engines", s.engines},
		{"class-live", s.classLive},
		{"class-jobs", s.classJobs},
		{"cheats", s.cheats},
		{"grade-faults", s.gradeFaults},
		{"providers", s.providers},
		{"gke", s.gke},
		{"merge", s.merge},
		{"pause", s.pause},
		{"reboot", s.reboot},
		{"kubeconfig-lost", s.kubeconfigLost},
		{"disk-full", s.diskFull},
		{"relay-down", s.relayDown},
		{"agents-crash", s.agentsCrash},
		{"node-lost", s.nodeLost}, // and with it the lab: only down can follow
		{"down", s.down},
	} {
		start := time.Now()
		if !t.Run(step.name, step.run) {
			s.complete = false
		}
		took = append(took, stepTime{step.name, time.Since(start)})
	}
}

// stepTime is how long a step of TestLab took.
type stepTime struct {
	name string
	took time.Duration
}

// table lists what the steps cost, the dearest first. Those that -run leaves out took no time.
func table(steps []stepTime) string {
	var total time.Duration
	for _, s := range steps {
		total += s.took
	}
	slices.SortStableFunc(steps, func(a, b stepTime) int { return cmp.Compare(b.took, a.took) })
	var b strings.Builder
	fmt.Fprintf(&b, "\n%7s  %5s  step\n", "seconds", "share")
	for _, s := range steps {
		if s.took >= time.Millisecond {
			fmt.Fprintf(&b, "%7.1f  %4.0f%%  %s\n", s.took.Seconds(), 100*s.took.Seconds()/total.Seconds(), s.name)
		}
	}
	fmt.Fprintf(&b, "%7.1f         all\n\n", total.Seconds())
	return b.String()
}

// lab makes sure that the shared lab is there.
func (s *suite) lab(t *testing.T) {
	t.Helper()
	if !s.complete {
		s.run(t, 0, "up", "networkpolicy", "--name", s.name)
		s.complete = true
	}
}

// state reads what labctl has noted of an instance.
func (s *suite) state(instance string) (*provision.State, error) {
	data, err := os.ReadFile(filepath.Join(s.instanceDir(instance), "state.json"))
	if err != nil {
		return nil, err
	}
	st := new(provision.State)
	return st, json.Unmarshal(data, st)
}

func (s *suite) instanceDir(instance string) string {
	return filepath.Join(s.dir, "state", "labctl", "instances", instance)
}

func (s *suite) kubeconfig() string { return filepath.Join(s.instanceDir(s.name), "kubeconfig") }

// status is the JSON of labctl status, which must end with the exit code.
func (s *suite) status(t *testing.T, code int) *provision.Status {
	t.Helper()
	st := new(provision.Status)
	s.run(t, code, "status", s.name, "-o", "json").json(t, st)
	return st
}

// kubectl runs kubectl on the shared lab; it must succeed.
func (s *suite) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, "kubectl", append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
}

// command runs a program that must succeed, and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := start(t, exec.Command(name, args...)).wait(t, 2*time.Minute)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s", r.line, r.code, r.output())
	}
	return strings.TrimSpace(r.stdout)
}

// node is the name of a node of the shared lab.
func (s *suite) node(role string) string { return "labctl-" + s.name + "-" + role }

// containers lists the containers of an instance's cluster and beside it.
func (s *suite) containers(t *testing.T, instance string) []string {
	t.Helper()
	left, err := ours(instance)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func (s *suite) dockerNetworks(t *testing.T) []string {
	t.Helper()
	return strings.Fields(command(t, "docker", "network", "ls", "--format", "{{.Name}}"))
}

// gone fails the test if anything of an instance is left.
func (s *suite) gone(t *testing.T, instance string) {
	t.Helper()
	if left := s.containers(t, instance); len(left) > 0 {
		t.Errorf("containers of %s are left: %s", instance, strings.Join(left, ", "))
	}
	if _, err := os.Stat(s.instanceDir(instance)); err == nil {
		t.Errorf("state of %s is left in %s", instance, s.instanceDir(instance))
	}
	for _, network := range s.dockerNetworks(t) {
		// The network kind is kind's own, shared by all clusters that were ever made with it.
		if network != "kind" && !slices.Contains(s.networks, network) {
			t.Errorf("the Docker network %s is left", network)
		}
	}
}

// phase says how far a phase of an instance is, if the process has begun it.
func (s *suite) phase(instance, name string, p *process) (provision.PhaseState, error) {
	st, err := s.state(instance)
	if err != nil {
		return provision.PhaseState{}, err
	}
	ph, ok := st.Phases[name]
	if !ok || ph.Started.Before(p.started) {
		return ph, fmt.Errorf("the phase %s has not begun", name)
	}
	return ph, nil
}
