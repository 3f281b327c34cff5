//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
)

// gradeFaults breaks something under a grading: it ends with the right verdicts, or with exit code 3 and the
// reason, and never passes what it has not seen.
func (s *suite) gradeFaults(t *testing.T) {
	s.lab(t)
	for _, fault := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"agent-restarted", s.gradeWhileAgentRestarts},
		{"dns-down", s.gradeWithoutDNS},
		{"server-hangs", s.gradeHangingServer},
		{"exec-denied", s.gradeWithoutExec},
		{"pods-deleted", s.gradeWhilePodsGo},
		{"node-paused", s.gradeWithPausedNode},
		{"node-hangs", s.gradeOnHangingNode},
		{"api-server-restarted", s.gradeWhileAPIServerRestarts},
		{"interrupted", s.gradeInterrupted},
	} {
		if !t.Run(fault.name, fault.run) {
			s.complete = false
		}
	}
}

// shippedSolution is the folder of the lab's reference solution.
func (s *suite) shippedSolution() string {
	return filepath.Join("..", "..", "..", "labs", "networkpolicy", "samples", "solution")
}

// firstTasks are enough for a fault to come in the middle of them.
var firstTasks = []string{
	"--task", "baseline", "--task", "backend-ingress-deny", "--task", "allow-frontend", "--task", "allow-namespace", "--task", "allow-monitoring-namespace",
}

// gradeSolution starts to grade the reference solution live.
func (s *suite) gradeSolution(t *testing.T, args ...string) *process {
	t.Helper()
	return s.start(t, append([]string{"grade", "networkpolicy", "--name", s.name, "--submission", s.shippedSolution(), "--engine", "live", "-o", "json"}, args...)...)
}

// honest checks what a grading under a fault came to. The solution deserves all points: fewer without an error
// would be wrong verdicts.
func honest(t *testing.T, r *result) {
	t.Helper()
	rep := new(grade.Report)
	if err := json.Unmarshal([]byte(r.stdout), rep); err != nil {
		t.Fatalf("%s: %v\n%s", r.line, err, r.output())
	}
	t.Logf("%.1f s, exit code %d, %s, %v of %v points: %.300s", r.took.Seconds(), r.code, rep.Status, rep.Score.Points, rep.Score.Max, lastLine(r.stderr))
	switch {
	case r.code == 0 && rep.Score.Points == rep.Score.Max:
	case r.code == 3 && (rep.Tasks == nil || rep.Status == grade.Errored):
		if !strings.Contains(r.output(), "error") {
			t.Errorf("no reason is given:\n%s", r.output())
		}
	default:
		t.Errorf("exit code %d with %v of %v points:\n%s", r.code, rep.Score.Points, rep.Score.Max, r.output())
	}
	for i := range rep.Tasks {
		for _, o := range rep.Tasks[i].Objectives {
			for _, c := range o.Checks {
				if c.Error == "" && !c.Passed {
					t.Errorf("%s/%s: %s → %s is %s, which is wrong", rep.Tasks[i].Name, o.Name, c.From, c.To, c.Verdict)
				}
			}
		}
	}
}

// gradeWhileAgentRestarts ends the agent of the lab's node while drops are expected: the grade is the right one.
func (s *suite) gradeWhileAgentRestarts(t *testing.T) {
	p := s.gradeSolution(t, firstTasks...)
	s.underway(t, p)
	s.kubectl(t, "delete", "pods", "-n", "kube-system", "-l", "k8s-app=cilium", "--field-selector",
		"spec.nodeName="+s.node("worker"), "--now", "--wait=false")
	r := p.wait(t, 4*time.Minute)
	if honest(t, r); r.code != 0 {
		t.Errorf("exit code %d although the agent was started again, want 0", r.code)
	}
	s.gradable(t)
}

// gradeWithoutDNS has names that do not resolve, though no policy is to blame.
func (s *suite) gradeWithoutDNS(t *testing.T) {
	replicas := s.kubectl(t, "get", "-n", "kube-system", "deployment", "coredns", "-o", "jsonpath={.spec.replicas}")
	s.kubectl(t, "scale", "-n", "kube-system", "deployment", "coredns", "--replicas=0")
	s.kubectl(t, "wait", "-n", "kube-system", "pods", "-l", "k8s-app=kube-dns", "--for=delete", "--timeout=60s")
	defer func() {
		s.kubectl(t, "scale", "-n", "kube-system", "deployment", "coredns", "--replicas="+replicas)
		s.kubectl(t, "rollout", "status", "-n", "kube-system", "deployment", "coredns", "--timeout=60s")
	}()
	r := s.gradeSolution(t, "--task", "baseline", "--task", "frontend-egress-deny").wait(t, 3*time.Minute)
	honest(t, r)
	if r.code != 3 {
		t.Errorf("exit code %d without DNS, want 3", r.code)
	}
	r.has(t, `no answer from the name server|no servers could be reached|connection refused`)
}

// gradeHangingServer has a backend that accepts connections and says nothing.
func (s *suite) gradeHangingServer(t *testing.T) {
	node := s.node("worker")
	id := strings.TrimPrefix(s.kubectl(t, "get", "pods", "-l", "app=backend", "-o", "jsonpath={.items[0].status.containerStatuses[0].containerID}"), "containerd://")
	pid := command(t, "docker", "exec", node, "crictl", "inspect", "--output", "go-template", "--template", "{{.info.pid}}", id)
	command(t, "docker", "exec", node, "kill", "-STOP", pid)
	defer command(t, "docker", "exec", node, "kill", "-CONT", pid)
	r := s.start(t, "grade", s.name, "--task", "baseline", "-o", "json").wait(t, time.Minute)
	t.Logf("%.1f s, exit code %d", r.took.Seconds(), r.code)
	if r.code == 0 {
		t.Errorf("it passes:\n%s", r.stdout)
	}
	r.has(t, `"verdict": "app_error"`)
}

// gradeWithoutExec may do everything but run commands in pods.
func (s *suite) gradeWithoutExec(t *testing.T) {
	s.apply(t, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: no-exec, namespace: kube-public}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: no-exec}
rules:
- {apiGroups: ["", "apps", "networking.k8s.io", "cilium.io", "policy.networking.k8s.io", "discovery.k8s.io", "admissionregistration.k8s.io"], resources: ["*"], verbs: [get, list, watch, patch, update, delete]}
- {apiGroups: ["", "networking.k8s.io", "cilium.io"], resources: [pods, namespaces, networkpolicies, ciliumnetworkpolicies], verbs: [create]}
- {nonResourceURLs: ["*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: no-exec}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: no-exec}
subjects: [{kind: ServiceAccount, name: no-exec, namespace: kube-public}]
`)
	defer s.kubectl(t, "delete", "-n", "kube-public", "serviceaccount/no-exec", "clusterrole/no-exec", "clusterrolebinding/no-exec")
	config, err := os.ReadFile(s.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	token := s.kubectl(t, "create", "token", "no-exec", "-n", "kube-public")
	defer func() {
		if err := os.WriteFile(s.kubeconfig(), config, 0o600); err != nil {
			t.Error(err)
		}
		s.complete = s.complete && !t.Failed()
	}()
	user := s.kubectl(t, "config", "view", "-o", "jsonpath={.users[0].name}")
	s.kubectl(t, "config", "delete-user", user)
	s.kubectl(t, "config", "set-credentials", user, "--token="+token)
	r := s.start(t, "grade", s.name, "--task", "baseline").wait(t, time.Minute)
	t.Logf("%.1f s: %s", r.took.Seconds(), lastLine(r.stderr))
	if r.code != 3 {
		t.Errorf("exit code %d, want 3\n%s", r.code, r.output())
	}
	r.has(t, `forbidden|not allowed|cannot create resource`, `exec`)
}

// gradeWhilePodsGo deletes the pods that probe and those that answer, again and again.
func (s *suite) gradeWhilePodsGo(t *testing.T) {
	p := s.gradeSolution(t)
	deleted := 0
	for ; p.running() && deleted < 6; deleted++ {
		s.kubectl(t, "delete", "pods", "-l", []string{"app=frontend", "app=backend"}[deleted%2], "--now", "--wait=false")
		select {
		case <-p.ended:
		case <-time.After(3 * time.Second):
		}
	}
	r := p.wait(t, 4*time.Minute)
	t.Logf("pods were deleted %d times", deleted)
	honest(t, r)
	s.run(t, 0, "reset", s.name)
	s.gradable(t)
}

// gradeWithPausedNode has a node that does not answer while its pods are probed from.
func (s *suite) gradeWithPausedNode(t *testing.T) {
	p := s.gradeSolution(t, firstTasks...)
	s.underway(t, p)
	command(t, "docker", "pause", s.node("worker"))
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
	}
	command(t, "docker", "unpause", s.node("worker"))
	honest(t, p.wait(t, 4*time.Minute))
	s.run(t, 0, "reset", s.name)
	s.gradable(t)
}

// gradeOnHangingNode has a node that stops to answer and does not come back: what was not seen cannot be told.
func (s *suite) gradeOnHangingNode(t *testing.T) {
	command(t, "docker", "pause", s.node("worker"))
	defer func() {
		command(t, "docker", "unpause", s.node("worker"))
		s.gradable(t)
		s.run(t, 0, "reset", s.name)
	}()
	r := s.start(t, "grade", s.name, "--task", "baseline", "-o", "json").wait(t, 4*time.Minute)
	honest(t, r)
	if r.code != 3 {
		t.Errorf("exit code %d without the node of the lab's pods, want 3", r.code)
	}
}

// gradeWhileAPIServerRestarts ends the API server, which the kubelet starts anew.
func (s *suite) gradeWhileAPIServerRestarts(t *testing.T) {
	p := s.gradeSolution(t, firstTasks...)
	s.underway(t, p)
	command(t, "docker", "exec", s.node("control-plane"), "pkill", "-x", "kube-apiserver")
	r := p.wait(t, 4*time.Minute)
	honest(t, r)
	s.gradable(t)
	s.run(t, 0, "reset", s.name)
}

// gradeInterrupted ends a grading with Ctrl-C: the lab is as it was before.
func (s *suite) gradeInterrupted(t *testing.T) {
	p := s.gradeSolution(t, firstTasks...)
	s.underway(t, p)
	p.interrupt(t)
	r := p.wait(t, time.Minute)
	if r.code != 130 {
		t.Errorf("exit code %d, want 130\n%s", r.code, r.output())
	}
	if left := s.kubectl(t, "get", "networkpolicies", "-A", "-o", "name"); left != "" {
		t.Errorf("these policies are left: %s", left)
	}
	if st := s.status(t, 0); len(st.Policies) > 0 || len(st.Labels) > 0 {
		t.Errorf("after Ctrl-C: policies %v, labels %v", st.Policies, st.Labels)
	}
}

// gradable waits until the lab can be graded again. Right after a node or the API server restarts, what the API
// server says of its pods may be from before: only packets tell.
func (s *suite) gradable(t *testing.T) {
	t.Helper()
	eventually(t, 4*time.Minute, time.Second, func() error {
		for _, args := range [][]string{
			{"status", s.name, "--wait", "--wait-duration", "90s"},
			{"grade", s.name, "--task", "baseline"},
		} {
			if r := s.start(t, args...).wait(t, 2*time.Minute); r.code != 0 {
				t.Logf("%s: exit code %d: %.300s", r.line, r.code, lastLine(r.stderr))
				return fmt.Errorf("%s", r.output())
			}
		}
		return nil
	})
}

// underway waits until a grading has put a policy in force.
func (s *suite) underway(t *testing.T, p *process) {
	t.Helper()
	eventually(t, time.Minute, 100*time.Millisecond, func() error {
		if !p.running() {
			t.Fatalf("%s ended too early:\n%s%s", p.line, p.stdout.String(), p.stderr.String())
		}
		if s.kubectl(t, "get", "networkpolicies", "-n", "default", "-o", "name") == "" {
			return fmt.Errorf("no policy is in force yet")
		}
		return nil
	})
}
