package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

// kcnp wraps a spec into a ClusterNetworkPolicy.
func kcnp(name, spec string) string {
	return "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

func TestClusterNetworkPolicy(t *testing.T) {
	t.Parallel()
	const netpol = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
---
`
	runFlows(t, shop, []flowCase{
		{
			name: "the admin tier comes before network policies",
			yaml: netpol + kcnp("p", `{tier: Admin, priority: 10, subject: {namespaces: {}}, ingress: [
  {name: in, action: Accept, from: [{namespaces: {matchLabels: {team: blue}}}], protocols: [{tcp: {destinationPort: {number: 1}}}]},
  {name: out, action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 1, end: 3}}}}]}]}`),
			want: `
				other/client > db 1: allowed allow
				other/client > db 2: dropped deny
				web > db 3: dropped deny
				web > db 4: allowed allow
				other/client > db 4: dropped default-deny`,
		},
		{
			name: "the baseline tier comes after them",
			yaml: netpol + kcnp("p", `{tier: Baseline, priority: 10, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`),
			want: `
				web > db 1: allowed allow
				other/client > db 1: dropped deny
				db > web 1: dropped deny
				ip:1.2.3.4 > web 1: allowed not-isolated`,
		},
		{
			name: "pass skips the tier",
			yaml: netpol + kcnp("a", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{pods: {podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}}]}]}`) + "---\n" +
				kcnp("b", `{tier: Admin, priority: 2, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`),
			want: `
				web > db 1: allowed allow
				other/client > db 1: dropped deny`,
		},
		{
			name: "priorities: the lower number first, then the order of rules",
			yaml: kcnp("late", `{tier: Admin, priority: 20, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`) + "---\n" +
				kcnp("early", `{tier: Admin, priority: 10, subject: {pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}}, ingress: [{action: Accept, from: [{namespaces: {}}], protocols: [{destinationNamedPort: sql}]}]}`),
			want: `
				web > db 5432: allowed allow
				web > db 5433: dropped deny
				db > web 5432: dropped deny`,
		},
		{
			name: "it does not isolate",
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [1.2.3.0/24]}]}]}`),
			want: `
				web > ip:1.2.3.4 1: allowed allow
				web > ip:9.9.9.9 1: allowed not-isolated`,
		},
		{
			name: "a selector of namespaces with negative terms only selects every pod",
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}`),
			want: `
				web > db 1: dropped deny
				other/client > db 1: dropped deny`,
		},
		{
			name: "networks",
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}`),
			want: `
				web > ip:1.2.3.4 1: dropped deny
				web > db 1: allowed not-isolated`,
		},
	})
	kubernetes := policy.Config{Semantics: policy.Kubernetes}
	runFlows(t, shop, []flowCase{
		{
			name: "Kubernetes: what a network policy selects never comes to the baseline tier", cfg: kubernetes,
			yaml: netpol + kcnp("p", `{tier: Baseline, priority: 10, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{namespaces: {}}]}]}`),
			want: `
				web > db 1: dropped deny
				ip:1.2.3.4 > db 1: dropped default-deny
				node:n1 > db 1: dropped default-deny
				other/client > ip:1.2.3.4 1: allowed not-isolated`,
		},
		{
			name: "Kubernetes: and neither does an accept", cfg: kubernetes,
			yaml: netpol + kcnp("p", `{tier: Baseline, priority: 10, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}`),
			want: `
				web > db 1: allowed allow
				other/client > db 1: dropped default-deny
				other/client > web 1: allowed allow`,
		},
		{
			name: "Cilium: the baseline tier has a word on what no rule matches",
			yaml: netpol + kcnp("p", `{tier: Baseline, priority: 10, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}`),
			want: `other/client > db 1: allowed allow`,
		},
		{
			name: "Kubernetes: networks select pods by address", cfg: kubernetes,
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.2/32]}]}]}`),
			want: `
				web > db 1: dropped deny
				other/client > web 1: allowed not-isolated`,
		},
		{
			name: "Kubernetes: negative terms select what they say", cfg: kubernetes,
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}`),
			want: `
				web > db 1: dropped deny
				ip:1.2.3.4 > db 1: allowed not-isolated
				other/client > db 1: allowed not-isolated`,
		},
	})
}
