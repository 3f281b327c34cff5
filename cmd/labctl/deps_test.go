package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestAudiencesAreIndependent holds that each audience's commands build without the others', and that only those that
// work on clusters depend on the code that reaches them: a grader for platforms or browsers is built from the rest.
func TestAudiencesAreIndependent(t *testing.T) {
	t.Parallel()
	const internal = "github.com/labctl/labctl/cmd/labctl/internal/"
	clients := []string{
		"helm.sh/", "sigs.k8s.io/kind/", "k8s.io/client-go/", "cloud.google.com/", "google.golang.org/api/", "gocloud.dev/",
		"github.com/aws/", "github.com/Azure/", "github.com/labctl/labctl/provision", "github.com/labctl/labctl/cilium/kube",
	}
	// The schemas of Cilium's resources need these two, which reach nothing.
	harmless := []string{"k8s.io/client-go/util/jsonpath", "k8s.io/client-go/third_party/forked/golang/template"}
	for _, tc := range []struct {
		name    string
		own     []string // packages of internal that it may import
		clients []string // that it may import
	}{
		{"cli", []string{"cli"}, nil},
		{"student", []string{"cli", "student"}, nil},
		{"author", []string{"cli", "author"}, nil},
		{"lsp", []string{"cli", "lsp"}, nil},
		{"class", []string{"cli", "class"}, nil},
		{"class/batchjob", []string{"cli", "class", "class/batchjob"}, []string{
			"k8s.io/client-go/", "cloud.google.com/", "google.golang.org/api/", "gocloud.dev/", "github.com/aws/", "github.com/Azure/",
			"github.com/labctl/labctl/cilium/kube",
		}},
		{"cluster", []string{"cli", "cluster"}, clients},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./internal/"+tc.name).Output()
			if err != nil {
				t.Fatal(err)
			}
			deps := strings.Fields(string(out))
			if len(deps) < 100 {
				t.Fatalf("only %d packages: go list did not list what it depends on", len(deps))
			}
			for _, dep := range deps {
				if own, ok := strings.CutPrefix(dep, internal); ok && !slices.Contains(tc.own, own) {
					t.Errorf("it depends on %s", dep)
				}
				if hasPrefix(dep, clients) && !hasPrefix(dep, tc.clients) && !slices.Contains(harmless, dep) {
					t.Errorf("it depends on %s", dep)
				}
			}
		})
	}
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
