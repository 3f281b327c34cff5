package policy_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

const shopServices = shop + `
---
apiVersion: v1
kind: Service
metadata: {name: db, labels: {role: store}}
spec: {clusterIP: 10.96.0.50, selector: {app: db}, ports: [{name: sql, port: 80, targetPort: sql}, {name: plain, port: 81, targetPort: 5432}, {name: same, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: nothing}
spec: {selector: {app: typo}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: all}
spec: {selector: {}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{name: p, port: 80, targetPort: 8443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-1, labels: {kubernetes.io/service-name: outside}}
addressType: IPv4
ports: [{name: p, port: 8443, protocol: TCP}]
endpoints: [{addresses: [5.5.5.5]}, {addresses: [5.5.5.6]}, {addresses: [5.5.5.7], conditions: {ready: false}}]
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: www.example.com}
`

const dnsPods = `
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  containers: [{name: c, image: x, ports: [{name: dns, containerPort: 53, protocol: UDP}, {name: dns-tcp, containerPort: 53, protocol: TCP}]}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP, targetPort: dns}, {name: dns-tcp, port: 53, protocol: TCP, targetPort: dns-tcp}]}
`

func TestServices(t *testing.T) {
	t.Parallel()
	names := map[string][]string{"www.example.com": {"1.2.3.4"}}
	runFlows(t, shopServices, []flowCase{
		{
			name: "policies see the target port", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]}`),
			want: `
				web > svc:default/db 80: allowed allow
				web > svc:default/db 81: allowed allow
				web > svc:default/db 5432: allowed allow
				web > ip:10.96.0.50 80: allowed allow
				web > svc:default/headless 80: dropped default-deny
				web > svc:default/headless 5432: allowed allow
				web > svc:default/db 82: rejected reason
				web > svc:default/db 80/UDP: rejected reason
				web > svc:default/nothing 80: rejected reason
				web > svc:default/all 80: rejected reason
				web > svc:default/outside 80: allowed not-isolated
				web > svc:default/alias 443: allowed not-isolated
				other/client > svc:default/db 80: dropped default-deny
				db > svc:default/db 80: allowed reason`,
		},
		{
			name: "a cluster address in an ipBlock does not match",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.0/12}}]}]}`,
			want: `
				web > svc:default/db 80: dropped default-deny
				web > ip:10.96.0.50 80: dropped default-deny`,
		},
		{
			name: "toServices: the pods behind a service",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toServices: [{k8sService: {serviceName: db, namespace: default}}], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]}`),
			want: `
				web > svc:default/db 80: allowed allow
				web > db 80: dropped default-deny
				web > other/client 5432: dropped default-deny`,
		},
		{
			name: "toServices by label, in every namespace",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toServices: [{k8sServiceSelector: {selector: {matchLabels: {role: store}}}}]}]}`),
			want: `
				web > db 1: allowed allow
				web > other/client 1: dropped default-deny`,
		},
		{
			name: "toServices: the addresses of a service without selector, ready or not",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toServices: [{k8sService: {serviceName: outside, namespace: default}}]}]}`),
			want: `
				web > svc:default/outside 80: allowed allow
				web > ip:5.5.5.6 1: allowed allow
				web > ip:5.5.5.7 1: allowed allow
				web > ip:5.5.5.8 1: dropped default-deny`,
		},
		{
			name: "toServices without any endpoint: with ports it opens them to all, as in Cilium",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toServices: [{k8sService: {serviceName: missing}}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`),
			want: `
				web > ip:1.2.3.4 443: allowed allow
				web > ip:1.2.3.4 80: dropped default-deny`,
		},
		{
			name: "toServices without any endpoint and without ports allows none",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toServices: [{k8sService: {serviceName: missing}}]}]}`),
			want: `web > ip:1.2.3.4 443: dropped default-deny`,
		},
		{
			name: "without DNS in the cluster names are not looked up",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: db}}]}]}`),
			want: `web > svc:default/db 80: allowed allow`,
		},
		{
			name: "with DNS, a service is found by its name",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: db}}]}]}`) + dnsPods,
			want: `
				web > svc:default/db 80: dns_failed dns-default-deny
				web > ip:10.96.0.50 80: allowed allow
				web > db 5432: allowed allow
				node:n1 > svc:default/db 80: allowed not-isolated
				db > svc:default/db 80: allowed reason`,
		},
		{
			name: "DNS over UDP is enough, over TCP alone it is not",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: db}}]}, {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: UDP}]}]}]}`) + "---\n" +
				cnp("q", `{endpointSelector: {matchLabels: {app: db}}, egress: [{toEndpoints: [{matchLabels: {app: db}}]}, {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: TCP}]}]}]}`) + dnsPods,
			want: `
				web > svc:default/db 80: allowed allow
				db > svc:default/db 80: dns_failed dns-default-deny
				db > svc:kube-system/kube-dns 53/TCP query db.default.svc.cluster.local: allowed allow`,
		},
		{
			name: "the DNS pods' ingress counts",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: kube-system}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}` + dnsPods,
			want: `
				web > svc:default/db 80: dns_failed dns-default-deny
				other/client > svc:default/db 80: allowed not-isolated`,
		},
		{
			name: "DNS rules must list the name", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [
  {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*.default.svc.cluster.local"}]}}]},
  {toEndpoints: [{matchLabels: {app: db}}]}]}`) + dnsPods,
			want: `
				web > svc:default/db 80: allowed allow
				web > svc:kube-system/kube-dns 53/UDP: dns_failed dns-l7
				web > svc:kube-system/kube-dns 53/UDP query db.default.svc.cluster.local: allowed allow
				web > svc:kube-system/kube-dns 53/UDP query example.org: app_error l7
				web > fqdn:www.example.com 443: dns_failed dns-l7
				web > kube-system/coredns 53/UDP query db.default.svc.cluster.local: allowed allow
				web > kube-system/coredns 53/UDP query example.org: app_error l7`,
		},
		{
			name: "a plain allow beside DNS rules opens other names only for that very port",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [
  {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchName: a.example}]}}]},
  {toEntities: [all]}]}`) + "---\n" +
				cnp("q", `{endpointSelector: {matchLabels: {app: db}}, egress: [
  {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchName: a.example}]}}]},
  {toEntities: [cluster], toPorts: [{ports: [{port: "53", protocol: UDP}]}]}]}`) + dnsPods,
			want: `
				web > kube-system/coredns 53/UDP query b.example: app_error l7
				web > kube-system/coredns 53/UDP query A.example: allowed allow
				web > kube-system/coredns 53/TCP query b.example: allowed allow
				db > kube-system/coredns 53/UDP query b.example: allowed allow`,
		},
		{
			name: "a range of one port is another port to the DNS proxy",
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [
  {toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchName: a.example}]}}]}]}`) + "---\n" +
				np("q", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, endPort: 53, protocol: UDP}]}]}`) + dnsPods,
			want: `web > kube-system/coredns 53/UDP query b.example: app_error l7`,
		},
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	names := map[string][]string{"www.example.com": {"1.2.3.4", "1.2.3.5"}, "api.example.com": {"1.2.3.6"}, "In.Cluster": {"10.0.0.2"}, "two.example": {"7.7.7.7", "8.8.8.8"}}
	const dnsRule = `{toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}`
	runFlows(t, shop, []flowCase{
		{
			name: "names that a DNS rule teaches", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [`+dnsRule+`, {toFQDNs: [{matchName: www.example.com}, {matchPattern: "a*.example.com"}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`) + dnsPods,
			want: `
				web > fqdn:www.example.com 443: allowed allow
				web > fqdn:WWW.example.com. 443: allowed allow
				web > fqdn:api.example.com 443: allowed allow
				web > ip:1.2.3.5 443: allowed allow
				web > fqdn:www.example.com 80: dropped default-deny
				web > ip:1.2.3.7 443: dropped default-deny
				web > fqdn:unknown.example.com 443: dns_failed reason
				web > fqdn:In.Cluster 443: dropped default-deny
				db > fqdn:two.example 1: allowed not-isolated`,
		},
		{
			name: "plain DNS resolves but teaches nothing", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system}}]}, {toFQDNs: [{matchName: www.example.com}]}]}`) + dnsPods,
			want: `web > fqdn:www.example.com 443: dropped default-deny`,
		},
		{
			name: "no DNS at all", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: www.example.com}]}]}`) + dnsPods,
			want: `web > fqdn:www.example.com 443: dns_failed dns-default-deny`,
		},
		{
			name: "without DNS pods a rule for the name is enough", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [`+dnsRule+`, {toFQDNs: [{matchName: www.example.com}]}]}`) + "---\n" +
				cnp("q", `{endpointSelector: {matchLabels: {app: db}}, egress: [{toFQDNs: [{matchName: www.example.com}]}]}`),
			want: `
				web > fqdn:www.example.com 443: allowed allow
				db > fqdn:www.example.com 443: dropped default-deny`,
		},
		{
			name: "the worst address counts", names: names,
			yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toCIDR: [7.0.0.0/8]}]}`),
			want: `
				web > ip:7.7.7.7 1: allowed allow
				web > fqdn:two.example 1: dropped default-deny`,
		},
		{
			name: "domainNames of a ClusterNetworkPolicy teach themselves", names: names,
			yaml: kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: ["*.example.com"]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]}`) + dnsPods,
			want: `
				web > fqdn:www.example.com 443: allowed allow
				web > fqdn:two.example 443: dropped deny`,
		},
	})
}

func TestBackends(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{}, nil, shop, `
apiVersion: v1
kind: Service
metadata: {name: both}
spec: {selector: {}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s}
spec: {replicas: 3, selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, spec: {containers: [{name: c, image: x}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {app: s}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: s}}, ingress: [{ports: [{port: 80}]}]}
`)
	r, err := e.Evaluate(policy.Probe{From: "default/web", To: "svc:default/s", Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, b := range r.Backends {
		to = append(to, b.To)
		if b.Port != 8080 || b.Verdict != verdict.Dropped {
			t.Errorf("backend %s: port %d, %s", b.To, b.Port, b.Verdict)
		}
	}
	if got, want := strings.Join(to, " "), "default/s-0 default/s-1 default/s-2"; got != want {
		t.Errorf("backends %q, want %q", got, want)
	}
	if r.Verdict != verdict.Dropped || r.To != "svc:default/s" || r.Port != 80 {
		t.Errorf("got %s to %s:%d", r.Verdict, r.To, r.Port)
	}
}
