//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// kindsLab has an app of every kind; its verbs are its name, the kubeconfig, the context and a node.
const kindsLab = `
lab %q {
  title = "Apps of every kind"
}
cluster "existing" {
  kubeconfig = %q
  context    = %q
}
namespace "e2e-kinds" {}
app "agent" {
  namespace    = namespace.e2e-kinds.name
  kind         = "DaemonSet"
  host_network = true
  port "metrics" { port = 19377 }
  readiness {}
}
app "gate" {
  namespace    = namespace.e2e-kinds.name
  host_network = true
  node         = %[4]q
  port "http" { port = 19378 }
}
app "store" {
  namespace    = namespace.e2e-kinds.name
  kind         = "StatefulSet"
  replicas     = 2
  service_type = "Headless"
  port "http" { port = 8080 }
  readiness {
    path   = "/hostname"
    period = "2s"
  }
}
app "door" {
  namespace    = namespace.e2e-kinds.name
  service_type = "NodePort"
  port "http" {
    port        = 80
    target_port = 8080
    node_port   = 30377
  }
}
app "client" {
  namespace = namespace.e2e-kinds.name
  kind      = "Pod"
  node      = %[4]q
}
task "close" {
  objective "closed" {
    points = 1
    expect "dropped" {
      from = app.client
      to   = app.store
    }
  }
  objective "open" {
    points = 1
    expect "allowed" {
      from = [app.client, app.gate]
      to   = [app.agent, app.door]
    }
    expect "allowed" {
      from = app.client
      to   = [app.gate, node(%[4]q)]
      port = 19378
    }
    expect "allowed" {
      from = app.client
      to   = node(%[4]q)
      port = 30377
    }
  }
}
`

const closedStore = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: e2e-kinds}
spec: {podSelector: {matchLabels: {app: store}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: selects-no-pod, namespace: e2e-kinds}
spec: {podSelector: {matchLabels: {app: gate}}, policyTypes: [Ingress, Egress]}
`

// kinds runs a lab with a DaemonSet, a StatefulSet behind a headless Service, a Pod, and pods in the network of their
// node, in the shared lab's cluster: up, both engines, reset and down.
func (s *suite) kinds(t *testing.T) {
	s.lab(t)
	name, dir, answers := s.name+"-kinds", t.TempDir(), t.TempDir()
	text := fmt.Sprintf(kindsLab, name, s.kubeconfig(), "kind-labctl-"+s.name, s.node("worker"))
	if err := os.Mkdir(filepath.Join(answers, "close"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string]string{
		filepath.Join(dir, "lab.hcl"):                  text,
		filepath.Join(answers, "close", "policy.yaml"): closedStore,
	} {
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, 0, "up", dir, "--instance", name, "--adopt")
	defer s.run(t, 0, "up", "networkpolicy", "--instance", s.name) // its pods were never touched
	s.run(t, 0, "status", "--instance", name).has(t, "Everything is ready")
	s.run(t, 0, "grade", dir, "--instance", name, "--submission", answers, "--engine", "both").has(t, `100%`)

	// A pod of the DaemonSet that is relabelled is noticed, and reset puts one that is not in its place.
	s.kubectl(t, "-n", "e2e-kinds", "label", "pods", "-l", "app=agent", "tier=x")
	s.run(t, 4, "grade", name).has(t, `Pod e2e-kinds/agent-\S+: its labels are`)
	s.run(t, 0, "reset", "--instance", name)
	s.run(t, 0, "status", "--instance", name, "--wait", "--wait-duration", "60s")
	s.run(t, 0, "grade", dir, "--instance", name, "--submission", answers).has(t, `100%`)
	s.run(t, 0, "down", "--instance", name)
	s.gone(t, name)
}
