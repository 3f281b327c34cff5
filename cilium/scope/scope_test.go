package scope_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/policy/manifest/manifesttest"
	"github.com/labctl/labctl/cilium/scope"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

func isWeb(_ string, labels map[string]string) bool { return labels["app"] == "web" }

func TestWhose(t *testing.T) {
	t.Parallel()
	const (
		np   = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, `
		ccnp = `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x, `
		cnp  = `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: x, `
	)
	for _, tc := range []struct {
		name, manifest               string
		resets, counts, resetsOfOurs bool // resetsOfOurs: on a cluster of labctl's own
	}{
		{"student's, in the lab", np + `namespace: team, uid: new}}`, true, true, true},
		{"student's, in a namespace that was there", np + `namespace: default, uid: new}}`, true, true, true},
		{"before the lab", np + `namespace: default, uid: old}}`, false, false, false},
		{"somewhere else", np + `namespace: theirs, uid: new}}`, false, false, true},
		{"a grading's", np + `namespace: theirs, uid: new, annotations: {labctl/submission: shop.1}}}`, true, true, true},
		{"of another instance, in the lab", np + `namespace: default, uid: new, annotations: {labctl/submission: shop.2}}}`, false, false, true},
		{"deployed by another instance", np + `namespace: default, uid: new, annotations: {labctl/instance: shop.2}}}`, false, false, true},
		{"with the mark of the lab's own objects", np + `namespace: team, uid: new, annotations: {labctl/instance: shop.1}}}`, true, true, true},
		{"the canary's", np + `namespace: labctl-canary-1, uid: new}}`, false, false, false},
		{"clusterwide, all pods", ccnp + `uid: new}, spec: {endpointSelector: {}}}`, false, false, true},
		{"clusterwide, before, marked", ccnp + `uid: old, annotations: {labctl/submission: shop.1}}, spec: {endpointSelector: {}}}`, false, false, false},
		{"clusterwide, a grading's", ccnp + `uid: new, annotations: {labctl/submission: shop.1}}, spec: {endpointSelector: {}}}`, true, true, true},
		{"clusterwide, the lab alone", ccnp + `uid: new}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": team}}}}`, false, true, true},
		{"clusterwide, the lab alone, before", ccnp + `uid: old}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": team}}}}`, false, false, false},
		{"clusterwide, by expression", ccnp + `uid: new}, spec: {endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: In, values: [team, default]}]}}}`, false, true, true},
		{"clusterwide, by expression, and others", ccnp + `uid: new}, spec: {endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: In, values: [team, theirs]}]}}}`, false, false, true},
		{"clusterwide, all but", ccnp + `uid: new}, spec: {endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [theirs]}]}}}`, false, false, true},
		{"clusterwide, by the namespace's name", ccnp + `uid: new}, spec: {endpointSelector: {matchLabels: {"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": team}}}}`, false, true, true},
		{"clusterwide, one spec of two", ccnp + `uid: new}, specs: [{endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": team}}}, {endpointSelector: {}}]}`, false, false, true},
		{"clusterwide, nodes", ccnp + `uid: new}, spec: {nodeSelector: {}}}`, false, false, true},
		{"clusterwide, nothing", ccnp + `uid: new}}`, false, false, true},
		{"admin's, the lab alone", cnp + `uid: new}, spec: {subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: team}}}}}`, false, true, true},
		{"admin's, pods of the lab", cnp + `uid: new}, spec: {subject: {pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team}}, podSelector: {}}}}}`, false, true, true},
		{"admin's, everybody", cnp + `uid: new}, spec: {subject: {namespaces: {}}}}`, false, false, true},
		{"CIDR group", `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: x, uid: new}, spec: {externalCIDRs: []}}`, false, false, true},
		{"weird", `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x, uid: new}, spec: [1], specs: {a: b}}`, false, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := scope.Scope{Instance: "shop.1", Namespaces: []string{"default", "team"}, Created: []string{"team"}, Before: []string{"old"}, Canary: "labctl-canary-1"}
			p := object(t, tc.manifest)
			if got := s.Resets(p); got != tc.resets {
				t.Errorf("resets: %v", got)
			}
			if got := s.Counts(p); got != tc.counts {
				t.Errorf("counts: %v", got)
			}
			s.Exclusive = true
			if got := s.Resets(p); got != tc.resetsOfOurs {
				t.Errorf("resets on a cluster of its own: %v", got)
			}
		})
	}
}

// TestPolicyKinds: policies of every kind that labctl knows are listed and recognized, and each kind's selector is
// understood.
func TestPolicyKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range manifest.PolicyKinds() {
		api := kubetest.New(t)
		api.Add(manifesttest.Policies(t)[kind.Name])
		all, err := scope.Policies(t.Context(), api.Client)
		if err != nil || len(all) != 1 || !scope.IsPolicy(&all[0]) {
			t.Fatalf("%s: %v, %v", kind.Name, all, err)
		}
		for namespace, want := range map[string]bool{"app": kind.Isolates, "other": false} {
			s := scope.Scope{Instance: "shop.1", Apps: []scope.App{{Namespace: namespace, Owns: isWeb, Labels: map[string]string{"app": "web"}}}}
			api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: ` + namespace + `, labels: {kubernetes.io/metadata.name: ` + namespace + `}}}`)
			if err := s.Undisturbed(t.Context(), api.Client, all, false); (err != nil) != want {
				t.Errorf("%s in a lab in the namespace %s: %v", kind.Name, namespace, err)
			}
		}
		if s := (scope.Scope{Namespaces: []string{"app"}}); kind.Isolates && !s.Counts(&all[0]) {
			t.Errorf("%s, which can select only the lab's pods, is not part of what is in force", kind.Name)
		}
	}
	for _, text := range manifesttest.UnknownPolicies() {
		if p := object(t, text); scope.IsPolicy(p) {
			t.Errorf("%s is taken for a policy that labctl knows", p.GetKind())
		}
	}
}

// TestUndisturbed: policies of others that apply to the lab's pods are named, and no others.
func TestUndisturbed(t *testing.T) {
	t.Parallel()
	ccnp := func(selector string) string {
		return `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: ` + selector + `, ingress: [{}]}}`
	}
	admin := func(subject string) string {
		return `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: x}, spec: {tier: Admin, priority: 1, subject: ` + subject + `}}`
	}
	for _, tc := range []struct {
		name, manifest string
		disturbs       bool
		observed       bool // what a look at the running lab says
	}{
		{"all pods", ccnp(`{}`), true, true},
		{"a label", ccnp(`{matchLabels: {app: web}}`), true, true},
		{"a label with its source", ccnp(`{matchLabels: {"any:app": web}}`), true, true},
		{"another label", ccnp(`{matchLabels: {app: db}}`), false, false},
		{"the lab's namespace, perhaps the student's", ccnp(`{matchLabels: {"k8s:io.kubernetes.pod.namespace": team}}`), true, false},
		{"another namespace", ccnp(`{matchLabels: {"k8s:io.kubernetes.pod.namespace": theirs}}`), false, false},
		{"namespace labels", ccnp(`{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.of": the-lab}}`), true, true},
		{"service account", ccnp(`{matchLabels: {io.cilium.k8s.policy.serviceaccount: robot}}`), true, true},
		{"a label that exists", ccnp(`{matchExpressions: [{key: "k8s:app", operator: Exists}]}`), true, true},
		{"a label that must not, as with the cluster's DNS", ccnp(`{matchExpressions: [{key: app, operator: DoesNotExist}]}`), true, true},
		{"labels that must not", ccnp(`{matchExpressions: [{key: app, operator: DoesNotExist}, {key: k8s-app, operator: DoesNotExist}]}`), false, false},
		{"a reserved label", ccnp(`{matchLabels: {"reserved:host": ""}}`), false, false},
		{"an operator that there is not", ccnp(`{matchExpressions: [{key: app, operator: Like, values: [w]}]}`), true, true},
		{"a selector that is none", ccnp(`[]`), true, true},
		{"nodes", `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {nodeSelector: {}, ingress: [{}]}}`, false, false},
		{"the second of its specs", `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, specs: [{endpointSelector: {matchLabels: {a: b}}}, {endpointSelector: {}}]}`, true, true},
		{"admin's, everybody", admin(`{namespaces: {}}`), true, true},
		{"admin's, others", admin(`{namespaces: {matchLabels: {of: theirs}}}`), false, false},
		{"admin's, pods", admin(`{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}`), true, true},
		{"admin's, other pods", admin(`{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}`), false, false},
		{"of another lab, in a namespace of both", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: team, annotations: {labctl/submission: other.9}}, spec: {podSelector: {}}}`, true, true},
		{"the cluster's DNS", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: kube-system}, spec: {podSelector: {}}}`, true, true},
		{"beside the cluster's DNS", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: kube-system}, spec: {podSelector: {matchLabels: {app: x}}}}`, false, false},
		{"the student's", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: team}, spec: {podSelector: {}}}`, false, false},
		{"a group", `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: x}, spec: {externalCIDRs: []}}`, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := kubetest.New(t)
			api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {of: the-lab}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: team, labels: {app: web, pod-template-hash: x}}, spec: {serviceAccountName: robot}}
---
{apiVersion: v1, kind: Pod, metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {}}
---
` + tc.manifest)
			all, err := scope.Policies(t.Context(), api.Client)
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			s := scope.Scope{Instance: "shop.1", Namespaces: []string{"team"}, Created: []string{"team"}, Apps: []scope.App{{Namespace: "team", Owns: isWeb, Labels: map[string]string{"app": "web"}}}}
			for observe, want := range map[bool]bool{false: tc.disturbs, true: tc.observed} {
				err := s.Undisturbed(t.Context(), api.Client, all, observe)
				var disturbed *scope.DisturbedError
				if errors.As(err, &disturbed) != want || want && !strings.Contains(err.Error(), kube.Ref(&all[0])) {
					t.Errorf("observed %v: %v, want it to disturb: %v", observe, err, want)
				}
			}
			s.Exclusive = true
			if err := s.Undisturbed(t.Context(), api.Client, all, false); err != nil {
				t.Errorf("on a cluster of its own: %v", err)
			}
		})
	}
}

// TestPodsWithoutLabels: an app whose pods have no labels is known by their name, and is not the whole namespace.
func TestPodsWithoutLabels(t *testing.T) {
	t.Parallel()
	api := kubetest.New(t)
	api.Add(`{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: default}, spec: {}}
---
{apiVersion: v1, kind: Pod, metadata: {name: theirs, namespace: default, labels: {app: theirs}}, spec: {}}
`)
	s := scope.Scope{Instance: "shop.1", Namespaces: []string{"default"}, Apps: []scope.App{{Namespace: "default", Owns: func(name string, _ map[string]string) bool { return name == "bare" }}}}
	for selector, want := range map[string]bool{`{matchLabels: {app: theirs}}`: false, `{}`: true} {
		p := object(t, `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: `+selector+`}}`)
		if err := s.Undisturbed(t.Context(), api.Client, []unstructured.Unstructured{*p}, false); (err != nil) != want {
			t.Errorf("%s: %v", selector, err)
		}
	}
	for name, want := range map[string]bool{"bare": true, "theirs": false} {
		if got := s.OwnsPod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}); got != want {
			t.Errorf("pod %s: %v", name, got)
		}
	}
}

// TestSetLabels: in a namespace that others use, each one's labels stay its own.
func TestSetLabels(t *testing.T) {
	t.Parallel()
	api := kubetest.New(t)
	api.Add(`{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, labels: {theirs: a, same: s}}}`)
	one, two := &scope.Scope{Instance: "shop.1"}, &scope.Scope{Instance: "shop.2"}
	before := api.Objects()["Namespace kube-system"]
	set := func(s *scope.Scope, labels map[string]string, want string) {
		t.Helper()
		if _, _, err := s.SetLabels(t.Context(), api.Client, "kube-system", labels); err != nil {
			t.Fatal(err)
		}
		ns := &unstructured.Unstructured{}
		if err := ns.UnmarshalJSON([]byte(api.Objects()["Namespace kube-system"])); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, key := range []string{"theirs", "same", "x", "y", "z"} {
			if v := ns.GetLabels()[key]; v != "" {
				keys = append(keys, key+"="+v)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("labels %q, want %q", got, want)
		}
	}
	set(one, nil, "theirs=a same=s")
	if now := api.Objects()["Namespace kube-system"]; now != before {
		t.Errorf("without labels it was changed from %s to %s", before, now)
	}
	set(one, map[string]string{"x": "1", "same": "s"}, "theirs=a same=s x=1")
	set(two, map[string]string{"z": "3"}, "theirs=a same=s x=1 z=3")
	set(one, map[string]string{"y": "2"}, "theirs=a same=s y=2 z=3") // x goes, "same" is theirs too
	set(one, nil, "theirs=a same=s z=3")
	set(two, nil, "theirs=a same=s")
	if _, _, err := one.SetLabels(t.Context(), api.Client, "kube-system", map[string]string{"theirs": "b"}); err == nil || !strings.Contains(err.Error(), "kube-system") {
		t.Errorf("somebody else's label was changed: %v", err)
	}
	if now, _, err := one.SetLabels(t.Context(), api.Client, "nowhere", map[string]string{"x": "1"}); now != nil || err != nil {
		t.Errorf("a namespace that is not there: %v, %v", now, err)
	}
}

// TestOthers: every other instance that has a lab in the cluster is found, whatever that is made of.
func TestOthers(t *testing.T) {
	t.Parallel()
	for kind, version := range map[string]string{"Namespace": "v1", "Pod": "v1", "Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			api := kubetest.New(t)
			s := scope.Scope{Instance: "shop.1"}
			for _, by := range []string{"shop.1", "shop.2", ""} {
				api.Add(`{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {name: x` + strings.ReplaceAll(by, ".", "-") + `, annotations: {labctl/instance: "` + by + `"}}}`)
			}
			if got, err := s.Others(t.Context(), api.Client); err != nil || len(got) != 1 || got[0] != "shop.2" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestConcerns: in a cluster that others use, their traffic is no business of the lab's.
func TestConcerns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to       string
		shared, ofOurs bool
	}{
		{"team", "team", true, true}, {"team", "", true, true}, {"", "team", true, true}, {"theirs", "team", true, true},
		{"theirs", "theirs", false, true}, {"theirs", "", false, true}, {"canary", "canary", false, false},
	} {
		s := scope.Scope{Namespaces: []string{"team"}, Canary: "canary"}
		if got := s.Concerns(tc.from, tc.to); got != tc.shared {
			t.Errorf("%q to %q: %v", tc.from, tc.to, got)
		}
		s.Exclusive = true
		if got := s.Concerns(tc.from, tc.to); got != tc.ofOurs {
			t.Errorf("%q to %q, on a cluster of its own: %v", tc.from, tc.to, got)
		}
	}
}
