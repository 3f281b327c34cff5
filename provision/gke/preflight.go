package gke

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/labctl/labctl/provision"
)

// Preflight implements provision.Provider. It checks whether this user may create such a cluster. Only the creation
// shows whether machines and quota are available.
func (p *Provider) Preflight(ctx context.Context, c provision.Cluster) []provision.Finding {
	fail := func(check string, err error) []provision.Finding {
		say, do, _ := strings.Cut(err.Error(), " — ")
		return []provision.Finding{{Check: check, Severity: provision.Failure, Message: say, Fix: do}}
	}
	client, err := p.client(ctx)
	if err != nil {
		return fail("Google Cloud", err)
	}
	conf, err := client.api.GetServerConfig(ctx, &containerpb.GetServerConfigRequest{Name: client.parent()})
	if err != nil {
		return fail("Google Cloud", fmt.Errorf("read the server configuration of %s: %w",
			client.parent(), explain(err, client.project)))
	}
	findings := []provision.Finding{{
		Check: "Google Cloud", Severity: provision.OK,
		Message: "project " + client.project + ", " + p.settings.Location,
	}}
	for _, f := range []*provision.Finding{checkName(c), p.checkVersion(conf)} {
		if f != nil {
			findings = append(findings, *f)
		}
	}
	if p.settings.PrivateNodes {
		findings = append(findings, provision.Finding{
			Check: "private nodes", Severity: provision.Warning, Message: "they pull images through the network's NAT",
			Fix: "verify that the network has Cloud NAT in " + region(p.settings.Location),
		})
	}
	if p.settings.Endpoint == "private" {
		findings = append(findings, provision.Finding{
			Check: "private endpoint", Severity: provision.Warning,
			Message: "the control plane has an address in the VPC network only",
			Fix: "run labctl on a machine in that network, or connected to it by VPN; " +
				"endpoint = \"dns\" needs neither",
		})
	}
	return findings
}

// maxName is the longest name of a cluster: https://cloud.google.com/kubernetes-engine/quotas.
const maxName = 40

// checkName checks that Google accepts the cluster's name; nil if it does. The lab language limits instances to more.
func checkName(c provision.Cluster) *provision.Finding {
	if len(c.Name) <= maxName {
		return nil
	}
	return &provision.Finding{
		Check: "cluster name", Severity: provision.Failure,
		Message: fmt.Sprintf("%s has %d characters, and Google allows %d", c.Name, len(c.Name), maxName),
		Fix:     fmt.Sprintf("use a name of at most %d characters for the instance", len(c.Instance)-len(c.Name)+maxName),
	}
}

// checkVersion checks that the lab's Kubernetes version is available; nil if it is, or if the lab names none.
func (p *Provider) checkVersion(conf *containerpb.ServerConfig) *provision.Finding {
	want := p.settings.Version
	if want == "" || want == "latest" {
		return nil
	}
	valid := conf.ValidMasterVersions
	for _, c := range conf.Channels {
		if c.Channel == channel(p.settings.ReleaseChannel) && p.settings.ReleaseChannel != "none" {
			valid = c.ValidVersions
		}
	}
	// "1.34" and "1.34.2" stand for the newest that begins so: https://cloud.google.com/kubernetes-engine/versioning.
	if slices.ContainsFunc(valid, func(v string) bool {
		return v == want || strings.HasPrefix(v, want+".") || strings.HasPrefix(v, want+"-")
	}) {
		return nil
	}
	return &provision.Finding{
		Check: "Kubernetes version", Severity: provision.Failure,
		Message: fmt.Sprintf("%s is not available in the %s channel in %s",
			want, p.settings.ReleaseChannel, p.settings.Location),
		Fix: "set version to one of " + strings.Join(valid, ", ") + ", or omit it",
	}
}
