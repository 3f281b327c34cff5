package policy_test

import (
	"sync"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

// TestConcurrency shares one cluster, policies and engine among goroutines, as batch grading does.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{}, shopServices+dnsPods)
	p, problems := policy.Compile(parse(t, cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}, {toFQDNs: [{matchName: a.example}]}]}`))[0], policy.Config{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	alone := policy.New(c, []*policy.Policy{p}, map[string][]string{"a.example": {"1.1.1.1"}})
	probes := []policy.Probe{
		probe(t, "web > svc:default/db 80"), probe(t, "web > fqdn:a.example 443"), probe(t, "other/client > db 5432"), probe(t, "web > ip:9.9.9.9 1"),
	}
	var want []verdict.Verdict
	for _, p := range probes {
		r, _ := alone.Evaluate(p)
		want = append(want, r.Verdict)
	}
	shared := policy.New(c, []*policy.Policy{p}, map[string][]string{"a.example": {"1.1.1.1"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, p := range probes {
				if r, err := shared.Explain(p); err != nil || r.Verdict != want[i] {
					t.Errorf("%s: got %s, %v; want %s", p.To, r.Verdict, err, want[i])
				}
			}
			if _, err := shared.Prove(policy.Reach{From: []string{"default/web"}}); err != nil {
				t.Error(err)
			}
			if c.WithNamespaceLabels(map[string]map[string]string{"other": {"x": "y"}}).Pods() == nil {
				t.Error("no pods")
			}
		})
	}
	wg.Wait()
}
