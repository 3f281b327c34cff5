// Package minikube creates clusters with the user's own minikube program and its drivers. It installs no network:
// Cilium is the network.
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
	"github.com/labctl/labctl/labs/schema"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "minikube"

// Provider implements provision.Provider and the optional interfaces below. Minikube chooses what is not set, by
// its own configuration (minikube config).
type Provider struct {
	settings schema.Minikube
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
	settings, err := schema.DecodeCluster[schema.Minikube](Name, block.Settings)
	if err != nil {
		return nil, err
	}
	return &Provider{settings: settings, log: log, program: program}, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Timeout implements provision.Provider. A first start downloads a system and an archive of images.
func (p *Provider) Timeout() time.Duration { return 15 * time.Minute }

// Local implements provision.Provider.
func (p *Provider) Local() bool { return true }

// Values implements provision.Provider. minikube gives every node a range of 10.244.0.0/16 even without a network of its
// own. The chart's default, 10.0.0.0/8, would include the machines' own network with QEMU and VirtualBox (10.0.2.0/24),
// and many of the user's.
func (p *Provider) Values(context.Context, provision.Cluster) (map[string]any, error) {
	return map[string]any{"ipam": map[string]any{"mode": "kubernetes"}}, nil
}

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

// startArgs are the arguments that create a cluster, without a network, and without changing the current context of
// the user's kubeconfig.
func (p *Provider) startArgs(c provision.Cluster) []string {
	s := p.settings
	args := []string{
		"start", "--profile", p.profile(c), "--output", "json",
		"--interactive=false", "--keep-context", "--embed-certs",
		"--cni=false", "--network-plugin=cni", "--wait=apiserver", "--nodes", strconv.Itoa(s.Nodes),
		"--cpus", strconv.Itoa(s.CPUs),
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

// Preflight implements provision.Provider. minikube itself checks whether it could start the cluster.
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
		return findings // minikube would check the existing cluster
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
			return provision.Found{
				State: provision.Broken, Nodes: []string{p.profile(c)}, Detail: "minikube cannot read its profile",
			}, nil
		}
		return provision.Found{State: provision.Absent}, nil
	}
	nodes, err := p.program.status(ctx, p.profile(c))
	if err != nil {
		return provision.Found{State: provision.Broken, Nodes: []string{p.profile(c)}, Detail: err.Error()}, nil
	}
	return foundOf(nodes, p.settings.Nodes), nil
}

// foundOf combines the states of the nodes. What "minikube start" repairs is Stopped: a node that does not run, or whose
// kubelet or API server does not.
func foundOf(nodes []nodeStatus, want int) provision.Found {
	found := provision.Found{State: provision.Broken}
	var running int
	var halted, unknown string
	for _, n := range nodes {
		state := fmt.Sprintf("node %s is %s, its kubelet %s, its API server %s",
			n.Name, word(n.Host), word(n.Kubelet), word(n.APIServer))
		switch {
		case n.Host == "Nonexistent":
			found.Missing = append(found.Missing, n.Name)
			continue
		case n.Host == "Running" && n.Kubelet == "Running" && (n.Worker || n.APIServer == "Running"):
			running++
		case n.Host == "Stopped" || n.Host == "Paused" || n.APIServer == "Paused":
		case n.Host == "Running":
			halted = state
		default:
			unknown = state
		}
		found.Nodes = append(found.Nodes, n.Name)
	}
	switch {
	case len(found.Missing) > 0:
		found.Detail = "missing: " + strings.Join(found.Missing, ", ")
	case unknown != "":
		found.Detail = unknown
	case len(nodes) < want:
		found.Detail = fmt.Sprintf("%d of %d nodes", len(nodes), want)
	case running == len(nodes):
		found.State = provision.Running
	default:
		found.State, found.Detail = provision.Stopped, halted
		if halted == "" {
			found.Detail = fmt.Sprintf("%d of %d nodes are stopped", len(nodes)-running, len(nodes))
		}
	}
	return found
}

func word(state string) string {
	if state == "" {
		return "unknown"
	}
	return strings.ToLower(state)
}

// Create implements provision.Provider. minikube reports no milestones before the end.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, progress provision.CreateProgress) error {
	found, err := p.Find(ctx, c)
	if err != nil {
		return err
	}
	if found.State != provision.Absent {
		return fmt.Errorf("minikube profile %s already exists", p.profile(c))
	}
	if err := p.program.events(ctx, c, progress.Step, p.startArgs(c)...); err != nil {
		return fmt.Errorf("create the minikube cluster %s: %w", p.profile(c), err)
	}
	progress.Milestone(provision.NodesUp)
	progress.Milestone(provision.APIUp)
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
		return fmt.Errorf("minikube deleted %s, but it still exists: %s", p.profile(c), found.Detail)
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
func (p *Provider) Resume(ctx context.Context, c provision.Cluster, progress func(string)) error {
	if err := p.program.events(ctx, c, progress, p.startArgs(c)...); err != nil {
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
			args = append(args, "--daemon") // from the local engine, not from a registry
		}
		if _, err := p.program.run(ctx, "", append(args, image)...); err != nil {
			return fmt.Errorf("load the image %s: %w", image, err)
		}
		if archive {
			continue // only minikube knows what it contains
		}
		// minikube succeeds even if it did not find an image.
		if there, err = p.program.images(ctx, p.profile(c)); err != nil {
			return err
		}
		if !slices.Contains(there, fullName(image)) {
			return fmt.Errorf(
				"load the image %s: minikube did not load it; check that the local container engine has it", image)
		}
	}
	return nil
}

// fullName is the full name of an image, as container runtimes list it.
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

// Kubeconfig implements provision.Provider. minikube writes to a temporary file, never to the user's.
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
	// The address changes when the machine is restarted.
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
