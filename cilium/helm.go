package cilium

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/repo"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
)

// This file is all that the module uses of Helm's actions.

// Chart is a loaded chart.
type Chart struct {
	Version string
	Digest  string // "sha256:…" of the archive; empty for a directory
	From    string // where it came from, for people
	helm    *chart.Chart
}

// loadArchive loads a chart archive.
func loadArchive(data []byte, from string) (*Chart, error) {
	c, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the chart %s: %w", from, err)
	}
	return newChart(c, "sha256:"+digest(data), from), nil
}

// loadDir loads a chart directory.
func loadDir(dir string) (*Chart, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the chart %s: %w", dir, err)
	}
	return newChart(c, "", dir), nil
}

func newChart(c *chart.Chart, digest, from string) *Chart {
	return &Chart{Version: c.Metadata.Version, Digest: digest, From: from, helm: c}
}

// findInIndex looks a chart version up in a repository's index; digest is that of the archive, in hex.
func findInIndex(path, version string) (url, digest string, err error) {
	index, err := repo.LoadIndexFile(path)
	if err != nil {
		return "", "", err
	}
	entry, err := index.Get(Release, version)
	if err != nil {
		return "", "", err
	}
	if len(entry.URLs) == 0 {
		return "", "", errors.New("the entry has no address")
	}
	return entry.URLs[0], entry.Digest, nil
}

// pullOCI fetches a chart from an OCI registry, which checks its digest, with the credentials of a file, or those that
// docker or helm stored. It uses plain HTTP for a registry on this machine, as container engines do.
func pullOCI(client *http.Client, ref, version, authFile string) ([]byte, error) {
	ref = strings.TrimPrefix(ref, "oci://")
	opts := []registry.ClientOption{registry.ClientOptHTTPClient(client)}
	if authFile != "" {
		opts = append(opts, registry.ClientOptCredentialsFile(authFile))
	}
	if host, _, _ := strings.Cut(ref, "/"); isLoopback(host) && !servesTLS(client, host) {
		opts = append(opts, registry.ClientOptPlainHTTP())
	}
	helm, err := registry.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":") && !strings.Contains(ref, "@") {
		ref += ":" + version
	}
	got, err := helm.Pull(ref, registry.PullOptWithChart(true))
	if err != nil {
		return nil, err
	}
	return got.Chart.Data, nil
}

// servesTLS says whether a registry answers to HTTPS, with a certificate that is accepted or not.
func servesTLS(client *http.Client, host string) bool {
	res, err := client.Get("https://" + host + "/v2/")
	if err == nil {
		res.Body.Close()
		return true
	}
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

func isLoopback(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Helm installs Cilium with the Helm SDK. It keeps releases in Secrets as the helm command does, so that both can
// be used.
type Helm struct {
	kube  *kube.Client
	owner string
	log   *slog.Logger
}

// NewHelm makes an installer. owner is the instance that Installed.Owner reports.
func NewHelm(c *kube.Client, owner string, log *slog.Logger) *Helm {
	return &Helm{c, owner, log}
}

// Installed is a release in a cluster.
type Installed struct {
	ChartVersion string
	Pending      bool // an operation on it was interrupted
	Failed       bool
	// Owner is the "labctl" label of the release: the instance that installed it. Empty: labctl did not install it.
	Owner string
}

const ownerLabel = "labctl"

func (h *Helm) config() (*action.Configuration, error) {
	cfg := new(action.Configuration)
	err := cfg.Init(getter{h.kube}, Namespace, "secret", func(format string, args ...any) {
		h.log.Debug(fmt.Sprintf(format, args...), "from", "helm")
	})
	if err != nil {
		return nil, fmt.Errorf("set up Helm: %w", err)
	}
	return cfg, nil
}

// Install installs or upgrades the release to chart and values, and recovers one that an interrupted run left
// pending. It returns when the objects are applied, and does not wait for pods.
func (h *Helm) Install(ctx context.Context, c *Chart, values map[string]any) (*Installed, error) {
	// Helm's action knows the context, but not its first requests, which find the release and the API server.
	return untilDone(ctx, func() (*Installed, error) { return h.installOrUpgrade(ctx, c, values) })
}

func (h *Helm) installOrUpgrade(ctx context.Context, c *Chart, values map[string]any) (*Installed, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	last, err := cfg.Releases.Last(Release)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, fmt.Errorf("find the Helm release of Cilium: %w", err)
	}
	if last != nil && last.Info.Status.IsPending() {
		if last, err = h.recoverPendingRelease(cfg, last); err != nil {
			return nil, err
		}
	}
	if last == nil || last.Info.Status == release.StatusUninstalled {
		return h.install(ctx, cfg, c, values)
	}
	up := action.NewUpgrade(cfg)
	up.Namespace = Namespace
	up.ResetValues = true
	up.MaxHistory = 5
	up.DisableOpenAPIValidation = true
	up.PostRenderer = relayStartupProbePatch{}
	up.Labels = map[string]string{ownerLabel: h.owner}
	rel, err := up.RunWithContext(ctx, Release, c.helm, values)
	if err != nil {
		return nil, fmt.Errorf("upgrade Cilium to chart %s: %w", c.Version, err)
	}
	return installed(rel), nil
}

func (h *Helm) install(ctx context.Context, cfg *action.Configuration, c *Chart,
	values map[string]any) (*Installed, error) {
	in := action.NewInstall(cfg)
	in.ReleaseName, in.Namespace = Release, Namespace
	in.Replace = true // of a failed first try
	// The API server validates the objects. Fetching and parsing its OpenAPI schema costs a second.
	in.DisableOpenAPIValidation = true
	in.PostRenderer = relayStartupProbePatch{}
	in.Labels = map[string]string{ownerLabel: h.owner}
	rel, err := in.RunWithContext(ctx, c.helm, values)
	if err != nil {
		return nil, fmt.Errorf("install Cilium from chart %s: %w", c.Version, err)
	}
	return installed(rel), nil
}

// recoverPendingRelease changes a release whose operation was interrupted so that it can be installed or upgraded.
// It returns the last release afterwards, nil if there is none.
func (h *Helm) recoverPendingRelease(cfg *action.Configuration, rel *release.Release) (*release.Release, error) {
	h.log.Debug("recover an interrupted Helm operation", "status", rel.Info.Status, "revision", rel.Version)
	if rel.Info.Status == release.StatusPendingInstall {
		// Its objects carry the release's name, and the next install adopts them.
		if _, err := cfg.Releases.Delete(rel.Name, rel.Version); err != nil {
			return nil, fmt.Errorf("recover the interrupted installation of Cilium: %w", err)
		}
		return nil, nil
	}
	rel.SetStatus(release.StatusFailed, "interrupted")
	if err := cfg.Releases.Update(rel); err != nil {
		return nil, fmt.Errorf("recover the interrupted upgrade of Cilium: %w", err)
	}
	return rel, nil
}

// Uninstall deletes the release's objects. A missing release is not an error.
func (h *Helm) Uninstall(ctx context.Context) error {
	cfg, err := h.config()
	if err != nil {
		return err
	}
	un := action.NewUninstall(cfg)
	un.IgnoreNotFound = true
	_, err = untilDone(ctx, func() (*release.UninstallReleaseResponse, error) { return un.Run(Release) })
	if err != nil {
		return fmt.Errorf("uninstall Cilium: %w", err)
	}
	return nil
}

// Status reports what is installed; nil if nothing is.
func (h *Helm) Status(ctx context.Context) (*Installed, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	rel, err := untilDone(ctx, func() (*release.Release, error) { return cfg.Releases.Last(Release) })
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the Helm release of Cilium: %w", err)
	}
	return installed(rel), nil
}

// untilDone calls a function that knows no context, and returns early when the context ends. The function's own
// requests time out later.
func untilDone[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// CheckValues validates values against the chart's schema.
func CheckValues(c *Chart, values map[string]any) error {
	merged, err := chartutil.CoalesceValues(c.helm, values)
	if err != nil {
		return fmt.Errorf("values for chart %s: %w", c.Version, err)
	}
	if err := chartutil.ValidateAgainstSchema(c.helm, merged); err != nil {
		return fmt.Errorf("values for chart %s: %w", c.Version, err)
	}
	return nil
}

func installed(rel *release.Release) *Installed {
	return &Installed{
		ChartVersion: rel.Chart.Metadata.Version,
		Pending:      rel.Info.Status.IsPending(),
		Failed:       rel.Info.Status == release.StatusFailed,
		Owner:        rel.Labels[ownerLabel],
	}
}

// relayStartupProbePatch shortens the interval of the relay's startup probe, for which the chart has no value: the
// probe waits 10 s before it first runs and 3 s between runs, and these are the last seconds of an up. The relay
// still has 70 s to start.
type relayStartupProbePatch struct{}

func (relayStartupProbePatch) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	const deployment = "kind: Deployment"
	docs := bytes.Split(rendered.Bytes(), []byte("\n---\n"))
	for i, doc := range docs {
		if !bytes.Contains(doc, []byte(deployment)) || !bytes.Contains(doc, []byte("name: hubble-relay\n")) {
			continue
		}
		var relay appsv1.Deployment
		if err := yaml.Unmarshal(doc, &relay); err != nil {
			return nil, fmt.Errorf("read the relay's Deployment: %w", err)
		}
		for j := range relay.Spec.Template.Spec.Containers {
			if p := relay.Spec.Template.Spec.Containers[j].StartupProbe; p != nil {
				p.InitialDelaySeconds, p.PeriodSeconds, p.FailureThreshold = 1, 1, 70
			}
		}
		data, err := yaml.Marshal(relay)
		if err != nil {
			return nil, fmt.Errorf("write the relay's Deployment: %w", err)
		}
		docs[i] = data
	}
	return bytes.NewBuffer(bytes.Join(docs, []byte("\n---\n"))), nil
}

// getter gives Helm a kube.Client.
type getter struct{ kube *kube.Client }

func (g getter) ToRESTConfig() (*rest.Config, error)           { return g.kube.Config, nil }
func (g getter) ToRESTMapper() (meta.RESTMapper, error)        { return g.kube.Mapper(), nil }
func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return g.kube.Raw }
func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.kube.Discovery(), nil
}
