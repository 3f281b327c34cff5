package cilium

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Repository is Cilium's own chart repository.
const Repository = "https://helm.cilium.io"

// Source says where the chart comes from.
type Source struct {
	// Ref is a directory, an archive or an oci:// reference; empty: the repository.
	Ref string
	// Repo is the chart repository's address; default Repository.
	Repo string
	// Version is the chart's; a local chart of another version is an error.
	Version string
	// Digest is the sha256 that the chart's archive must have, in hex, wherever it comes from. Empty: for Cilium's own
	// repository, the one that labctl knows for this version, if any.
	Digest string
	// Cache is a directory for downloaded charts; empty: nothing is kept.
	Cache string
	// AuthFile has credentials in the format of Docker's config.json. Empty: only those that docker or helm stored,
	// and only for registries.
	AuthFile string
	// CAFile has certificates of authorities in PEM, which are accepted in addition to the system's.
	CAFile string
}

func (s Source) String() string {
	switch {
	case s.Ref != "":
		return s.Ref
	case s.Repo != "":
		return withoutPassword(s.Repo) + " " + s.Version
	}
	return Repository + " " + s.Version
}

// maxChart is larger than any version of the chart and its index.
const maxChart = 64 << 20

// Fetch loads the chart, until ctx ends. A chart from a repository is checked against the digest in the index, and
// taken from the cache the next time.
func (s Source) Fetch(ctx context.Context) (*Chart, error) {
	c, err := s.fetch(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("fetch the chart %s: %w", s, context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	if want := s.expectedDigest(); want != "" && c.Digest != "sha256:"+want {
		if c.Digest == "" {
			return nil, fmt.Errorf("the chart %s is a directory, which has no digest; use an archive, or unset cilium_chart_digest", c.From)
		}
		return nil, fmt.Errorf("the chart %s has digest %s, expected sha256:%s; refusing to use it",
			c.From, c.Digest, want)
	}
	if c.helm.Name() != Release {
		return nil, fmt.Errorf("the chart %s is %q, not Cilium's", c.From, c.helm.Name())
	}
	if s.Version != "" && strings.TrimPrefix(c.Version, "v") != strings.TrimPrefix(s.Version, "v") {
		return nil, fmt.Errorf("the chart %s has version %s; the lab asks for %s", c.From, c.Version, s.Version)
	}
	return c, nil
}

func (s Source) fetch(ctx context.Context) (*Chart, error) {
	switch {
	case strings.HasPrefix(s.Ref, "oci://"):
		client, err := s.boundedClient(ctx)
		if err != nil {
			return nil, err
		}
		data, err := pullOCI(client, s.Ref, s.Version, s.AuthFile)
		if err != nil {
			return nil, fmt.Errorf("fetch the chart %s: %w", s.Ref, err)
		}
		return loadArchive(data, s.Ref)
	case s.Ref != "":
		info, err := os.Stat(s.Ref)
		if err != nil {
			return nil, fmt.Errorf("read the chart: %w", err)
		}
		if info.IsDir() {
			return loadDir(s.Ref)
		}
		data, err := os.ReadFile(s.Ref)
		if err != nil {
			return nil, fmt.Errorf("read the chart: %w", err)
		}
		return loadArchive(data, s.Ref)
	}
	return s.download(ctx)
}

func (s Source) download(ctx context.Context) (*Chart, error) {
	address := s.Repo
	if address == "" {
		address = Repository
	}
	from := strings.TrimSuffix(withoutPassword(address), "/") + " " + Release + " " + s.Version
	cached := s.cached(address)
	if data, err := os.ReadFile(cached); err == nil {
		sum, err := os.ReadFile(cached + ".sha256")
		if got := digest(data); err == nil && got == strings.TrimSpace(string(sum)) &&
			(s.expectedDigest() == "" || got == s.expectedDigest()) {
			return loadArchive(data, from)
		}
	}
	data, err := s.get(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("fetch the chart from %s: %w", withoutPassword(address), err)
	}
	if cached != "" {
		// Without a cache, the next run downloads the chart again.
		if os.MkdirAll(s.Cache, 0o755) == nil && os.WriteFile(cached, data, 0o644) == nil {
			_ = os.WriteFile(cached+".sha256", []byte(digest(data)+"\n"), 0o644)
		}
	}
	return loadArchive(data, from)
}

func (s Source) cached(address string) string {
	if s.Cache == "" {
		return ""
	}
	return filepath.Join(s.Cache, fmt.Sprintf("%s-%s-%s.tgz", Release, s.Version, digest([]byte(address))[:8]))
}

// get downloads the archive that the repository's index lists, and checks its digest.
func (s Source) get(ctx context.Context, address string) ([]byte, error) {
	base, err := url.Parse(strings.TrimSuffix(address, "/") + "/")
	if err != nil {
		return nil, err
	}
	client, err := s.boundedClient(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.signIn(ctx, client); err != nil {
		return nil, err
	}
	index, err := download(client, base.JoinPath("index.yaml").String())
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "labctl-index-*.yaml")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(index)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	archive, want, err := findInIndex(file.Name(), s.Version)
	if err != nil {
		return nil, fmt.Errorf("version %s: %w", s.Version, err)
	}
	ref, err := base.Parse(archive)
	if err != nil {
		return nil, err
	}
	data, err := download(client, ref.String())
	if err != nil {
		return nil, err
	}
	// The index comes from the same place as the archive, so its digest only reveals corruption. The digest that
	// labctl or the site knows for the version also reveals a replaced archive.
	got, want := digest(data), strings.TrimPrefix(want, "sha256:")
	switch known := s.expectedDigest(); {
	case known != "" && got != known:
		return nil, fmt.Errorf("%s has digest sha256:%s, expected sha256:%s; refusing to use it", ref, got, known)
	case want != "" && got != want:
		return nil, fmt.Errorf("%s has digest sha256:%s, but the index says sha256:%s; refusing to use it",
			ref, got, want)
	case want == "" && known == "":
		return nil, fmt.Errorf("the index has no digest for version %s; set cilium_chart_digest to the expected one",
			s.Version)
	}
	return data, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func download(client *http.Client, address string) ([]byte, error) {
	res, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", withoutPassword(address), res.Status)
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", withoutPassword(address), err)
	}
	return data, nil
}

// withoutPassword is an address for messages.
func withoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

// boundedClient is an HTTP client whose requests end with ctx and whose responses are at most maxChart long. Helm's own
// downloaders have neither bound.
func (s Source) boundedClient(ctx context.Context) (*http.Client, error) {
	next := http.DefaultTransport
	if s.CAFile != "" {
		pool, err := authorities(s.CAFile)
		if err != nil {
			return nil, err
		}
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		next = own
	}
	return &http.Client{Transport: boundedTransport{ctx, next}}, nil
}

// authorities are the system's and those of a file.
func authorities(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of registries: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

// signIn lets a client send the credentials that AuthFile has for a host, to that host.
func (s Source) signIn(ctx context.Context, client *http.Client) error {
	if s.AuthFile == "" {
		return nil
	}
	store, err := credentials.NewStore(s.AuthFile, credentials.StoreOptions{})
	if err != nil {
		return fmt.Errorf("read the credentials of registries: %w", err)
	}
	client.Transport = authTransport{client.Transport, func(host string) (auth.Credential, error) {
		return store.Get(ctx, host)
	}}
	return nil
}

type authTransport struct {
	next       http.RoundTripper
	credential func(host string) (auth.Credential, error)
}

func (t authTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" && req.Header.Get("Authorization") == "" {
		c, err := t.credential(req.URL.Host)
		if err != nil {
			return nil, fmt.Errorf("read the credentials of %s: %w", req.URL.Host, err)
		}
		if c.Username != "" {
			req = req.Clone(req.Context())
			req.SetBasicAuth(c.Username, c.Password)
		}
	}
	return t.next.RoundTrip(req)
}

type boundedTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req.WithContext(t.ctx))
	if err == nil {
		res.Body = &boundedBody{res.Body, maxChart}
	}
	return res, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the response is larger than %d MiB", maxChart>>20)
	}
	return n, err
}
