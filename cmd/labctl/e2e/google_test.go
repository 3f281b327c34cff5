//go:build e2e && e2e_gke

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// envProject names the Google Cloud project that TestGoogle makes a cluster in, with the user's credentials. It costs
// about a dollar.
const envProject = "LABCTL_E2E_GKE_PROJECT"

// TestGoogle is what only the real Google can show: the tutorial on GKE, from up to down, graded by packets.
func TestGoogle(t *testing.T) {
	project := os.Getenv(envProject)
	if project == "" {
		t.Fatalf("%s is not set: name a Google Cloud project", envProject)
	}
	s := &suite{labctl: newLabctl(os.Getenv(envBinary), os.Getenv(envDir)), dir: os.Getenv(envDir), name: os.Getenv(envInstance)}
	name := s.name + "-google"
	long := func(args ...string) *result {
		t.Helper()
		r := s.start(t, args...).wait(t, 30*time.Minute)
		t.Logf("%s took %.0f s\n%s", r.line, r.took.Seconds(), r.output())
		return r
	}
	s.run(t, 0, "plan", "networkpolicy", "--on", "gke", "--var", "project="+project, "--name", name).has(t, `USD an hour`)
	t.Cleanup(func() {
		if r := long("down", name); r.code != 0 {
			t.Errorf("the cluster may still be there and cost money: labctl gc --project %s", project)
		}
		s.run(t, 0, "gc", "--project", project)
	})
	if r := long("up", "networkpolicy", "--yes", "--on", "gke", "--var", "project="+project, "--name", name); r.code != 0 {
		t.Fatal("up failed")
	}
	s.run(t, 0, "status", name).has(t, `Everything is ready`)
	kubectl := exec.Command("kubectl", "--kubeconfig", filepath.Join(s.instanceDir(name), "kubeconfig"), "get", "nodes")
	if r := start(t, kubectl).wait(t, time.Minute); r.code != 0 {
		t.Errorf("kubectl with the kubeconfig: %s", r.output())
	}
	samples := filepath.Join("..", "..", "..", "labs", "networkpolicy", "samples")
	if r := long("grade", name, "--submission", filepath.Join(samples, "solution"), "--engine", "both"); r.code != 0 {
		t.Error("the solution does not get full marks, or the engines disagree")
	}
	if r := long("grade", name, "--submission", filepath.Join(samples, "forgot-dns"), "--engine", "both"); r.code != 0 && r.code != 1 {
		t.Error("the engines disagree")
	}
}
