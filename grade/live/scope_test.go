package live

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// cluster is one that others use: their namespaces and policies, and the lab's.
const cluster = `
{apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {of: the-lab, junk: student}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, labels: {their: label}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: theirs, labels: {their: label}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: theirs, namespace: theirs}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: theirs, namespace: theirs}, spec: {endpointSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: theirs}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": theirs}}}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: theirs}, spec: {externalCIDRs: [192.0.2.0/24]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: theirs}, spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {their: label, kubernetes.io/metadata.name: theirs}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: student, namespace: team}, spec: {podSelector: {}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: student, namespace: default}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: graded, annotations: {labctl/submission: shop.1}}, spec: {endpointSelector: {}}}
`

// sharedEngine is an engine whose lab is in that cluster.
func sharedEngine(t *testing.T, observe bool) (*Engine, *kubetest.Server) {
	t.Helper()
	api := kubetest.New(t)
	api.Add(cluster)
	return engineIn(api, "shop", "team", "default", observe), api
}

// engineIn is an engine of a lab with an app in a namespace of its own, and one in another namespace.
func engineIn(api *kubetest.Server, name, own, other string, observe bool) *Engine {
	web := labs.App{Name: "web", Namespace: own, Labels: map[string]string{"app": "web"}}
	client := labs.App{Name: "client", Namespace: other, Labels: map[string]string{"app": "client"}}
	cfg := Config{
		Client: api.Client, Observe: observe, Settle: time.Minute,
		Lab: &labs.Lab{Name: name, Apps: []labs.App{web}},
		Instance: Instance{
			NamespaceLabels: map[string]map[string]string{
				own: {"kubernetes.io/metadata.name": own, "of": "the-lab"}, other: {"kubernetes.io/metadata.name": other},
				"kube-system": {"kubernetes.io/metadata.name": "kube-system", "their": "label"},
			},
			Scope: scope.Scope{
				Instance: name + ".1", Namespaces: []string{other, own}, Created: []string{own}, Canary: "labctl-canary-" + name,
				Apps: []scope.App{{Namespace: own, Owns: web.Owns, Labels: web.Labels}, {Namespace: other, Owns: client.Owns, Labels: client.Labels}},
			},
		},
	}
	return &Engine{cfg: cfg, inForce: map[string]string{}, methods: newMethods(cfg)}
}

func stateOf(t *testing.T, text string) *engine.State {
	t.Helper()
	objs, problems := manifest.Parse([]manifest.File{{Name: "a.yaml", Data: []byte(text)}}, manifest.Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &engine.State{Policies: objs, NamespaceLabels: map[string]map[string]string{"kube-system": {"answer": "yes"}, "team": {"answer": "yes"}}}
}

func changed(was, now map[string]string) []string {
	var out []string
	for ref := range was {
		if now[ref] != was[ref] {
			out = append(out, ref)
		}
	}
	for ref := range now {
		if was[ref] == "" {
			out = append(out, "new "+ref)
		}
	}
	slices.Sort(out)
	return out
}

const answer = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: answer, namespace: team}, spec: {podSelector: {}}}`

// TestEnforceLeavesOthersAlone puts a submission into force in a cluster that others use.
func TestEnforceLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	e, api := sharedEngine(t, false)
	was := api.Objects()
	if _, err := e.enforce(t.Context(), stateOf(t, answer)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CiliumClusterwideNetworkPolicy graded", "Namespace kube-system", "Namespace team", "NetworkPolicy default/student", "NetworkPolicy team/student",
		"new NetworkPolicy team/answer",
	}
	if got := changed(was, api.Objects()); !slices.Equal(got, want) {
		t.Errorf("it changed %q, want %q", got, want)
	}
	labelsOf := func(name string) map[string]string {
		ns, err := api.Client.Get(t.Context(), kube.NewObject("v1", "Namespace", "", name, nil))
		if err != nil {
			t.Fatal(err)
		}
		return ns.GetLabels()
	}
	if got := labelsOf("kube-system"); !maps.Equal(got, map[string]string{"kubernetes.io/metadata.name": "kube-system", "their": "label", "answer": "yes"}) {
		t.Errorf("kube-system has %v", got)
	}
	if got := labelsOf("team"); !maps.Equal(got, map[string]string{"kubernetes.io/metadata.name": "team", "of": "the-lab", "answer": "yes"}) {
		t.Errorf("team has %v", got)
	}
	// The next checkpoint has neither the policy nor the labels.
	if _, err := e.enforce(t.Context(), &engine.State{}); err != nil {
		t.Fatal(err)
	}
	if got := labelsOf("kube-system"); got["answer"] != "" || got["their"] != "label" {
		t.Errorf("kube-system has %v", got)
	}
	if api.Objects()["NetworkPolicy team/answer"] != "" {
		t.Error("the policy is still there")
	}
}

// TestEnforceInOwnCluster: everything that came after the lab goes.
func TestEnforceInOwnCluster(t *testing.T) {
	t.Parallel()
	e, api := sharedEngine(t, false)
	e.cfg.Instance.Scope.Exclusive = true
	if _, err := e.enforce(t.Context(), stateOf(t, answer)); err != nil {
		t.Fatal(err)
	}
	for ref := range api.Objects() {
		if (strings.Contains(ref, "Policy") || strings.Contains(ref, "CIDRGroup")) && ref != "NetworkPolicy team/answer" {
			t.Errorf("%s is still there", ref)
		}
	}
}

// TestEnforceRefuses: what falsifies a grade, or has a name that is taken, is named and left as it is.
func TestEnforceRefuses(t *testing.T) {
	t.Parallel()
	const all = `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingress: [{}]}}`
	const lab = `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": team}}, ingress: [{}]}}`
	const group = `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: theirs}, spec: {externalCIDRs: [198.51.100.0/24]}}`
	for _, tc := range []struct {
		name, there, submitted string
		observe                bool
		want                   string
	}{
		{"a policy for all", all, answer, false, "CiliumClusterwideNetworkPolicy x"},
		{"a policy for all, while looking", all, "", true, "CiliumClusterwideNetworkPolicy x"},
		{"a policy for the lab", lab, answer, false, "CiliumClusterwideNetworkPolicy x"},
		{"a policy for the lab, while looking", lab, "", true, ""},
		{"a name that is taken", "", group, false, "CiliumCIDRGroup theirs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, api := sharedEngine(t, tc.observe)
			if tc.there != "" {
				api.Add(tc.there)
			}
			was := api.Objects()
			_, all, err := e.policies(t.Context())
			if err == nil && tc.submitted != "" {
				err = e.untaken(stateOf(t, tc.submitted).Policies, all)
			}
			if tc.want != "" {
				if _, inForce := e.enforce(t.Context(), stateOf(t, answer)); tc.there != "" && inForce == nil {
					t.Error("it is put in force all the same")
				}
				if tc.there != "" {
					if got := changed(was, api.Objects()); len(got) > 0 {
						t.Errorf("it changed %q", got)
					}
				}
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			var refused *engine.Refused
			if errors.As(err, &refused) {
				t.Error("it is taken for the submission's fault")
			}
		})
	}
}

// TestTwoGradings: two labs in a cluster that others use are graded in turns, and looked at. Neither is disturbed by the
// other, and what others have stays as it is.
func TestTwoGradings(t *testing.T) {
	t.Parallel()
	samples := []string{
		`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: answer, namespace: NS}, spec: {podSelector: {}}}`,
		`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: answer, namespace: NS}, spec: {endpointSelector: {}, ingress: [{}]}}`,
		`{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NS}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": NS}}, ingress: [{fromCIDRSet: [{cidrGroupRef: NS}]}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: NS}, spec: {externalCIDRs: [198.51.100.0/24]}}`,
		`{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: NS}, spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: NS}}}}}`,
	}
	one, api := sharedEngine(t, false)
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: team2, labels: {of: the-lab}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: lobby}}
`)
	engines := map[string]*Engine{"team": one, "team2": engineIn(api, "other", "team2", "lobby", false)}
	namespaces := []string{"team", "team2"}
	was := api.Objects()
	for _, ref := range []string{ // the students', and namespaces that are labelled
		"CiliumClusterwideNetworkPolicy graded", "NetworkPolicy default/student", "NetworkPolicy team/student", "Namespace kube-system", "Namespace team", "Namespace team2",
	} {
		if was[ref] == "" {
			t.Fatalf("there is no %s", ref)
		}
		delete(was, ref)
	}
	// untouched: everything is what it was, and nothing is new but what the labs' answers are.
	untouched := func(after, answer string) {
		t.Helper()
		now := api.Objects()
		for ref := range was {
			if now[ref] != was[ref] {
				t.Errorf("after %s, %s was\n%s\nand is\n%s", after, ref, was[ref], now[ref])
			}
		}
		for _, ns := range namespaces {
			if answer == "" {
				break
			}
			for _, o := range stateOf(t, strings.ReplaceAll(answer, "NS", ns)).Policies {
				if ref := o.Ref().String(); now[ref] == "" {
					t.Errorf("after %s, %s is not there", after, ref)
				}
			}
		}
	}
	for _, sample := range samples {
		for _, ns := range namespaces {
			state := stateOf(t, strings.ReplaceAll(sample, "NS", ns))
			state.NamespaceLabels = map[string]map[string]string{"kube-system": {"answer-of-" + ns: "yes"}, ns: {"answer": "yes"}}
			change, err := engines[ns].enforce(t.Context(), state)
			if err != nil {
				t.Fatalf("%s: %v", ns, err)
			}
			if len(change.Policies) != 1 {
				t.Errorf("%s waits for %v", ns, change.Policies)
			}
		}
		untouched("grading", sample)
		for ns, names := range map[string][2]string{"team": {"shop", "default"}, "team2": {"other", "lobby"}} {
			files, err := engineIn(api, names[0], ns, names[1], true).Files(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			for _, f := range files {
				seen = append(seen, string(f.Data))
			}
			all := strings.Join(seen, "---\n")
			other := map[string]string{"team": "team2", "team2": "team"}[ns]
			for _, word := range []string{"name: " + other + "\n", "namespace: " + other + "\n", "name: theirs\n"} {
				if strings.Contains(all, word) {
					t.Errorf("a watch of %s sees\n%s", ns, all)
				}
			}
			if !strings.Contains(all, ns+"\n") {
				t.Errorf("a watch of %s does not see its answer:\n%s", ns, all)
			}
		}
		untouched("watching", sample)
	}
	for _, ns := range namespaces {
		if _, err := engines[ns].enforce(t.Context(), &engine.State{}); err != nil {
			t.Fatal(err)
		}
	}
	untouched("both", "")
	for ref := range api.Objects() {
		if strings.Contains(ref, "Policy") && was[ref] == "" {
			t.Errorf("%s is left", ref)
		}
	}
	system, err := api.Client.Typed.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if want := map[string]string{"kubernetes.io/metadata.name": "kube-system", "their": "label"}; err != nil || !maps.Equal(system.Labels, want) {
		t.Errorf("kube-system has the labels %v: %v", system.Labels, err)
	}
}

// TestLabelsOfOthers: a label that came after the lab counts for no submission.
func TestLabelsOfOthers(t *testing.T) {
	t.Parallel()
	const selecting = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: answer, namespace: team}, spec: {podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {KEY: "x"}}}]}]}}`
	for _, tc := range []struct{ name, key, want string }{
		{"a label that came later", "later", "label later=x to namespace kube-system"},
		{"one that was there", "their", ""},
		{"the submission's own", "answer", ""},
		{"one that there is not", "other", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, api := sharedEngine(t, false)
			if _, _, err := (&scope.Scope{Instance: "somebody"}).SetLabels(t.Context(), api.Client, "kube-system", map[string]string{"later": "x"}); err != nil {
				t.Fatal(err)
			}
			_, err := e.enforce(t.Context(), stateOf(t, strings.ReplaceAll(selecting, "KEY", tc.key)))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// TestCanaryOfOthers: a namespace of the canary's name that somebody else created is not used.
func TestCanaryOfOthers(t *testing.T) {
	t.Parallel()
	e, api := sharedEngine(t, false)
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: labctl-canary-shop}}`)
	was := api.Objects()
	if err := e.Canary(t.Context()); err == nil || !strings.Contains(err.Error(), "not created by this lab") {
		t.Errorf("%v", err)
	}
	if got := changed(was, api.Objects()); len(got) > 0 {
		t.Errorf("it changed %q", got)
	}
}

// TestSetupOfOthers: the setup of a task does not replace what somebody else has created.
func TestSetupOfOthers(t *testing.T) {
	t.Parallel()
	e, api := sharedEngine(t, false)
	api.Add(`{apiVersion: v1, kind: Service, metadata: {name: db, namespace: default}, spec: {selector: {app: theirs}}}`)
	was := api.Objects()
	state := stateOf(t, `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: default}, spec: {selector: {app: db}, ports: [{port: 1}]}}`)
	state.Applied, state.Policies = state.Policies, nil
	if err := e.setUp(t.Context(), state); err == nil || !strings.Contains(err.Error(), "Service default/db") {
		t.Errorf("%v", err)
	}
	if got := changed(was, api.Objects()); len(got) > 0 {
		t.Errorf("it changed %q", got)
	}
}

// TestFilesAreTheStudents: what others have in force is no part of the student's work.
func TestFilesAreTheStudents(t *testing.T) {
	t.Parallel()
	e, _ := sharedEngine(t, true)
	files, err := e.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	want := []string{"ciliumclusterwidenetworkpolicy.graded.yaml", "default.networkpolicy.student.yaml", "namespace.team.yaml", "team.networkpolicy.student.yaml"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// TestConcerns: a watch is woken by what its grade depends on.
func TestConcerns(t *testing.T) {
	t.Parallel()
	e, _ := sharedEngine(t, true)
	for ns, want := range map[string]bool{"team": true, "default": true, "theirs": false, "kube-system": true, "labctl-canary-shop": false, "": true} {
		if got := e.concerns(kube.NewObject("networking.k8s.io/v1", "NetworkPolicy", ns, "x", nil)); got != want {
			t.Errorf("a policy in %q: %v", ns, got)
		}
	}
}

const webhookOf = `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: NAME}, webhooks: [
  {name: a.example.org, sideEffects: None, admissionReviewVersions: [v1], clientConfig: CLIENT, rules: [{operations: ["*"], apiVersions: ["*"], resources: ["*"], apiGroups: GROUPS}]}]}`

// TestWebhooks: what a cloud puts into its clusters is not tampering, and what a student adds is.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	webhook := func(name, client, groups string) string {
		return strings.NewReplacer("NAME", name, "CLIENT", client, "GROUPS", groups).Replace(webhookOf)
	}
	const itself, service = `{url: "https://localhost:5443/x"}`, `{service: {name: hook, namespace: default}}`
	for _, tc := range []struct {
		name     string
		managed  bool
		before   string // the lab
		since    string
		tampered string // what is found; empty: nothing
	}{
		{"a fresh GKE cluster", true, kubetest.GKE, "", ""},
		{"GKE's webhooks come late", true, "", kubetest.GKE, ""},
		{"a student's own", true, kubetest.GKE, webhook("helpful", service, `["*"]`), "MutatingWebhookConfiguration helpful"},
		{"named like one of GKE's", true, kubetest.GKE, webhook("pod.config.common-webhooks.networking.gke.io", service, `[""]`), "pod.config"},
		{"on the control plane of kind, which the student has", false, "", webhook("helpful", itself, `[networking.k8s.io]`), "helpful"},
		{"an address that only looks like it", true, "", webhook("helpful", `{url: "https://localhost.example.org/x"}`, `[apps]`), "helpful"},
		{"for kinds that no lab has", false, "", webhook("helpful", service, `[monitoring.example.org]`), ""},
		{"there before", false, webhook("helpful", service, `["*"]`), "", ""},
		{"there before and changed", false, webhook("helpful", service, `[apps]`), "", "helpful"},
		{"an admission policy", false, "", `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: helpful}, spec: {matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}}}`, "MutatingAdmissionPolicy helpful"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, api := sharedEngine(t, false)
			s := &e.cfg.Instance.Scope
			s.Exclusive, s.Managed, s.Mutators = true, tc.managed, map[string]string{}
			api.Add(tc.before)
			mutators, err := scope.Mutators(t.Context(), api.Client)
			if err != nil {
				t.Fatal(err)
			}
			for i := range mutators {
				s.Mutators[string(mutators[i].UID)] = mutators[i].Digest
			}
			if tc.name == "there before and changed" {
				hooks := api.Client.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
				hook, err := hooks.Get(t.Context(), "helpful", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				hook.Webhooks[0].Rules[0].APIGroups = []string{"cilium.io"}
				if _, err := hooks.Update(t.Context(), hook, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			api.Add(tc.since)
			var found []string
			if _, err := e.webhooks(t.Context(), func(object, _ string, _ ...any) { found = append(found, object) }); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(found, ", "); (got == "") != (tc.tampered == "") || !strings.Contains(got, tc.tampered) {
				t.Errorf("tampering found: %q, want %q", got, tc.tampered)
			}
		})
	}
}
