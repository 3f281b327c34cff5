package cilium

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// This file is all of Helm that the module knows.

// Chart is a chart that was read.
type Chart struct {
	Version    string
	AppVersion string
	Digest     string // "sha256:…" of the archive; of a directory, empty
	From       string // where it came from, for people
	helm       *chart.Chart
}

// loadArchive reads a chart archive.
func loadArchive(data []byte, from string) (*Chart, error) {
	c, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the chart %s: %w", from, err)
	}
	sum := sha256.Sum256(data)
	return newChart(c, "sha256:"+hex.EncodeToString(sum[:]), from), nil
}

// loadDir reads a chart directory.
func loadDir(dir string) (*Chart, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the chart %s: %w", dir, err)
	}
	return newChart(c, "", dir), nil
}

func newChart(c *chart.Chart, digest, from string) *Chart {
	return &Chart{Version: c.Metadata.Version, AppVersion: c.Metadata.AppVersion, Digest: digest, From: from, helm: c}
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

// pullOCI fetches a chart from an OCI registry, which checks its digest. With a registry on this machine it
// speaks plain HTTP, as container engines do.
func pullOCI(ref, version string) ([]byte, error) {
	ref = strings.TrimPrefix(ref, "oci://")
	var opts []registry.ClientOption
	if host, _, _ := strings.Cut(ref, "/"); isLoopback(host) {
		opts = append(opts, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":") && !strings.Contains(ref, "@") {
		ref += ":" + version
	}
	got, err := client.Pull(ref, registry.PullOptWithChart(true))
	if err != nil {
		return nil, err
	}
	return got.Chart.Data, nil
}

func isLoopback(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Helm is the Installer by the Helm SDK. Releases are kept in Secrets, as the helm command keeps them, which
// can be used beside it.
type Helm struct {
	kube  *kube.Client
	owner string
	log   *slog.Logger
}

// NewHelm makes an installer; owner is what Installed.Owner is to say.
func NewHelm(c *kube.Client, owner string, log *slog.Logger) *Helm {
	return &Helm{c, owner, log}
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

// Install implements Installer.
func (h *Helm) Install(ctx context.Context, c *Chart, values map[string]any) (*Installed, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	last, err := cfg.Releases.Last(Release)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, fmt.Errorf("look for a release of Cilium: %w", err)
	}
	if last != nil && last.Info.Status.IsPending() {
		if last, err = h.takeOver(cfg, last); err != nil {
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
	up.PostRenderer = earlierProbe{}
	up.Labels = map[string]string{ownerLabel: h.owner}
	rel, err := up.RunWithContext(ctx, Release, c.helm, values)
	if err != nil {
		return nil, fmt.Errorf("upgrade Cilium to chart %s: %w", c.Version, err)
	}
	return installed(rel), nil
}

func (h *Helm) install(ctx context.Context, cfg *action.Configuration, c *Chart, values map[string]any) (*Installed, error) {
	in := action.NewInstall(cfg)
	in.ReleaseName, in.Namespace = Release, Namespace
	in.Replace = true // of a failed first try
	// The API server checks the objects anyhow; fetching and parsing its OpenAPI costs a second.
	in.DisableOpenAPIValidation = true
	in.PostRenderer = earlierProbe{}
	in.Labels = map[string]string{ownerLabel: h.owner}
	rel, err := in.RunWithContext(ctx, c.helm, values)
	if err != nil {
		return nil, fmt.Errorf("install Cilium from chart %s: %w", c.Version, err)
	}
	return installed(rel), nil
}

// takeOver brings a release whose operation was interrupted into a state from which it can be installed or
// upgraded. It returns what is then the last release, nil if there is none.
func (h *Helm) takeOver(cfg *action.Configuration, rel *release.Release) (*release.Release, error) {
	h.log.Debug("take over an interrupted Helm operation", "status", rel.Info.Status, "revision", rel.Version)
	if rel.Info.Status == release.StatusPendingInstall {
		// What it created carries the release's name, and the next install adopts it.
		if _, err := cfg.Releases.Delete(rel.Name, rel.Version); err != nil {
			return nil, fmt.Errorf("take over the interrupted installation of Cilium: %w", err)
		}
		return nil, nil
	}
	rel.SetStatus(release.StatusFailed, "interrupted")
	if err := cfg.Releases.Update(rel); err != nil {
		return nil, fmt.Errorf("take over the interrupted upgrade of Cilium: %w", err)
	}
	return rel, nil
}

// Uninstall implements Installer.
func (h *Helm) Uninstall(context.Context) error {
	cfg, err := h.config()
	if err != nil {
		return err
	}
	un := action.NewUninstall(cfg)
	un.IgnoreNotFound = true
	if _, err := un.Run(Release); err != nil {
		return fmt.Errorf("uninstall Cilium: %w", err)
	}
	return nil
}

// Status implements Installer.
func (h *Helm) Status(context.Context) (*Installed, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	rel, err := cfg.Releases.Last(Release)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a release of Cilium: %w", err)
	}
	return installed(rel), nil
}

// Render implements Installer.
func (h *Helm) Render(ctx context.Context, c *Chart, values map[string]any, kubernetes string) ([]byte, error) {
	in := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	in.ReleaseName, in.Namespace = Release, Namespace
	in.PostRenderer = earlierProbe{}
	in.ClientOnly, in.DryRun, in.IncludeCRDs = true, true, true
	if kubernetes != "" {
		version, err := chartutil.ParseKubeVersion(kubernetes)
		if err != nil {
			return nil, fmt.Errorf("version %q of Kubernetes: %w", kubernetes, err)
		}
		in.KubeVersion = version
	}
	rel, err := in.RunWithContext(ctx, c.helm, values)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", c.Version, err)
	}
	return []byte(rel.Manifest), nil
}

// CheckValues holds values against the chart's schema.
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
		AppVersion:   rel.Chart.Metadata.AppVersion,
		Revision:     rel.Version,
		Pending:      rel.Info.Status.IsPending(),
		Failed:       rel.Info.Status == release.StatusFailed,
		Updated:      rel.Info.LastDeployed.Time,
		Values:       rel.Config,
		Owner:        rel.Labels[ownerLabel],
	}
}

// earlierProbe changes what the chart has no value for: the relay's startup probe waits 10 s before its first
// look and 3 s between two, and those are the last seconds of an up. How long the relay may take stays: 70 s.
type earlierProbe struct{}

func (earlierProbe) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
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

// getter hands a kube.Client to Helm.
type getter struct{ kube *kube.Client }

func (g getter) ToRESTConfig() (*rest.Config, error)           { return g.kube.Config, nil }
func (g getter) ToRESTMapper() (meta.RESTMapper, error)        { return g.kube.Mapper(), nil }
func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return g.kube.Raw }
func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.kube.Discovery(), nil
}
