package gke

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/labctl/labctl/provision"
)

// Preflight implements provision.Provider: whether Google lets this user make a cluster of this kind here. What machines and
// quotas there are only the creation shows.
func (p *Provider) Preflight(ctx context.Context, _ provision.Cluster) []provision.Finding {
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
		return fail("Google Cloud", fmt.Errorf("ask about %s: %w", client.parent(), explain(err, client.project)))
	}
	findings := []provision.Finding{{Check: "Google Cloud", Severity: provision.OK, Message: "project " + client.project + ", " + p.settings.Location}}
	if f := p.checkVersion(conf); f != nil {
		findings = append(findings, *f)
	}
	if p.settings.PrivateNodes {
		findings = append(findings, provision.Finding{
			Check: "private nodes", Severity: provision.Warning, Message: "they pull Cilium and the apps through the network's NAT",
			Fix: "make sure that the network has Cloud NAT in " + region(p.settings.Location),
		})
	}
	return findings
}

// checkVersion looks whether the version of Kubernetes that the lab names is to be had; nil: it is, or none is named.
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
		Message: fmt.Sprintf("%s is not to be had in the %s channel in %s", want, p.settings.ReleaseChannel, p.settings.Location),
		Fix:     "set version to one of " + strings.Join(valid, ", ") + ", or leave it out",
	}
}
