package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// dumped is a pod as a live cluster describes it.
func dumped(name, labels, status string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {%s}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: %s
`, name, labels, status)
}

const twoNodes = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}, {type: Hostname, address: n1}, {type: ExternalIP, address: 198.51.100.3}]}
---
apiVersion: v1
kind: Node
metadata: {name: cp, labels: {node-role.kubernetes.io/control-plane: ""}}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {nodeName: n1, containers: [{name: c, image: x}]}
status: {phase: Running, podIP: 10.244.1.10}
`

const webService = `
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.7.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
`

// TestPodStatus: what a pod's status says of its address and of its place behind a service.
func TestPodStatus(t *testing.T) {
	t.Parallel()
	const open, closed = "app: web, open: 'yes'", "app: web"
	policies := "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{matchLabels: {open: "yes"}}]}]}`)
	ready := dumped("ready", open, "{phase: Running, podIP: 10.244.1.11, conditions: [{type: Ready, status: 'True'}]}")
	for _, c := range []struct{ name, pods, want string }{
		{"unready", ready + dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'False'}]}"), "allowed allow"},
		{"readiness unknown", ready + dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: Unknown}]}"), "allowed allow"},
		{"a phase that is unknown", ready + dumped("w", closed, "{phase: Unknown, podIP: 10.244.1.12}"), "allowed allow"},
		{"its containers are not ready", ready + dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: ContainersReady, status: 'False'}]}"), "allowed allow"},
		{"a closed readiness gate", ready + strings.Replace(dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: ContainersReady, status: 'True'}]}"),
			"spec: {", "spec: {readinessGates: [{conditionType: example.org/in}], ", 1), "allowed allow"},
		{"finished", ready + dumped("w", closed, "{phase: Succeeded, podIP: 10.244.1.11}"), "allowed allow"},
		{"evicted", ready + dumped("w", closed, "{phase: Failed, reason: Evicted}"), "allowed allow"},
		{"pending", ready + dumped("w", closed, "{phase: Pending}"), "allowed allow"},
		{"pending with an address", ready + dumped("w", closed, "{phase: Pending, podIP: 10.244.1.12}"), "allowed allow"},
		{"terminating", ready + strings.Replace(dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'True'}]}"),
			"labels:", "deletionTimestamp: '2026-01-01T00:00:00Z', labels:", 1), "allowed allow"},
		{"terminating, and no other", strings.Replace(dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'True'}]}"),
			"labels:", "deletionTimestamp: '2026-01-01T00:00:00Z', labels:", 1), "dropped default-deny"},
		{"a status without conditions", ready + dumped("w", closed, "{phase: Running, podIP: 10.244.1.12}"), "dropped default-deny"},
		{"no status", ready + dumped("w", closed, "{}"), "dropped default-deny"},
		{"ready", ready + dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'True'}]}"), "dropped default-deny"},
		{"none is ready", dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'False'}]}"), "rejected reason"},
		{"none runs", dumped("w", closed, "{phase: Failed, podIP: 10.244.1.12}"), "rejected reason"},
	} {
		runFlows(t, twoNodes+webService+c.pods, []flowCase{{name: c.name, yaml: policies, want: "client > svc:default/web 80: " + c.want}})
	}
	unready := dumped("w", closed, "{phase: Running, podIP: 10.244.1.12, conditions: [{type: Ready, status: 'False'}]}")
	runFlows(t, twoNodes+unready, []flowCase{
		{
			name: "publishNotReadyAddresses", yaml: policies + strings.Replace(webService, "selector:", "publishNotReadyAddresses: true, selector:", 1),
			want: "client > svc:default/web 80: dropped default-deny",
		},
		{
			name: "a headless service", yaml: policies + strings.Replace(webService, "10.96.7.1", "None", 1),
			want: "client > svc:default/web 8080: dns_failed reason",
		},
		{
			name: "a headless service with publishNotReadyAddresses",
			yaml: policies + strings.Replace(webService, "10.96.7.1", "None, publishNotReadyAddresses: true", 1),
			want: "client > svc:default/web 8080: dropped default-deny",
		},
	})
	runFlows(t, twoNodes+ready+dumped("done", closed, "{phase: Succeeded, podIP: 10.244.1.99}")+dumped("later", closed, "{phase: Pending}"), []flowCase{{
		name: "probes of pods without a network", yaml: policies,
		want: `
			client > done 80: refused has finished (phase Succeeded)
			done > client 80: refused has finished (phase Succeeded)
			client > later 80: refused is Pending
			client > ip:10.244.1.99 80: dropped default-deny`,
	}})
}

// TestSlices: EndpointSlices and Endpoints decide where they are given.
func TestSlices(t *testing.T) {
	t.Parallel()
	pods := dumped("a", "app: web", "{phase: Running, podIP: 10.244.1.11}") + dumped("b", "app: other", "{phase: Running, podIP: 10.244.1.12}") +
		dumped("unaddressed", "app: other", "{}")
	onlyA := "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)
	slice := func(rest string) string {
		return "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n" + rest + "\n"
	}
	const v4 = "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: "
	endpoints := func(subsets string) string {
		return "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: " + subsets + "\n"
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"no slice: the selector", "", "allowed allow"},
		{"a slice of the same pods", slice(v4 + "[{addresses: [10.244.1.11]}]"), "allowed allow"},
		{"a slice of another pod", slice(v4 + "[{addresses: [10.244.1.12]}]"), "dropped default-deny"},
		{"a slice with no endpoint", slice(v4 + "[]"), "rejected reason"},
		{"a slice whose endpoint is not ready, though the pod is", slice(v4 + "[{addresses: [10.244.1.11], conditions: {ready: false}}]"), "rejected reason"},
		{"an endpoint that terminates and serves", slice(v4 + "[{addresses: [10.244.1.11], conditions: {ready: false, serving: true, terminating: true}}]"), "allowed allow"},
		{"one that terminates beside a ready one", slice(v4 + "[{addresses: [10.244.1.11]}, {addresses: [10.244.1.12], conditions: {ready: false, serving: true, terminating: true}}]"), "allowed allow"},
		{"one that terminates and does not serve", slice(v4 + "[{addresses: [10.244.1.11], conditions: {ready: false, serving: false, terminating: true}}]"), "rejected reason"},
		{"conditions that are missing", slice(v4 + "[{addresses: [10.244.1.11], conditions: {}}]"), "allowed allow"},
		{"a port of another name", slice("addressType: IPv4\nports: [{name: metrics, port: 8080}]\nendpoints: [{addresses: [10.244.1.11]}]"), "rejected reason"},
		{"a port of another protocol", slice("addressType: IPv4\nports: [{name: http, port: 8080, protocol: UDP}]\nendpoints: [{addresses: [10.244.1.11]}]"), "rejected reason"},
		{"FQDN slices are not for proxies", slice("addressType: FQDN\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [web.example.org]}]"), "rejected reason"},
		{"by targetRef: a pod without an address", slice(v4 + "[{addresses: [10.244.9.9], targetRef: {kind: Pod, name: unaddressed}}]"), "dropped default-deny"},
		{"a pod that is not there", slice(v4 + "[{addresses: [10.244.9.9], targetRef: {kind: Pod, name: lost}}]"), "refused pod default/lost, which is not in the manifests"},
		{"an address outside", slice(v4 + "[{addresses: [203.0.113.7]}]"), "dropped default-deny"},
		{"a node", slice(v4 + "[{addresses: [172.18.0.3]}]"), "dropped default-deny"},
		{"Endpoints of a service with a selector", endpoints("[{addresses: [{ip: 10.244.1.12}], ports: [{name: http, port: 8080}]}]"), "dropped default-deny"},
		{"Endpoints that are not ready", endpoints("[{notReadyAddresses: [{ip: 10.244.1.11}], ports: [{name: http, port: 8080}]}]"), "rejected reason"},
		{"Endpoints without a subset", endpoints("[]"), "rejected reason"},
		{"slices before Endpoints", endpoints("[{addresses: [{ip: 10.244.1.12}], ports: [{name: http, port: 8080}]}]") + slice(v4+"[{addresses: [10.244.1.11]}]"), "allowed allow"},
	} {
		runFlows(t, twoNodes+webService+pods, []flowCase{{name: c.name, yaml: onlyA + c.yaml, want: "client > svc:default/web 80: " + c.want}})
	}
	outside := strings.Replace(webService, "selector: {app: web}, ", "", 1)
	toCIDR := "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toCIDR: [203.0.113.0/24]}]}`)
	for _, c := range []struct{ name, yaml, want string }{
		{"Endpoints are mirrored", endpoints("[{addresses: [{ip: 203.0.113.7}], ports: [{name: http, port: 8080}]}]"), "allowed allow"},
		{"beside a slice of one's own", endpoints("[{addresses: [{ip: 198.51.100.7}], ports: [{name: http, port: 8080}]}]") + slice(v4+"[{addresses: [203.0.113.7]}]"), "dropped default-deny"},
		{"but not twice", endpoints("[{addresses: [{ip: 198.51.100.7}], ports: [{name: http, port: 8080}]}]") +
			strings.Replace(slice(v4+"[{addresses: [203.0.113.7]}]"), "labels: {", "labels: {endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io, ", 1), "allowed allow"},
		{"nor where they say no", strings.Replace(endpoints("[{addresses: [{ip: 203.0.113.7}], ports: [{name: http, port: 8080}]}]"), "name: web}", "name: web, labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}}", 1), "rejected reason"},
		{"nothing at all", "", "rejected reason"},
	} {
		runFlows(t, twoNodes+outside, []flowCase{{name: "without a selector: " + c.name, yaml: toCIDR + c.yaml, want: "client > svc:default/web 80: " + c.want}})
	}
}

// TestDualStack: a service leads to addresses of the family that is dialed.
func TestDualStack(t *testing.T) {
	t.Parallel()
	pod := func(name, label, v4, v6 string) string {
		return dumped(name, label, fmt.Sprintf("{phase: Running, podIP: %s, podIPs: [{ip: %s}, {ip: '%s'}]}", v4, v4, v6))
	}
	base := twoNodes + pod("a", "app: web", "10.244.1.11", "fd00::11") + pod("b", "app: other", "10.244.1.12", "fd00::12") + `
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.7.1, clusterIPs: [10.96.7.1, "fd00:10::1"], selector: {app: web}, ports: [{port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP, targetPort: 5353}, {name: dns-tcp, port: 53, targetPort: 5354}]}
`
	base = strings.Replace(base, "[{port: 80,", "[{name: http, port: 80,", 1)
	const slices = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.11]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints: [{addresses: ["fd00::12"]}]
`
	onlyA := "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)
	runFlows(t, base, []flowCase{
		{
			name: "each family has its slices", cfg: policy.Config{IPv6: true}, yaml: onlyA + slices,
			want: `
				client > svc:default/web 80: allowed allow
				client > ip:10.96.7.1 80: allowed allow
				client > ip:fd00:10::1 80: dropped default-deny`,
		},
		{
			name: "one port, two protocols", cfg: policy.Config{IPv6: true},
			yaml: "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: web}}, ingress: [{toPorts: [{ports: [{port: "5353", protocol: UDP}]}]}]}`),
			want: `
				client > svc:default/web 53/UDP: allowed allow
				client > svc:default/web 53/TCP: dropped default-deny
				client > ip:fd00:10::1 53/UDP: allowed allow`,
		},
		{
			name: "Kubernetes' ipBlock sees the address that is dialed", cfg: policy.Config{IPv6: true, Semantics: policy.Kubernetes},
			yaml: "---\n" + `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "fd00::/64"}}]}]}`,
			want: `
				client > ip:10.244.1.11 8080: dropped default-deny
				client > ip:fd00::11 8080: allowed allow
				client > ip:fd00:10::1 80: allowed allow
				client > ip:10.96.7.1 80: dropped default-deny`,
		},
	})
}

// TestKubernetesService: it is in every cluster, and leads to the API server.
func TestKubernetesService(t *testing.T) {
	t.Parallel()
	entity := cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEntities: [kube-apiserver]}]}`)
	cidr := func(s string) string {
		return cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toCIDR: [`+s+`]}]}`)
	}
	const all = `
		client > svc:default/kubernetes 443: %[1]s
		client > ip:10.96.0.1 443: %[1]s
		client > fqdn:kubernetes.default.svc.cluster.local 443: %[1]s
		client > fqdn:kubernetes.default.svc 443: %[1]s
		client > fqdn:kubernetes.default 443: %[1]s
		client > fqdn:kubernetes 443: %[1]s
		client > ip:10.96.0.1 6443: rejected reason`
	service := `
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, labels: {component: apiserver, provider: kubernetes}}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
ports: [{name: https, port: 6443}]
endpoints: [{addresses: [ADDRESS]}]
`
	onNode := strings.Replace(service, "ADDRESS", "172.18.0.2", 1)
	managed := strings.Replace(service, "ADDRESS", "203.0.113.9", 1)
	client := "\n---\n" + twoNodes[strings.Index(twoNodes, "apiVersion: v1\nkind: Pod"):]
	var cases []flowCase
	add := func(name, yaml, policies, verdict string) {
		cases = append(cases, flowCase{name: name, yaml: yaml + "\n---\n" + policies, want: fmt.Sprintf(all, verdict)})
	}
	for _, c := range []struct{ name, yaml string }{{"known by its label", twoNodes}, {"as a node", twoNodes + onNode}, {"nothing is known", client}} {
		add("the entity: "+c.name, c.yaml, entity, "allowed allow")
		add("its cluster address: "+c.name, c.yaml, cidr("10.96.0.1/32"), "dropped default-deny")
		add("its own: "+c.name, c.yaml, cidr("172.18.0.2/32"), "dropped default-deny")
	}
	add("the entity, managed", twoNodes+managed, entity, "allowed allow")
	add("managed: outside, so in a range", twoNodes+managed, cidr("203.0.113.0/24"), "allowed allow")
	add("managed: another range", twoNodes+managed, cidr("10.96.0.1/32"), "dropped default-deny")
	add("the nodes are not given, and it does not matter", client+managed, entity, "allowed allow")
	add("nor here", client+managed, cidr("10.96.0.1/32"), "dropped default-deny")
	add("but here", client+managed, cidr("203.0.113.0/24"), "refused add the Node objects")
	runFlows(t, "", cases)
	runFlows(t, twoNodes, []flowCase{{
		name: "other names",
		yaml: webService + dumped("a", "app: web", "{}") + "---\n" + cnp("p", `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`),
		want: `
			client > fqdn:web.default.svc.cluster.local 80: allowed allow
			client > fqdn:web 80: allowed allow
			client > fqdn:nothing.default.svc.cluster.local 80: dns_failed reason`,
	}})
}

// TestOwnedPods: a dump has workloads and their pods; the pods are there once.
func TestOwnedPods(t *testing.T) {
	t.Parallel()
	const template = `spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}}`
	owned := func(name, kind, owner string) string {
		return strings.Replace(dumped(name, "app: web", "{phase: Running}"), "metadata: {", "metadata: {ownerReferences: [{apiVersion: apps/v1, kind: "+kind+", name: "+owner+", uid: u}], ", 1)
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"a deployment with its replica set", "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n" + template + `
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-5d4f, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u}]}
` + template + owned("web-5d4f-a", "ReplicaSet", "web-5d4f"), "default/web-5d4f-a"},
		{"a deployment without it", "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n" + template + owned("web-5d4f-a", "ReplicaSet", "web-5d4f"), "default/web-5d4f-a"},
		{"a stateful set", "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\n" + template + owned("web-0", "StatefulSet", "web"), "default/web-0"},
		{"a replica set that is nobody's", "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n" + strings.Replace(template, "replicas: 2", "replicas: 1", 1) + "\n---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-canary}\n" + template +
			owned("web-canary-x", "ReplicaSet", "web-canary"), "default/web default/web-canary-x"},
		{"a job whose pod has finished", `---
apiVersion: batch/v1
kind: Job
metadata: {name: nightly}
spec: {template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
` + strings.Replace(owned("nightly-x", "Job", "nightly"), "Running", "Succeeded", 1), ""},
		{"a job that is complete", `---
apiVersion: batch/v1
kind: Job
metadata: {name: nightly}
spec: {template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
status: {completionTime: "2026-01-01T00:00:00Z", succeeded: 1}
`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := podNames(newCluster(t, policy.Config{}, c.yaml)); got != c.want {
				t.Errorf("pods %q, want %q", got, c.want)
			}
		})
	}
}

// A workload of an unmodelled kind is named, unless the dump has what it created.
func TestUnmodelledWorkloads(t *testing.T) {
	t.Parallel()
	const template = "template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}"
	owned := func(kind, name, by string) string {
		return "---\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + ", ownerReferences: [{apiVersion: x.example.com/v1, kind: " + by + ", name: a, uid: u}]}\n"
	}
	for text, want := range map[string]string{
		"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: a}\nspec: {" + template + "}\n":                                                                                "a.yaml:4: Rollout a: spec: labctl does not know which pods a Rollout creates",
		"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {" + template + "}\n":                                                                              "a.yaml:4: Service a: spec: labctl does not know which pods a Service",
		"apiVersion: apps.openshift.io/v1\nkind: DeploymentConfig\nmetadata: {name: a}\nspec: {" + template + "}\n":                                                                       "DeploymentConfig",
		"apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata: {name: a}\nspec: {replicatedJobs: [{template: {spec: {" + template + "}}}]}\n":                                     "JobSet",
		"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: a}\nspec: {leaderWorkerTemplate: {workerTemplate: {spec: {containers: [{image: a}]}}}}\n":       "LeaderWorkerSet",
		"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: a}\nspec: {" + template + "}\n" + owned("Pod", "p", "Rollout") + "spec: {containers: [{name: a, image: a}]}\n": "",
		"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {" + template + "}\n" + owned("Configuration", "c", "Service"):                                     "",
		"apiVersion: example.com/v1\nkind: Settings\nmetadata: {name: a}\nspec: {containers: [a, b], image: {containers: 3}}\n":                                                           "",
		"apiVersion: example.com/v1\nkind: Odd\nmetadata: {name: a}\nspec: [containers]\n":                                                                                                "",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: a}}, " + template + "}\n":                                                       "",
	} {
		objects, problems := manifest.Parse([]manifest.File{{Name: "a.yaml", Data: []byte(text)}}, manifest.Limits{})
		if len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
			continue
		}
		got := ""
		for _, w := range policy.UnmodelledWorkloads(objects) {
			got += w.String()
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
