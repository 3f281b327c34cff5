//go:build e2e

package e2e

import (
	"archive/zip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/batch/storage/storagetest"
	"github.com/labctl/labctl/grade/gradetest"
)

// classJobs grades a class as a Job in the shared lab's cluster, kills a worker, and holds the results against those of one machine.
func (s *suite) classJobs(t *testing.T) {
	s.lab(t)
	mine := s.labctl
	defer func() { s.labctl = mine }()
	// So many that a worker of 0.4 processors has not graded its half when its first results are there.
	c := s.newClassJob(t, 1000)
	submit := s.start(t, c.submit("--shards", "2", "--parallelism", "2")...)
	s.waitGraded(t, submit, c, 1)
	c.killWorker(t)
	c.finish(t, submit)
	c.onVolume(t)
}

// classJob is a class in object storage that a Job grades.
type classJob struct {
	*suite
	s3       *storagetest.S3
	n        int
	class    string // the submissions
	dir      string // what is graded on this machine
	image    string
	name     string // of the Job
	url, out string
}

func (s *suite) newClassJob(t *testing.T, n int) *classJob {
	t.Helper()
	c := &classJob{suite: s, n: n, dir: t.TempDir(), image: "labctl-" + s.name + ":jobs", name: s.name + "-class"}
	var err error
	if c.s3, err = storagetest.NewS3("class"); err != nil {
		t.Fatal(err)
	}
	// The nodes' network has this machine at its gateway.
	host := command(t, "docker", "network", "inspect", "kind", "-f", `{{range .IPAM.Config}}{{.Gateway}} {{end}}`)
	gateway := ""
	for _, addr := range strings.Fields(host) {
		if strings.Contains(addr, ".") {
			gateway = addr
		}
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort(gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: c.s3}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	endpoint := "&endpoint=" + url.QueryEscape("http://"+listener.Addr().String())
	c.url, c.out = "s3://class/in?region=us-east-1"+endpoint, "s3://class/out?region=us-east-1"+endpoint
	t.Setenv("AWS_ACCESS_KEY_ID", "tests")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "tests")
	s.labctl = s.with("AWS_ACCESS_KEY_ID=tests", "AWS_SECRET_ACCESS_KEY=tests", "AWS_EC2_METADATA_DISABLED=true")

	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", c.image).Run() }) // the cluster has its own
	c.write(t)
	var work errgroup.Group
	work.Go(func() error { return c.upload(t) })
	work.Go(func() error { return c.makeImage() })
	began := time.Now()
	s.run(t, 3, "batch", "networkpolicy", c.class, "--out", filepath.Join(c.dir, "local"), "--format", "gradescope") // 3: one is in error
	t.Logf("%d submissions on this machine: %.1f s", n, time.Since(began).Seconds())
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(c.dir, "class.yaml")
	err = os.WriteFile(manifest, []byte(`{apiVersion: v1, kind: Namespace, metadata: {name: grading, labels: {pod-security.kubernetes.io/enforce: restricted}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: storage, namespace: grading}, stringData: {AWS_ACCESS_KEY_ID: tests, AWS_SECRET_ACCESS_KEY: tests}}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "apply", "-f", manifest)
	t.Cleanup(func() { s.kubectl(t, "delete", "namespace", "grading", "--wait=false") })
	return c
}

// write makes the submissions: samples of the lab, most of them as archives, and two that cannot be taken.
func (c *classJob) write(t *testing.T) {
	t.Helper()
	c.class = gradetest.Samples(t, c.n-2)
	for i := range c.n - 2 {
		if i%10 != 0 { // most hand in one file
			if err := zipped(filepath.Join(c.class, fmt.Sprintf("student-%04d", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, data := range map[string]string{"broken.yaml": "kind: [\n", "bad\x01name.yaml": "# nothing\n"} {
		if err := os.WriteFile(filepath.Join(c.class, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// zipped makes an archive of a folder, in its place.
func zipped(dir string) error {
	f, err := os.Create(dir + ".zip")
	if err != nil {
		return err
	}
	w := zip.NewWriter(f)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close(), os.RemoveAll(dir))
}

func (c *classJob) upload(t *testing.T) error {
	to, err := storage.Open(t.Context(), c.url)
	if err != nil {
		return err
	}
	defer to.Close()
	return storagetest.Upload(t.Context(), to, c.class)
}

// makeImage makes an image of the binary alone and brings it to the nodes that can run pods.
func (c *classJob) makeImage() error {
	build := filepath.Join(c.dir, "image")
	if err := os.MkdirAll(build, 0o755); err != nil {
		return err
	}
	script := `set -e
cp "$0" "$1/labctl"
printf 'FROM scratch\nCOPY labctl /labctl\n' >"$1/Dockerfile"
docker build -q -t "$2" "$1" >/dev/null
for node in $(docker ps --filter "name=^labctl-$3-worker" --format '{{.Names}}'); do
	docker save "$2" | docker exec -i "$node" ctr -n k8s.io images import - >/dev/null
done`
	if out, err := exec.Command("sh", "-c", script, c.binary, build, c.image, c.suite.name).CombinedOutput(); err != nil {
		return fmt.Errorf("make the image: %w\n%s", err, out)
	}
	return nil
}

func (c *classJob) submit(more ...string) []string {
	return append([]string{
		"batch", "submit", "networkpolicy", c.url, "--out", c.out, "--image", c.image, "--kubeconfig", c.kubeconfig(),
		"--namespace", "grading", "--name", c.name, "--secret", "storage", "--cpu", "400m", "--memory", "768Mi",
	}, more...)
}

// waitGraded waits until a Job has brought so many results to its destination.
func (s *suite) waitGraded(t *testing.T, submit *process, c *classJob, n int) {
	t.Helper()
	eventually(t, 5*time.Minute, 100*time.Millisecond, func() error {
		if !submit.running() {
			t.Fatalf("submit has ended:\n%s%s", submit.stdout.String(), submit.stderr.String())
		}
		if done := c.graded(t); done < n {
			return fmt.Errorf("%d of %d are graded:\n%s\n%s", done, n, submit.stderr.String(), s.kubectl(t, "get", "pods", "-n", "grading", "-o", "wide"))
		}
		return nil
	})
}

func (c *classJob) graded(t *testing.T) int {
	t.Helper()
	to, err := storage.Open(t.Context(), c.out)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	done := 0
	for o, err := range to.List(t.Context(), "runs/", true) {
		if err != nil {
			t.Fatal(err)
		}
		if parts := strings.Split(filepath.Base(o.Key), "-"); len(parts) == 4 {
			n, _ := strconv.Atoi(parts[2])
			done += n
		}
	}
	return done
}

// busyNode is a node that has a worker, as Docker calls it.
func (c *classJob) busyNode(t *testing.T) string {
	t.Helper()
	var node string
	eventually(t, time.Minute, 200*time.Millisecond, func() error {
		nodes := c.kubectl(t, "get", "pods", "-n", "grading", "--field-selector", "status.phase=Running", "-o", "jsonpath={.items[*].spec.nodeName}")
		if node, _, _ = strings.Cut(nodes, " "); node == "" {
			return errors.New("no worker runs")
		}
		return nil
	})
	return node
}

// killWorker kills the process of a worker, as the kernel does when memory runs out.
func (c *classJob) killWorker(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, 100*time.Millisecond, func() error {
		out, err := exec.Command("docker", "exec", c.busyNode(t), "pkill", "-9", "-o", "-f", "^/labctl batch work").CombinedOutput()
		if err != nil {
			return fmt.Errorf("kill a worker: %w %s", err, out)
		}
		return nil
	})
	eventually(t, time.Minute, 200*time.Millisecond, func() error {
		if c.kubectl(t, "get", "pods", "-n", "grading", "--field-selector", "status.phase=Failed", "-o", "name") == "" {
			return errors.New("no pod has failed")
		}
		return nil
	})
}

// finish waits for the Job and compares what it has graded with what was graded on this machine.
func (c *classJob) finish(t *testing.T, submit *process) {
	t.Helper()
	r := submit.wait(t, 10*time.Minute)
	if r.code != 0 {
		t.Fatalf("submit: exit code %d\n%s\n%s", r.code, r.output(), c.kubectl(t, "describe", "pods", "-n", "grading"))
	}
	r.has(t, "All shards are done")
	began := time.Now()
	merged := filepath.Join(c.dir, "merged")
	c.run(t, 3, "batch", "collect", "--from", c.out, "--out", merged, "--format", "gradescope")
	t.Logf("collected in %.1f s", time.Since(began).Seconds())
	c.same(t, filepath.Join(c.dir, "local"), merged)
	c.run(t, 0, "batch", "status", c.name, "--kubeconfig", c.kubeconfig(), "--namespace", "grading").has(t, fmt.Sprintf("%d of %d graded", c.n, c.n))
	c.run(t, 0, "batch", "cancel", c.name, "--kubeconfig", c.kubeconfig(), "--namespace", "grading")
	if left := c.kubectl(t, "get", "jobs,pods,networkpolicies", "-n", "grading", "-o", "name"); left != "" {
		t.Errorf("after cancel there is still %s", left)
	}
}

// same compares all files of two runs but those that say when and in which order the work was done.
func (c *classJob) same(t *testing.T, a, b string) {
	t.Helper()
	command(t, "diff", "-r", "-x", "journal.jsonl", "-x", "lock", "-x", "slowest.html", a, b)
}
