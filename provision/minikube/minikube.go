// Package minikube makes clusters through the user's own minikube program: whatever machine or container its driver makes, on
// whatever system. The network is left to Cilium.
package minikube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "minikube"

// settings are the attributes of a `cluster "minikube"` block; package labs has checked them. What is not set is minikube's to
// choose, by its own configuration (minikube config).
type settings struct {
	Profile           string `mapstructure:"profile"` // default: the cluster's name
	Driver            string `mapstructure:"driver"`
	Nodes             int    `mapstructure:"nodes"`
	Memory            string `mapstructure:"memory"` // of a node: "4096" is MB, or "4g"
	CPUs              int    `mapstructure:"cpus"`   // of a node
	KubernetesVersion string `mapstructure:"kubernetes_version"`
}

// Provider implements provision.Provider and what minikube offers besides.
type Provider struct {
	settings settings
	log      *slog.Logger
	program  program
}

var _ interface {
	provision.Provider
	provision.ImageLoader
	provision.Pauser
	provision.LogCollector
	provision.Describer
} = (*Provider)(nil)

// New implements provision.NewProvider.
func New(block labs.Cluster, _ *provision.Settings, log *slog.Logger) (provision.Provider, error) {
	return newProvider(block, log, program{path: "minikube"})
}

func newProvider(block labs.Cluster, log *slog.Logger, program program) (*Provider, error) {
	p := &Provider{log: log, program: program}
	if err := provision.DecodeSettings(block, &p.settings); err != nil {
		return nil, err
	}
	if p.settings.Nodes == 0 {
		p.settings.Nodes = 1
	}
	if p.settings.CPUs == 0 {
		p.settings.CPUs = 2
	}
	return p, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Timeout implements provision.Provider. A first start downloads a system and an archive of images.
func (p *Provider) Timeout() time.Duration { return 15 * time.Minute }

// Values implements provision.Provider: the chart's defaults hold on minikube.
func (p *Provider) Values(provision.Cluster) map[string]any { return nil }

// Describe implements provision.Describer.
func (p *Provider) Describe() string {
	s := p.settings
	text := fmt.Sprintf("%d × %d CPUs", s.Nodes, s.CPUs)
	if s.Memory != "" {
		text += ", " + s.Memory + " of memory"
	}
	if s.Driver != "" {
		text += ", driver " + s.Driver
	}
	if s.KubernetesVersion != "" {
		text += ", Kubernetes " + s.KubernetesVersion
	}
	return text
}

func (p *Provider) profile(c provision.Cluster) string {
	if p.settings.Profile != "" {
		return p.settings.Profile
	}
	return c.Name
}

// startArgs are what makes a cluster: no network, since Cilium is to be it, and the current context of the user's kubeconfig stays.
func (p *Provider) startArgs(c provision.Cluster) []string {
	s := p.settings
	args := []string{
		"start", "--profile", p.profile(c), "--output", "json", "--interactive=false", "--keep-context", "--embed-certs",
		"--cni=false", "--network-plugin=cni", "--wait=apiserver", "--nodes", strconv.Itoa(s.Nodes), "--cpus", strconv.Itoa(s.CPUs),
	}
	if s.Memory != "" {
		args = append(args, "--memory", s.Memory)
	}
	if s.Driver != "" {
		args = append(args, "--driver", s.Driver)
	}
	if s.KubernetesVersion != "" {
		args = append(args, "--kubernetes-version", s.KubernetesVersion)
	}
	return args
}

// Preflight implements provision.Provider: minikube itself says whether it could start the cluster.
func (p *Provider) Preflight(ctx context.Context, c provision.Cluster) []provision.Finding {
	f := provision.Finding{Check: Name, Severity: provision.OK}
	version, err := p.program.version(ctx)
	if err != nil {
		f.Severity, f.Message = provision.Failure, err.Error()
		f.Fix = "install minikube " + oldest + " or newer: https://minikube.sigs.k8s.io/docs/start"
		return []provision.Finding{f}
	}
	f.Message = "minikube " + version
	findings := []provision.Finding{f}
	if found, err := p.Find(ctx, c); err != nil || found.State != provision.Absent {
		return findings // it would speak of the cluster that is there
	}
	if err := p.program.events(ctx, c, nil, append(p.startArgs(c), "--dry-run")...); err != nil {
		f := provision.Finding{Check: "minikube's driver", Severity: provision.Failure, Message: err.Error()}
		var failed *failure
		if errors.As(err, &failed) {
			f.Message, f.Fix = failed.message, failed.advice
		}
		findings = append(findings, f)
	}
	return findings
}

// Find implements provision.Provider.
func (p *Provider) Find(ctx context.Context, c provision.Cluster) (provision.Found, error) {
	profiles, err := p.program.profiles(ctx)
	if err != nil {
		return provision.Found{}, err
	}
	if !slices.Contains(profiles.valid, p.profile(c)) {
		if slices.Contains(profiles.invalid, p.profile(c)) {
			return provision.Found{State: provision.Broken, Nodes: []string{p.profile(c)}, Detail: "minikube cannot read its profile"}, nil
		}
		return provision.Found{State: provision.Absent}, nil
	}
	nodes, err := p.program.status(ctx, p.profile(c))
	if err != nil {
		return provision.Found{State: provision.Broken, Nodes: []string{p.profile(c)}, Detail: err.Error()}, nil
	}
	return foundOf(nodes, p.settings.Nodes), nil
}

// foundOf puts the states of the nodes together.
func foundOf(nodes []nodeStatus, want int) provision.Found {
	found := provision.Found{State: provision.Broken}
	var running, stopped int
	for _, n := range nodes {
		switch {
		case n.Host == "Nonexistent":
			found.Missing = append(found.Missing, n.Name)
			continue
		case n.Host == "Running" && n.Kubelet == "Running" && (n.Worker || n.APIServer == "Running"):
			running++
		case n.Host == "Stopped" || n.Host == "Running" && n.APIServer == "Paused":
			stopped++
		default:
			found.Detail = fmt.Sprintf("node %s is %s, its kubelet %s, its API server %s", n.Name, word(n.Host), word(n.Kubelet), word(n.APIServer))
		}
		found.Nodes = append(found.Nodes, n.Name)
	}
	switch {
	case len(found.Missing) > 0:
		found.Detail = "missing: " + strings.Join(found.Missing, ", ")
	case found.Detail != "":
	case len(nodes) < want:
		found.Detail = fmt.Sprintf("%d of %d nodes", len(nodes), want)
	case running == len(nodes):
		found.State = provision.Running
	case stopped == len(nodes):
		found.State, found.Detail = provision.Stopped, "its nodes are stopped"
	default:
		found.Detail = fmt.Sprintf("%d of %d nodes are stopped", stopped, len(nodes))
	}
	return found
}

func word(state string) string {
	if state == "" {
		return "unknown"
	}
	return strings.ToLower(state)
}

// Create implements provision.Provider. minikube says when all is done, and not what can begin before.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, watch provision.Watch) error {
	found, err := p.Find(ctx, c)
	if err != nil {
		return err
	}
	if found.State != provision.Absent {
		return fmt.Errorf("there is a minikube profile %s already", p.profile(c))
	}
	if err := p.program.events(ctx, c, watch.Step, p.startArgs(c)...); err != nil {
		return fmt.Errorf("create the minikube cluster %s: %w", p.profile(c), err)
	}
	watch.Reached(provision.NodesUp)
	watch.Reached(provision.APIUp)
	return nil
}

// Delete implements provision.Provider.
func (p *Provider) Delete(ctx context.Context, c provision.Cluster) error {
	found, err := p.Find(ctx, c)
	if err != nil || found.State == provision.Absent {
		return err
	}
	if err := p.program.events(ctx, c, nil, "delete", "--profile", p.profile(c), "--output", "json"); err != nil {
		return fmt.Errorf("delete the minikube cluster %s: %w", p.profile(c), err)
	}
	if found, err = p.Find(ctx, c); err != nil {
		return err
	}
	if found.State != provision.Absent {
		return fmt.Errorf("minikube has deleted %s, and it is still there: %s", p.profile(c), found.Detail)
	}
	return nil
}

// Pause implements provision.Pauser: minikube's "stop", which frees memory; its "pause" only halts the containers.
func (p *Provider) Pause(ctx context.Context, c provision.Cluster) error {
	if err := p.program.events(ctx, c, nil, "stop", "--profile", p.profile(c), "--output", "json"); err != nil {
		return fmt.Errorf("stop the minikube cluster %s: %w", p.profile(c), err)
	}
	return nil
}

// Resume implements provision.Pauser.
func (p *Provider) Resume(ctx context.Context, c provision.Cluster) error {
	if err := p.program.events(ctx, c, nil, p.startArgs(c)...); err != nil {
		return fmt.Errorf("start the minikube cluster %s: %w", p.profile(c), err)
	}
	return nil
}

// LoadImages implements provision.ImageLoader.
func (p *Provider) LoadImages(ctx context.Context, c provision.Cluster, images []string, progress func(string)) error {
	there, err := p.program.images(ctx, p.profile(c))
	if err != nil {
		return err
	}
	for _, image := range images {
		archive := strings.HasSuffix(image, ".tar")
		if !archive && slices.Contains(there, fullName(image)) {
			continue
		}
		progress("loading " + filepath.Base(image))
		args := []string{"image", "load", "--profile", p.profile(c)}
		if !archive {
			args = append(args, "--daemon") // the local engine's, and not a registry's
		}
		if _, err := p.program.run(ctx, "", append(args, image)...); err != nil {
			return fmt.Errorf("load the image %s: %w", image, err)
		}
		if archive {
			continue // what is in it only minikube knows
		}
		// minikube ends well although it did not find an image.
		if there, err = p.program.images(ctx, p.profile(c)); err != nil {
			return err
		}
		if !slices.Contains(there, fullName(image)) {
			return fmt.Errorf("load the image %s: minikube has not put it into the cluster: is it in the local container engine?", image)
		}
	}
	return nil
}

// fullName is the name of an image as container runtimes list it.
func fullName(image string) string {
	name, tag := image, ""
	if i := strings.LastIndexAny(image, ":@"); i > strings.LastIndexByte(image, '/') {
		name, tag = image[:i], image[i:]
	}
	if tag == "" {
		tag = ":latest"
	}
	host, _, found := strings.Cut(name, "/")
	switch {
	case !found:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		name = "docker.io/" + name
	}
	return name + tag
}

// CollectLogs implements provision.LogCollector.
func (p *Provider) CollectLogs(ctx context.Context, c provision.Cluster, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("collect the logs: %w", err)
	}
	_, err := p.program.run(ctx, "", "logs", "--profile", p.profile(c), "--file", filepath.Join(dir, "minikube.log"))
	return err
}

// Kubeconfig implements provision.Provider. minikube writes into a file of ours, never into the user's.
func (p *Provider) Kubeconfig(ctx context.Context, c provision.Cluster) ([]byte, error) {
	dir, err := os.MkdirTemp("", "labctl-minikube-")
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of minikube: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config")
	switch data, err := os.ReadFile(c.Kubeconfig); {
	case err == nil:
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return nil, fmt.Errorf("read the kubeconfig of minikube: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the kubeconfig of minikube: %w", err)
	}
	// The address changes when the machine is started again.
	if _, err := p.program.run(ctx, file, "update-context", "--profile", p.profile(c)); err != nil {
		return nil, fmt.Errorf("read the kubeconfig of minikube: %w", err)
	}
	cfg, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of minikube: %w", err)
	}
	cfg.CurrentContext = p.profile(c)
	if err := errors.Join(api.MinifyConfig(cfg), api.FlattenConfig(cfg)); err != nil {
		return nil, fmt.Errorf("the kubeconfig of minikube: %w", err)
	}
	return clientcmd.Write(*cfg)
}
