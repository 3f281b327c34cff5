// Package gke makes clusters on Google Kubernetes Engine, through its API (ClusterManager) and the user's
// Application Default Credentials; gcloud is not needed.
//
// Such a cluster takes minutes and costs money. So Create goes on with what an interrupted one has left, every cluster
// carries labels that say whose it is and until when (see labels.go), and Clusters finds all of them again.
package gke

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/option"
	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "gke"

// settings are the attributes of a `cluster "gke"` block; package labs has checked them.
type settings struct {
	Project        string            `mapstructure:"project"`  // default: that of the credentials
	Location       string            `mapstructure:"location"` // a zone or a region
	MachineType    string            `mapstructure:"machine_type"`
	Nodes          int               `mapstructure:"nodes"` // of a region: in each of its zones
	ReleaseChannel string            `mapstructure:"release_channel"`
	Version        string            `mapstructure:"version"` // default: the channel's
	Spot           bool              `mapstructure:"spot"`
	DiskGB         int               `mapstructure:"disk_gb"`
	Network        string            `mapstructure:"network"`    // default: the project's network "default"
	Subnetwork     string            `mapstructure:"subnetwork"` // default: the network's in the region
	PrivateNodes   bool              `mapstructure:"private_nodes"`
	Labels         map[string]string `mapstructure:"labels"`
	ServiceAccount string            `mapstructure:"service_account"` // default: Compute Engine's
	Dataplane      string            `mapstructure:"dataplane"`       // v1: labctl installs Cilium; v2: Google's
	TTL            string            `mapstructure:"ttl"`
}

// Defaults that a lab's block need not name: the smallest that runs a lab, where machines are cheapest.
const (
	defaultLocation = "us-central1-a"
	defaultMachine  = "e2-standard-2"
	defaultTTL      = 24 * time.Hour
)

// Provider implements provision.Provider, and what clouds offer besides.
type Provider struct {
	settings settings
	ttl      time.Duration
	log      *slog.Logger
	options  []option.ClientOption // for the client of Google's API
	poll     time.Duration         // how often an operation is looked at
	now      func() time.Time

	connect sync.Mutex
	api     *client // once it was needed

	mu   sync.Mutex
	seen *containerpb.Cluster // as it was when last looked at
}

var _ interface {
	provision.Provider
	provision.Continuer
	provision.Describer
	provision.Pinner
	provision.Networker
	provision.Collector
} = (*Provider)(nil)

// New implements provision.NewProvider.
func New(block labs.Cluster, site *provision.Settings, log *slog.Logger) (provision.Provider, error) {
	var options []option.ClientOption
	if site.GKEEndpoint != "" {
		options = append(options, option.WithEndpoint(site.GKEEndpoint))
	}
	return newProvider(block, log, options...)
}

func newProvider(block labs.Cluster, log *slog.Logger, options ...option.ClientOption) (*Provider, error) {
	p := &Provider{log: log, options: options, poll: 5 * time.Second, now: time.Now}
	if err := provision.DecodeSettings(block, &p.settings); err != nil {
		return nil, err
	}
	s := &p.settings
	s.Location = cmp.Or(s.Location, defaultLocation)
	s.MachineType = cmp.Or(s.MachineType, defaultMachine)
	s.Nodes = cmp.Or(s.Nodes, 2)
	s.DiskGB = cmp.Or(s.DiskGB, 50)
	s.ReleaseChannel = cmp.Or(s.ReleaseChannel, "regular")
	s.Dataplane = cmp.Or(s.Dataplane, "v1")
	s.Project = cmp.Or(s.Project, os.Getenv("GOOGLE_CLOUD_PROJECT"))
	p.ttl = defaultTTL
	if s.TTL != "" {
		ttl, err := time.ParseDuration(s.TTL)
		if err != nil {
			return nil, fmt.Errorf("cluster %q: ttl = %q: want a duration such as 8h", Name, s.TTL)
		}
		p.ttl = ttl
	}
	return p, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Timeout implements provision.Provider. Google's clusters take 4 to 10 minutes to make, and 3 to 5 to delete.
func (p *Provider) Timeout() time.Duration { return 20 * time.Minute }

// ContinuesCreate implements provision.Continuer.
func (p *Provider) ContinuesCreate() {}

// Pinned implements provision.Pinner: the project, which the credentials may have named, and where labctl's defaults place the
// cluster.
func (p *Provider) Pinned(ctx context.Context) (map[string]any, error) {
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"project": client.project, "location": client.location}, nil
}

// Network implements provision.Networker.
func (p *Provider) Network() (name, daemonSet string) {
	if p.settings.Dataplane == "v2" {
		return "GKE Dataplane V2", "anetd" // https://cloud.google.com/kubernetes-engine/docs/concepts/dataplane-v2
	}
	return "", ""
}

// Values implements provision.Provider, after https://docs.cilium.io/en/stable/installation/k8s-install-helm/ (GKE).
// The agents of a cluster that has not been looked at yet get no native routing range; an up has looked.
func (p *Provider) Values(provision.Cluster) map[string]any {
	values := map[string]any{
		"nodeinit": map[string]any{"enabled": true, "reconfigureKubelet": true, "removeCbrBridge": true},
		"cni":      map[string]any{"binPath": "/home/kubernetes/bin"},
		"gke":      map[string]any{"enabled": true},
		"ipam":     map[string]any{"mode": "kubernetes"},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cidr := p.seen.GetClusterIpv4Cidr(); cidr != "" {
		values["ipv4NativeRoutingCIDR"] = cidr
	}
	return values
}

// Find implements provision.Provider.
func (p *Provider) Find(ctx context.Context, c provision.Cluster) (provision.Found, error) {
	cl, err := p.get(ctx, c)
	if err != nil || cl == nil {
		return provision.Found{State: provision.Absent}, err
	}
	found := provision.Found{State: provision.Broken, Nodes: []string{c.Name + " in " + p.settings.Location}, Detail: detail(cl)}
	switch cl.Status {
	case containerpb.Cluster_RUNNING, containerpb.Cluster_RECONCILING:
		found.State, found.Detail = provision.Running, ""
	case containerpb.Cluster_PROVISIONING:
		found.Detail = "Google is still making it"
	case containerpb.Cluster_STOPPING:
		found.Detail = "Google is deleting it"
	}
	return found, nil
}

// detail is what Google says of a cluster that does not run.
func detail(cl *containerpb.Cluster) string {
	text := ""
	for _, c := range cl.Conditions {
		text = cmp.Or(c.Message, text)
	}
	return cmp.Or(text, "Google calls it "+cl.Status.String())
}

// get reads the cluster; nil: there is none.
func (p *Provider) get(ctx context.Context, c provision.Cluster) (*containerpb.Cluster, error) {
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	cl, err := client.cluster(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = cl
	return cl, nil
}

// Kubeconfig implements provision.Provider. It holds no secret: whoever uses it gets a short-lived token from
// `labctl gke-credentials`, by the user's own credentials.
func (p *Provider) Kubeconfig(ctx context.Context, c provision.Cluster) ([]byte, error) {
	cl, err := p.get(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl == nil {
		return nil, fmt.Errorf("there is no cluster %s in %s", c.Name, p.settings.Location)
	}
	if cl.Endpoint == "" {
		return nil, fmt.Errorf("the cluster %s has no address yet", c.Name)
	}
	ca, err := base64.StdEncoding.DecodeString(cl.GetMasterAuth().GetClusterCaCertificate())
	if err != nil {
		return nil, fmt.Errorf("the certificate of the cluster %s: %w", c.Name, err)
	}
	command, err := self()
	if err != nil {
		return nil, err
	}
	name := "gke_" + p.api.project + "_" + p.settings.Location + "_" + c.Name
	cfg := api.NewConfig()
	cfg.Clusters[name] = &api.Cluster{Server: "https://" + cl.Endpoint, CertificateAuthorityData: ca}
	cfg.AuthInfos[name] = &api.AuthInfo{Exec: &api.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: command, Args: []string{"gke-credentials"},
		InteractiveMode: api.NeverExecInteractiveMode, InstallHint: "labctl, which made this cluster, gets the credentials for it: install it again",
	}}
	cfg.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	cfg.CurrentContext = name
	return clientcmd.Write(*cfg)
}

// self is how a kubeconfig calls this program: by its name where the shell finds it by that, so that the next version of it
// is used too.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where this program is: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	if found, err := exec.LookPath("labctl"); err == nil {
		if resolved, err := filepath.EvalSymlinks(found); err == nil && resolved == path {
			return "labctl", nil
		}
	}
	return path, nil
}

// client connects to Google's API when that is first needed.
func (p *Provider) client(ctx context.Context) (*client, error) {
	p.connect.Lock()
	defer p.connect.Unlock()
	if p.api != nil {
		return p.api, nil
	}
	api, err := newClient(ctx, p.settings.Project, p.settings.Location, p.options...)
	if err != nil {
		return nil, err
	}
	p.api = api
	return api, nil
}

// errNoProject says that nobody has named the Google Cloud project.
var errNoProject = errors.New("no Google Cloud project is named: set project in the lab's cluster \"gke\" block (labctl up --var project=…), or GOOGLE_CLOUD_PROJECT")
