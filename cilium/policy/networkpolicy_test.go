package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

// shop is a small cluster: web and db in default, client in other (team=blue), two nodes.
const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {team: blue}}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {disk: ssd}}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, tier: front, pod-template-hash: abc}}
spec:
  nodeName: n1
  containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}, {name: metrics, containerPort: 9090}]}]
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec:
  nodeName: n2
  serviceAccountName: db-sa
  containers: [{name: c, image: x, ports: [{name: sql, containerPort: 5432}, {name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}]
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: other, labels: {app: client}}
spec:
  nodeName: n1
  containers: [{name: c, image: x}]
status: {podIP: 10.0.0.3}
`

func TestNetworkPolicy(t *testing.T) {
	t.Parallel()
	runFlows(t, shop, []flowCase{
		{
			name: "no policy",
			yaml: "",
			want: `
				web > db 5432: allowed not-isolated
				ip:1.2.3.4 > db 1: allowed not-isolated
				web > ip:1.2.3.4 443: allowed not-isolated
				web > db 8/ICMP: allowed not-isolated`,
		},
		{
			name: "deny all ingress",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}`,
			want: `
				web > db 5432: dropped default-deny
				other/client > db 5432: dropped default-deny
				ip:1.2.3.4 > db 5432: dropped default-deny
				web > db 8/ICMP: dropped default-deny
				db > web 80: allowed not-isolated
				other/client > web 80: allowed not-isolated
				entity:host > db 5432: allowed local-host
				node:n2 > db 5432: allowed local-host
				node:n1 > db 5432: dropped default-deny
				entity:remote-node > db 5432: dropped default-deny
				db > db 5432: allowed reason`,
		},
		{
			name: "rule without peers allows all, on its ports only",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}]}`,
			want: `
				web > db 5432: allowed allow
				ip:1.2.3.4 > db 5432: allowed allow
				web > db 5433: dropped default-deny
				web > db 5432/UDP: dropped default-deny
				web > db 8/ICMP: dropped default-deny`,
		},
		{
			name: "empty rule allows all",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {}, ingress: [{}]}`,
			want: `
				web > db 5432: allowed allow
				ip:1.2.3.4 > db 5432/SCTP: allowed allow
				web > db 8/ICMP: allowed allow`,
		},
		{
			name: "podSelector stays in the namespace",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}`,
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: dropped default-deny
				ip:1.2.3.4 > db 5432: dropped default-deny
				node:n1 > db 5432: dropped default-deny`,
		},
		{
			name: "namespaceSelector {} selects pods of every namespace and nothing else",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {}}]}]}`,
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: allowed allow
				ip:1.2.3.4 > db 5432: dropped default-deny
				node:n1 > db 5432: dropped default-deny`,
		},
		{
			name: "two items are OR",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: nobody}}}]}]}`,
			want: `
				other/client > db 5432: allowed allow
				web > db 5432: dropped default-deny`,
		},
		{
			name: "one item is AND",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: nobody}}}]}]}`,
			want: `other/client > db 5432: dropped default-deny`,
		},
		{
			name: "kubernetes.io/metadata.name is on every namespace",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}]}`,
			want: `
				other/client > db 5432: allowed allow
				web > db 5432: dropped default-deny`,
		},
		{
			name: "matchExpressions",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchExpressions: [{key: tier, operator: In, values: [front, back]}]}}]
    ports: [{port: 1}]
  - from: [{podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}}]
    ports: [{port: 2}]
  - from: [{podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}]
    ports: [{port: 3}]
  - from: [{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]
    ports: [{port: 4}]
  - from: [{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]
    ports: [{port: 5}]`,
			want: `
				web > db 1: allowed
				web > db 2: dropped
				web > db 3: allowed
				web > db 4: dropped
				web > db 5: allowed
				other/client > db 5: dropped
				other/client > db 2: dropped`,
		},
		{
			name: "labels that Cilium leaves out of identities select nothing",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {pod-template-hash: abc}}}]}]}`,
			want: `web > db 5432: dropped default-deny`,
		},
		{
			name: "ranges",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1000, endPort: 2000}, {port: 7, protocol: UDP}, {protocol: SCTP}]}]}`,
			want: `
				web > db 999: dropped
				web > db 1000: allowed
				web > db 2000: allowed
				web > db 2001: dropped
				web > db 1500/UDP: dropped
				web > db 7/UDP: allowed
				web > db 1/SCTP: allowed
				web > db 65535/SCTP: allowed`,
		},
		{
			name: "named ports are the destination's",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: http}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: other}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`,
			want: `
				other/client > web 8080: allowed
				other/client > web 80: dropped
				other/client > db 80: allowed
				other/client > db 8080: dropped
				other/client > ip:1.2.3.4 80: dropped default-deny
				web > db 80: allowed
				web > db 53/UDP: dropped`,
		},
		{
			name: "egress",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`,
			want: `
				web > db 5432: allowed allow
				web > other/client 80: dropped default-deny
				web > ip:1.2.3.4 80: dropped default-deny
				web > entity:host 80: dropped default-deny
				db > web 80: allowed not-isolated`,
		},
		{
			name: "both sides must allow",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`,
			want: `web > db 5432: dropped default-deny`,
		},
		{
			name: "ipBlock with an exception",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [1.2.3.0/24, 9.9.9.9/32]}}]}]}`,
			want: `
				web > ip:1.2.2.255 80: allowed
				web > ip:1.2.3.0 80: dropped
				web > ip:1.2.3.255 80: dropped
				web > ip:1.2.4.0 80: allowed
				web > ip:9.9.9.9 80: dropped
				web > entity:world 80: allowed
				web > db 5432: dropped
				web > node:n2 80: dropped`,
		},
		{
			name: "ipBlock never selects pods and nodes in Cilium",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 172.18.0.0/16}}]}]}`,
			want: `
				web > db 5432: dropped
				node:n1 > db 5432: dropped
				ip:10.9.9.9 > db 5432: allowed`,
		},
		{
			name: "ipBlock selects pods and nodes by address in Kubernetes",
			cfg:  policy.Config{Semantics: policy.Kubernetes},
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.3/32]}}, {ipBlock: {cidr: 172.18.0.2/32}}]}]}`,
			want: `
				web > db 5432: allowed
				other/client > db 5432: dropped
				node:n1 > db 5432: allowed`,
		},
		{
			name: "policyTypes Egress with ingress rules: Cilium enforces them",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			want: `
				web > db 5432: allowed allow
				other/client > db 5432: dropped default-deny
				db > web 80: dropped default-deny`,
		},
		{
			name: "policyTypes Egress with ingress rules: Kubernetes ignores them",
			cfg:  policy.Config{Semantics: policy.Kubernetes},
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			want: `
				other/client > db 5432: allowed not-isolated
				db > web 80: dropped default-deny`,
		},
		{
			name: "egress rules without policyTypes isolate both directions",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, egress: [{}]}`,
			want: `
				db > web 80: allowed allow
				web > db 5432: dropped default-deny`,
		},
		{
			name: "policies add up",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{}]}`,
			want: `
				web > db 5432: allowed allow
				db > web 80: dropped default-deny`,
		},
		{
			name: "a later policy of the same name replaces the earlier",
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`,
			want: `
				web > db 5432: allowed not-isolated
				db > web 80: dropped default-deny`,
		},
	})
}
