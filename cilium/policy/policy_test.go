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
