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
			for _, again := range []bool{false, true} { // as the next up does
				merge(t, &m, again, nil)
				if got := userOf(t, path, "labctl-shop"); got != "secret-of-lab" || currentOf(t, path) != "labctl-shop" {
					t.Errorf("merged: token %q, current context %q", got, currentOf(t, path))
				}
				if strings.Join(m.Previous, " ") != current {
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
		if err := m.Prepare(false, nil); err == nil || !strings.Contains(err.Error(), "that labctl did not add") {
			t.Errorf("%s: prepared, the error is %v", name, err)
		}
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

// merge adds the context of the lab to a file.
func merge(t *testing.T, m *MergedContext, again bool, history map[string][]string) {
	t.Helper()
	if err := m.Prepare(again, history); err != nil {
		t.Fatal(err)
	}
	if err := m.Merge([]byte(kubeconfig("lab")), again); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveKeepsOtherCurrentContext: a current context that the user chose in between stays. Otherwise the one before
// returns, or the one before that, whatever the order in which labs are removed.
func TestRemoveKeepsOtherCurrentContext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		switched bool // to work, before the labs are removed
		order    []string
		want     []string // the current context after each
	}{
		{"last in, first out", false, []string{"labctl-bank", "labctl-shop"}, []string{"labctl-shop", "work"}},
		{"first in, first out", false, []string{"labctl-shop", "labctl-bank"}, []string{"labctl-bank", "work"}},
		{"the user switched", true, []string{"labctl-shop", "labctl-bank"}, []string{"work", "work"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(path, []byte(kubeconfig("work")), 0o600); err != nil {
				t.Fatal(err)
			}
			merged, history := map[string]*MergedContext{}, map[string][]string{}
			for _, name := range []string{"labctl-shop", "labctl-bank"} {
				m := &MergedContext{Path: path, Context: name}
				merge(t, m, false, history)
				merged[name], history[name] = m, m.Previous
			}
			if tc.switched {
				cfg, err := clientcmd.LoadFromFile(path)
				if err != nil {
					t.Fatal(err)
				}
				cfg.CurrentContext = "work"
				if err := clientcmd.WriteToFile(*cfg, path); err != nil {
					t.Fatal(err)
				}
			}
			for i, name := range tc.order {
				if err := merged[name].Remove(); err != nil || currentOf(t, path) != tc.want[i] {
					t.Errorf("without %s, the current context is %q, want %q (%v)", name, currentOf(t, path), tc.want[i], err)
				}
			}
			if userOf(t, path, "work") != "secret-of-work" {
				t.Error("the user's context is gone")
			}
		})
	}
}

// TestRemoveChangedContext: a cluster and a user that the user's own hand put into the lab's context stay.
func TestRemoveChangedContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(kubeconfig("work")), 0o600); err != nil {
		t.Fatal(err)
	}
	m := MergedContext{Path: path, Context: "labctl-shop"}
	merge(t, &m, false, nil)
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Contexts["labctl-shop"].AuthInfo = "work"
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(); err != nil || userOf(t, path, "work") != "secret-of-work" {
		t.Errorf("the user's credentials are %q, %v", userOf(t, path, "work"), err)
	}
	if data, _ := os.ReadFile(path); strings.Contains(string(data), "labctl-shop") {
		t.Errorf("something is left:\n%s", data)
	}
}

// TestMergeSeveralFiles: of the files of $KUBECONFIG, only the one that kubectl would write to changes.
func TestMergeSeveralFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none, first, second := filepath.Join(dir, "none"), filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for path, name := range map[string]string{first: "work", second: "home"} {
		if err := os.WriteFile(path, []byte(kubeconfig(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := MergedContext{Path: strings.Join([]string{none, first, second}, string(filepath.ListSeparator)), Context: "labctl-shop"}
	for _, again := range []bool{false, true} {
		merge(t, &m, again, nil)
		if userOf(t, first, "labctl-shop") != "secret-of-lab" || currentOf(t, first) != "labctl-shop" {
			t.Errorf("it is not in the first file that exists: %s", first)
		}
	}
	if err := m.Remove(); err != nil {
		t.Fatal(err)
	}
	if userOf(t, first, "labctl-shop") != "" || currentOf(t, first) != "work" || userOf(t, first, "work") == "" {
		t.Errorf("the first file is not what it was; its current context is %q", currentOf(t, first))
	}
	if data, err := os.ReadFile(second); err != nil || string(data) != kubeconfig("home") {
		t.Errorf("the second file was changed: %s, %v", data, err)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a file was created")
	}
}

// TestMergeReadOnly: a file that cannot be written is named, and stays as it is.
func TestMergeReadOnly(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write to every file")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(kubeconfig("work")), 0o400); err != nil {
		t.Fatal(err)
	}
	m := MergedContext{Path: path, Context: "labctl-shop"}
	if err := m.Merge([]byte(kubeconfig("lab")), false); err == nil || !strings.Contains(err.Error(), "edit the kubeconfig "+path) {
		t.Errorf("the error is %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != kubeconfig("work") {
		t.Errorf("the file was changed: %s, %v", data, err)
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
