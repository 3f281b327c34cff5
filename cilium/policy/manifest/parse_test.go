package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// The files valid-* have no problem; the problems of invalid-* are listed in the golden file beside each.
func TestParseTestdata(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*valid-*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects, problems := Parse([]File{{Name: filepath.Base(file), Data: data}}, Limits{})
			if strings.HasPrefix(filepath.Base(file), "valid-") {
				if err := problems.Err(); err != nil {
					t.Errorf("problems with a valid file:\n%v", err)
				}
				for _, o := range objects {
					if Known(o.Kind) && o.Value == nil {
						t.Errorf("%s was not decoded", o.Ref())
					}
				}
				return
			}
			golden(t, file+".golden", problems.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, file, want)
	}
}

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
