package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

// np wraps a spec into a NetworkPolicy in namespace default.
func np(name, spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

// TestTutorial follows the NetworkPolicy tutorial, step by step, each with the policies then in force.
func TestTutorial(t *testing.T) {
	t.Parallel()
	deny := np("backend-ingress-deny", `{podSelector: {matchLabels: {app: backend}}, policyTypes: [Ingress]}`)
	fromFrontend := np("backend-allow-ingress-frontend", `{podSelector: {matchLabels: {app: backend}}, ingress: [{from: [{podSelector: {matchLabels: {app: frontend}}}]}]}`)
	namespace := np("all-pods-same-namespace-ingress-allow", `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`)
	fromMonitoring := np("backend-monitoring-ns-ingress-allow", `{podSelector: {matchLabels: {app: backend}}, ingress: [{from: [{namespaceSelector: {matchLabels: {type: monitoring}}}]}]}`)
	fromMonitoringPods := np("backend-monitoring-ns-ingress-allow", `{podSelector: {matchLabels: {app: backend}}, ingress: [{from: [{namespaceSelector: {matchLabels: {type: monitoring}}, podSelector: {matchLabels: {app: monitoring}}}]}]}`)
	frontendDeny := np("frontend-egress-deny", `{podSelector: {matchLabels: {app: frontend}}, policyTypes: [Egress]}`)
	frontendOut := np("frontend-allow-egress-backend", `{podSelector: {matchLabels: {app: frontend}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: backend}}}]}]}`)
	dns := np("default-allow-egress-dns", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {purpose: kube-system}}}], ports: [{port: 53, protocol: TCP}, {port: 53, protocol: UDP}]}]}`)
	label := "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, labels: {purpose: kube-system}}\n"

	for _, step := range []struct {
		name     string
		policies []string
		label    bool
		want     map[string]verdict.Verdict
	}{
		{"baseline", nil, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.Allowed, "monitoring/monitoring > svc:default/backend 80": verdict.Allowed, "backend > ip:1.2.3.4 443": verdict.Allowed,
		}},
		{"backend denies ingress, and still egresses", []string{deny}, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.Dropped, "monitoring/monitoring > svc:default/backend 80": verdict.Dropped, "backend > ip:1.2.3.4 443": verdict.Allowed,
		}},
		{"policies are additive", []string{deny, fromFrontend}, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.Allowed, "monitoring/monitoring > svc:default/backend 80": verdict.Dropped,
		}},
		{"everything within the namespace", []string{deny, namespace}, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.Allowed, "backend > frontend 80": verdict.Allowed,
			"monitoring/monitoring > svc:default/backend 80": verdict.Dropped, "monitoring/monitoring > frontend 80": verdict.Dropped,
		}},
		{"the monitoring namespace", []string{deny, namespace, fromMonitoring}, false, map[string]verdict.Verdict{
			"monitoring/monitoring > svc:default/backend 80": verdict.Allowed, "monitoring/other > svc:default/backend 80": verdict.Allowed, "monitoring/monitoring > frontend 80": verdict.Dropped,
		}},
		{"the monitoring pods only", []string{deny, namespace, fromMonitoringPods}, false, map[string]verdict.Verdict{
			"monitoring/monitoring > svc:default/backend 80": verdict.Allowed, "monitoring/other > svc:default/backend 80": verdict.Dropped,
		}},
		{"frontend denies egress, although backend admits it", []string{deny, namespace, fromMonitoringPods, frontendDeny}, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.DNSFailed, "frontend > backend 8080": verdict.Dropped, "monitoring/monitoring > svc:default/backend 80": verdict.Allowed,
		}},
		{"egress to the backend works by address and fails by name", []string{deny, namespace, fromMonitoringPods, frontendDeny, frontendOut}, false, map[string]verdict.Verdict{
			"frontend > backend 8080": verdict.Allowed, "frontend > svc:default/backend 80": verdict.DNSFailed,
		}},
		{"DNS without the label on kube-system", []string{deny, namespace, fromMonitoringPods, frontendDeny, frontendOut, dns}, false, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.DNSFailed,
		}},
		{"DNS for all pods, and its side effect", []string{deny, namespace, fromMonitoringPods, frontendDeny, frontendOut, dns}, true, map[string]verdict.Verdict{
			"frontend > svc:default/backend 80": verdict.Allowed, "backend > ip:1.2.3.4 443": verdict.Dropped, "backend > frontend 80": verdict.Dropped,
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			yaml := demoApps + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: monitoring, labels: {app: other}}\nspec: {containers: [{name: c, image: x}]}\n"
			if step.label {
				yaml += "---\n" + label
			}
			c := newCluster(t, policy.Config{}, yaml).WithSystem()
			var policies []*policy.Policy
			for _, y := range step.policies {
				p, problems := policy.Compile(parse(t, y)[0], policy.Config{})
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				policies = append(policies, p)
			}
			e := policy.New(c, policies, nil)
			for text, want := range step.want {
				r, err := e.Explain(probe(t, text))
				if err != nil || r.Verdict != want {
					t.Errorf("%s: got %s, %v; want %s\n%s", text, r.Verdict, err, want, account(r))
				}
			}
		})
	}
}
