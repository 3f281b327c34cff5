package manifest

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

const typical = `# lets the frontend in
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-frontend
spec:
  podSelector:
    matchLabels:
      app: backend
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: frontend
    - namespaceSelector:
        matchLabels: {type: monitoring}
    ports:
    - protocol: TCP
      port: 8080
`

func TestParseTypical(t *testing.T) {
	t.Parallel()
	objs, problems := Parse([]File{{Name: "a.yaml", Data: []byte("---\n" + typical + "---\n\n--- # none\n" + typical)}}, Limits{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(objs) != 2 {
		t.Fatalf("got %d objects, want 2", len(objs))
	}
	np, ok := objs[0].Value.(*networkingv1.NetworkPolicy)
	if !ok || np.Spec.Ingress[0].From[1].NamespaceSelector.MatchLabels["type"] != "monitoring" {
		t.Fatalf("decoded %#v", objs[0].Value)
	}
	for path, want := range map[string]int{"": 3, "spec.ingress[0].from[1]": 17, "spec.ingress[0].from[1].namespaceSelector.matchLabels.x": 18, "spec.ingress[0].ports[0].port": 21} {
		if got := objs[0].LineOf(path); got != want {
			t.Errorf("LineOf(%q) = %d, want %d", path, got, want)
		}
	}
}
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]File{{Name: "a.yaml", Data: []byte(typical)}}, Limits{}); len(err) > 0 {
			b.Fatal(err)
		}
	}
}
