//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// existingLab is a lab in a cluster that exists; its verbs are its name, the kubeconfig, the context and the namespace.
const existingLab = `
lab %q {
  title = "A lab in a cluster that exists"
}
cluster "existing" {
  kubeconfig = %q
  context    = %q
}
namespace %[4]q {
  labels = { of = "the-lab" }
}
app "web" {
  namespace = %[4]q
  labels    = { app = "web" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "client" {
  namespace = %[4]q
  labels    = { app = "client" }
}
task "close" {
  title        = "Close"
  instructions = "Close it."
  objective "closed" {
    points = 1
    expect "denied" {
      from = app.client
      to   = app.web.port.http
    }
  }
}
`

// existing puts a second lab into the shared lab's cluster, whose Cilium and some of whose objects are not its own.
func (s *suite) existing(t *testing.T) {
	s.lab(t)
	name, namespace := s.name+"-existing", "e2e-existing"
	lab := func(kubeconfig, context string) string {
		dir := t.TempDir()
		text := fmt.Sprintf(existingLab, name, kubeconfig, context, namespace)
		if err := os.WriteFile(filepath.Join(dir, "lab.hcl"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	context := "kind-labctl-" + s.name
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(t.TempDir(), "dead")
	command(t, "kubectl", "--kubeconfig", dead, "config", "set-cluster", "dead", "--server=https://127.0.0.1:1")
	command(t, "kubectl", "--kubeconfig", dead, "config", "set-context", "dead", "--cluster=dead")
	for _, tc := range []struct{ kubeconfig, context, says string }{
		{"/no/such/file", context, "read the kubeconfig: .*no such file"},
		{garbage, context, "read the kubeconfig: .*garbage"},
		{s.kubeconfig(), "nowhere", `the kubeconfig has no context "nowhere"`},
		{dead, "dead", "https://127.0.0.1:1 does not answer"},
	} {
		s.run(t, 3, "up", lab(tc.kubeconfig, tc.context), "--name", name).has(t, tc.says, "check the kubeconfig and context")
		s.gone(t, name)
	}

	// Somebody else's namespace and app, by the names that the lab gives its own.
	s.kubectl(t, "create", "namespace", namespace)
	defer s.kubectl(t, "delete", "namespace", namespace)
	s.kubectl(t, "label", "namespace", namespace, "of=theirs", "team=a")
	image := s.kubectl(t, "get", "deployment", "frontend", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	s.kubectl(t, "-n", namespace, "create", "deployment", "web", "--image="+image, "--replicas=0")
	s.kubectl(t, "-n", namespace, "annotate", "deployment", "web", "keep=me")
	s.kubectl(t, "-n", namespace, "create", "configmap", "theirs", "--from-literal=a=b")
	eventually(t, time.Minute, 100*time.Millisecond, func() error { // Kubernetes puts it into every namespace
		if left := s.kubectl(t, "-n", namespace, "get", "configmap", "kube-root-ca.crt", "--ignore-not-found", "-o", "name"); left == "" {
			return errors.New("the namespace has no kube-root-ca.crt")
		}
		return nil
	})
	before := s.everything(t)

	good := lab(s.kubeconfig(), context)
	s.run(t, 3, "up", good, "--name", name).has(t, "--adopt")
	s.gone(t, name)
	s.same(t, "after an up that was refused", before)

	s.run(t, 0, "up", good, "--name", name, "--adopt").has(t, `Cilium .*, which was already installed`, `1 of 1 connection`)
	if labels := s.kubectl(t, "get", "namespace", namespace, "-o", "jsonpath={.metadata.labels.of}"); labels != "the-lab" {
		t.Errorf("the lab's namespace has the label of=%s", labels)
	}
	s.run(t, 0, "status", name).has(t, "Everything is ready")
	s.kubectl(t, "label", "namespace", namespace, "team=b", "--overwrite")
	s.run(t, 0, "down", name)
	s.gone(t, name)
	s.same(t, "after down", before)
	s.run(t, 0, "up", "networkpolicy", "--name", s.name).has(t, "is ready")
}

// everything is what must not change in the cluster for a lab that comes and goes: who made what is there, and as
// what. Versions and times of the last change are left out.
func (s *suite) everything(t *testing.T) string {
	t.Helper()
	const spec = `{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.labels} {.metadata.annotations.keep} {.metadata.annotations.labctl/instance} {.data} {.spec.replicas} {.spec.selector} {.spec.template.spec.containers[*].args}{"\n"}{end}`
	kinds := "namespaces,customresourcedefinitions,networkpolicies,deployments,daemonsets,services,configmaps,clusterroles"
	return s.kubectl(t, "get", kinds, "-A", "-o", "jsonpath="+spec)
}

// same waits until the cluster is as before, and shows what differs if it does not become so. The canary's namespace
// takes a moment to go.
func (s *suite) same(t *testing.T, when, before string) {
	t.Helper()
	eventually(t, time.Minute, time.Second, func() error {
		lines := map[string]int{}
		for line := range strings.Lines(before) {
			lines[strings.TrimSpace(line)]--
		}
		for line := range strings.Lines(s.everything(t)) {
			lines[strings.TrimSpace(line)]++
		}
		var differ []string
		for line, n := range lines {
			switch {
			case strings.Contains(line, "labctl-canary"):
			case n < 0:
				differ = append(differ, "this is gone: "+line)
			case n > 0:
				differ = append(differ, "this is new: "+line)
			}
		}
		if len(differ) > 0 {
			return fmt.Errorf("%s\n%s", when, strings.Join(differ, "\n"))
		}
		return nil
	})
}
