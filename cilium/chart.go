package cilium

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
}

func (s Source) String() string {
	switch {
	case s.Ref != "":
		return s.Ref
	case s.Repo != "":
		return s.Repo + " " + s.Version
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
		data, err := pullOCI(boundedClient(ctx), s.Ref, s.Version)
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
	from := strings.TrimSuffix(address, "/") + " " + Release + " " + s.Version
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
		return nil, fmt.Errorf("fetch the chart from %s: %w", address, err)
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
	index, err := download(ctx, base.JoinPath("index.yaml").String())
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
	data, err := download(ctx, ref.String())
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

func download(ctx context.Context, address string) ([]byte, error) {
	res, err := boundedClient(ctx).Get(address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, res.Status)
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return data, nil
}

// boundedClient is an HTTP client whose requests end with ctx and whose responses are at most maxChart long. Helm's own
// downloaders have neither bound.
func boundedClient(ctx context.Context) *http.Client {
	return &http.Client{Transport: boundedTransport{ctx}}
}

type boundedTransport struct{ ctx context.Context }

func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(req.WithContext(t.ctx))
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
