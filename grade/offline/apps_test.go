package offline_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// kinds is a lab with apps that are no plain Deployments behind an address. near and far are on different workers.
const kinds = `
-- lab.hcl --
lab "kinds" {}
cluster "kind" {
  workers = 2
}
app "agent" {
  kind         = "DaemonSet"
  host_network = true
  port "metrics" { port = 9100 }
}
app "gate" {
  host_network = true
  node         = "worker2"
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "near" {
  node         = "worker2"
  service_type = "NodePort"
  port "http" {
    port        = 80
    target_port = 8080
    node_port   = 30080
  }
}
app "far" {
  node = "worker"
  port "http" { port = 80 }
}
app "store" {
  kind         = "StatefulSet"
  replicas     = 2
  service_type = "Headless"
  port "sql" { port = 5432 }
}
app "single" { kind = "Pod" }
submission {
  kinds  = ["NetworkPolicy", "CiliumNetworkPolicy"]
  layout = "either"
}
task "t" {
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.single
      to   = app.store
    }
  }
}
`

func cilium(app, rest string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: {endpointSelector: {matchLabels: {app: " +
		app + "}}, " + rest + "}\n"
}

// TestAppKinds: pods in the network of their node are the node to policies, a headless Service is its pods, and a
// node port leads to the pods behind it.
func TestAppKinds(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, kinds)
	const dns = "{toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system}}]}"
	from := func(app string) labs.Source { return labs.Source{App: app} }
	gate := labs.Target{App: "gate", Port: 8080, Via: labs.ViaIP}
	store := labs.Target{App: "store", Port: 5432}
	near, far := labs.Target{App: "near", Port: 80}, labs.Target{App: "far", Port: 80}
	nodePort := labs.Target{Node: "worker", Port: 30080}
	for _, c := range []struct {
		name     string
		policies string
		from     labs.Source
		to       labs.Target
		want     verdict.Verdict
	}{
		{"nothing is closed", "", from("near"), gate, verdict.Allowed},
		{"its labels select no pod", policyOn("{matchLabels: {app: gate}}", "policyTypes: [Ingress, Egress]"), from("near"), gate, verdict.Allowed},
		{"nor its own connections", policyOn("{matchLabels: {app: gate}}", "policyTypes: [Ingress, Egress]"), from("gate"), far, verdict.Allowed},
		{"nor are they a peer", policyOn("{matchLabels: {app: far}}", "ingress: [{from: [{podSelector: {matchLabels: {app: gate}}}]}]"), from("gate"), far, verdict.Dropped},
		{"from the pod's own node it always gets in", policyOn("{matchLabels: {app: near}}", "policyTypes: [Ingress]"), from("gate"), near, verdict.Allowed},
		{"from another node it is remote-node", cilium("far", "ingress: [{fromEntities: [remote-node]}]"), from("gate"), far, verdict.Allowed},
		{"and not host", cilium("far", "ingress: [{fromEntities: [host]}]"), from("gate"), far, verdict.Dropped},
		{"to the pod's own node it is host", cilium("near", "egress: [{toEntities: [host]}, "+dns+"]"), from("near"), gate, verdict.Allowed},
		{"and not remote-node", cilium("near", "egress: [{toEntities: [remote-node]}, "+dns+"]"), from("near"), gate, verdict.Dropped},
		{"to another node it is remote-node", cilium("far", "egress: [{toEntities: [remote-node]}, "+dns+"]"), from("far"), gate, verdict.Allowed},
		{"a DaemonSet is on every node", cilium("far", "egress: [{toEntities: [host, remote-node]}, "+dns+"]"), from("far"), labs.Target{App: "agent", Port: 9100, Via: labs.ViaIP}, verdict.Allowed},
		{"also on the other ones", cilium("far", "egress: [{toEntities: [host]}, "+dns+"]"), from("far"), labs.Target{App: "agent", Port: 9100, Via: labs.ViaIP}, verdict.Dropped},
		{"a headless Service by name", "", from("single"), store, verdict.Allowed},
		{"a policy on its pods", policyOn("{matchLabels: {app: store}}", "policyTypes: [Ingress]"), from("single"), store, verdict.Dropped},
		{"Cilium leaves the names of its pods out of their labels", policyOn("{matchLabels: {statefulset.kubernetes.io/pod-name: store-1}}", "policyTypes: [Ingress]"), from("single"), store, verdict.Allowed},
		{"a headless Service has no address", "", from("single"), labs.Target{App: "store", Port: 5432, Via: labs.ViaCluster}, verdict.ProbeError},
		{"a node port", "", from("single"), nodePort, verdict.Allowed},
		{"a port on which nothing listens", "", from("single"), labs.Target{App: "near", Port: 81, Via: labs.ViaIP}, verdict.Rejected},
		{"a node port whose pods are closed", policyOn("{matchLabels: {app: near}}", "policyTypes: [Ingress]"), labs.Source{Node: "control-plane"}, nodePort, verdict.Dropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prober, err := eng.At(t.Context(), state(t, lab, 0, c.policies))
			if err != nil {
				t.Fatal(err)
			}
			out, err := prober.Probe(t.Context(), []engine.Probe{{From: c.from, To: c.to, Want: verdict.Allowed}})
			if err != nil {
				t.Fatal(err)
			}
			if out[0].Verdict != c.want {
				t.Errorf("found %s (%s), want %s\n%v", out[0].Verdict, out[0].Error, c.want, out[0].Detail)
			}
		})
	}
}
