package kind

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/labctl/labctl/provision"
)

// TestRegistryFiles: what nodes are told about mirrors, authorities and credentials.
func TestRegistryFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, auth := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "auth.json")
	const logins = `{"auths": {"mirror.school:5000": {"auth": "bWU6Z2VoZWlt"}}}`
	for path, content := range map[string]string{ca: "PEM", auth: logins} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mirrors := map[string]string{"docker.io": "https://mirror.school:5000"}
	for _, tc := range []struct {
		name string
		site provision.Settings
		want map[string]string
	}{
		{"nothing", provision.Settings{}, map[string]string{}},
		{"a mirror", provision.Settings{Mirrors: mirrors}, map[string]string{
			"/etc/containerd/certs.d/docker.io/hosts.toml": `[host."https://mirror.school:5000"]
  capabilities = ["pull", "resolve"]
`,
		}},
		{"a private registry", provision.Settings{CAFile: ca, AuthFile: auth}, map[string]string{
			"/etc/containerd/certs.d/labctl-ca.crt":       "PEM",
			"/etc/containerd/certs.d/_default/hosts.toml": "ca = \"/etc/containerd/certs.d/labctl-ca.crt\"\n",
			"/var/lib/kubelet/config.json":                logins,
		}},
		{"a private mirror", provision.Settings{CAFile: ca, AuthFile: auth, Mirrors: mirrors}, map[string]string{
			"/etc/containerd/certs.d/labctl-ca.crt":       "PEM",
			"/etc/containerd/certs.d/_default/hosts.toml": "ca = \"/etc/containerd/certs.d/labctl-ca.crt\"\n",
			"/etc/containerd/certs.d/docker.io/hosts.toml": `ca = "/etc/containerd/certs.d/labctl-ca.crt"
[host."https://mirror.school:5000"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/containerd/certs.d/labctl-ca.crt"
  [host."https://mirror.school:5000".header]
    Authorization = "Basic bWU6Z2VoZWlt"
`,
			"/var/lib/kubelet/config.json": logins,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, nil, &tc.site)
			got, err := p.registryFiles(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if patched := len(p.config("x").ContainerdConfigPatches) > 0; patched != (len(tc.want) > 0) {
				t.Errorf("containerd looks for them: %v", patched)
			}
		})
	}
}

func TestRegistriesOfNode(t *testing.T) {
	asked := fakeDocker(t, `"exec -i"*) cat >/dev/null ;;`)
	site := &provision.Settings{Mirrors: map[string]string{"docker.io": "https://mirror.school:5000"}}
	if err := newProvider(t, nil, site).configureRegistries(context.Background(), "node"); err != nil {
		t.Fatal(err)
	}
	if lines := asked(); len(lines) != 1 || !strings.HasPrefix(lines[0], "exec -i node") ||
		!strings.HasSuffix(lines[0], "/etc/containerd/certs.d/docker.io/hosts.toml") {
		t.Errorf("docker was asked to %q", lines)
	}
	site = &provision.Settings{CAFile: filepath.Join(t.TempDir(), "none")}
	wantError(t, newProvider(t, nil, site).configureRegistries(context.Background(), "node"), "read the certificates of registries")
}
