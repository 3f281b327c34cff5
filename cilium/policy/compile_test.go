package policy_test

import (
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/policy/api"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/policy/manifest/manifesttest"
	"github.com/labctl/labctl/cilium/verdict"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: p\nspec:\n  endpointSelector: {}\n"
	for _, c := range []struct {
		name, yaml string
		line       int
		want       string
	}{
		{"groups", head + "  egress:\n  - {}\n  - toGroups:\n    - aws: {region: x}\n", 9, "toGroups (addresses that a cloud provider supplies) is not modelled"},
		{"authentication", head + "  ingress:\n  - authentication: {mode: required}\n    fromEndpoints: [{}]\n", 8, "mutual authentication (mode required)"},
		{"listener", head + "  egress:\n  - toPorts:\n    - ports: [{port: \"80\", protocol: TCP}]\n      listener: {name: l, envoyConfig: {name: e, kind: CiliumEnvoyConfig}}\n", 10, "Envoy listener"},
		{"TLS", head + "  egress:\n  - toPorts:\n    - ports: [{port: \"443\", protocol: TCP}]\n      terminatingTLS: {secret: {name: s}}\n      originatingTLS: {secret: {name: s}}\n", 10, "TLS interception is not modelled"},
		{"nodes", head + "  ingress:\n  - fromNodes: [{}]\n", 8, "fromNodes"},
		{"header from a secret", head + "  ingress:\n  - toPorts:\n    - ports: [{port: \"80\", protocol: TCP}]\n      rules:\n        http:\n        - headerMatches:\n          - name: X\n            secret: {name: s}\n", 14, "a header value from a Secret"},
		{"toServices in a deny rule", head + "  egressDeny:\n  - toServices: [{k8sService: {serviceName: x}}]\n", 8, "toServices in a deny rule"},
		{"two kinds of peers in a rule", head + "  ingress:\n  - fromEndpoints: [{}]\n  - fromEndpoints: [{}]\n    fromCIDR: [10.0.0.0/8]\n", 9, "is not supported yet"},
		{"DNS rules on ingress", head + "  ingress:\n  - toPorts:\n    - ports: [{port: \"53\", protocol: UDP}]\n      rules: {dns: [{matchPattern: \"*\"}]}\n", 8, "DNS is not supported on ingress"},
		{"nodeSelector in a namespace", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  nodeSelector: {}\n  ingress: [{}]\n", 5, "cannot have a nodeSelector"},
		{"an empty list", head + "  ingress: []\n", 5, "at least one of Ingress"},
		{"requests over any protocol", head + "  ingress:\n  - toPorts:\n    - ports: [{port: \"80\"}]\n      rules: {http: [{path: /}]}\n", 8, "L7 rules can only apply to TCP (not ANY)"},
		{"a range as a port", head + "  ingress:\n  - toPorts:\n    - ports:\n      - port: \"80\"\n      - port: \"3306-3310\"\n", 11, `"3306-3310" is no port, which is`},
		{"a port that is too large", head + "  ingressDeny:\n  - toPorts:\n    - ports:\n      - port: \"70000\"\n", 8, `"70000" is no port, which is`},
		{"an expression that is none", head + "  ingress:\n  - toPorts:\n    - ports: [{port: \"80\", protocol: TCP}]\n      rules: {http: [{path: \"(\"}]}\n", 8, "missing closing )"},
		{
			"nodes of a ClusterNetworkPolicy",
			"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n  egress:\n  - action: Accept\n    to:\n    - nodes: {}\n",
			11, "a peer of nodes",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, problems := policy.Compile(parse(t, c.yaml)[0], policy.Config{})
			if p != nil || len(problems) == 0 {
				t.Fatal("the policy was taken")
			}
			if got := problems[0]; !strings.Contains(got.Message, c.want) || got.Line != c.line || got.File != "test.yaml" {
				t.Errorf("got %s, want line %d and %q", got, c.line, c.want)
			}
			hint := map[string]string{"an empty list": "ingress: [{}]", "requests over any protocol": "protocol: TCP", "a range as a port": "endPort: 3310"}[c.name]
			if !strings.Contains(problems[0].Hint, hint) {
				t.Errorf("the hint is %q", problems[0].Hint)
			}
		})
	}
}

func TestCompileTakesEachPolicyAgain(t *testing.T) {
	t.Parallel()
	objs := parse(t, cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: "HTTP"}]}]}]}`))
	before := objs[0].Value.(*manifest.CiliumNetworkPolicy).Spec.DeepCopy()
	for range 2 {
		if _, problems := policy.Compile(objs[0], policy.Config{}); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	if after := objs[0].Value.(*manifest.CiliumNetworkPolicy).Spec; !after.DeepEqual(before) {
		t.Errorf("the object changed: %v", after)
	}
}

func TestCompileContainsPanics(t *testing.T) {
	t.Parallel()
	// No parser should panic, but this policy has what the manifest package never lets through.
	obj := &manifest.Object{Kind: "CiliumNetworkPolicy", Name: "p", Namespace: "default", File: "f.yaml", Value: &manifest.CiliumNetworkPolicy{
		Spec: &api.Rule{EndpointSelector: api.WildcardEndpointSelector, Ingress: []api.IngressRule{{ToPorts: api.PortRules{{Rules: &api.L7Rules{HTTP: []api.PortRuleHTTP{{HeaderMatches: []*api.HeaderMatch{nil}}}}}}}}},
	}}
	p, problems := policy.Compile(obj, policy.Config{})
	if p != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "cannot be evaluated") {
		t.Errorf("got %v, %v", p, problems)
	}
}

// Every kind of the table of policy kinds is compiled, and isolates as it says. What is not in the table is refused.
func TestCompileEveryKind(t *testing.T) {
	t.Parallel()
	const pods = `{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: app}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: other}, status: {podIP: 10.0.0.2}}
`
	cluster, problems := policy.NewCluster(parse(t, pods), policy.Config{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range manifest.PolicyKinds() {
		obj := parse(t, manifesttest.Policies(t)[kind.Name])[0]
		p, problems := policy.Compile(obj, policy.Config{})
		if err := problems.Err(); err != nil || !policy.IsPolicy(obj) {
			t.Fatalf("%s: %v", kind.Name, err)
		}
		result, err := policy.New(cluster, []*policy.Policy{p}, nil).Evaluate(policy.Probe{From: "other/b", To: "app/a", Port: 80})
		if err != nil || (result.Verdict != verdict.Allowed) != kind.Isolates {
			t.Errorf("%s: %v, %v", kind.Name, result.Verdict, err)
		}
	}
	for _, text := range manifesttest.UnknownPolicies() {
		obj := parse(t, text)[0]
		if p, problems := policy.Compile(obj, policy.Config{}); p != nil || len(problems) != 1 || policy.IsPolicy(obj) {
			t.Errorf("%s: %v, %v", obj.Kind, p, problems)
		}
	}
}

func TestCompileOther(t *testing.T) {
	t.Parallel()
	obj := parse(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}")[0]
	if policy.IsPolicy(obj) {
		t.Error("a Namespace is no policy")
	}
	if p, problems := policy.Compile(obj, policy.Config{}); p != nil || len(problems) != 1 {
		t.Errorf("got %v, %v", p, problems)
	}
	obj = &manifest.Object{Kind: "NetworkPolicy", Value: &networkingv1.NetworkPolicy{}}
	if _, problems := policy.Compile(obj, policy.Config{ClusterName: "another"}); len(problems) != 1 || !strings.Contains(problems[0].Message, "one cluster name per process") {
		t.Errorf("got %v", problems)
	}
}
