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

// userOf is the token of a context's user in a kubeconfig file; empty: there is no such context.
func userOf(t *testing.T, path, context string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Contexts[context]
	if c == nil {
		return ""
	}
	if cfg.Clusters[c.Cluster] == nil || cfg.AuthInfos[c.AuthInfo] == nil {
		t.Errorf("context %s has no cluster or user: %+v", context, cfg)
		return ""
	}
	return cfg.AuthInfos[c.AuthInfo].Token
}

func currentOf(t *testing.T, path string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.CurrentContext
}

// TestMergeContext: what was in the file before is there afterwards, whatever it is called.
func TestMergeContext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, before string // content of the user's file; "": it does not exist
	}{
		{"no file", ""},
		{"a file with another cluster", kubeconfig("work")},
		{"the user's own context of the same cluster", kubeconfig("lab")},
		{"a file without a current context", strings.Replace(kubeconfig("work"), "current-context: work", "current-context: ''", 1)},
		{"an empty file", "apiVersion: v1\nkind: Config\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "kube", "config")
			mine := map[string]string{} // the user's contexts and their tokens
			current := ""
			if tc.before != "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tc.before), 0o600); err != nil {
					t.Fatal(err)
				}
				current = currentOf(t, path)
				for _, name := range []string{"work", "lab"} {
					mine[name] = userOf(t, path, name)
				}
			}
			m := MergedContext{Path: path, Context: "labctl-shop"}
			for range 2 { // again, as the next up does
				if err := m.Merge([]byte(kubeconfig("lab")), false); err != nil {
					t.Fatal(err)
				}
				if got := userOf(t, path, "labctl-shop"); got != "secret-of-lab" || currentOf(t, path) != "labctl-shop" {
					t.Errorf("merged: token %q, current context %q", got, currentOf(t, path))
				}
				if m.Previous != current {
					t.Errorf("the context before is %q, want %q", m.Previous, current)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file has the mode %v (%v)", info.Mode(), err)
			}
			for range 2 {
				if err := m.Remove(); err != nil {
					t.Fatal(err)
				}
			}
			if got := userOf(t, path, "labctl-shop"); got != "" {
				t.Error("the context is left")
			}
			if data, _ := os.ReadFile(path); strings.Contains(string(data), "labctl-shop") {
				t.Errorf("something is left:\n%s", data)
			}
			for name, token := range mine {
				if got := userOf(t, path, name); got != token {
					t.Errorf("the user's context %s has become %q", name, got)
				}
			}
			if got := currentOf(t, path); got != current {
				t.Errorf("the current context is %q, and was %q", got, current)
			}
			if _, err := os.Stat(path + ".lock"); err == nil {
				t.Error("the lock is left")
			}
		})
	}
}

// TestMergeTakenName: entries of the name that labctl did not add are not overwritten.
func TestMergeTakenName(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"a context":                    kubeconfig("labctl-shop"),
		"only a user":                  strings.NewReplacer("contexts: [", "x: [", "clusters: [", "y: [").Replace(kubeconfig("labctl-shop")),
		"a context of another cluster": strings.Replace(kubeconfig("labctl-shop"), "labctl-shop.example.org", "other.example.org", 1),
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		m := MergedContext{Path: path, Context: "labctl-shop"}
		if err := m.Merge([]byte(kubeconfig("lab")), false); err == nil || !strings.Contains(err.Error(), "that labctl did not add") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != before {
			t.Errorf("%s: the file was changed: %s, %v", name, data, err)
		}
		if err := m.Merge([]byte(kubeconfig("lab")), true); err != nil || userOf(t, path, "labctl-shop") != "secret-of-lab" {
			t.Errorf("%s: not replaced: %v", name, err)
		}
	}
}

// TestRemoveKeepsOtherCurrentContext: a current context that the user chose in between stays, and so does none if
// the one before is gone.
func TestRemoveKeepsOtherCurrentContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(kubeconfig("work")), 0o600); err != nil {
		t.Fatal(err)
	}
	shop, bank := MergedContext{Path: path, Context: "labctl-shop"}, MergedContext{Path: path, Context: "labctl-bank"}
	for _, m := range []*MergedContext{&shop, &bank} {
		if err := m.Merge([]byte(kubeconfig("lab")), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := shop.Remove(); err != nil || currentOf(t, path) != "labctl-bank" {
		t.Errorf("current context %q, %v", currentOf(t, path), err)
	}
	if err := bank.Remove(); err != nil || currentOf(t, path) != "" {
		t.Errorf("current context %q, %v", currentOf(t, path), err)
	}
	if userOf(t, path, "work") != "secret-of-work" {
		t.Error("the user's context is gone")
	}
}

func TestMergeErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	m := MergedContext{Path: path, Context: "labctl-shop"}
	want := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v; want one with %q", err, text)
		}
	}
	want(m.Merge([]byte("no: ["), false), "read the kubeconfig")
	want(m.Merge([]byte("apiVersion: v1\nkind: Config\n"), false), "read the kubeconfig")
	if err := os.WriteFile(path, []byte("no: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	want(m.Merge([]byte(kubeconfig("lab")), false), "edit the kubeconfig "+path)
	if data, err := os.ReadFile(path); err != nil || string(data) != "no: [" {
		t.Errorf("a file that cannot be read was changed: %q, %v", data, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(m.Merge([]byte(kubeconfig("lab")), false), "if no kubectl is running, delete that file")
	if err := (&MergedContext{Path: filepath.Join(dir, "none"), Context: "labctl-shop"}).Remove(); err != nil {
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
