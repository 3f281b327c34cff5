//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// denyAll is right for the task backend-ingress-deny: without a cheat it is worth its points.
const denyAll = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: backend-ingress-deny, namespace: default}
spec: {podSelector: {matchLabels: {app: backend}}, policyTypes: [Ingress]}
`

// webhook is a service that could change whatever is applied.
const webhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: helpful}
webhooks:
- name: helpful.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  timeoutSeconds: 1
  clientConfig: {url: "https://192.0.2.1/"}
  rules: [{apiGroups: ["networking.k8s.io"], apiVersions: ["*"], operations: [DELETE], resources: [networkpolicies]}]
`

// cheats tampers with the lab instead of solving it: each is named, and earns nothing.
func (s *suite) cheats(t *testing.T) {
	s.lab(t)
	image := s.kubectl(t, "get", "deployment", "frontend", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	for _, cheat := range []struct {
		name    string
		kubectl []string // what the student runs …
		file    string   // … or applies
		says    []string
		undo    []string // what labctl reset is not about
	}{
		{name: "frontend-deleted", kubectl: []string{"delete", "deployment", "frontend"},
			says: []string{`Deployment default/frontend: it is gone`}},
		{name: "frontend-relabelled", kubectl: []string{"label", "pods", "-l", "app=frontend", "app=other", "--overwrite"},
			// the Deployment lets go of the pod a moment after
			says: []string{`Pod default/frontend-\S+: (its labels no longer match its workload|its labels are app=other)`}},
		{name: "frontend-template-relabelled", kubectl: []string{"patch", "deployment", "frontend", "--patch", `{"spec":{"template":{"metadata":{"labels":{"role":"vip"}}}}}`},
			says: []string{`Deployment default/frontend: spec\.template\.metadata\.labels differs from what the lab deployed`}},
		{name: "backend-scaled-to-zero", kubectl: []string{"scale", "deployment", "backend", "--replicas=0"},
			says: []string{`Deployment default/backend: spec\.replicas differs from what the lab deployed: it is 0`}},
		{name: "backend-server-replaced", kubectl: []string{"set", "image", "deployment/backend", "backend=" + image + "-patched"},
			says: []string{`Deployment default/backend: spec\.template\.spec\.containers\[0\]\.image differs from what the lab deployed: it is ".*-patched"`}},
		{name: "backend-arguments-replaced", kubectl: []string{"patch", "deployment", "backend", "--patch", `{"spec":{"template":{"spec":{"containers":[{"name":"backend","args":["pause"]}]}}}}`},
			says: []string{`Deployment default/backend: spec\.template\.spec\.containers\[0\]\.args`}},
		{name: "frontend-into-host-network", kubectl: []string{"patch", "deployment", "frontend", "--patch", `{"spec":{"template":{"spec":{"hostNetwork":true}}}}`},
			says: []string{`Deployment default/frontend: spec\.template\.spec\.hostNetwork differs from what the lab deployed: it is true`}},
		{name: "backend-never-ready", kubectl: []string{"patch", "deployment", "backend", "--patch", `{"spec":{"template":{"spec":{"containers":[{"name":"backend","livenessProbe":{"exec":{"command":["false"]}}}]}}}}`},
			says: []string{`Deployment default/backend: spec\.template\.spec\.containers\[0\]\.livenessProbe`}},
		{name: "second-backend", file: "apiVersion: v1\nkind: Pod\nmetadata: {name: backend-fake, namespace: default, labels: {app: backend}}\nspec: {containers: [{name: c, image: " + image + ", args: [pause]}]}\n",
			says: []string{`Pod default/backend-fake: the lab did not deploy it, but it has the labels of one of the lab's apps`},
			undo: []string{"delete", "pod", "backend-fake", "--now"}},
		{name: "service-redirected", kubectl: []string{"patch", "service", "backend", "--patch", `{"spec":{"selector":{"app":"frontend"}}}`},
			says: []string{`Service default/backend: spec\.selector`}},
		{name: "dns-broken", file: "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: no-dns, namespace: kube-system}\nspec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, policyTypes: [Ingress]}\n",
			says: []string{`NetworkPolicy kube-system/no-dns`, `namespace`}},
		{name: "allow-all-clusterwide", file: "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: open-sesame}\nspec: {endpointSelector: {}, ingress: [{fromEntities: [all]}], egress: [{toEntities: [all]}]}\n",
			says: []string{`CiliumClusterwideNetworkPolicy open-sesame`}},
		{name: "namespace-labelled", kubectl: []string{"label", "namespace", "batch", "purpose=monitoring"},
			says: []string{`(?i)namespace batch`, `purpose`}},
		{name: "webhook", file: webhook,
			says: []string{`MutatingWebhookConfiguration helpful: it can change objects when they are applied`},
			undo: []string{"delete", "mutatingwebhookconfiguration", "helpful"}},
	} {
		t.Run(cheat.name, func(t *testing.T) {
			defer func() {
				if cheat.undo != nil {
					s.kubectl(t, cheat.undo...)
				}
				s.run(t, 0, "reset", s.name)
				s.run(t, 0, "status", s.name, "--wait", "--wait-duration", "60s")
			}()
			s.apply(t, denyAll)
			if cheat.kubectl != nil {
				s.kubectl(t, cheat.kubectl...)
			}
			if cheat.file != "" {
				s.apply(t, cheat.file)
			}
			r := s.start(t, "grade", s.name, "--task", "backend-ingress-deny").wait(t, 2*time.Minute)
			t.Logf("%.1f s: %s", r.took.Seconds(), lastLine(r.stderr))
			if r.code != 4 {
				t.Fatalf("%s: exit code %d, want 4\n%s", r.line, r.code, r.output())
			}
			r.has(t, cheat.says...)
			if strings.Contains(r.stdout, "points") {
				t.Errorf("points were given:\n%s", r.stdout)
			}
		})
	}
	// Without a cheat the same policy is worth its points: it was the cheats that were refused.
	s.apply(t, denyAll)
	s.run(t, 0, "grade", s.name, "--task", "backend-ingress-deny").has(t, `100%`)
	s.run(t, 0, "reset", s.name)
}

// apply applies a manifest as a student does.
func (s *suite) apply(t *testing.T, manifest string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "apply", "-f", path)
}
