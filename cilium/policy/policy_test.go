package policy_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// parse reads manifests that must be right.
func parse(t testing.TB, yaml string) []*manifest.Object {
	t.Helper()
	objs, problems := manifest.Parse([]manifest.File{{Name: "test.yaml", Data: []byte(yaml)}}, manifest.Limits{})
	if err := problems.Err(); err != nil {
		t.Fatalf("parse: %v", err)
	}
	return objs
}

// engine builds an engine of the cluster and the policies in one text.
func engine(t testing.TB, cfg policy.Config, names map[string][]string, yaml ...string) *policy.Engine {
	t.Helper()
	objs := parse(t, strings.Join(yaml, "\n---\n"))
	c, problems := policy.NewCluster(objs, cfg)
	if err := problems.Err(); err != nil {
		t.Fatalf("cluster: %v", err)
	}
	var policies []*policy.Policy
	for _, o := range objs {
		if !policy.IsPolicy(o) {
			continue
		}
		p, problems := policy.Compile(o, cfg)
		if err := problems.Err(); err != nil {
			t.Fatalf("compile: %v", err)
		}
		policies = append(policies, p)
	}
	return policy.New(c, policies, names)
}

const demoApps = `
apiVersion: v1
kind: Namespace
metadata: {name: monitoring, labels: {type: monitoring}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: backend}
spec:
  selector: {matchLabels: {app: backend}}
  template:
    metadata: {labels: {app: backend}}
    spec:
      containers:
      - {name: c, image: x, ports: [{name: http, containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: backend}
spec:
  selector: {app: backend}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: frontend}
spec:
  selector: {matchLabels: {app: frontend}}
  template:
    metadata: {labels: {app: frontend}}
    spec:
      containers:
      - {name: c, image: x}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: monitoring, namespace: monitoring}
spec:
  selector: {matchLabels: {app: monitoring}}
  template:
    metadata: {labels: {app: monitoring}}
    spec:
      containers:
      - {name: c, image: x}
`

func TestSmoke(t *testing.T) {
	e := engine(t, policy.Config{}, nil, demoApps, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec:
  podSelector: {matchLabels: {app: backend}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: frontend}}
    ports: [{port: 8080}]
`)
	for _, p := range []policy.Probe{
		{From: "default/frontend", To: "svc:default/backend", Port: 80},
		{From: "monitoring/monitoring", To: "svc:default/backend", Port: 80},
		{From: "monitoring/monitoring", To: "default/backend", Port: 80},
		{From: "default/frontend", To: "svc:default/backend", Port: 81},
	} {
		r, err := e.Judge(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v ingress=%+v", r.Verdict, r.Ingress)
	}
}

func TestProveSmoke(t *testing.T) {
	e := engine(t, policy.Config{}, nil, demoApps, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec:
  podSelector: {matchLabels: {app: backend}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {type: monitoring}}
    - podSelector: {matchLabels: {role: admin}}
    ports: [{port: 8080}]
`)
	for _, q := range []policy.Reach{
		{To: []string{"default/backend"}, ExceptNamespaces: []string{"monitoring"}},
		{To: []string{"default/backend"}, ExceptNamespaces: []string{"monitoring", "default"}},
		{To: []string{"default/backend"}, ExceptPorts: []int{8080}},
		{From: []string{"default/backend"}},
	} {
		r, err := e.Prove(q)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v: %+v", q, r)
	}
}
