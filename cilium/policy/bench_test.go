package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// benchCluster is 13 pods in three namespaces with services and DNS.
func benchCluster(b *testing.B) *policy.Cluster {
	b.Helper()
	var y strings.Builder
	y.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: monitoring, labels: {type: monitoring}}\n")
	for i, app := range []string{"backend", "frontend", "cart", "payments", "search", "mail", "auth", "queue"} {
		fmt.Fprintf(&y, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: %[1]s, labels: {app: %[1]s, tier: t%[2]d}}\nspec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}\n"+
			"---\napiVersion: v1\nkind: Service\nmetadata: {name: %[1]s}\nspec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: http}]}\n", app, i%3)
	}
	for _, app := range []string{"prometheus", "grafana", "alerts"} {
		fmt.Fprintf(&y, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: %[1]s, namespace: monitoring, labels: {app: %[1]s}}\nspec: {containers: [{name: c, image: x}]}\n", app)
	}
	c, problems := policy.NewCluster(parse(b, y.String()), policy.Config{})
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	c = c.WithSystem()
	if n := len(c.Pods()); n != 13 {
		b.Fatalf("%d pods", n)
	}
	return c
}

// benchSubmission is what a student hands in: two network policies and one of Cilium's.
var benchSubmission = []manifest.File{{Name: "backend.yaml", Data: []byte(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: backend
  namespace: default
spec:
  podSelector:
    matchLabels:
      app: backend
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: frontend
    - namespaceSelector:
        matchLabels:
          type: monitoring
      podSelector:
        matchLabels:
          app: prometheus
    ports:
    - protocol: TCP
      port: 8080
`)}, {Name: "dns.yaml", Data: []byte(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: dns
  namespace: default
spec:
  podSelector: {}
  policyTypes:
  - Egress
  egress:
  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
  - to:
    - podSelector: {}
`)}, {Name: "payments.yaml", Data: []byte(`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: payments
  namespace: default
spec:
  endpointSelector:
    matchLabels:
      app: payments
  ingress:
  - fromEndpoints:
    - matchLabels:
        app: cart
    toPorts:
    - ports:
      - port: "8080"
        protocol: TCP
  - fromCIDRSet:
    - cidr: 10.0.0.0/8
      except:
      - 10.1.0.0/16
  egress:
  - toEndpoints:
    - matchLabels:
        app: queue
`)}}

// benchProbes are 30 probes, by service name, by address and from outside.
func benchProbes() []policy.Probe {
	var probes []policy.Probe
	from := []string{"default/frontend", "default/cart", "monitoring/prometheus", "monitoring/grafana", "ip:10.2.3.4", "default/backend"}
	to := []policy.Probe{
		{To: "svc:default/backend", Port: 80}, {To: "default/backend", Port: 8080}, {To: "svc:default/payments", Port: 80},
		{To: "default/payments", Port: 9090}, {To: "default/queue", Port: 8080},
	}
	for _, f := range from {
		for _, p := range to {
			p.From = f
			probes = append(probes, p)
		}
	}
	return probes
}

func compile(b *testing.B, files []manifest.File) []*policy.Policy {
	objs, problems := manifest.Parse(files, manifest.Limits{})
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	policies := make([]*policy.Policy, len(objs))
	for i, o := range objs {
		p, problems := policy.Compile(o, policy.Config{})
		if err := problems.Err(); err != nil {
			b.Fatal(err)
		}
		policies[i] = p
	}
	return policies
}

// BenchmarkSubmission parses three policies and evaluates 30 probes: one submission of a batch.
func BenchmarkSubmission(b *testing.B) {
	c, probes := benchCluster(b), benchProbes()
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		e := policy.New(c, compile(b, benchSubmission), nil)
		for _, p := range probes {
			if _, err := e.Evaluate(p); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkCompile compiles three policies that are already parsed.
func BenchmarkCompile(b *testing.B) {
	benchCluster(b)
	objs, _ := manifest.Parse(benchSubmission, manifest.Limits{})
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		for _, o := range objs {
			if _, problems := policy.Compile(o, policy.Config{}); problems.Err() != nil {
				b.Fatal(problems)
			}
		}
	}
}

// BenchmarkParse parses three policies.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := manifest.Parse(benchSubmission, manifest.Limits{}); problems.Err() != nil {
			b.Fatal(problems)
		}
	}
}

// BenchmarkJudge evaluates one probe in an engine that has evaluated others.
func BenchmarkJudge(b *testing.B) {
	c, probes := benchCluster(b), benchProbes()
	e := policy.New(c, compile(b, benchSubmission), nil)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if _, err := e.Evaluate(probes[i%len(probes)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProve proves one invariant in a fresh engine, and then in the same.
func BenchmarkProve(b *testing.B) {
	c := benchCluster(b)
	policies := compile(b, benchSubmission)
	q := policy.Reach{To: []string{"default/backend"}, ExceptPods: []string{"default/frontend", "monitoring/prometheus"}}
	run := func(b *testing.B, e *policy.Engine) {
		r, err := e.Prove(q)
		if err != nil || r != nil {
			b.Fatal(r, err)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(b, policy.New(c, policies, nil))
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		e := policy.New(c, policies, nil)
		for b.Loop() {
			run(b, e)
		}
	})
}
