package gke

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"

	"github.com/labctl/labctl/provision"
)

// Labels of every cluster, which identify it even if the instance's state is lost. Values have at most 63 lowercase
// letters, digits, _ and -: https://cloud.google.com/kubernetes-engine/docs/how-to/creating-managing-labels.
const (
	labelLab      = "labctl-lab"
	labelInstance = "labctl-instance"
	labelID       = "labctl-instance-id"
	labelOwner    = "labctl-owner"
	labelExpiry   = "labctl-expiry" // seconds since 1970
)

// labels are the labels of a cluster created now.
func (p *Provider) labels(c provision.Cluster) map[string]string {
	labels := maps.Clone(p.settings.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelLab] = labelValue(c.Lab)
	labels[labelInstance] = labelValue(c.Instance)
	labels[labelID] = labelValue(c.ID)
	labels[labelOwner] = labelValue(c.Owner)
	labels[labelExpiry] = strconv.FormatInt(p.now().Add(p.settings.TTL).Unix(), 10)
	return labels
}

// labelValue converts a string into a valid label value.
func labelValue(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return s[:min(len(s), 63)]
}

// ours reports whether a cluster was created for this instance. Clusters of older versions of labctl have no ID.
func ours(cl *containerpb.Cluster, c provision.Cluster) bool {
	l := cl.ResourceLabels
	return l[labelInstance] == labelValue(c.Instance) && (l[labelID] == "" || l[labelID] == labelValue(c.ID))
}

// Clusters implements provision.Pruner for all locations of the project.
func (p *Provider) Clusters(ctx context.Context) ([]provision.ManagedCluster, error) {
	client, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	list, err := client.api.ListClusters(ctx,
		&containerpb.ListClustersRequest{Parent: "projects/" + client.project + "/locations/-"})
	if err != nil {
		return nil, fmt.Errorf("list the clusters of project %s: %w", client.project, explain(err, client.project))
	}
	if len(list.MissingZones) > 0 {
		p.log.Warn("Google does not answer for some zones; their clusters are not listed",
			"zones", strings.Join(list.MissingZones, " "))
	}
	owned := []provision.ManagedCluster{}
	for _, cl := range list.Clusters {
		l := cl.ResourceLabels
		if l[labelInstance] == "" || l[labelOwner] == "" {
			continue
		}
		o := provision.ManagedCluster{
			Provider: Name, Name: cl.Name, Place: client.project + "/" + cl.Location,
			Lab: l[labelLab], Instance: l[labelInstance], ID: l[labelID], Owner: l[labelOwner],
			State: strings.ToLower(cl.Status.String()),
		}
		if t, err := time.Parse(time.RFC3339, cl.CreateTime); err == nil {
			o.Created = t.UTC()
		}
		if s, err := strconv.ParseInt(l[labelExpiry], 10, 64); err == nil {
			o.Expires = time.Unix(s, 0).UTC()
		}
		owned = append(owned, o)
	}
	slices.SortFunc(owned, func(a, b provision.ManagedCluster) int {
		return strings.Compare(a.Place+"/"+a.Name, b.Place+"/"+b.Name)
	})
	return owned, nil
}

// Remove implements provision.Pruner.
func (p *Provider) Remove(ctx context.Context, o provision.ManagedCluster) error {
	project, location, ok := strings.Cut(o.Place, "/")
	if !ok {
		return fmt.Errorf("invalid GKE location %q", o.Place)
	}
	there, err := newClient(ctx, project, location, p.options...)
	if err != nil {
		return err
	}
	defer there.api.Close()
	return p.delete(ctx, there, o.Name)
}
