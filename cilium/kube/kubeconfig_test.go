package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfig is one with a cluster, user and context of the name.
func kubeconfig(name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
clusters: [{name: %[1]s, cluster: {server: "https://%[1]s.example.org:6443"}}]
users: [{name: %[1]s, user: {token: secret-of-%[1]s}}]
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: %[1]s}}]
`, name)
}

func TestMergeKubeconfig(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, before string // content of the user's file; "": it is not there
		contexts     int    // after the merge
		current      string // after the context is taken out again
	}{
		{"no file", "", 1, ""},
		{"a file with another cluster", kubeconfig("work"), 2, ""},
		{"the same cluster again", kubeconfig("lab"), 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "kube", "config")
			if tc.before != "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tc.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := MergeKubeconfig(path, []byte(kubeconfig("lab"))); err != nil {
				t.Fatal(err)
			}
			cfg, err := clientcmd.LoadFromFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(cfg.Contexts) != tc.contexts || cfg.CurrentContext != "lab" || cfg.AuthInfos["lab"].Token != "secret-of-lab" {
				t.Errorf("merged: %+v", cfg)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file has the mode %v (%v)", info.Mode(), err)
			}
			if err := UnmergeKubeconfig(path, "lab"); err != nil {
				t.Fatal(err)
			}
			cfg, err = clientcmd.LoadFromFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, left := range []bool{cfg.Contexts["lab"] != nil, cfg.Clusters["lab"] != nil, cfg.AuthInfos["lab"] != nil} {
				if left {
					t.Errorf("something is left: %+v", cfg)
				}
			}
			if strings.Contains(tc.before, "work") && cfg.Contexts["work"] == nil {
				t.Error("somebody else's context is gone")
			}
			if cfg.CurrentContext != tc.current {
				t.Errorf("the current context is %q", cfg.CurrentContext)
			}
			if _, err := os.Stat(path + ".lock"); err == nil {
				t.Error("the lock is left")
			}
		})
	}
}

func TestMergeKubeconfigErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	want := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v; want one with %q", err, text)
		}
	}
	want(MergeKubeconfig(path, []byte("no: [")), "read the kubeconfig")
	if err := os.WriteFile(path, []byte("no: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	want(MergeKubeconfig(path, []byte(kubeconfig("lab"))), "edit the kubeconfig")
	if data, err := os.ReadFile(path); err != nil || string(data) != "no: [" {
		t.Errorf("a file that cannot be read was changed: %q, %v", data, err)
	}
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(MergeKubeconfig(path, []byte(kubeconfig("lab"))), "if no kubectl runs, remove that file")
	if err := UnmergeKubeconfig(filepath.Join(dir, "none"), "lab"); err != nil {
		t.Errorf("a file that is gone already: %v", err)
	}
}

func TestCurrentContext(t *testing.T) {
	t.Parallel()
	got, err := CurrentContext([]byte(kubeconfig("lab")))
	if err != nil || got != "lab" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := CurrentContext([]byte("no: [")); err == nil {
		t.Error("garbage was read")
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none"), ""); err == nil || !strings.Contains(err.Error(), "read the kubeconfig") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Parse([]byte("garbage")); err == nil {
		t.Error("garbage was read")
	}
	client, err := Parse([]byte(kubeconfig("lab")))
	if err != nil {
		t.Fatal(err)
	}
	if client.Config.Host != "https://lab.example.org:6443" {
		t.Errorf("host %q", client.Config.Host)
	}
}
