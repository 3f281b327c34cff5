package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

func TestExplainSmoke(t *testing.T) {
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
    - podSelector: {matchLabels: {app: front}}
    - namespaceSelector: {matchLabels: {type: mon}}
      podSelector: {matchLabels: {app: monitoring}}
    - ipBlock: {cidr: 10.0.0.0/8}
    ports: [{port: 80}]
  - from:
    - podSelector: {matchLabels: {app: frontend}}
    ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: typo}
spec:
  podSelector: {matchLabels: {app: backnd}}
  ingress:
  - from:
    - podSelector: {}
`)
	for _, p := range []policy.Probe{
		{From: "default/frontend", To: "svc:default/backend", Port: 80},
		{From: "monitoring/monitoring", To: "svc:default/backend", Port: 80},
		{From: "ip:1.2.3.4", To: "default/backend", Port: 80},
	} {
		r, err := e.Explain(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s", p.From, r.Verdict)
		for _, n := range r.Ingress.Near {
			t.Logf("   %s %s:%d [%s] %s | wants %q has %q", n.Rule, n.File, n.Line, n.Mismatch, n.Why, n.Wants, n.Has)
		}
	}
}
