//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/provision"
)

// Each of these breaks the shared lab: status must name what is broken, and up mend it, or say what to do.

// kubeconfigLost has garbage in the place of the instance's kubeconfig.
func (s *suite) kubeconfigLost(t *testing.T) {
	s.lab(t)
	if err := os.WriteFile(s.kubeconfig(), []byte("\x00not a kubeconfig"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, 3, "status", s.name).has(t, `kubeconfig`, `labctl up networkpolicy --instance `+s.name)
	s.run(t, 3, "reset", s.name).has(t, `kubeconfig`)
	s.mends(t, `change +cluster .*kubeconfig`)
	uid := s.kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
	if st, err := s.state(s.name); err != nil || st.Cluster.UID != uid {
		t.Errorf("the cluster is another one: %v", err)
	}
}

// relayDown has no Hubble relay. Grading needs none: the agents themselves tell what they drop.
func (s *suite) relayDown(t *testing.T) {
	s.lab(t)
	s.kubectl(t, "scale", "-n", "kube-system", "deployment", "hubble-relay", "--replicas=0")
	s.kubectl(t, "wait", "-n", "kube-system", "pods", "-l", "k8s-app=hubble-relay", "--for=delete", "--timeout=60s")
	s.run(t, 3, "status", s.name).has(t, `✗ hubble`, `the Hubble relay has no pod \(scaled to 0`)
	s.run(t, 3, "observe", "--instance", s.name).has(t, `the Hubble relay has no pod \(scaled to 0`)
	r := s.gradeSolution(t, "--task", "backend-ingress-deny").wait(t, 2*time.Minute)
	if honest(t, r); r.code != 0 {
		t.Errorf("grading without the relay: exit code %d", r.code)
	}
	s.mends(t, `redo +cilium .*hubble-relay`)
}

// agentsCrash has agents that end at once.
func (s *suite) agentsCrash(t *testing.T) {
	s.lab(t)
	s.kubectl(t, "patch", "-n", "kube-system", "daemonset", "cilium", "--patch",
		`{"spec": {"template": {"spec": {"containers": [{"name": "cilium-agent", "command": ["sh", "-c", "echo out of order >&2; exit 7"]}]}}}}`)
	eventually(t, time.Minute, time.Second, func() error {
		r := s.start(t, "status", s.name, "--wait", "--wait-duration", "1s").wait(t, time.Minute)
		if r.code == 3 && regexp.MustCompile(`pod cilium-\w+: container cilium-agent: CrashLoopBackOff`).MatchString(r.output()) {
			return nil
		}
		return fmt.Errorf("%s: exit code %d\n%s", r.line, r.code, r.output())
	})
	s.mends(t, `redo +cilium .*cilium-agent.*out of order`)
	s.try(t, "default/frontend", "http://backend", works)
}

// mends lets up heal the lab; the plan must match the patterns first.
func (s *suite) mends(t *testing.T, plan ...string) {
	t.Helper()
	eventually(t, time.Minute, 0, func() error { // a container that is just being started again has nothing to tell
		return s.run(t, 0, "plan", "networkpolicy", "--name", s.name).says(plan...)
	})
	r := s.run(t, 0, "up", "networkpolicy", "--name", s.name)
	t.Logf("mended in %.1f s", r.took.Seconds())
	s.status(t, 0)
	s.run(t, 0, "plan", "networkpolicy", "--name", s.name).has(t, `Nothing to do`)
}

// diskFull has a copy of the lab's state on a disk without room.
func (s *suite) diskFull(t *testing.T) {
	s.lab(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Fatalf("a small disk must be mounted, which takes root: %v: %s", err, out)
	}
	defer command(t, "umount", disk)
	command(t, "cp", "-a", filepath.Join(s.dir, "state", "labctl"), disk)
	ballast := filepath.Join(disk, "ballast")
	exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4096").Run() // ends when the disk is full
	state := filepath.Join(disk, "labctl", "instances", s.name, "state.json")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	files := func() string {
		entries, err := os.ReadDir(filepath.Dir(state))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries)
	}
	there := files()

	full := s.with("XDG_STATE_HOME=" + disk)
	full.run(t, 3, "up", "networkpolicy", "--name", s.name).has(t, `save the state of lab instance "`+s.name+`": .*no space left on device`)
	instance := s.name + "-full"
	full.run(t, 3, "up", "networkpolicy", "--name", instance).has(t, `no space left on device`)
	s.gone(t, instance)
	if after, err := os.ReadFile(state); err != nil || string(after) != string(before) {
		t.Errorf("the state was changed: %v\n%s", err, after)
	}
	if now := files(); now != there {
		t.Errorf("what could not be written was left behind: %s, before %s", now, there)
	}
	full.run(t, 0, "status", s.name).has(t, `Everything is ready`)
	full.run(t, 3, "doctor").has(t, `state directory .* has \d+ MiB left`, `free some space`)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	full.run(t, 0, "up", "networkpolicy", "--name", s.name)
}

// nodeLost has no worker any more.
func (s *suite) nodeLost(t *testing.T) {
	s.lab(t)
	command(t, "docker", "rm", "-f", "-v", s.node("worker"))
	started := time.Now()
	st := s.status(t, 3)
	t.Logf("status without the worker took %.1f s", time.Since(started).Seconds())
	if why := strings.Join(st.NotReady, "\n"); st.Cluster.State != provision.Broken || !strings.Contains(why, s.node("worker")) || !strings.Contains(why, "labctl up") {
		t.Errorf("status without the worker: %s: %s", st.Cluster.State, why)
	}
	s.run(t, 0, "list").has(t, s.name+` .*broken \(missing: `+s.node("worker")+`\)`)
	// up does not delete what is left of it, and what that would cost can be read.
	s.run(t, 3, "up", "networkpolicy", "--name", s.name).has(t, `missing: `+s.node("worker"), `recreating it deletes`, `--recreate`)
	s.run(t, 0, "plan", "networkpolicy", "--name", s.name, "--recreate").has(t, `redo +cluster .*recreated`, `create +cilium`, `create +apps`)
}
