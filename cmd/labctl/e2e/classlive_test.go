//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/grade/batch"
)

// classLive grades a class in the shared lab, and holds every result against the offline engine's.
func (s *suite) classLive(t *testing.T) {
	s.lab(t)
	samples := filepath.Join("..", "..", "..", "labs", "networkpolicy", "samples")
	class := t.TempDir()
	for student, sample := range map[string]string{"ada": "solution", "bob": "service-ip", "carl": "solution"} {
		if err := os.CopyFS(filepath.Join(class, student), os.DirFS(filepath.Join(samples, sample))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(class, "dora.yaml"), []byte("kind: Secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	grading := func(args ...string) map[string]batch.Result {
		out := t.TempDir()
		s.run(t, 0, append([]string{"batch", "networkpolicy", class, "--out", out, "--task", "backend-ingress-deny", "--task", "allow-frontend"}, args...)...)
		f, err := os.Open(filepath.Join(out, "results.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		results := map[string]batch.Result{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r batch.Result
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			results[r.ID] = r
		}
		return results
	}
	want, got := grading(), grading("--engine", "live", "--name", s.name)
	if len(want) != 4 || len(got) != 4 {
		t.Fatalf("%d results offline, %d live", len(want), len(got))
	}
	for id, w := range want {
		g := got[id]
		if g.Status != w.Status || *g.Score != *w.Score {
			t.Errorf("%s: %s with %+v live, %s with %+v offline", id, g.Status, *g.Score, w.Status, *w.Score)
		}
	}
	s.status(t, 0) // nothing of the class is left
}
