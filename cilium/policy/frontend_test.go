package policy_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

const frontendCluster = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 172.18.0.4}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {nodeName: n2, containers: [{name: c, image: x}]}
status: {podIP: 10.244.2.10}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080, hostPort: 9080}]}]}
status: {podIP: 10.244.1.10}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  clusterIP: 10.96.8.1
  externalIPs: [198.51.100.80]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.80}, {hostname: lb.example.org}]}}
---
`

// TestFrontends: node ports and load balancers lead into pods. What every way through them agrees on
// is the verdict; the rest is refused.
func TestFrontends(t *testing.T) {
	t.Parallel()
	closed := cnp("p", `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: nobody}}]}]}`)
	const nodes = `
		ip:192.0.2.7 > node:n1 30080: %[1]s
		ip:192.0.2.7 > node:n2 30080: %[1]s
		ip:192.0.2.7 > ip:172.18.0.4 30080: %[1]s
		entity:world > node:n2 30080: %[1]s
		client > node:n1 30080: %[1]s
		client > node:n2 30080: %[1]s
		client > entity:host 30080: %[1]s
		client > entity:remote-node 30080: %[1]s
		ip:192.0.2.7 > ip:203.0.113.80 80: %[1]s
		client > ip:203.0.113.80 80: %[1]s
		ip:192.0.2.7 > ip:198.51.100.80 80: %[1]s
		client > ip:198.51.100.80 80: %[1]s
		ip:192.0.2.7 > node:n1 9080: refused host port of pod default/web, which is not modelled
		client > node:n1 9080: refused host port of pod default/web, which is not modelled
		client > node:n1 30081: allowed not-isolated
		client > node:n2 9080: allowed not-isolated
		client > node:n1 30080/UDP: allowed not-isolated
		client > ip:203.0.113.80 81: refused has no port 81/TCP
		client > fqdn:lb.example.org 80: refused is the load balancer of service default/web`
	each := func(verdict string) string { return strings.ReplaceAll(nodes, "%[1]s", verdict) }
	local := strings.Replace(frontendCluster, "  clusterIP:", "  externalTrafficPolicy: Local\n  clusterIP:", 1)
	runFlows(t, frontendCluster, []flowCase{
		{name: "nothing is closed", yaml: cnp("p", "{endpointSelector: {matchLabels: {app: nobody}}, ingress: [{}]}"), want: each("allowed")},
		{name: "the pods are closed", yaml: closed, want: each("dropped")},
		{
			name: "a client's egress", yaml: cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`),
			want: `
				client > node:n1 30080: refused node port of service default/web; its verdict depends
				client > ip:203.0.113.80 80: refused load balancer address of service default/web
				client > ip:198.51.100.80 80: refused external IP of service default/web
				client > svc:default/web 80: allowed allow`,
		},
		{
			name: "the client's address", yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromCIDR: [192.0.2.0/24]}]}`),
			want: `
				ip:192.0.2.7 > node:n1 30080: refused not modelled
				ip:203.0.113.9 > node:n1 30080: dropped default-deny
				ip:192.0.2.7 > web 8080: allowed allow`,
		},
		{
			name: "the world is open, other nodes are not", yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEntities: [world]}]}`),
			want: `
				ip:192.0.2.7 > node:n1 30080: allowed allow
				ip:192.0.2.7 > node:n2 30080: refused not modelled`,
		},
	})
	runFlows(t, local, []flowCase{{
		name: "externalTrafficPolicy: Local", yaml: cnp("p", `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromCIDR: [192.0.2.0/24]}]}`),
		want: `
			ip:192.0.2.7 > node:n1 30080: allowed allow
			ip:192.0.2.7 > node:n2 30080: refused externalTrafficPolicy
			ip:192.0.2.7 > ip:203.0.113.80 80: allowed allow
			ip:203.0.113.9 > ip:203.0.113.80 80: dropped default-deny
			client > node:n1 30080: refused externalTrafficPolicy`,
	}})
	runFlows(t, strings.Replace(frontendCluster, "  clusterIP:", "  loadBalancerSourceRanges: [192.0.2.0/24]\n  clusterIP:", 1), []flowCase{{
		name: "loadBalancerSourceRanges", yaml: cnp("p", "{endpointSelector: {matchLabels: {app: nobody}}, ingress: [{}]}"),
		want: `
			ip:192.0.2.7 > ip:203.0.113.80 80: allowed
			ip:203.0.113.9 > ip:203.0.113.80 80: refused loadBalancerSourceRanges`,
	}})
	runFlows(t, strings.Replace(frontendCluster, "  clusterIP:", "  internalTrafficPolicy: Local\n  clusterIP:", 1), []flowCase{{
		name: "internalTrafficPolicy: Local", yaml: cnp("p", "{endpointSelector: {matchLabels: {app: nobody}}, ingress: [{}]}"),
		want: `
			client > svc:default/web 80: rejected reason
			node:n1 > svc:default/web 80: allowed
			ip:192.0.2.7 > ip:10.96.8.1 80: refused internalTrafficPolicy`,
	}})
	runFlows(t, strings.Replace(frontendCluster, "selector: {app: web}", "selector: {app: typo}", 1), []flowCase{{
		name: "no endpoints", yaml: closed,
		want: `
			ip:192.0.2.7 > node:n1 30080: rejected reason
			client > ip:203.0.113.80 80: rejected reason`,
	}})
	runFlows(t, strings.Replace(frontendCluster, ", nodePort: 30080", "", 1), []flowCase{{
		name: "a number that is not given", yaml: closed,
		want: `
			ip:192.0.2.7 > node:n1 30080: refused may be the node port of service default/web
			ip:192.0.2.7 > node:n1 22: allowed`,
	}})
	runFlows(t, strings.Replace(frontendCluster, "ip: 203.0.113.80", "ip: 172.18.0.4", 1), []flowCase{{
		name: "a load balancer with a node's address", yaml: closed,
		want: `
			ip:192.0.2.7 > node:n2 80: dropped
			ip:192.0.2.7 > node:n1 80: allowed
			ip:192.0.2.7 > ip:172.18.0.4 80: dropped`,
	}})
	runFlows(t, frontendCluster, []flowCase{{
		name: "a node port behind a service",
		yaml: closed + `
---
apiVersion: v1
kind: Service
metadata: {name: indirect}
spec: {clusterIP: 10.96.8.2, ports: [{port: 80, targetPort: 30080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: indirect}
subsets: [{addresses: [{ip: 172.18.0.4}, {ip: 10.96.8.2}], ports: [{port: 30080}]}]
`,
		want: `client > svc:default/indirect 80: dropped`,
	}})
}

// TestAddressConflicts: an address that two objects have is said of both.
func TestAddressConflicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, want string }{
		{"a pod with a node's", twoNodes + dumped("x", "app: x", "{podIP: 172.18.0.3}"), "the address 172.18.0.3 is that of node n1"},
		{"two nodes", twoNodes + "---\napiVersion: v1\nkind: Node\nmetadata: {name: n9}\nstatus: {addresses: [{type: InternalIP, address: 172.18.0.3}]}\n", "the nodes n1 and n9 both have the address 172.18.0.3"},
		{"two services", twoNodes + webService + strings.Replace(webService, "name: web}", "name: other}", 1), "the address 10.96.7.1 is also that of service default/web"},
		{"two node ports", frontendCluster + strings.NewReplacer("name: web}", "name: other}", "10.96.8.1", "10.96.8.9", "203.0.113.80", "203.0.113.81", "198.51.100.80", "198.51.100.81").Replace(frontendCluster[strings.Index(frontendCluster, "apiVersion: v1\nkind: Service"):]), "the node port 30080/TCP is also that of service default/web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, problems := policy.NewCluster(parse(t, strings.TrimSuffix(c.yaml, "---\n")), policy.Config{}); !strings.Contains(problems.Error(), c.want) {
				t.Errorf("problems %q, want %q", problems, c.want)
			}
		})
	}
}
