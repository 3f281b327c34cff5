package existing

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// kubeconfig is one with the contexts work, which is the current one, and play.
const kubeconfig = `apiVersion: v1
kind: Config
current-context: work
clusters:
- {name: work, cluster: {server: "https://work.invalid:6443"}}
- {name: play, cluster: {server: %q}}
users:
- {name: me, user: {token: secret}}
contexts:
- {name: work, context: {cluster: work, user: me}}
- {name: play, context: {cluster: play, user: me}}
`

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newProvider(t *testing.T, settings map[string]any) *Provider {
	t.Helper()
	p, err := New(labs.Cluster{Provider: Name, Settings: settings}, provision.DefaultSettings(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p.(*Provider)
}

func TestUnknownSetting(t *testing.T) {
	t.Parallel()
	_, err := New(labs.Cluster{Settings: map[string]any{"contxt": "x"}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "contxt") {
		t.Errorf("the error is %v", err)
	}
}

func TestKubeconfig(t *testing.T) {
	good := fmt.Sprintf(kubeconfig, "https://play.invalid:6443")
	for _, tc := range []struct {
		name     string
		settings func(t *testing.T) map[string]any
		env      string // KUBECONFIG; "": a file with the content good
		own      string // the instance's own, written by an earlier run
		server   string // that it leads to
		err      string
	}{
		{name: "as kubectl finds it", server: "https://work.invalid:6443"},
		{name: "another context", settings: func(*testing.T) map[string]any { return map[string]any{"context": "play"} }, server: "https://play.invalid:6443"},
		{name: "another file", env: "/dev/null", settings: func(t *testing.T) map[string]any { return map[string]any{"kubeconfig": write(t, good)} }, server: "https://work.invalid:6443"},
		{name: "the instance's own comes first", own: strings.ReplaceAll(good, "work.invalid", "own.invalid"), server: "https://own.invalid:6443"},
		{name: "no such context", settings: func(*testing.T) map[string]any { return map[string]any{"context": "pley"} }, err: `the kubeconfig has no context "pley"`},
		{name: "no current context", settings: func(t *testing.T) map[string]any {
			return map[string]any{"kubeconfig": write(t, strings.Replace(good, "current-context: work", "", 1))}
		}, err: "no current context; set context in the lab's cluster block"},
		{name: "no file", settings: func(*testing.T) map[string]any { return map[string]any{"kubeconfig": "/no/such/file"} }, err: "read the kubeconfig: "},
		{name: "garbage", settings: func(t *testing.T) map[string]any { return map[string]any{"kubeconfig": write(t, "no: [")} }, err: "read the kubeconfig: "},
		{name: "no kubeconfig anywhere", env: "/no/such/file", err: "no kubeconfig with a cluster found in [/no/such/file]"},
		{name: "a cluster that is not in it", settings: func(t *testing.T) map[string]any {
			return map[string]any{"kubeconfig": write(t, strings.Replace(good, "{name: work, context: {cluster: work", "{name: work, context: {cluster: gone", 1))}
		}, err: "read the kubeconfig: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", tc.env)
			if tc.env == "" {
				t.Setenv("KUBECONFIG", write(t, good))
			}
			c := provision.Cluster{Kubeconfig: filepath.Join(t.TempDir(), "own")}
			if tc.own != "" {
				c.Kubeconfig = write(t, tc.own)
			}
			var settings map[string]any
			if tc.settings != nil {
				settings = tc.settings(t)
			}
			p := newProvider(t, settings)
			data, err := p.Kubeconfig(context.Background(), c)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("the error is %v; want one with %q", err, tc.err)
				}
				// What up says of it, before it does anything.
				f := p.Preflight(context.Background(), c)[0]
				if f.Severity != provision.Failure || !strings.Contains(f.Message, tc.err) || f.Fix == "" {
					t.Errorf("preflight: %+v", f)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := clientcmd.Load(data)
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.Clusters[cfg.Contexts[cfg.CurrentContext].Cluster].Server
			if got != tc.server || tc.own == "" && (len(cfg.Contexts) != 1 || len(cfg.Clusters) != 1) {
				t.Errorf("it leads to %s, with %d contexts; want %s alone", got, len(cfg.Contexts), tc.server)
			}
		})
	}
}

func TestFindAndCreate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	t.Setenv("KUBECONFIG", write(t, fmt.Sprintf(kubeconfig, server.URL)))
	p := newProvider(t, map[string]any{"context": "play"})
	ctx, c := context.Background(), provision.Cluster{Kubeconfig: filepath.Join(t.TempDir(), "own")}
	if found, err := p.Find(ctx, c); err != nil || found.State != provision.Running {
		t.Errorf("%+v, %v", found, err)
	}
	var reached []provision.Milestone
	if err := p.Create(ctx, c, provision.CreateProgress{Milestone: func(m provision.Milestone) { reached = append(reached, m) }}); err != nil || len(reached) != 2 {
		t.Errorf("reached %v, %v", reached, err)
	}
	if values, err := p.Values(ctx, c); err != nil || values != nil || p.Ephemeral() || p.Local() || p.Delete(ctx, c) != nil {
		t.Error("the cluster is taken for labctl's own")
	}
	server.Close()
	short, cancel := context.WithCancel(ctx)
	cancel()
	if found, err := p.Find(short, c); err == nil || found.State != "" || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a cluster that does not answer is taken for gone: %+v, %v", found, err)
	}
}

func TestExpand(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for in, want := range map[string]string{"~/.kube/config": "/home/me/.kube/config", "/a/~/b": "/a/~/b", "~other/x": "~other/x", "rel": "rel"} {
		if got := expand(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestNobodyElseNamesIt: what distinguishes a cluster that others use is in provision.Provider and scope.Scope; no other
// package asks for this provider by its name. The lab language and its decoder name all providers.
func TestNobodyElseNamesIt(t *testing.T) {
	t.Parallel()
	const root = "../.."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == "provision/existing" || rel == "labs/schema" || strings.HasPrefix(d.Name(), ".") && rel != "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if n.Value == `"`+Name+`"` || n.Value == "`"+Name+"`" {
					t.Errorf("%s names the provider", set.Position(n.Pos()))
				}
			case *ast.SelectorExpr: // existing.Name, but where providers are registered
				if x, ok := n.X.(*ast.Ident); ok && x.Name == Name && n.Sel.Name == "Name" && rel != "cmd/labctl/internal/cluster/providers.go" {
					t.Errorf("%s names the provider", set.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 300 {
		t.Errorf("%d files, %v", files, err)
	}
}
