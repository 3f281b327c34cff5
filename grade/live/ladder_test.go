//go:build e2e

package live_test

import (
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// TestLadder probes from a pod whose image has no shell, by an ephemeral container, and from a node, by a helper
// pod. The ephemeral container stays, so that later gradings use it.
func TestLadder(t *testing.T) {
	kubeconfig := clusterOf(t)
	client, err := kube.Open(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.Typed.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bare := "" // every node has the image of the pods' sandboxes
	for _, image := range nodes.Items[0].Status.Images {
		for _, name := range image.Names {
			if strings.Contains(name, "/pause:") {
				bare = name
			}
		}
	}
	if bare == "" {
		t.Fatal("no node lists the pause image")
	}
	lab, diags := labs.Load(os.DirFS("testdata/ladder"), "ladder", labs.LoadOptions{Vars: map[string]string{"bare": bare}})
	if lab == nil {
		t.Fatal(diags.Err())
	}
	engine, _ := deployed(t, kubeconfig, lab)
	state := stateOf(t, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: ladder}
spec: {podSelector: {matchLabels: {app: closed}}, policyTypes: [Ingress]}
`)
	from := func(app, to string, want labs.Verdict) grade.Probe {
		return grade.Probe{From: labs.Source{App: app}, To: labs.Target{App: to, Via: labs.ViaIP, Port: 8080}, Want: want}
	}
	node := labs.Source{Node: nodes.Items[0].Name}
	probes := []grade.Probe{
		from("bare", "web", labs.Allowed), from("bare", "closed", labs.Dropped), from("web", "closed", labs.Dropped),
		{From: labs.Source{App: "bare"}, To: labs.Target{DNS: "web.ladder.svc.cluster.local"}, Want: labs.Allowed},
		{From: labs.Source{App: "bare"}, To: labs.Target{App: "closed", Via: labs.ViaIP, Protocol: "ICMP"}, Want: labs.Dropped},
		{From: node, To: labs.Target{App: "web", Via: labs.ViaIP, Port: 8080}, Want: labs.Allowed},
	}
	for n := range 2 {
		gradeOnce(t, engine, state, probes, func(o grade.Outcome) {
			if o.Verdict != o.Probe.Want {
				t.Errorf("grading %d: %s → %s: %s (%s%s), want %s", n, o.Probe.From, grade.TargetName(o.Probe.To), o.Verdict, o.Seen, o.Error, o.Probe.Want)
			}
		})
		pods, err := client.Typed.CoreV1().Pods("ladder").List(t.Context(), metav1.ListOptions{LabelSelector: "app=bare"})
		if err != nil || len(pods.Items) != 1 || len(pods.Items[0].Spec.EphemeralContainers) != 1 {
			t.Fatalf("after grading %d: want one pod with one ephemeral container: %v %+v", n, err, pods.Items)
		}
	}
}
