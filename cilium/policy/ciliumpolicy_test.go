package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

// cnp wraps a spec into a CiliumNetworkPolicy in namespace default.
func cnp(name, spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

// ccnp wraps a spec into a CiliumClusterwideNetworkPolicy.
func ccnp(name, spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

func TestCiliumNetworkPolicy(t *testing.T) {
	t.Parallel()
	runFlows(t, shop, []flowCase{
		{
			name: "an empty rule is a default deny",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{}]}`),
			want: `
				web > db 5432: dropped default-deny
				entity:host > db 5432: allowed local-host`,
		},
		{
			name: "fromEndpoints [{}] is the namespace",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{}]}]}`),
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: dropped default-deny
				ip:1.2.3.4 > db 5432: dropped default-deny`,
		},
		{
			name: "an empty list of peers allows none",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]}`),
			want: `web > db 5432: dropped default-deny`,
		},
		{
			name: "toPorts alone means any peer",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]}`),
			want: `
				other/client > db 5432: allowed allow
				ip:1.2.3.4 > db 5432: allowed allow
				web > db 5433: dropped
				web > db 5432/UDP: dropped`,
		},
		{
			name: "protocol ANY is TCP, UDP and SCTP",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: "7", protocol: ANY}, {port: "0", protocol: UDP}, {port: "8", endPort: 9}]}]}]}`),
			want: `
				web > db 7: allowed
				web > db 7/SCTP: allowed
				web > db 999/UDP: allowed
				web > db 9: allowed
				web > db 10: dropped
				web > db 8/ICMP: dropped`,
		},
		{
			name: "another namespace by its label and by its name",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [
  {fromEndpoints: [{matchLabels: {k8s:io.cilium.k8s.namespace.labels.team: blue}}], toPorts: [{ports: [{port: "1"}]}]},
  {fromEndpoints: [{matchLabels: {k8s:io.kubernetes.pod.namespace: other, app: client}}], toPorts: [{ports: [{port: "2"}]}]},
  {fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}], toPorts: [{ports: [{port: "3"}]}]}]}`),
			want: `
				other/client > db 1: allowed
				other/client > db 2: allowed
				other/client > db 3: allowed
				web > db 1: dropped
				web > db 2: dropped
				web > db 3: allowed`,
		},
		{
			name: "service account",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: db-sa}}, ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: default}}]}]}`),
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: dropped default-deny`,
		},
		{
			name: "deny comes first",
			yaml: cnp("allow", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEntities: [all]}]}`) + "---\n" +
				cnp("deny", `{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]}`),
			want: `
				web > db 22: dropped deny
				web > db 23: allowed allow
				ip:1.2.3.4 > db 22: allowed allow`,
		},
		{
			name: "only a deny keeps the own node out",
			yaml: cnp("deny", `{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEntities: [host]}]}`),
			want: `
				entity:host > db 1: dropped deny
				node:n2 > db 1: dropped deny
				node:n1 > db 1: dropped default-deny`,
		},
		{
			name: "entities",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [
  {fromEntities: [world], toPorts: [{ports: [{port: "1"}]}]},
  {fromEntities: [cluster], toPorts: [{ports: [{port: "2"}]}]},
  {fromEntities: [remote-node], toPorts: [{ports: [{port: "3"}]}]},
  {fromEntities: [kube-apiserver], toPorts: [{ports: [{port: "4"}]}]},
  {fromEntities: [all], toPorts: [{ports: [{port: "5"}]}]},
  {fromEntities: [none], toPorts: [{ports: [{port: "6"}]}]}]}`),
			want: `
				ip:1.2.3.4 > db 1: allowed
				entity:world > db 1: allowed
				web > db 1: dropped
				node:n1 > db 1: dropped
				web > db 2: allowed
				other/client > db 2: allowed
				node:n1 > db 2: allowed
				ip:1.2.3.4 > db 2: dropped
				node:n1 > db 3: allowed
				entity:remote-node > db 3: allowed
				web > db 3: dropped
				entity:kube-apiserver > db 4: allowed
				node:n1 > db 4: dropped
				ip:1.2.3.4 > db 5: allowed
				web > db 6: dropped`,
		},
		{
			name: "CIDRs",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [
  {toCIDR: [1.2.3.0/24, 8.8.8.8/32]},
  {toCIDRSet: [{cidr: 9.0.0.0/8, except: [9.9.0.0/16]}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`),
			want: `
				web > ip:1.2.3.4 1: allowed
				web > ip:8.8.8.8 1: allowed
				web > ip:8.8.8.9 1: dropped
				web > ip:9.1.1.1 443: allowed
				web > ip:9.1.1.1 80: dropped
				web > ip:9.9.1.1 443: dropped
				web > entity:world 443: dropped
				web > db 443: dropped`,
		},
		{
			name: "a whole family and nothing of the other",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toCIDR: ["::/0"]}]}`),
			want: `
				web > ip:1.2.3.4 1: dropped
				web > entity:world 1: dropped
				web > ip:fd00::1 1: allowed`,
		},
		{
			name: "enableDefaultDeny false adds without isolating",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, enableDefaultDeny: {ingress: false}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`),
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: allowed not-isolated`,
		},
		{
			name: "enableDefaultDeny false beside another policy that isolates",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, enableDefaultDeny: {ingress: false}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`) + "---\n" +
				cnp("q", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{}]}`),
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: dropped default-deny`,
		},
		{
			name: "enableDefaultDeny true without rules that allow",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, enableDefaultDeny: {egress: true, ingress: false}, egress: [{}]}`),
			want: `
				db > web 1: dropped default-deny
				web > db 1: allowed not-isolated`,
		},
		{
			name: "specs",
			yaml: "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspecs: [{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}, {endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: db}}]}]}]",
			want: `
				web > db 1: allowed allow
				web > other/client 1: dropped default-deny
				other/client > db 1: dropped default-deny`,
		},
		{
			name: "clusterwide: the empty selector is every pod, but no node",
			yaml: ccnp("p", `{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}`),
			want: `
				web > db 1: allowed allow
				other/client > db 1: allowed allow
				ip:1.2.3.4 > db 1: dropped default-deny
				node:n1 > db 1: dropped default-deny
				web > node:n2 22: allowed not-isolated`,
		},
		{
			name: "ICMP",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{}], icmps: [{fields: [{type: 8, family: IPv4}, {type: EchoRequest, family: IPv6}]}]}]}`),
			want: `
				web > db 8/ICMP: allowed
				web > db 3/ICMP: dropped
				web > db 128/ICMPv6: allowed
				web > db 8/ICMPv6: dropped
				web > db 8: dropped`,
		},
		{
			name: "ICMP type 0 is every type",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{icmps: [{fields: [{type: 0, family: IPv4}]}]}]}`),
			want: `
				web > db 8/ICMP: allowed
				web > db 128/ICMPv6: dropped`,
		},
		{
			name: "nodeSelector has no effect without the host firewall",
			yaml: ccnp("p", `{nodeSelector: {matchLabels: {disk: ssd}}, ingress: [{}]}`),
			want: `web > node:n1 22: allowed not-isolated`,
		},
		{
			name: "nodeSelector with the host firewall",
			cfg:  policy.Config{HostFirewall: true},
			yaml: ccnp("p", `{nodeSelector: {matchLabels: {disk: ssd}}, ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]}`),
			want: `
				web > node:n1 22: allowed allow
				web > node:n1 23: dropped default-deny
				ip:1.2.3.4 > node:n1 22: dropped default-deny
				web > node:n2 23: allowed not-isolated`,
		},
		{
			name: "groups of addresses by name and by label",
			yaml: `
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: partners, labels: {kind: partner}}
spec: {externalCIDRs: [5.0.0.0/8, 6.6.6.6/32]}
---
` + cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [
  {toCIDRSet: [{cidrGroupRef: partners, except: [5.5.0.0/16]}], toPorts: [{ports: [{port: "1"}]}]},
  {toCIDRSet: [{cidrGroupSelector: {matchLabels: {kind: partner}}}], toPorts: [{ports: [{port: "2"}]}]},
  {toCIDRSet: [{cidrGroupRef: missing}], toPorts: [{ports: [{port: "3"}]}]}]}`),
			want: `
				web > ip:5.1.1.1 1: allowed
				web > ip:5.5.1.1 1: dropped
				web > ip:6.6.6.6 1: allowed
				web > ip:7.1.1.1 1: dropped
				web > ip:5.5.1.1 2: allowed
				web > ip:5.1.1.1 3: dropped`,
		},
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	const rule = `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: /public/.*}, {method: PUT, path: /x, host: 'a\.example', headers: ["X-Key: 1"]}, {path: /h, headers: [X-Any]}]}}]}]}`
	runFlows(t, shop, []flowCase{
		{
			name: "requests must match whole",
			yaml: cnp("p", rule),
			want: `
				web > db 80: allowed allow
				web > db 80 GET /public/a: allowed allow
				web > db 80 GET /x/public/a: app_error l7
				web > db 80 GET /public: app_error l7
				web > db 80 POST /public/a: app_error l7
				web > db 80 PUT /x host a.example header x-key=1: allowed
				web > db 80 PUT /x host axexample header x-key=1: app_error
				web > db 80 PUT /x host a.example header x-key=2: app_error
				web > db 80 PUT /x host a.example: app_error
				web > db 80 GET /h header X-ANY=0: allowed
				web > db 80 GET /h: app_error
				web > db 81 GET /public/a: dropped default-deny
				other/client > db 80 GET /public/a: dropped default-deny`,
		},
		{
			name: "a plain allow of the peer opens every request",
			yaml: cnp("p", rule) + "---\n" + cnp("q", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{matchLabels: {tier: front}}]}]}`),
			want: `web > db 80 DELETE /: allowed allow`,
		},
		{
			name: "rules of two policies add up",
			yaml: cnp("p", rule) + "---\n" + cnp("q", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: /all}]}}]}]}`),
			want: `
				web > db 80 GET /all: allowed
				web > db 80 GET /public/: allowed
				other/client > db 80 GET /public/: app_error
				other/client > db 80 GET /all: allowed`,
		},
		{
			name: "nothing is refused where nothing isolates",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, enableDefaultDeny: {ingress: false}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: /all}]}}]}]}`),
			want: `web > db 80 GET /other: allowed`,
		},
		{
			name: "the own node passes the proxy, too",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: /}]}}]}]}`),
			want: `
				node:n2 > db 80 GET /admin: allowed local-host
				node:n1 > db 80 GET /admin: app_error l7`,
		},
		{
			name: "server names",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: ["api.example.com", "*.cdn.example"]}]}]}`),
			want: `
				web > ip:1.2.3.4 443: allowed
				web > ip:1.2.3.4 443 sni api.example.com: allowed
				web > ip:1.2.3.4 443 sni a.cdn.example: allowed
				web > ip:1.2.3.4 443 sni a.b.cdn.example: app_error
				web > ip:1.2.3.4 443 sni example.com: app_error
				web > ip:1.2.3.4 443 GET /: app_error`,
		},
		{
			name: "server names beside a plain allow of the same peers and port, and of others",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: ["api.example.com"]}]}, {toPorts: [{ports: [{port: "443", protocol: TCP}]}]}, {toCIDR: [9.0.0.0/8], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`),
			want: `
				web > ip:1.2.3.4 443 sni other.example: app_error l7
				web > ip:1.2.3.4 443 sni api.example.com: allowed allow
				web > ip:9.2.3.4 443 sni other.example: allowed allow`,
		},
		{
			name: "server names where nothing isolates",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, enableDefaultDeny: {egress: false}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: ["api.example.com"]}]}]}`),
			want: `web > ip:1.2.3.4 443 sni other.example: allowed not-isolated`,
		},
	})
}
