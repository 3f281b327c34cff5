package gke

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/labctl/labctl/provision"
)

// Create implements provision.Provider. It resumes what an earlier Create has begun, and deletes first what has failed.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, progress provision.CreateProgress) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	if err := p.create(ctx, client, c, progress.Step); err != nil {
		if ctx.Err() != nil {
			p.warnStillCreating(client, c)
		}
		return err
	}
	progress.Milestone(provision.NodesUp)
	progress.Milestone(provision.APIUp)
	return nil
}

// warnStillCreating warns that Google continues what an interrupted run has begun, since it costs money.
func (p *Provider) warnStillCreating(client *client, c provision.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cl, err := client.cluster(ctx, c.Name)
	if err != nil {
		p.log.Warn("cannot tell whether Google continues creating the cluster; check with: labctl gc",
			"cluster", client.name(c.Name), "error", err)
	} else if cl != nil {
		p.log.Warn(fmt.Sprintf("Google continues creating the cluster, which costs money: labctl up resumes, labctl down %s deletes it", c.Instance),
			"cluster", client.name(c.Name))
	}
}

// create returns when the cluster is running.
func (p *Provider) create(ctx context.Context, client *client, c provision.Cluster, step func(string)) error {
	for asked := false; ; {
		cl, err := client.cluster(ctx, c.Name)
		if err != nil {
			return err
		}
		if cl != nil && !ours(cl, c) {
			return provision.NameError(
				"cluster %s already exists in %s and was not created by this instance; use another name",
				c.Name, client.parent())
		}
		switch {
		case cl == nil && asked:
			return fmt.Errorf("cluster %s is gone: somebody deleted it while it was being created", c.Name)
		case cl == nil:
			step("requesting the cluster from Google")
			op, err := p.requestCreate(ctx, client, c)
			if err != nil {
				return fmt.Errorf("create the cluster %s: %w", c.Name, explain(err, client.project))
			}
			if err := p.awaitOperation(ctx, client, op, step); err != nil {
				return fmt.Errorf("create the cluster %s: %w", c.Name, err)
			}
			asked = true
		case cl.Status == containerpb.Cluster_RUNNING || cl.Status == containerpb.Cluster_RECONCILING:
			return nil
		case cl.Status == containerpb.Cluster_DEGRADED:
			p.log.Warn("the cluster is degraded", "cluster", client.name(c.Name), "reason", detail(cl))
			return nil
		case cl.Status == containerpb.Cluster_PROVISIONING || cl.Status == containerpb.Cluster_STOPPING:
			if err := p.awaitOperations(ctx, client, c.Name, step); err != nil {
				return fmt.Errorf("create the cluster %s: %w", c.Name, err)
			}
		case asked:
			return fmt.Errorf("create the cluster %s: %s", c.Name, detail(cl))
		default: // an earlier attempt has failed
			step("deleting an earlier attempt that failed")
			if err := p.delete(ctx, client, c.Name); err != nil {
				return err
			}
		}
	}
}

// attempts to send one request. Google's own client retries only requests that change nothing.
const attempts = 4

// requestCreate requests the cluster. A request whose answer was lost does not create a second one: Google rejects
// the name.
func (p *Provider) requestCreate(ctx context.Context, client *client,
	c provision.Cluster) (*containerpb.Operation, error) {
	req := &containerpb.CreateClusterRequest{Parent: client.parent(), Cluster: p.request(c, client.project)}
	for attempt := 1; ; attempt++ {
		op, err := client.api.CreateCluster(ctx, req)
		switch code := status.Code(err); {
		case err == nil:
			return op, nil
		case code == codes.AlreadyExists && attempt > 1:
			running, err := client.operations(ctx, c.Name)
			if err == nil && len(running) > 0 {
				return running[0], nil
			}
			return nil, errors.Join(status.Error(codes.AlreadyExists, "the name is taken"), err)
		case code == codes.Unavailable && attempt < attempts:
			if err := sleep(ctx, p.poll*time.Duration(attempt)); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// nodeScopes limit the tokens that a node gets, and with it every pod that asks the node's metadata server: it can pull
// images, and write logs and metrics. Without scopes Google gives a service account of one's own all of them
// (https://cloud.google.com/kubernetes-engine/docs/how-to/access-scopes).
var nodeScopes = []string{
	"https://www.googleapis.com/auth/devstorage.read_only",
	"https://www.googleapis.com/auth/logging.write",
	"https://www.googleapis.com/auth/monitoring",
}

// request is the cluster that is requested from Google.
func (p *Provider) request(c provision.Cluster, project string) *containerpb.Cluster {
	s := p.settings
	node := &containerpb.NodeConfig{
		MachineType: s.MachineType, DiskSizeGb: int32(s.DiskGB), Spot: s.Spot, ServiceAccount: s.ServiceAccount,
		OauthScopes:    nodeScopes,
		Metadata:       map[string]string{"disable-legacy-endpoints": "true"},
		ResourceLabels: p.labels(c),
	}
	cl := &containerpb.Cluster{
		Name: c.Name, Description: fmt.Sprintf("labctl: lab %s, instance %s", c.Lab, c.Instance),
		ResourceLabels: p.labels(c), Network: s.Network, Subnetwork: s.Subnetwork, InitialClusterVersion: s.Version,
		NodePools: []*containerpb.NodePool{{
			Name: "default-pool", InitialNodeCount: int32(s.Nodes), Config: node,
		}},
		IpAllocationPolicy: &containerpb.IPAllocationPolicy{UseIpAliases: true},
		ReleaseChannel:     &containerpb.ReleaseChannel{Channel: channel(s.ReleaseChannel)},
		NetworkConfig:      &containerpb.NetworkConfig{},
	}
	if s.PrivateNodes {
		private := true
		cl.NetworkConfig.DefaultEnablePrivateNodes = &private
	}
	p.restrict(cl, project)
	if s.Dataplane == "v2" {
		cl.NetworkConfig.DatapathProvider = containerpb.DatapathProvider_ADVANCED_DATAPATH
		return cl
	}
	// No pod is scheduled to a node before Cilium's agent: https://docs.cilium.io/en/stable/installation/taints/.
	node.Taints = []*containerpb.NodeTaint{{
		Key: "node.cilium.io/agent-not-ready", Value: "true", Effect: containerpb.NodeTaint_NO_EXECUTE,
	}}
	cl.NetworkConfig.DatapathProvider = containerpb.DatapathProvider_LEGACY_DATAPATH
	return cl
}

// restrict limits who reaches the control plane, and what pods get from the metadata server.
func (p *Provider) restrict(cl *containerpb.Cluster, project string) {
	s := p.settings
	yes, no := true, false
	ip := &containerpb.ControlPlaneEndpointsConfig_IPEndpointsConfig{Enabled: &yes}
	endpoints := &containerpb.ControlPlaneEndpointsConfig{IpEndpointsConfig: ip}
	if s.Endpoint != "public" {
		ip.EnablePublicEndpoint = &no
	}
	if s.Endpoint == "dns" {
		endpoints.DnsEndpointConfig = &containerpb.ControlPlaneEndpointsConfig_DNSEndpointConfig{
			AllowExternalTraffic: &yes,
		}
	}
	if len(s.AuthorizedNetworks) > 0 {
		// Addresses of other customers' machines at Google are not authorized either.
		ip.AuthorizedNetworksConfig = &containerpb.MasterAuthorizedNetworksConfig{
			Enabled: true, GcpPublicCidrsAccessEnabled: &no, PrivateEndpointEnforcementEnabled: &yes,
		}
		for _, network := range s.AuthorizedNetworks {
			ip.AuthorizedNetworksConfig.CidrBlocks = append(ip.AuthorizedNetworksConfig.CidrBlocks,
				&containerpb.MasterAuthorizedNetworksConfig_CidrBlock{CidrBlock: network})
		}
	}
	if s.Endpoint != "public" || len(s.AuthorizedNetworks) > 0 {
		cl.ControlPlaneEndpointsConfig = endpoints
	}
	if s.WorkloadIdentity {
		cl.WorkloadIdentityConfig = &containerpb.WorkloadIdentityConfig{WorkloadPool: project + ".svc.id.goog"}
		cl.NodePools[0].Config.WorkloadMetadataConfig = &containerpb.WorkloadMetadataConfig{
			Mode: containerpb.WorkloadMetadataConfig_GKE_METADATA,
		}
	}
}

func channel(name string) containerpb.ReleaseChannel_Channel {
	if name == "none" {
		return 0 // "unspecified", which Google treats as none
	}
	return containerpb.ReleaseChannel_Channel(containerpb.ReleaseChannel_Channel_value[strings.ToUpper(name)])
}

// awaitOperations waits for Google's first running operation on a cluster.
func (p *Provider) awaitOperations(ctx context.Context, client *client, cluster string, step func(string)) error {
	running, err := client.operations(ctx, cluster)
	if err != nil {
		return err
	}
	if len(running) == 0 { // the cluster's state is about to change
		return sleep(ctx, p.poll)
	}
	return p.awaitOperation(ctx, client, running[0], step)
}

// awaitOperation waits until an operation is done, and returns its error. It survives that Google does not answer
// for a while.
func (p *Provider) awaitOperation(ctx context.Context, client *client, op *containerpb.Operation,
	step func(string)) error {
	name, said, failures := op.Name, "", 0
	for op.Status != containerpb.Operation_DONE {
		if text := progressOf(op); text != said {
			said = text
			step(text)
		}
		if err := sleep(ctx, p.poll); err != nil {
			return err
		}
		next, err := client.operation(ctx, name)
		switch {
		case err == nil:
			op, failures = next, 0
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case status.Code(err) == codes.NotFound:
			return nil // it has ended, and Google has forgotten it; the cluster shows how
		case status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded ||
			status.Code(err) == codes.Internal:
			if failures++; failures > 20 {
				return explain(err, client.project)
			}
		default:
			return explain(err, client.project)
		}
	}
	if op.Error.GetCode() != 0 {
		return explain(status.ErrorProto(op.Error), client.project)
	}
	return nil
}

// progressOf describes the progress of an operation: "GKE is creating the cluster: deploying 3 of 11".
func progressOf(op *containerpb.Operation) string {
	text := "GKE operation in progress"
	switch op.OperationType {
	case containerpb.Operation_CREATE_CLUSTER:
		text = "GKE is creating the cluster"
	case containerpb.Operation_DELETE_CLUSTER:
		text = "GKE is deleting the cluster"
	}
	values := map[string]int64{}
	var names []string
	for _, m := range op.GetProgress().GetMetrics() {
		if _, ok := m.Value.(*containerpb.OperationProgress_Metric_IntValue); ok {
			values[m.Name] = m.GetIntValue()
			names = append(names, m.Name)
		}
	}
	for _, name := range names { // CLUSTER_DEPLOYING and CLUSTER_DEPLOYING_TOTAL
		if total := values[name+"_TOTAL"]; total > 0 && values[name] < total {
			return fmt.Sprintf("%s: %s %d of %d", text, strings.ToLower(strings.TrimPrefix(name, "CLUSTER_")),
				values[name], total)
		}
	}
	return text
}

// Delete implements provision.Provider.
func (p *Provider) Delete(ctx context.Context, c provision.Cluster) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	cl, err := client.cluster(ctx, c.Name)
	if err != nil || cl == nil || !ours(cl, c) { // another instance's cluster of this name stays
		return err
	}
	return p.delete(ctx, client, c.Name)
}

// delete deletes a cluster and verifies that it is gone. It waits for running operations on the cluster first.
func (p *Provider) delete(ctx context.Context, client *client, cluster string) error {
	wrap := func(err error) error { return fmt.Errorf("delete the cluster %s: %w", cluster, err) }
	quiet := func(string) {}
	for failed := 0; ; {
		cl, err := client.cluster(ctx, cluster)
		if err != nil {
			return err
		}
		if cl == nil {
			return nil
		}
		if cl.ResourceLabels[labelInstance] == "" {
			return wrap(errors.New("it does not have labctl's labels, so labctl did not create it"))
		}
		running, err := client.operations(ctx, cluster)
		if err != nil {
			return err
		}
		if len(running) > 0 {
			// Whether a creation succeeds does not matter here.
			if err := p.awaitOperation(ctx, client, running[0], quiet); err != nil {
				failed++
				if ctx.Err() != nil || failed > attempts ||
					running[0].OperationType == containerpb.Operation_DELETE_CLUSTER {
					return wrap(err)
				}
				if err := sleep(ctx, p.poll); err != nil {
					return wrap(err)
				}
			}
			continue
		}
		op, err := client.api.DeleteCluster(ctx, &containerpb.DeleteClusterRequest{Name: client.name(cluster)})
		switch code := status.Code(err); {
		case err == nil:
			if err := p.awaitOperation(ctx, client, op, quiet); err != nil {
				return wrap(err)
			}
		case code == codes.NotFound:
		case (code == codes.FailedPrecondition || code == codes.Unavailable) && failed < attempts: // it has become busy
			failed++
			if err := sleep(ctx, p.poll); err != nil {
				return wrap(err)
			}
		default:
			return wrap(explain(err, client.project))
		}
	}
}

// sleep waits, and returns early with the reason when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
