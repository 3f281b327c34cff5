//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labctl/labctl/provision"
)

// connection is one that a student tries.
type connection struct{ from, url string }

// walk goes the student's way through the tutorial with kubectl and curl: after each task's policy every
// connection must behave as the task says.
func (s *suite) walk(t *testing.T) {
	s.lab(t)
	podAddress := "http://" + s.kubectl(t, "get", "pods", "-l", "app=backend", "-o", "jsonpath={.items[0].status.podIP}") + ":8080"
	var (
		frontend     = connection{"default/frontend", "http://backend"}
		byAddress    = connection{"default/frontend", podAddress}
		frontendOut  = connection{"default/frontend", "https://kubernetes.io"}
		worker       = connection{"default/worker", "http://backend"}
		workerFront  = connection{"default/worker", "http://frontend"}
		workerOut    = connection{"default/worker", "https://kubernetes.io"}
		backendFront = connection{"default/backend", "http://frontend"}
		backendOut   = connection{"default/backend", "https://kubernetes.io"}
		monitoring   = connection{"monitoring/monitoring", "http://backend.default"}
		monitorFront = connection{"monitoring/monitoring", "http://frontend.default"}
		logger       = connection{"monitoring/logger", "http://backend.default"}
		agent        = connection{"batch/agent", "http://backend.default"}
	)
	// What a task does not name stays as it was.
	state := map[connection]string{}
	for _, task := range []struct {
		folder  string // of the solution
		deletes string // a policy
		works   []connection
		timeout []connection
		name    []connection // the look-up times out
	}{
		{
			works: []connection{
				frontend, byAddress, frontendOut, worker, workerFront, workerOut, backendFront, backendOut, monitoring, monitorFront, logger, agent,
			},
		},
		{folder: "02-backend-ingress-deny", timeout: []connection{frontend, byAddress, worker, monitoring, logger, agent}},
		{folder: "03-allow-frontend", works: []connection{frontend, byAddress}},
		{folder: "04-allow-namespace", deletes: "backend-allow-frontend", works: []connection{worker}, timeout: []connection{monitorFront}},
		{folder: "05-allow-monitoring-namespace", works: []connection{monitoring, logger}},
		{folder: "06-allow-monitoring-pods", timeout: []connection{logger}},
		{folder: "07-frontend-egress-deny", timeout: []connection{byAddress}, name: []connection{frontend, frontendOut}},
		{folder: "08-frontend-egress-backend", works: []connection{byAddress}},
		{folder: "09-allow-dns", works: []connection{frontend}, timeout: []connection{frontendOut, workerOut, worker, workerFront, backendFront, backendOut}},
		{folder: "10-backend-egress", works: []connection{backendOut}},
	} {
		start := time.Now()
		if task.folder != "" {
			s.kubectl(t, "apply", "-f", s.solution(task.folder))
		}
		if task.deletes != "" {
			s.kubectl(t, "delete", "networkpolicy", task.deletes)
		}
		for outcome, list := range map[string][]connection{works: task.works, timesOut: task.timeout, nameTimesOut: task.name} {
			for _, c := range list {
				state[c] = outcome
			}
		}
		s.tryAll(t, state)
		t.Logf("%-30s %d connections as the task says, %.1f s", task.folder, len(state), time.Since(start).Seconds())
		if t.Failed() {
			t.Fatalf("after %s", task.folder)
		}
	}

	s.run(t, 0, "status", s.name).has(t, `Policies in force: 7`, `✓ NetworkPolicy default/backend-ingress-deny`,
		`✓ NetworkPolicy default/backend-allow-monitoring`, `✓ NetworkPolicy default/backend-allow-egress-internet`,
		`monitoring: purpose=monitoring`, `kube-system: purpose=dns`)
	r := s.run(t, 0, "reset", s.name)
	r.has(t, `deleted +NetworkPolicy default/allow-dns`, `restored +labels of namespace monitoring`, `is in its deployed state`)
	t.Logf("reset took %.1f s", r.took.Seconds())
	if st := s.status(t, 0); len(st.Policies) > 0 || len(st.Labels) > 0 {
		t.Errorf("after reset: policies %v, labels %v", st.Policies, st.Labels)
	}
	for c := range state {
		state[c] = works
	}
	s.tryAll(t, state)
}

// tryAll tries connections at the same time, a few at once as this machine has few processors.
func (s *suite) tryAll(t *testing.T, outcomes map[connection]string) {
	t.Helper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 6)
	for c, want := range outcomes {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s.try(t, c.from, c.url, want)
		})
	}
	all.Wait()
}

// reset takes back what students do to the apps.
func (s *suite) reset(t *testing.T) {
	s.lab(t)
	s.kubectl(t, "scale", "deployment", "backend", "--replicas=0")
	s.kubectl(t, "label", "pods", "-l", "app=frontend", "app=impostor", "--overwrite")
	s.kubectl(t, "set", "env", "deployment/worker", "HELLO=world")
	s.kubectl(t, "delete", "-n", "batch", "deployment", "agent")
	eventually(t, time.Minute, 0, func() error {
		if st := s.status(t, 3); !strings.Contains(strings.Join(st.NotReady, "\n"), "app backend has 0 of 1 pods ready") {
			return fmt.Errorf("status does not say that backend is away: %v", st.NotReady)
		}
		return nil
	})
	r := s.run(t, 0, "reset", s.name)
	r.has(t, `restored +Deployment default/backend`, `restored +Pod default/frontend-`, `restored +Deployment default/worker`, `restored +Deployment batch/agent`)
	t.Logf("reset of four apps took %.1f s", r.took.Seconds())
	if env := s.kubectl(t, "get", "deployment", "worker", "-o", "jsonpath={.spec.template.spec.containers[0].env}"); env != "" {
		t.Errorf("worker still has the variables %s", env)
	}
	if pods := s.kubectl(t, "get", "pods", "-l", "app=impostor", "-o", "name"); pods != "" {
		t.Errorf("the relabelled pod is still there: %s", pods)
	}
	s.tryAll(t, map[connection]string{
		{"default/frontend", "http://backend"}:    works,
		{"batch/agent", "http://backend.default"}: works,
		{"default/backend", "http://worker"}:      works,
	})

	pods := func() string {
		return s.kubectl(t, "get", "pods", "-A", "-l", "app", "-o", "jsonpath={.items[*].metadata.uid}")
	}
	before := strings.Fields(pods())
	var hard provision.Reset
	s.run(t, 0, "reset", s.name, "--hard", "-o", "json").json(t, &hard)
	if len(hard.Restored) < 6 {
		t.Errorf("reset --hard has restored %v, want all apps", hard.Restored)
	}
	eventually(t, time.Minute, time.Second, func() error {
		after := pods()
		for _, uid := range before {
			if strings.Contains(after, uid) {
				return fmt.Errorf("a pod survived reset --hard: %s", s.kubectl(t, "get", "pods", "-A"))
			}
		}
		return nil
	})
	s.try(t, "default/frontend", "http://backend", works)
	s.status(t, 0)
}
