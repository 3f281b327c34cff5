package grade_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/grade/gradetest"
)

// The mistakes of NetworkPolicies that policies of Cilium's kinds can have as well, each with a submission that looks
// alike and does not make it.
func TestRecognizeCilium(t *testing.T) {
	t.Parallel()
	const (
		watchOnly8080 = `{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}],
			toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]}`
		onlyWebFromDefault = webReachesAPI + `
    expect "denied" {
      from = app.watch
      to   = app.api.port.http
    }`
		watchIsOpen = `
    expect "allowed" {
      from = app.api
      to   = app.web.port.http
    }` + nobodyReachesAPI
	)
	for _, tt := range []struct {
		name, checks      string
		first, task, want []string
	}{
		{
			name: "rule-split: a second dash before toPorts", checks: onlyWebFromDefault,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]},
				{toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]}`)},
			want: []string{"rule-split"},
		},
		{
			name: "rule-split: for the whole cluster, ports first, in the second spec", checks: onlyWatchReachesAPI,
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: p}\nspecs: " + `[
				{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEntities: [cluster]}]},
				{endpointSelector: {matchLabels: {app: api}}, ingress: [{toPorts: [{ports: [{port: '8080', protocol: TCP}]}]},
				{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}]` + "\n"},
			want: []string{"rule-split"},
		},
		{
			name: "rule-split, not: one rule", checks: onlyWatchReachesAPI, task: []string{cnp(watchOnly8080)},
		},
		{
			name: "and-or-peers: a second dash between the namespace and the pods", checks: onlyWatchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [
				{matchLabels: {'k8s:io.kubernetes.pod.namespace': ops}}, {matchLabels: {app: watch}}]}]}`)},
			want: []string{"and-or-peers"},
		},
		{
			name: "and-or-peers, not: the namespace alone", checks: onlyWatchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [
				{matchLabels: {'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			want: []string{"whole-namespace"},
		},
		{
			name: "subject-and-peer-swapped: ingress", checks: webReachesAPI + `
    expect "denied" {
      from = app.watch
      to   = app.api.port.http
    }`,
			first: []string{np(closeAPI)},
			task:  []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: api}}]}]}`)},
			want:  []string{"subject-and-peer-swapped"},
		},
		{
			name: "subject-and-peer-swapped: egress", checks: webReachesNobody,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)},
			want: []string{"wrong-subject"}, // with its ends swapped the rule would let web out to api, which is to be dropped
		},
		{
			name: "subject-and-peer-swapped: from another namespace", checks: onlyWatchReachesAPI,
			first: []string{np(closeAPI)},
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: ops}\nspec: " +
				`{endpointSelector: {matchLabels: {app: watch}}, ingress: [{fromEndpoints: [{matchLabels: {app: api, 'k8s:io.kubernetes.pod.namespace': default}}]}]}` + "\n"},
			want: []string{"subject-and-peer-swapped"},
		},
		{
			name: "subject-and-peer-swapped: for the whole cluster", checks: onlyWatchReachesAPI,
			first: []string{np(closeAPI)},
			task:  []string{ccnp(`{endpointSelector: {matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}, ingress: [{fromEndpoints: [{matchLabels: {app: api}}]}]}`)},
			want:  []string{"subject-and-peer-swapped"},
		},
		{
			name: "subject-and-peer-swapped, not: the peer is somebody else", checks: webReachesAPI, first: []string{np(closeAPI)},
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: log}}]}]}`)},
		},
		{
			name: "wrong-direction: ingress where egress was to be opened", checks: webReachesAPIByIP, first: []string{np(closeWeb)},
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: api}}], toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]}`)},
			want: []string{"wrong-direction"},
		},
		{
			name: "wrong-direction: egress where ingress was to be opened", checks: webReachesAPIByIP, first: []string{np(closeAPI)},
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)},
			want: []string{"wrong-direction"},
		},
		{
			name: "wrong-direction: egress where ingress was to be closed", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{}]}`)},
			want: []string{"wrong-direction"},
		},
		{
			name: "wrong-direction: ingress where egress was to be closed", checks: webReachesNobody,
			task: []string{ccnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}`)},
			want: []string{"wrong-direction"},
		},
		{
			name: "wrong-direction, not: both directions have rules", checks: webReachesAPIByIP, first: []string{np(closeAPI)},
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}], ingress: [{fromEndpoints: [{matchLabels: {app: api}}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name: "wrong-subject", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}`)},
			want: []string{"wrong-subject"},
		},
		{
			name: "wrong-subject, not: it selects the pod, and lets everybody in", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster]}]}`)},
			want: []string{"entity-too-wide"},
		},
		{
			name: "wrong-protocol", checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '8080', protocol: UDP}]}]}]}`)},
			want: []string{"wrong-protocol"},
		},
		{
			name: "wrong-protocol: egress, to somebody in the internet", checks: apiReachesInternet,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEntities: [world], toPorts: [{ports: [{port: '443', protocol: UDP}]}]}]}`)},
			want: []string{"wrong-protocol"},
		},
		{
			name: "wrong-protocol, not: the port is wrong as well", checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '8088', protocol: UDP}]}]}]}`)},
		},
		{
			name: "wrong-protocol, not: every protocol", checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '8080'}]}]}]}`)},
		},
		{
			name: "no-rules: only what is denied", checks: webReachesAPI + nobodyElseReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingressDeny: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': other}}]}]}`)},
			want: []string{"no-rules"},
		},
		{
			name: "no-rules: a list of nobody", checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: []}]}`)},
			want: []string{"no-rules"},
		},
		{
			name: "no-rules, not: an empty rule", checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}`)},
			want: []string{"empty-cilium-rule"},
		},
		{
			name: "no-rules, not: there is one, for somebody else", checks: webReachesAPI + watchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`)},
		},
		{
			name: "no-rules, not: another policy of the task has them", checks: webReachesAPI + watchReachesAPI,
			task: []string{
				cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: []}]}`),
				policyIn("default", "allow", apiFromWeb),
			},
		},
		{
			name: "rules-only-allow", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}, {matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name: "rules-only-allow: egress, for the whole cluster", checks: webReachesNobodyElse,
			task: []string{ccnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toCIDR: [0.0.0.0/0]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name: "rules-only-allow, not: some are to be let in", checks: onlyWatchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [
				{matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}, {matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			want: []string{"whole-namespace"},
		},
		{
			name: "rules-only-allow, not: everybody on a port", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]}`)},
			want: []string{"peers-missing"},
		},
		{
			name: "wrong-peer", checks: onlyWatchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: log, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name: "wrong-peer: of a look-up", checks: dnsOverUDP,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: api}}], toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name: "wrong-peer, not: the task needs it as well", checks: webReachesAPI + watchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`)},
		},
		{
			name: "wrong-namespace: to be closed", checks: nobodyReachesAPI,
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: ops}\nspec: " +
				"{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}\n"},
			want: []string{"wrong-namespace"},
		},
		{
			name: "wrong-namespace: to be opened", checks: webReachesAPI, first: []string{np(closeAPI)},
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: ops}\nspec: " +
				"{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web, 'k8s:io.kubernetes.pod.namespace': default}}]}]}\n"},
			want: []string{"wrong-namespace"},
		},
		{
			name: "wrong-namespace, not: of the pods in its own", checks: nobodyReachesAPI,
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: ops}\nspec: " +
				"{endpointSelector: {matchLabels: {app: watch}}, ingress: [{}]}\n"},
		},
		{
			name: "dns-wrong-port", checks: dnsOverUDP,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-system, k8s-app: kube-dns}}],
				toPorts: [{ports: [{port: '5353', protocol: ANY}]}]}]}`)},
			want: []string{"dns-wrong-port"},
		},
		{
			name: "dns-wrong-port, not: to another pod", checks: dnsOverUDP,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: api}}],
				toPorts: [{ports: [{port: '8080', protocol: ANY}]}]}]}`)},
			want: []string{"dns-forgotten"},
		},
		{
			name: "namespace-label-missing", checks: watchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.purpose': ops}}]}]}`)},
			want: []string{"namespace-label-missing"},
		},
		{
			name: "namespace-label-missing, not: it is there, on another port", checks: watchReachesAPI,
			task: []string{label("ops", opsLabelled), cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.purpose': ops}}],
				toPorts: [{ports: [{port: '81', protocol: TCP}]}]}]}`)},
		},
		{
			name: "selector-selects-nothing: typing error in the name of a namespace", checks: dnsOverUDP,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-sytem, k8s-app: kube-dns}}],
				toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name: "selector-selects-nothing: typing error in the name of a namespace, by its label", checks: watchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': osp}}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name: "selector-selects-nothing, not: the namespace is right, the port is not", checks: watchReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': osp}}],
				toPorts: [{ports: [{port: '81', protocol: TCP}]}]}]}`)},
		},
		{
			name: "selector-for-external", checks: apiReachesInternet,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]}`)},
			want: []string{"selector-for-external"},
		},
		{
			name: "selector-for-external: a label that no pod has, for the whole cluster", checks: apiReachesInternet,
			task: []string{ccnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{matchLabels: {app: internet}}]}]}`)},
			want: []string{"selector-for-external"},
		},
		{
			name: "selector-for-external, not: the rule is for a pod", checks: apiReachesInternet,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)},
		},
		{
			name: "selector-for-external, not: the task needs the rule for pods as well", checks: webReachesInternet + webReachesAPIByIP,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{}]}]}`)},
		},
		{
			name: "pod-label-vs-deployment-label", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {name: api-server}}, ingress: [{}]}`)},
			want: []string{"pod-label-vs-deployment-label"},
		},
		{
			name: "empty-vs-missing: closes every pod", checks: watchIsOpen,
			task: []string{cnp(`{endpointSelector: {}, ingress: [{}]}`)},
			want: []string{"empty-vs-missing"},
		},
		{
			name: "empty-vs-missing: opens every pod", checks: webReachesAPI + `
    expect "denied" {
      from = app.api
      to   = app.web.port.http
    }`,
			first: []string{policyIn("default", "closed", `{podSelector: {}, policyTypes: [Ingress]}`)},
			task:  []string{cnp(`{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}, {matchLabels: {app: api}}]}]}`)},
			want:  []string{"empty-vs-missing"},
		},
		{
			name: "policy-replaced", checks: nobodyReachesAPI, first: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}`)},
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [all]}]}`)},
			want: []string{"policy-replaced"},
		},
		{
			name: "earlier-policy-still-in-force", checks: onlyWatchReachesAPI,
			first: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			task: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: narrow, namespace: default}\nspec: " + `{endpointSelector: {matchLabels: {app: api}},
				ingress: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}` + "\n"},
			want: []string{"earlier-policy-still-in-force"},
		},
		{
			name: "ports-missing", checks: only8080,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`)},
			want: []string{"ports-missing"},
		},
		{
			name: "ports-missing, not: they are there", checks: only8080, task: []string{cnp(watchOnly8080)},
		},
		{
			name: "ports-missing: of an app with two ports", checks: apiReachesWebHTTPOnly,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{}]}]}`)},
			want: []string{"ports-missing"},
		},
		{
			name: "service-port-vs-target-port: an invariant", checks: only8080,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}`)},
			want: []string{"service-port-vs-target-port"},
		},
		{
			name: "peers-missing", checks: nobodyReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}]}`)},
			want: []string{"peers-missing"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkMistakes(t, tt.checks, tt.first, tt.task, tt.want)
		})
	}
}

// A peer with the label that a NetworkPolicy chooses a namespace by selects no pod, and the message says which label
// Cilium's pods have.
func TestNamespaceLabelInMessage(t *testing.T) {
	t.Parallel()
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", watchReachesAPI, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	policy := cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: watch, kubernetes.io/metadata.name: ops}}]}]}`)
	report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(policy)}}, "answers")
	const want = "Pods of another namespace need the label k8s:io.kubernetes.pod.namespace."
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Message, want) {
		t.Errorf("findings are %+v, want %q", report.Findings, want)
	}
}

// Where a name was not to resolve, the account is of the look-up: which rules let the query reach DNS.
func TestWhyTheNameResolves(t *testing.T) {
	t.Parallel()
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", nameFails, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	for _, tt := range []struct{ name, policy, want string }{
		{"and the connection does not come about", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}`, ""},
		{
			"and the connection comes about", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]},
			{to: [{podSelector: {matchLabels: {app: api}}}]}]}`, "",
		},
		{"because nothing is closed", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`, "is open: no policy in force selects it for egress"},
	} {
		report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(np(tt.policy))}}, "answers")
		for _, c := range missed(report) {
			text := strings.Join(c.Why.Text, " ")
			for _, want := range []string{"look-up at svc:kube-system/kube-dns:53/UDP gets through", "Egress from default/web", tt.want} {
				if !strings.Contains(text, want) {
					t.Errorf("%s: the account lacks %q: %s", tt.name, want, text)
				}
			}
			if strings.Contains(text, "8080") || strings.Contains(text, "default/api") {
				t.Errorf("%s: the account is of the connection: %s", tt.name, text)
			}
		}
		if len(missed(report)) == 0 {
			t.Errorf("%s: the check passed", tt.name)
		}
	}
}
