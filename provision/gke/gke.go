// Package gke creates clusters on Google Kubernetes Engine, through its API (ClusterManager) and the user's
// Application Default Credentials. It does not need gcloud.
//
// Such a cluster takes minutes and costs money. So Create resumes an interrupted one, every cluster has labels that
// name its owner and expiry (see labels.go), and Clusters finds all of them.
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
	"github.com/labctl/labctl/labs/schema"
	"github.com/labctl/labctl/provision"
)

// Name is what a lab's cluster block calls this provider.
const Name = "gke"

// Provider implements provision.Provider and the optional interfaces below.
type Provider struct {
	settings schema.GKE
	log      *slog.Logger
	options  []option.ClientOption // for the client of Google's API
	poll     time.Duration         // between looks at an operation
	now      func() time.Time

	connect sync.Mutex
	api     *client // connected when first needed
}

var _ interface {
	provision.Provider
	provision.ResumableCreator
	provision.Describer
	provision.Priced
	provision.SettingsResolver
	provision.BundledCNI
	provision.Pruner
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
	settings, err := schema.DecodeCluster[schema.GKE](Name, block.Settings)
	if err != nil {
		return nil, err
	}
	settings.Project = cmp.Or(settings.Project, os.Getenv("GOOGLE_CLOUD_PROJECT"))
	return &Provider{settings: settings, log: log, options: options, poll: 5 * time.Second, now: time.Now}, nil
}

// Name implements provision.Provider.
func (p *Provider) Name() string { return Name }

// Ephemeral implements provision.Provider: the cluster is labctl's own.
func (p *Provider) Ephemeral() bool { return true }

// Timeout implements provision.Provider. Google takes 4 to 10 minutes to create a cluster, and 3 to 5 to delete it.
func (p *Provider) Timeout() time.Duration { return 20 * time.Minute }

// ResumesCreate implements provision.ResumableCreator.
func (p *Provider) ResumesCreate() {}

// ResolvedSettings implements provision.SettingsResolver: the project, which may come from the credentials, and the
// location, which may be the default.
func (p *Provider) ResolvedSettings(ctx context.Context) (map[string]any, error) {
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"project": client.project, "location": client.location}, nil
}

// CNI implements provision.BundledCNI.
func (p *Provider) CNI() (name, daemonSet string) {
	if p.settings.Dataplane == "v2" {
		return "GKE Dataplane V2", "anetd" // https://cloud.google.com/kubernetes-engine/docs/concepts/dataplane-v2
	}
	return "", ""
}

// Local implements provision.Provider.
func (p *Provider) Local() bool { return false }

// Values implements provision.Provider, after https://docs.cilium.io/en/stable/installation/k8s-install-helm/
// (GKE). A cluster that does not exist yet has no native routing range.
func (p *Provider) Values(ctx context.Context, c provision.Cluster) (map[string]any, error) {
	values := map[string]any{
		"nodeinit": map[string]any{"enabled": true, "reconfigureKubelet": true, "removeCbrBridge": true},
		"cni":      map[string]any{"binPath": "/home/kubernetes/bin"},
		"gke":      map[string]any{"enabled": true},
		"ipam":     map[string]any{"mode": "kubernetes"},
	}
	cl, err := p.get(ctx, c)
	if err != nil {
		return nil, err
	}
	if cidr := cl.GetClusterIpv4Cidr(); cidr != "" {
		values["ipv4NativeRoutingCIDR"] = cidr
	}
	return values, nil
}

// Find implements provision.Provider.
func (p *Provider) Find(ctx context.Context, c provision.Cluster) (provision.Found, error) {
	cl, err := p.get(ctx, c)
	if err != nil || cl == nil || !ours(cl, c) {
		return provision.Found{State: provision.Absent, Foreign: cl != nil}, err
	}
	found := provision.Found{
		State: provision.Broken, Nodes: []string{c.Name + " in " + p.settings.Location}, Detail: detail(cl),
	}
	switch cl.Status {
	case containerpb.Cluster_RUNNING, containerpb.Cluster_RECONCILING:
		found.State, found.Detail = provision.Running, ""
	case containerpb.Cluster_DEGRADED: // it usually works; the detail says what Google misses
		found.State = provision.Running
	case containerpb.Cluster_PROVISIONING:
		found.Detail = "Google is still creating it"
	case containerpb.Cluster_STOPPING:
		found.Detail = "Google is deleting it"
	}
	return found, nil
}

// detail is what Google reports about a cluster that does not run.
func detail(cl *containerpb.Cluster) string {
	text := ""
	for _, c := range cl.Conditions {
		text = cmp.Or(c.Message, text)
	}
	return cmp.Or(text, "its status is "+cl.Status.String())
}

// get reads the cluster; nil if it does not exist.
func (p *Provider) get(ctx context.Context, c provision.Cluster) (*containerpb.Cluster, error) {
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	return client.cluster(ctx, c.Name)
}

// Kubeconfig implements provision.Provider. It contains no secret: its user gets a short-lived token from `labctl
// gke-credentials`, by the user's own credentials.
func (p *Provider) Kubeconfig(ctx context.Context, c provision.Cluster) ([]byte, error) {
	cl, err := p.get(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl == nil {
		return nil, fmt.Errorf("cluster %s does not exist in %s", c.Name, p.settings.Location)
	}
	server, err := p.server(cl)
	if err != nil {
		return nil, err
	}
	command, err := labctlCommand()
	if err != nil {
		return nil, err
	}
	name := "gke_" + p.api.project + "_" + p.settings.Location + "_" + c.Name
	cfg := api.NewConfig()
	cfg.Clusters[name] = server
	cfg.AuthInfos[name] = &api.AuthInfo{Exec: &api.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: command, Args: []string{"gke-credentials"},
		InteractiveMode: api.NeverExecInteractiveMode,
		InstallHint:     "labctl provides the credentials for this cluster: reinstall it",
	}}
	cfg.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	cfg.CurrentContext = name
	return clientcmd.Write(*cfg)
}

// server is where the cluster's API is, as a kubeconfig names it.
func (p *Provider) server(cl *containerpb.Cluster) (*api.Cluster, error) {
	endpoints := cl.GetControlPlaneEndpointsConfig()
	address := cl.Endpoint
	switch p.settings.Endpoint {
	case "dns":
		// Google's front end has a certificate of a public authority.
		if name := endpoints.GetDnsEndpointConfig().GetEndpoint(); name != "" {
			return &api.Cluster{Server: "https://" + name}, nil
		}
		return nil, fmt.Errorf("cluster %s has no DNS name yet", cl.Name)
	case "private":
		address = cmp.Or(endpoints.GetIpEndpointsConfig().GetPrivateEndpoint(), address)
	}
	if address == "" {
		return nil, fmt.Errorf("cluster %s has no address yet", cl.Name)
	}
	ca, err := base64.StdEncoding.DecodeString(cl.GetMasterAuth().GetClusterCaCertificate())
	if err != nil {
		return nil, fmt.Errorf("decode the certificate of cluster %s: %w", cl.Name, err)
	}
	return &api.Cluster{Server: "https://" + address, CertificateAuthorityData: ca}, nil
}

// labctlCommand is how a kubeconfig calls this program: by its name if that finds it in $PATH, so that a new
// version is used too.
func labctlCommand() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the path of this program: %w", err)
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

// client connects to Google's API when first needed.
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

// errNoProject reports that no Google Cloud project is set.
var errNoProject = errors.New("no Google Cloud project is set: set project in the lab's cluster \"gke\" block, or GOOGLE_CLOUD_PROJECT")
