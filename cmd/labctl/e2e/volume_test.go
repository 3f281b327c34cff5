//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/gradetest"
)

// onVolume grades a class that is on a volume of the cluster's, when a queue says so. The test is the queue: Kueue lets a Job
// run in the same way. The volume is a directory of the node's, which this machine's
// root reaches too.
func (c *classJob) onVolume(t *testing.T) {
	const onNode = "/labctl-class"
	node := "labctl-" + c.suite.name + "-worker"
	dir, err := os.MkdirTemp("/var/tmp", "labctl-e2e-") // not in /tmp, where workers have their own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	command(t, "docker", "exec", node, "mkdir", "-p", onNode+"/out")
	t.Cleanup(func() { command(t, "docker", "exec", node, "rm", "-rf", onNode) })
	pid := command(t, "docker", "inspect", "-f", "{{.State.Pid}}", node)
	volume := filepath.Join(dir, "volume")
	if err := os.Symlink("/proc/"+pid+"/root"+onNode, volume); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(volume, "in"), os.DirFS(gradetest.Samples(t, 60))); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "volume.yaml")
	err = os.WriteFile(manifest, fmt.Appendf(nil, `{apiVersion: v1, kind: PersistentVolume, metadata: {name: labctl-class}, spec: {capacity: {storage: 1Gi},
  accessModes: [ReadWriteMany], hostPath: {path: %s}, storageClassName: "", claimRef: {namespace: grading, name: class}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: class, namespace: grading}, spec: {resources: {requests: {storage: 1Gi}},
  accessModes: [ReadWriteMany], volumeName: labctl-class, storageClassName: ""}}
`, onNode), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "apply", "-f", manifest)
	t.Cleanup(func() { c.kubectl(t, "delete", "persistentvolume", "labctl-class", "--wait=false") })

	job, out := c.name+"-volume", "file://"+volume+"/out"
	submit := c.start(t, "batch", "submit", "networkpolicy", "file://"+volume+"/in", "--out", out, "--image", c.image,
		"--kubeconfig", c.kubeconfig(), "--namespace", "grading", "--name", job, "--queue", "students", "--volume-claim", "class",
		"--volume-path", volume, "--shards", "2", "--parallelism", "2", "--cpu", "200m", "--memory", "512Mi")
	eventually(t, time.Minute, 200*time.Millisecond, func() error {
		if !submit.running() {
			t.Fatalf("submit has ended:\n%s%s", submit.stdout.String(), submit.stderr.String())
		}
		if !strings.Contains(submit.stderr.String(), "0 of 60 graded") || !strings.Contains(submit.stderr.String(), "the Job is suspended") {
			return fmt.Errorf("submit does not say that the Job waits:\n%s", submit.stderr.String())
		}
		return nil
	})
	for what, want := range map[string]string{`{.metadata.labels.kueue\.x-k8s\.io/queue-name}`: "students", "{.spec.suspend}": "true", "{.status.active}": ""} {
		if got := c.kubectl(t, "get", "job", job, "-n", "grading", "-o", "jsonpath="+what); got != want {
			t.Errorf("%s of the Job is %q, not %q", what, got, want)
		}
	}
	command(t, "docker", "exec", node, "chmod", "-R", "a+rwX", onNode) // what fsGroup does to other volumes
	c.kubectl(t, "patch", "job", job, "-n", "grading", "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	r := submit.wait(t, 5*time.Minute)
	if r.code != 0 {
		t.Fatalf("submit: exit code %d\n%s\n%s", r.code, r.output(), c.kubectl(t, "describe", "pods", "-n", "grading"))
	}
	local, merged := filepath.Join(c.dir, "volume-local"), filepath.Join(c.dir, "volume-merged")
	c.run(t, 0, "batch", "collect", "--from", out, "--out", merged)
	c.run(t, 0, "batch", "networkpolicy", filepath.Join(volume, "in"), "--out", local)
	c.same(t, local, merged)
	t.Log("60 submissions on a volume, once the queue let them be graded: the same as on this machine")
	c.run(t, 0, "batch", "cancel", job, "--kubeconfig", c.kubeconfig(), "--namespace", "grading")
}
