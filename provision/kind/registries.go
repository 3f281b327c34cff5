package kind

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"

	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Where a node's containerd and kubelet look for what they need to know of registries.
const (
	certsDir     = "/etc/containerd/certs.d"
	nodeCAFile   = certsDir + "/labctl-ca.crt"
	nodeAuthFile = "/var/lib/kubelet/config.json"
)

// ownRegistries says whether the site's settings tell nodes how to reach registries.
func (p *Provider) ownRegistries() bool {
	return len(p.site.Mirrors) > 0 || p.site.AuthFile != "" || p.site.CAFile != ""
}

// configureRegistries tells a node about the site's mirrors, private authorities and credentials.
func (p *Provider) configureRegistries(ctx context.Context, node string) error {
	files, err := p.registryFiles(ctx)
	if err != nil {
		return err
	}
	for file, content := range files {
		// Credentials are not for everybody who has a shell in the node.
		if _, err := p.engine.pipe(ctx, strings.NewReader(content), "exec", "-i", node, "sh", "-c",
			"umask 077 && mkdir -p \"$(dirname \"$0\")\" && cat > \"$0\"", file); err != nil {
			return err
		}
	}
	return nil
}

// registryFiles are the files of a node by their paths.
func (p *Provider) registryFiles(ctx context.Context) (map[string]string, error) {
	files := map[string]string{}
	ca := ""
	if p.site.CAFile != "" {
		pem, err := os.ReadFile(p.site.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificates of registries: %w", err)
		}
		files[nodeCAFile] = string(pem)
		ca = fmt.Sprintf("ca = %q\n", nodeCAFile)
		files[path.Join(certsDir, "_default", "hosts.toml")] = ca
	}
	for host, mirror := range p.site.Mirrors {
		header, err := p.authorization(ctx, mirror)
		if err != nil {
			return nil, err
		}
		content := fmt.Sprintf("%s[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", ca, mirror)
		if ca != "" {
			content += "  " + ca
		}
		if header != "" {
			content += fmt.Sprintf("  [host.%q.header]\n    Authorization = %q\n", mirror, header)
		}
		files[path.Join(certsDir, host, "hosts.toml")] = content
	}
	if p.site.AuthFile != "" {
		auth, err := os.ReadFile(p.site.AuthFile)
		if err != nil {
			return nil, fmt.Errorf("read the credentials of registries: %w", err)
		}
		files[nodeAuthFile] = string(auth)
	}
	return files, nil
}

// authorization is the header that a mirror asks for. The kubelet's credentials are those of the registry that is
// mirrored, so that containerd has to send it. Empty: there are no credentials for the mirror.
func (p *Provider) authorization(ctx context.Context, mirror string) (string, error) {
	u, err := url.Parse(mirror)
	if p.site.AuthFile == "" || err != nil {
		return "", nil
	}
	store, err := credentials.NewStore(p.site.AuthFile, credentials.StoreOptions{})
	if err != nil {
		return "", fmt.Errorf("read the credentials of registries: %w", err)
	}
	c, err := store.Get(ctx, u.Host)
	if err != nil {
		return "", fmt.Errorf("read the credentials of %s: %w", u.Host, err)
	}
	if c.Username == "" {
		return "", nil
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)), nil
}
