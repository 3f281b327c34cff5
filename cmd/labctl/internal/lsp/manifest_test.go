package lsp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// lensesOf are the lenses of a file, each behind the text of its line.
func lensesOf(f *file) string {
	f.t.Helper()
	var lenses []codeLens
	f.call("textDocument/codeLens", f.document(), &lenses)
	var list []string
	for _, l := range lenses {
		list = append(list, strings.Split(f.text.s, "\n")[l.Range.Start.Line]+" | "+l.Command.Title)
	}
	return strings.Join(list, "\n")
}

const frontendIn = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: in
spec:
  podSelector:
    matchLabels:
      app: backend
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: frontend
      ports:
        - port: 8080
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: none
spec:
  podSelector:
    matchLabels:
      app: backend
  policyTypes: [Ingress]
`

// TestAnswers is about a student's file, however labctl learns which lab it belongs to.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// prepare returns the folder of the answers, and the initializationOptions.
		prepare func(t *testing.T, dir string) (answers string, options any)
	}{
		{"a checked-out lab", func(t *testing.T, dir string) (string, any) {
			answers := filepath.Join(filepath.Dir(dir), "answers")
			if err := os.MkdirAll(answers, 0o755); err != nil {
				t.Fatal(err)
			}
			note := `{"lab":"../` + filepath.Base(dir) + `"}`
			if err := os.WriteFile(filepath.Join(answers, cli.NoteFile), []byte(note), 0o644); err != nil {
				t.Fatal(err)
			}
			return answers, nil
		}},
		{"the editor's option", func(t *testing.T, dir string) (string, any) {
			answers := t.TempDir()
			return answers, map[string]any{"lab": dir}
		}},
		{"a sample", func(_ *testing.T, dir string) (string, any) { return filepath.Join(dir, "samples", "wrong"), nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir, _ := shop(t)
			root, options := tc.prepare(t, dir)
			if err := os.MkdirAll(filepath.Join(root, "open"), 0o755); err != nil {
				t.Fatal(err)
			}
			s := begin(t, options)
			f := s.open(filepath.Join(root, "open", "policy.yaml"), frontendIn)
			if diags := s.diagnostics(f.uri, 1); len(diags) > 0 {
				t.Errorf("of a good file: %v", diags)
			}
			want := "apiVersion: networking.k8s.io/v1 | backend: lets frontend in on 8080; keeps 1 other out\n" +
				"apiVersion: networking.k8s.io/v1 | backend: lets nobody in"
			if got := lensesOf(f); got != want {
				t.Errorf("code lenses:\n%s\nwant:\n%s", got, want)
			}

			f.replace("  podSelector:\n    matchLabels:\n      app: backend\n  ingress", "  podselector:\n    matchLabels:\n      app: backend\n  ingress")
			diags := s.diagnostics(f.uri, 2)
			if len(diags) == 0 || !strings.Contains(texts(diags), `did you mean "podSelector"?`) || diags[0].Range.Start != (position{5, 2}) {
				t.Errorf("an unknown field: %+v", diags)
			}
			if got := lensesOf(f); got != "" {
				t.Errorf("code lenses of a file that is refused: %s", got)
			}
			f.replace("podselector", "podSelector")
			f.replace("app: frontend", "app: ____")
			if diags := s.diagnostics(f.uri, 4); !strings.Contains(texts(diags), "not filled in") && !strings.Contains(texts(diags), "____") {
				t.Errorf("a blank: %v", diags)
			}
			f.replace("app: ____", "app: [frontend")
			if diags := s.diagnostics(f.uri, 5); len(diags) == 0 {
				t.Error("nothing about YAML that does not parse")
			}
			f.replace("app: [frontend", "app: frontend")
			f.replace("kind: NetworkPolicy", "kind: Secret")
			if diags := s.diagnostics(f.uri, 7); len(diags) == 0 {
				t.Error("nothing about a kind that the lab does not take")
			}
		})
	}
}

// TestManifestWithoutLab checks policies alone, and leaves other files alone.
func TestManifestWithoutLab(t *testing.T) {
	t.Parallel()
	s := begin(t, nil)
	dir := t.TempDir()
	f := s.open(filepath.Join(dir, "policy.yaml"), strings.Replace(frontendIn, "podSelector", "podselector", 1))
	if diags := s.diagnostics(f.uri, 1); !strings.Contains(texts(diags), "podSelector") {
		t.Errorf("an unknown field: %v", diags)
	}
	other := s.open(filepath.Join(dir, "compose.yaml"), "services:\n  web: [")
	if got := lensesOf(other); got != "" {
		t.Errorf("code lenses of another file: %s", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.diags[other.uri]) > 0 {
		t.Errorf("diagnostics of another file: %v", s.diags[other.uri])
	}
}

// TestTutorial says what the policies of the tutorial's solution do.
func TestTutorial(t *testing.T) {
	t.Parallel()
	s := begin(t, map[string]any{"lab": "networkpolicy"})
	root := filepath.Join("..", "..", "..", "..", "labs", "networkpolicy", "samples", "solution")
	answers := filepath.Join(t.TempDir(), "answers")
	if err := os.CopyFS(answers, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	var all []string
	files, err := filepath.Glob(filepath.Join(answers, "*", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := s.open(path, string(data))
		for line := range strings.Lines(lensesOf(f)) {
			all = append(all, filepath.Base(filepath.Dir(path))+line[strings.Index(line, " | "):])
		}
	}
	got := strings.Join(all, "\n")
	t.Log("\n" + got)
	for _, want := range []string{": lets nobody in", "lets frontend in on 8080; keeps ", "can reach "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
