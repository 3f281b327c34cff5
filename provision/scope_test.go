package provision

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// sharedLab has a namespace of its own, an app in one that everybody uses, and lets a third one be labelled.
const sharedLab = `
lab "shop" {
  title = "In a cluster that others use"
}
namespace "team" {
  labels = { of = "the-lab" }
}
app "web" {
  namespace = "team"
  labels    = { app = "web" }
  port "http" {
    port = 8080
  }
}
app "client" {
  labels = { app = "client" }
}
submission {
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]
  may_label = ["kube-system"]
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

var (
	getOptions    metav1.GetOptions
	deleteOptions metav1.DeleteOptions
)

func patchAs(manager string) metav1.PatchOptions { return metav1.PatchOptions{FieldManager: manager} }

// strangers are policies of everybody else; NAME is put into every name.
const strangers = `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME, namespace: theirs}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: NAME, namespace: theirs}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: NAME, namespace: kube-system}, spec: {endpointSelector: {matchLabels: {app: theirs}}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NAME}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": theirs}}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NAME-hosts}, spec: {nodeSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: NAME}, spec: {externalCIDRs: [192.0.2.0/24]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: NAME}, spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: theirs}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME-other-lab, namespace: default, annotations: {labctl/submission: another.12345678}}, spec: {podSelector: {matchLabels: {app: theirs}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: NAME, namespace: theirs}, data: {a: Yg==}}
---
{apiVersion: v1, kind: Pod, metadata: {name: NAME-orphan, namespace: default, generateName: theirs-5d7-, labels: {app: client, pod-template-hash: 5d7}}, spec: {containers: [{name: a, image: b}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: NAME-helper, namespace: default, labels: {app: theirs}, annotations: {labctl/probes-for: x}}, spec: {containers: [{name: a, image: b}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: NAME, labels: {a: b}}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: NAME}}
`

// shared is a lab that is up in a cluster of somebody else.
type shared struct {
	*kubetest.Server
	m   *Manager
	lab *labs.Lab
}

// upShared deploys a lab between two sets of strangers.
func upShared(t *testing.T, stays bool) *shared {
	t.Helper()
	api := kubetest.New(t)
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, labels: {their: label}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: theirs}}
`)
	api.Add(strings.ReplaceAll(strangers, "NAME", "before"))
	m, _ := newManager(t, &fakeProvider{stays: stays})
	lab := loadLab(t, sharedLab)
	deployShared(t, api, m, lab, "shop")
	api.Add(strings.ReplaceAll(strangers, "NAME", "later"))
	return &shared{api, m, lab}
}

// deployShared does what up does to the objects of a cluster: it notes what is there, and applies the lab's.
func deployShared(t *testing.T, api *kubetest.Server, m *Manager, lab *labs.Lab, name string) {
	t.Helper()
	r, err := m.newRun(UpOptions{Lab: lab, On: "fake", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if r.inst, err = m.Store.Create(t.Context(), name, "test"); err != nil {
		t.Fatal(err)
	}
	defer r.inst.Close()
	if _, err := r.begin(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.inst.Kubeconfig(), api.Kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.recordBefore(t.Context(), api.Client); err != nil {
		t.Fatal(err)
	}
	objs, err := r.objects()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Client.Apply(t.Context(), objs...); err != nil {
		t.Fatal(err)
	}
}

// differ names the objects that are not what they were.
func differ(was, now map[string]string) []string {
	var out []string
	for _, ref := range slices.Sorted(maps.Keys(was)) {
		if now[ref] != was[ref] {
			out = append(out, ref)
		}
	}
	return out
}

func (s *shared) scope(t *testing.T) *scope.Scope {
	t.Helper()
	st, err := s.m.Store.Read("shop")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := s.m.Scope(st, s.lab)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// TestNobodyElsesObjects resets a lab and takes it down in a cluster that others use.
func TestNobodyElsesObjects(t *testing.T) {
	t.Parallel()
	s := upShared(t, true)
	// Others label what they share, in the meantime, and change and remove labels.
	if _, err := s.Client.Typed.CoreV1().Namespaces().Patch(t.Context(), "kube-system", "application/merge-patch+json", []byte(`{"metadata": {"labels": {"their": "new", "more": "labels"}}}`), patchAs("kubectl")); err != nil {
		t.Fatal(err)
	}
	was := s.Objects()
	delete(was, "Namespace team") // the lab's; all others are to stay what they are

	const mine = `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine, namespace: team}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: mine, namespace: default}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: graded, annotations: {labctl/submission: IDENTITY}}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: who-knows}, spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}}
`
	sc := s.scope(t)
	s.Add(strings.ReplaceAll(mine, "IDENTITY", sc.Instance))
	if _, _, err := sc.SetLabels(t.Context(), s.Client, "kube-system", map[string]string{"graded": "yes"}); err != nil {
		t.Fatal(err)
	}
	was["CiliumClusterwideNetworkPolicy who-knows"] = s.Objects()["CiliumClusterwideNetworkPolicy who-knows"]
	labels := func() map[string]string {
		ns, err := s.Client.Typed.CoreV1().Namespaces().Get(t.Context(), "kube-system", getOptions)
		if err != nil {
			t.Fatal(err)
		}
		return ns.Labels
	}
	if labels()["graded"] != "yes" {
		t.Fatal("the grading's label is not set")
	}
	delete(was, "Namespace kube-system") // its managed fields have changed; the labels are compared

	// Without a UID the object is found by its name: somebody else's of the name stays.
	got, err := s.m.Reset(t.Context(), s.lab, "shop", false)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Deleted)
	want := []string{"CiliumClusterwideNetworkPolicy graded", "CiliumNetworkPolicy default/mine", "NetworkPolicy team/mine"}
	if !slices.Equal(got.Deleted, want) {
		t.Errorf("reset deleted %q, want %q", got.Deleted, want)
	}
	if !slices.Contains(got.Left, "CiliumClusterwideNetworkPolicy who-knows") || !slices.Contains(got.Left, "label more=labels of Namespace kube-system") {
		t.Errorf("reset says it left %q", got.Left)
	}
	if d := differ(was, s.Objects()); len(d) > 0 {
		t.Errorf("reset changed %q", d)
	}
	wantLabels := map[string]string{"kubernetes.io/metadata.name": "kube-system", "their": "new", "more": "labels"}
	if !maps.Equal(labels(), wantLabels) {
		t.Errorf("after reset kube-system has the labels %v, want %v", labels(), wantLabels)
	}

	s.Add(strings.ReplaceAll(strings.SplitN(mine, "---", 2)[0], "mine", "again"))
	for ref := range was {
		if ref == "Deployment team/web" || ref == "Service team/web" || ref == "Deployment default/client" {
			delete(was, ref) // the lab's own
		}
	}
	if err := s.m.Down(t.Context(), s.lab, "shop"); err != nil {
		t.Fatal(err)
	}
	left := s.Objects()
	if d := differ(was, left); len(d) > 0 {
		t.Errorf("down changed %q", d)
	}
	if !maps.Equal(labels(), wantLabels) {
		t.Errorf("after down kube-system has the labels %v, want %v", labels(), wantLabels)
	}
	for _, ref := range []string{"Namespace team", "Deployment team/web", "Deployment default/client", "NetworkPolicy team/again"} {
		if left[ref] != "" {
			t.Errorf("down left %s", ref)
		}
	}
}

// TestTwoInstances: two instances share a cluster with strangers. Whatever is done to one leaves the other, and the
// strangers, as they are.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	const work = `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine, namespace: TEAM}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: mine, namespace: TEAM}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: graded-TEAM, annotations: {labctl/submission: IDENTITY}}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": TEAM}}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: graded-TEAM, namespace: default, annotations: {labctl/submission: IDENTITY}}, spec: {endpointSelector: {matchLabels: {app: APP}}, ingress: [{}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: CANARY, annotations: {labctl/instance: IDENTITY}}}
`
	s := upShared(t, true)
	text := strings.NewReplacer(`"shop"`, `"other"`, `"team"`, `"team2"`, `"client"`, `"visitor"`, "app.client", "app.visitor").Replace(sharedLab)
	labOf := map[string]*labs.Lab{"shop": s.lab, "other": loadLab(t, text)}
	deployShared(t, s.Server, s.m, labOf["other"], "other")
	s.Add(strings.ReplaceAll(strangers, "NAME", "last"))
	owned := map[string][]string{}
	scopes := map[string]*scope.Scope{}
	before := s.Objects()
	for name, team := range map[string]string{"shop": "team", "other": "team2"} {
		st, err := s.m.Store.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if scopes[name], err = s.m.Scope(st, labOf[name]); err != nil {
			t.Fatal(err)
		}
		s.Add(strings.NewReplacer("TEAM", team, "APP", map[string]string{"shop": "client", "other": "visitor"}[name], "IDENTITY", scopes[name].Instance, "CANARY", scopes[name].Canary).Replace(work))
		for ref := range s.Objects() {
			if before[ref] == "" {
				before[ref] = "work"
				if strings.Contains(ref, "Policy") {
					owned[name] = append(owned[name], ref)
				}
			}
		}
		slices.Sort(owned[name])
	}
	for _, name := range []string{"shop", "other"} {
		others, err := scopes[name].Others(t.Context(), s.Client)
		if want := scopes[map[string]string{"shop": "other", "other": "shop"}[name]].Instance; err != nil || !slices.Contains(others, want) {
			t.Errorf("%s does not see the other instance: %q, %v", name, others, err)
		}
		// Both see none but their own, and are not disturbed by the other's.
		r, err := s.m.reopen(t.Context(), labOf[name], name, "test")
		if err != nil {
			t.Fatal(err)
		}
		policies, err := r.policiesInForce(t.Context(), s.Client)
		r.inst.Close()
		var inForce []string
		for _, p := range policies {
			inForce = append(inForce, kube.Ref(p))
		}
		slices.Sort(inForce)
		if err != nil || !slices.Equal(inForce, owned[name]) {
			t.Errorf("in force in %s: %q, %v, want %q", name, inForce, err, owned[name])
		}
	}
	for _, step := range []struct {
		name    string
		do      func() error
		changes func(ref string) bool
	}{
		{"reset", func() error { _, err := s.m.Reset(t.Context(), labOf["shop"], "shop", false); return err },
			func(ref string) bool { return slices.Contains(owned["shop"], ref) }},
		{"hard reset of the other", func() error { _, err := s.m.Reset(t.Context(), labOf["other"], "other", true); return err },
			func(ref string) bool {
				return slices.Contains(owned["other"], ref) || strings.Contains(ref, "team2") || ref == "Deployment default/visitor"
			}},
		{"down", func() error { return s.m.Down(t.Context(), labOf["shop"], "shop") },
			func(ref string) bool {
				return ref == "Namespace team" || strings.Contains(ref, " team/") || ref == "Deployment default/client" ||
					ref == "Namespace "+scopes["shop"].Canary
			}},
		{"down of the other", func() error { return s.m.Down(t.Context(), labOf["other"], "other") },
			func(ref string) bool {
				return strings.Contains(ref, "team2") || ref == "Deployment default/visitor" || ref == "Namespace "+scopes["other"].Canary
			}},
	} {
		was := s.Objects()
		maps.DeleteFunc(was, func(ref, _ string) bool { return step.changes(ref) })
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if d := differ(was, s.Objects()); len(d) > 0 {
			t.Errorf("%s changed %q", step.name, d)
		}
	}
	for ref := range s.Objects() {
		if before[ref] == "work" || strings.Contains(ref, "team") || strings.HasPrefix(ref, "Deployment") {
			t.Errorf("%s is left", ref)
		}
	}
}

// TestOwnCluster: where labctl created the cluster, whatever came after the lab is the student's.
func TestOwnCluster(t *testing.T) {
	t.Parallel()
	s := upShared(t, false)
	got, err := s.m.Reset(t.Context(), s.lab, "shop", false)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Deleted)
	want := []string{
		"CiliumCIDRGroup later", "CiliumClusterwideNetworkPolicy later", "CiliumClusterwideNetworkPolicy later-hosts", "CiliumNetworkPolicy kube-system/later",
		"CiliumNetworkPolicy theirs/later", "ClusterNetworkPolicy later", "NetworkPolicy default/later-other-lab", "NetworkPolicy theirs/later",
	}
	if !slices.Equal(got.Deleted, want) || len(got.Left) > 0 {
		t.Errorf("deleted %q, left %q", got.Deleted, got.Left)
	}
}

// TestReplacedByOthers: what stands in the place of the lab's own, and is not the lab's, is neither restored nor
// deleted.
func TestReplacedByOthers(t *testing.T) {
	t.Parallel()
	s := upShared(t, true)
	for _, obj := range []string{"Deployment default/client"} {
		kind, rest, _ := strings.Cut(obj, " ")
		namespace, name, _ := strings.Cut(rest, "/")
		if err := s.Client.Typed.AppsV1().Deployments(namespace).Delete(t.Context(), name, deleteOptions); err != nil {
			t.Fatal(kind, err)
		}
	}
	s.Add(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: client, namespace: default}, spec: {replicas: 7}}`)
	was := s.Objects()["Deployment default/client"]
	_, err := s.m.Reset(t.Context(), s.lab, "shop", true)
	if err == nil || !strings.Contains(err.Error(), "Deployment default/client is no longer the lab's") {
		t.Errorf("reset: %v", err)
	}
	if err := s.m.Down(t.Context(), s.lab, "shop"); err != nil {
		t.Error(err)
	}
	if now := s.Objects()["Deployment default/client"]; now != was {
		t.Errorf("it was %s and is %s", was, now)
	}
}

// TestBaselineNamesStrangers: a baseline under somebody else's policy would be a wrong one.
func TestBaselineNamesStrangers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, policy, want string }{
		{"nothing but strangers' own", ``, ""},
		{"clusterwide, all pods", `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingress: [{}]}}`, "CiliumClusterwideNetworkPolicy x"},
		{"cluster's DNS", `{apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: kube-system}, spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}}}`, "NetworkPolicy kube-system/x"},
		{"the student's", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: team}, spec: {podSelector: {}}}`, "suspends x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := upShared(t, true)
			if tc.policy != "" {
				s.Add(tc.policy)
			}
			r, err := s.m.reopen(context.Background(), s.lab, "shop", "test")
			if err != nil {
				t.Fatal(err)
			}
			defer r.inst.Close()
			policies, err := r.policiesInForce(t.Context(), s.Client)
			said := ""
			for _, p := range policies {
				said += "suspends " + p.GetName()
			}
			if err != nil {
				said += err.Error()
			}
			var disturbed *scope.DisturbedError
			if tc.want == "" && (said != "" || err != nil) || !strings.Contains(said, tc.want) || strings.HasSuffix(tc.want, "x") && tc.want != "suspends x" && !errors.As(err, &disturbed) {
				t.Errorf("it says %q (%v), want %q", said, err, tc.want)
			}
		})
	}
}

// TestUndefine: a resource definition of which somebody else has objects stays, since they would go with it.
func TestUndefine(t *testing.T) {
	t.Parallel()
	s := upShared(t, true)
	s.Add(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ciliumnetworkpolicies.cilium.io}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ciliumendpoints.cilium.io}}
`)
	r, err := s.m.reopen(t.Context(), s.lab, "shop", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.inst.Close()
	if err := r.undefine(t.Context(), s.Client, r.standalone("down"), []string{"ciliumnetworkpolicies.cilium.io", "ciliumendpoints.cilium.io"}); err != nil {
		t.Fatal(err)
	}
	left := s.Objects()
	if left["CustomResourceDefinition ciliumnetworkpolicies.cilium.io"] == "" || left["CustomResourceDefinition ciliumendpoints.cilium.io"] != "" {
		t.Error("the wrong definitions are left")
	}
}

// TestIdentity: two instances of one name in one cluster are two.
func TestIdentity(t *testing.T) {
	t.Parallel()
	a, b := State{Name: "shop", ID: "aaaaaaaa"}, State{Name: "shop", ID: "bbbbbbbb"}
	if a.Identity() == b.Identity() {
		t.Error("they are the same")
	}
	if old := (&State{Name: "shop"}); old.Identity() != "shop" {
		t.Errorf("an instance of an older version is %q", old.Identity())
	}
	r, _ := newTestRun(t, &fakeProvider{})
	if id := r.state().ID; len(id) != 8 {
		t.Errorf("a new instance has the ID %q", id)
	}
}
