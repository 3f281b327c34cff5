//go:build e2e && e2e_jobs

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envJobs is how many submissions TestJobs grades; it costs minutes, so it has a build tag of its own.
const envJobs = "LABCTL_E2E_JOBS"

// TestJobs grades a large class in a cluster of its own with two workers. A worker's process is killed, and a node is stopped.
func TestJobs(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(envJobs))
	if err != nil {
		t.Fatalf("%s says how many submissions to grade: make e2e-jobs", envJobs)
	}
	s := &suite{labctl: newLabctl(os.Getenv(envBinary), os.Getenv(envDir)), dir: os.Getenv(envDir), name: os.Getenv(envInstance)}
	lab := filepath.Join(s.dir, "lab-of-two-workers")
	if err := os.RemoveAll(lab); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(lab, os.DirFS("../../../labs/networkpolicy")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(lab, "lab.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, regexp.MustCompile(`workers *= 1`).ReplaceAll(text, []byte("workers = 2")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "up", lab, "--name", s.name)
	c := s.newClassJob(t, n)

	before, requests := c.s3.Counts(), s.apiRequests(t)
	began := time.Now()
	submit := s.start(t, c.submit("--shards", "4", "--parallelism", "4")...)
	s.waitGraded(t, submit, c, n/10)
	c.killWorker(t)
	s.waitGraded(t, submit, c, n*4/10)
	node := c.busyNode(t)
	command(t, "docker", "stop", "-t", "0", node)
	t.Logf("after %.0f s the node %s is stopped", time.Since(began).Seconds(), node)
	// What a cloud does with a machine that is gone.
	eventually(t, 3*time.Minute, time.Second, func() error {
		if ready := s.kubectl(t, "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready == "True" {
			return fmt.Errorf("the node %s is still ready", node)
		}
		return nil
	})
	s.kubectl(t, "delete", "node", node)
	c.finish(t, submit)
	took := time.Since(began)
	t.Logf("%d submissions in %.0f s: %.0f a second", n, took.Seconds(), float64(n)/took.Seconds())
	for kind, count := range c.s3.Counts() {
		t.Logf("requests to the storage, %s: %d, %.0f for 1,000 submissions", kind, count-before[kind], float64(count-before[kind])*1000/float64(n))
	}
	for user, count := range s.apiRequests(t) {
		if more := count - requests[user]; more > 0 {
			t.Logf("requests to the API server, %s: %d", user, more)
		}
	}
}

// apiRequests counts the API server's requests for Jobs and pods, by verb and resource.
func (s *suite) apiRequests(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	line := regexp.MustCompile(`^apiserver_request_total\{.*resource="(jobs|pods)".*verb="([A-Z]+)".*\} ([0-9.e+]+)$`)
	lines := bufio.NewScanner(strings.NewReader(s.kubectl(t, "get", "--raw", "/metrics")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			n, _ := strconv.ParseFloat(m[3], 64)
			counts[m[2]+" "+m[1]] += int(n)
		}
	}
	return counts
}
