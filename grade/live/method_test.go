//go:build e2e

package live_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/labs"
)

// methodsLab deploys an app whose image has no shell, beside others that have. Every node has that image: it is that
// of the pods' sandboxes.
func methodsLab(t *testing.T) (*kube.Client, *live.Engine, *corev1.Node) {
	t.Helper()
	kubeconfig := clusterOf(t)
	client, err := kube.Open(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.Typed.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bare := ""
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
	lab, diags := labs.Load(os.DirFS("testdata/methods"), "methods", labs.LoadOptions{Vars: map[string]string{"bare": bare}})
	if lab == nil {
		t.Fatal(diags.Err())
	}
	eng, _ := deployed(t, kubeconfig, lab)
	return client, eng, &nodes.Items[0]
}

const methodsPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: methods}
spec: {podSelector: {matchLabels: {app: closed}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: methods}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: bare}}}]}]}
`

// bareProbes start from the app without a shell.
func bareProbes() []engine.Probe {
	bare := labs.Source{App: "bare"}
	return []engine.Probe{
		{From: bare, To: labs.Target{App: "web", Via: labs.ViaIP, Port: 8080}, Want: verdict.Allowed},
		{From: bare, To: labs.Target{App: "closed", Via: labs.ViaIP, Port: 8080}, Want: verdict.Dropped},
		{From: bare, To: labs.Target{DNS: "web.methods.svc.cluster.local"}, Want: verdict.Allowed},
		{From: bare, To: labs.Target{App: "closed", Via: labs.ViaIP, Protocol: "ICMP"}, Want: verdict.Dropped},
	}
}

// asWanted grades and checks every verdict, and what was probed with.
func asWanted(t *testing.T, eng *live.Engine, state *engine.State, probes []engine.Probe, want ...engine.ProberReport) {
	t.Helper()
	_, got := gradeOnce(t, eng, state, probes, func(o engine.Observation) {
		if o.Verdict != o.Probe.Want {
			t.Errorf("%s → %s: %s (%s%s), want %s", o.Probe.From, engine.TargetName(o.Probe.To), o.Verdict, o.Seen, o.Error, o.Probe.Want)
		}
	})
	for i := range got {
		got[i].Retries = 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("probed with %+v, want %+v", got, want)
	}
}

// TestProbeMethods probes from pods and a node with what is available there.
func TestProbeMethods(t *testing.T) {
	client, eng, node := methodsLab(t)
	t.Run("ephemeral container", func(t *testing.T) { probesFromEphemeral(t, client, eng, node) })
	t.Run("helper pod", func(t *testing.T) { probesFromHelper(t, client, eng) })
}

// probesFromEphemeral probes from a pod whose image has no shell, by an ephemeral container, and from a node, by a
// pod in its network. The ephemeral container stays, so that later gradings use it.
func probesFromEphemeral(t *testing.T, client *kube.Client, eng *live.Engine, n *corev1.Node) {
	node := labs.Source{Node: n.Name}
	probes := append(bareProbes(),
		engine.Probe{From: labs.Source{App: "web"}, To: labs.Target{App: "closed", Via: labs.ViaIP, Port: 8080}, Want: verdict.Dropped},
		engine.Probe{From: node, To: labs.Target{App: "bare", Via: labs.ViaIP, Protocol: "ICMP"}, Want: verdict.Allowed},
		engine.Probe{From: node, To: labs.Target{App: "web", Via: labs.ViaIP, Port: 8080}, Want: verdict.Dropped},
		engine.Probe{From: node, To: labs.Target{App: "web", Via: labs.ViaIP, Protocol: "ICMP"}, Want: verdict.Dropped},
	)
	for range 2 {
		asWanted(t, eng, stateOf(t, methodsPolicy), probes,
			engine.ProberReport{From: "bare", Prober: engine.EphemeralContainer, Probes: 4},
			engine.ProberReport{From: node.String(), Prober: engine.NodeHelper, Probes: 3},
			engine.ProberReport{From: "web", Prober: engine.OwnImage, Probes: 1})
		pods, err := client.Typed.CoreV1().Pods("methods").List(t.Context(), metav1.ListOptions{LabelSelector: "app=bare"})
		if err != nil || len(pods.Items) != 1 || len(pods.Items[0].Spec.EphemeralContainers) != 1 {
			t.Fatalf("want one pod with one ephemeral container: %v %+v", err, pods.Items)
		}
	}
}

// noEphemeral is an admission policy that refuses ephemeral containers in the lab's namespace.
const noEphemeral = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-ephemeral-containers}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: methods}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods/ephemeralcontainers]}]
  validations: [{expression: "false", message: "no ephemeral containers here"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-ephemeral-containers}
spec: {policyName: no-ephemeral-containers, validationActions: [Deny]}
`

// probesFromHelper probes from a pod without a shell that takes no ephemeral container, by a helper pod. It has the
// pod's identity, gets nothing of its service's traffic, is no part of the lab, and does not stay.
func probesFromHelper(t *testing.T, client *kube.Client, eng *live.Engine) {
	var policy []*unstructured.Unstructured
	for text := range strings.SplitSeq(noEphemeral, "\n---\n") {
		obj := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
			t.Fatal(err)
		}
		policy = append(policy, obj)
	}
	if _, err := client.Apply(t.Context(), policy...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Delete(context.Background(), policy...); err != nil {
			t.Error(err)
		}
	})
	api := client.Typed.CoreV1().Pods("methods")
	bare := func() (pods []corev1.Pod) {
		t.Helper()
		list, err := api.List(t.Context(), metav1.ListOptions{LabelSelector: "app=bare"})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	}
	// The API server takes a moment to heed the policy.
	patch := []byte(`{"spec":{"ephemeralContainers":[{"name":"x","image":"x"}]}}`)
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := api.Patch(t.Context(), bare()[0].Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "ephemeralcontainers")
		if err != nil {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("ephemeral containers are not refused")
		}
	}
	// One that has none yet.
	old := bare()[0]
	if err := api.Delete(t.Context(), old.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	renewed := kube.Check{Object: "another pod of bare", Observe: func(context.Context) (kube.Status, error) {
		pods := bare()
		return kube.Status{Ready: len(pods) == 1 && pods[0].UID != old.UID && pods[0].Status.PodIP != ""}, nil
	}}
	if err := (kube.Waiter{Timeout: time.Minute}).Wait(t.Context(), renewed, client.Deployment("methods", "bare")); err != nil {
		t.Fatal(err)
	}
	asWanted(t, eng, stateOf(t, methodsPolicy), bareProbes(), engine.ProberReport{From: "bare", Prober: engine.HelperPod, Probes: 4})
	pods := bare()
	if len(pods) != 2 {
		t.Fatalf("%d pods while it is graded, want the app's and its helper", len(pods))
	}
	endpoints, err := client.Typed.DiscoveryV1().EndpointSlices("methods").List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=bare"})
	if err != nil {
		t.Fatal(err)
	}
	for _, slice := range endpoints.Items {
		for _, e := range slice.Endpoints {
			if probe.IsHelper(&pods[slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == e.TargetRef.Name })]) && *e.Conditions.Ready {
				t.Errorf("the service sends traffic to the helper: %+v", e)
			}
		}
	}
	// A second grading by the same engine finds a lab that nobody has tampered with, and uses the same helper.
	asWanted(t, eng, stateOf(t, methodsPolicy), bareProbes(), engine.ProberReport{From: "bare", Prober: engine.HelperPod, Probes: 4})
	if again := bare(); len(again) != 2 || again[0].UID != pods[0].UID && again[1].UID != pods[0].UID {
		t.Errorf("the helper was made anew: %d pods", len(again))
	}
	// One that was left behind by a grading that was killed, or was put there to look like one, goes first.
	if _, err := api.Create(t.Context(), probe.NewHelper(&pods[0], "left/behind"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Integrity(t.Context()); err != nil {
		t.Errorf("what was left behind counts as tampering: %v", err)
	}
	if again := bare(); len(again) != 2 {
		t.Errorf("%d pods, want 2: what was left behind is still there", len(again))
	}
	eng.Close()
	if left := bare(); len(left) != 1 {
		t.Errorf("%d pods of the app after the grading", len(left))
	}
}
