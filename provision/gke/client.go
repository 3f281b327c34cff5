package gke

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	container "cloud.google.com/go/container/apiv1"
	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// scope is the scope of tokens. The cluster's API server accepts no narrower one.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// client calls Google's ClusterManager for one project and location.
type client struct {
	api      *container.ClusterManagerClient
	project  string
	location string
}

// newClient connects. Without options it uses the Application Default Credentials.
func newClient(ctx context.Context, project, location string, options ...option.ClientOption) (*client, error) {
	if project == "" {
		creds, err := detect()
		if err != nil {
			return nil, err
		}
		if project, err = creds.ProjectID(ctx); err != nil || project == "" {
			return nil, errNoProject
		}
	}
	// The client is used until the process ends.
	api, err := container.NewClusterManagerClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, explain(err, project)
	}
	return &client{api, project, location}, nil
}

// detect finds the Application Default Credentials:
// https://cloud.google.com/docs/authentication/application-default-credentials.
func detect() (*auth.Credentials, error) {
	creds, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}})
	if err != nil {
		return nil,
			&actionableError{err, "no credentials for Google Cloud were found (" + firstLine(err).Error() + ")", logIn}
	}
	return creds, nil
}

func (c *client) parent() string { return "projects/" + c.project + "/locations/" + c.location }

func (c *client) name(cluster string) string { return c.parent() + "/clusters/" + cluster }

// cluster reads a cluster; nil if it does not exist.
func (c *client) cluster(ctx context.Context, name string) (*containerpb.Cluster, error) {
	cl, err := c.api.GetCluster(ctx, &containerpb.GetClusterRequest{Name: c.name(name)})
	// A project that does not exist is "not found" too, which says nothing about the cluster.
	if status.Code(err) == codes.NotFound && strings.Contains(status.Convert(err).Message(), "clusters/"+name) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster %s: %w", name, explain(err, c.project))
	}
	return cl, nil
}

// operations are the running operations on a cluster.
func (c *client) operations(ctx context.Context, cluster string) ([]*containerpb.Operation, error) {
	list, err := c.api.ListOperations(ctx, &containerpb.ListOperationsRequest{Parent: c.parent()})
	if err != nil {
		return nil, fmt.Errorf("list the operations on cluster %s: %w", cluster, explain(err, c.project))
	}
	var running []*containerpb.Operation
	for _, op := range list.Operations {
		// A target is a URL of the cluster or of something in it, such as a node pool. It names the project by its
		// number.
		if op.Status != containerpb.Operation_DONE && strings.Contains(op.TargetLink+"/", "/clusters/"+cluster+"/") {
			running = append(running, op)
		}
	}
	return running, nil
}

// operation reads an operation by its name.
func (c *client) operation(ctx context.Context, name string) (*containerpb.Operation, error) {
	return c.api.GetOperation(ctx, &containerpb.GetOperationRequest{Name: c.parent() + "/operations/" + name})
}

// region is the part of a location that quotas belong to.
func region(location string) string {
	if isZone(location) {
		return location[:strings.LastIndexByte(location, '-')]
	}
	return location
}

// isZone says whether a location is a zone ("us-west2-a", "us-central1-ai1a") rather than a region ("us-west2").
func isZone(location string) bool { return strings.Count(location, "-") >= 2 }

// firstLine is the first line of an error, for use in a sentence.
func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s", strings.TrimSuffix(cmp.Or(line, "no reason given"), "."))
}
