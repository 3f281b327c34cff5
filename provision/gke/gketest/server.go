// Package gketest is a stand-in for Google's Kubernetes Engine API: a gRPC server of the service ClusterManager,
// from its published definition, that keeps clusters in memory and behaves as Google's does where labctl depends on
// it. What a cluster really is, Make and Remove decide: nothing by default, or one that a test made elsewhere.
package gketest

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	errdetails "google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Server implements ClusterManager. Set its fields before it serves.
type Server struct {
	containerpb.UnimplementedClusterManagerServer

	// Make makes a cluster for real, and returns the address of its API and the certificate of its authority in
	// PEM; nil: an address where nothing is.
	Make func(ctx context.Context, c *containerpb.Cluster) (endpoint string, ca []byte, err error)
	// Remove deletes what Make made.
	Remove func(ctx context.Context, c *containerpb.Cluster) error
	// Looks is how often an operation has to be looked at before it is done; by default twice.
	Looks int
	// Fail is asked before each call, with how many of the method there were before it; nil: nothing fails.
	Fail func(method string, before int) error
	// FailCreation is what the creation of a cluster comes to, in the middle; nil: it succeeds.
	FailCreation *rpcstatus.Status

	mu         sync.Mutex
	calls      map[string]int
	clusters   map[string]*containerpb.Cluster // by name of the resource
	operations map[string]*operation
	count      int
}

// operation is one under way. It is done when it has been looked at often enough and its work has ended.
type operation struct {
	pb      *containerpb.Operation
	cluster string // name of the resource
	looks   int
	work    chan error
	finish  func(error) // with mu held
}

// Serve answers on a listener until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener, options ...grpc.ServerOption) error {
	server := grpc.NewServer(append(options, grpc.ChainUnaryInterceptor(s.intercept))...)
	containerpb.RegisterClusterManagerServer(server, s)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	return server.Serve(l)
}

// Calls says how often each method was called.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Clusters are those that there are, by name.
func (s *Server) Clusters() []*containerpb.Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*containerpb.Cluster
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		list = append(list, proto.Clone(s.clusters[name]).(*containerpb.Cluster))
	}
	return list
}

// Change changes a cluster behind labctl's back, as its owner could at Google.
func (s *Server) Change(name string, change func(*containerpb.Cluster)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clusters[name]
	if ok {
		change(c)
	}
	return ok
}

// Forget takes a cluster away at once.
func (s *Server) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clusters, name)
}

func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo,
	next grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
		s.clusters = map[string]*containerpb.Cluster{}
		s.operations = map[string]*operation{}
	}
	before := s.calls[method]
	s.calls[method]++
	fail := s.Fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(method, before); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

// Error is an error as Google's API makes it: with a reason that programs can read.
func Error(code codes.Code, reason, message string, metadata map[string]string) error {
	st, err := status.New(code, message).
		WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "googleapis.com", Metadata: metadata})
	if err != nil {
		return err
	}
	return st.Err()
}

// CreateCluster implements ClusterManager.
func (s *Server) CreateCluster(_ context.Context,
	req *containerpb.CreateClusterRequest) (*containerpb.Operation, error) {
	c := req.Cluster
	switch {
	case !strings.HasPrefix(req.Parent, "projects/") || !strings.Contains(req.Parent, "/locations/"):
		return nil, status.Errorf(codes.InvalidArgument, "invalid parent %q", req.Parent)
	case c.GetName() == "" || len(c.GetName()) > 40:
		return nil, status.Errorf(codes.InvalidArgument, "Cluster.name must be 1 to 40 characters")
	case len(c.NodePools) == 0:
		return nil, status.Errorf(codes.InvalidArgument, "one node pool is needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := req.Parent + "/clusters/" + c.Name
	if s.clusters[name] != nil {
		return nil, Error(codes.AlreadyExists, "", "Already exists: "+name+".", nil)
	}
	made := proto.Clone(c).(*containerpb.Cluster)
	made.Status, made.CreateTime = containerpb.Cluster_PROVISIONING, time.Now().UTC().Format(time.RFC3339)
	made.Location = req.Parent[strings.LastIndexByte(req.Parent, '/')+1:]
	made.SelfLink = "https://container.googleapis.com/v1/" + name
	made.ClusterIpv4Cidr = "10.244.0.0/16"
	s.clusters[name] = made
	work := make(chan error, 1)
	var endpoint string
	var ca []byte
	go func() { // Google goes on when its client is gone
		var err error
		if s.Make != nil {
			endpoint, ca, err = s.Make(context.Background(), made)
		} else {
			endpoint, ca = "192.0.2.1", []byte("no certificate")
		}
		work <- err
	}()
	return s.begin(containerpb.Operation_CREATE_CLUSTER, name, work, func(err error) {
		c := s.clusters[name]
		if c == nil {
			return
		}
		if err != nil || s.FailCreation != nil {
			c.Status = containerpb.Cluster_ERROR
			c.Conditions = []*containerpb.StatusCondition{{Message: s.FailCreation.GetMessage()}}
			return
		}
		c.Status, c.Endpoint = containerpb.Cluster_RUNNING, endpoint
		setEndpoints(c)
		c.MasterAuth = &containerpb.MasterAuth{ClusterCaCertificate: base64.StdEncoding.EncodeToString(ca)}
	}), nil
}

// setEndpoints adds where a cluster's control plane is reached, other than by its public address. A private endpoint has
// the address in the VPC network.
func setEndpoints(c *containerpb.Cluster) {
	endpoints := c.ControlPlaneEndpointsConfig
	if endpoints.GetDnsEndpointConfig().GetAllowExternalTraffic() {
		endpoints.DnsEndpointConfig.Endpoint = "gke-0a1b2c-123456789.us-west2.gke.goog"
	}
	if ip := endpoints.GetIpEndpointsConfig(); ip != nil {
		ip.PrivateEndpoint = "10.128.0.2"
	}
}

// Repair begins an operation on a node pool of a cluster, as Google does by itself.
func (s *Server) Repair(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	work := make(chan error, 1)
	work <- nil
	op := s.begin(containerpb.Operation_AUTO_REPAIR_NODES, name, work, func(error) {})
	s.operations[op.Name].pb.TargetLink += "/nodePools/default-pool"
}

// begin makes an operation; mu is held.
func (s *Server) begin(typ containerpb.Operation_Type, cluster string, work chan error,
	finish func(error)) *containerpb.Operation {
	s.count++
	parts := strings.Split(cluster, "/")
	op := &operation{
		pb: &containerpb.Operation{
			Name: fmt.Sprintf("operation-%d", s.count), OperationType: typ, Status: containerpb.Operation_RUNNING,
			Location: parts[3],
			// Google names the project by its number here.
			TargetLink: "https://container.googleapis.com/v1/projects/123456789/" + strings.Join(parts[2:], "/"),
			StartTime:  time.Now().UTC().Format(time.RFC3339),
		},
		cluster: cluster, work: work, finish: finish,
	}
	s.operations[op.pb.Name] = op
	return proto.Clone(op.pb).(*containerpb.Operation)
}

// look is what somebody sees who looks at an operation; mu is held.
func (s *Server) look(op *operation) *containerpb.Operation {
	looks := s.Looks
	if looks == 0 {
		looks = 2
	}
	if op.pb.Status == containerpb.Operation_RUNNING {
		op.looks++
		op.pb.Progress = &containerpb.OperationProgress{Metrics: []*containerpb.OperationProgress_Metric{
			metric("CLUSTER_DEPLOYING", min(op.looks, looks)), metric("CLUSTER_DEPLOYING_TOTAL", looks+1),
		}}
		if op.looks >= looks {
			select {
			case err := <-op.work:
				s.done(op, err)
			default:
			}
		}
	}
	return proto.Clone(op.pb).(*containerpb.Operation)
}

func (s *Server) done(op *operation, err error) {
	op.pb.Status, op.pb.EndTime = containerpb.Operation_DONE, time.Now().UTC().Format(time.RFC3339)
	if err != nil {
		op.pb.Error = status.Convert(err).Proto()
	} else if op.pb.OperationType == containerpb.Operation_CREATE_CLUSTER {
		op.pb.Error = s.FailCreation
	}
	op.finish(err)
}

func metric(name string, value int) *containerpb.OperationProgress_Metric {
	return &containerpb.OperationProgress_Metric{
		Name: name, Value: &containerpb.OperationProgress_Metric_IntValue{IntValue: int64(value)},
	}
}

// GetOperation implements ClusterManager.
func (s *Server) GetOperation(_ context.Context, req *containerpb.GetOperationRequest) (*containerpb.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := s.operations[req.Name[strings.LastIndexByte(req.Name, '/')+1:]]
	if op == nil || !strings.HasPrefix(op.cluster, req.Name[:strings.Index(req.Name, "/operations/")]) {
		return nil, Error(codes.NotFound, "", "Not found: "+req.Name, nil)
	}
	return s.look(op), nil
}

// ListOperations implements ClusterManager.
func (s *Server) ListOperations(_ context.Context,
	req *containerpb.ListOperationsRequest) (*containerpb.ListOperationsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &containerpb.ListOperationsResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.operations)) {
		if op := s.operations[name]; strings.HasPrefix(op.cluster, req.Parent+"/") {
			resp.Operations = append(resp.Operations, s.look(op))
		}
	}
	return resp, nil
}

// GetCluster implements ClusterManager.
func (s *Server) GetCluster(_ context.Context, req *containerpb.GetClusterRequest) (*containerpb.Cluster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clusters[req.Name]
	if c == nil {
		return nil, Error(codes.NotFound, "", "Not found: "+req.Name+".", nil)
	}
	return proto.Clone(c).(*containerpb.Cluster), nil
}

// ListClusters implements ClusterManager; the location "-" stands for all.
func (s *Server) ListClusters(_ context.Context,
	req *containerpb.ListClustersRequest) (*containerpb.ListClustersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := strings.TrimSuffix(req.Parent, "-")
	resp := &containerpb.ListClustersResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		if strings.HasPrefix(name, prefix) {
			resp.Clusters = append(resp.Clusters, proto.Clone(s.clusters[name]).(*containerpb.Cluster))
		}
	}
	return resp, nil
}

// DeleteCluster implements ClusterManager. One that is busy is refused, as at Google.
func (s *Server) DeleteCluster(_ context.Context,
	req *containerpb.DeleteClusterRequest) (*containerpb.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clusters[req.Name]
	if c == nil {
		return nil, Error(codes.NotFound, "", "Not found: "+req.Name+".", nil)
	}
	for _, op := range s.operations {
		if op.cluster == req.Name && op.pb.Status != containerpb.Operation_DONE {
			return nil, Error(codes.FailedPrecondition, "CLUSTER_ALREADY_HAS_OPERATION",
				"Cluster is running incompatible operation "+op.pb.Name+".", nil)
		}
	}
	c.Status = containerpb.Cluster_STOPPING
	work := make(chan error, 1)
	doomed := proto.Clone(c).(*containerpb.Cluster)
	go func() {
		if s.Remove != nil {
			work <- s.Remove(context.Background(), doomed)
			return
		}
		work <- nil
	}()
	return s.begin(containerpb.Operation_DELETE_CLUSTER, req.Name, work, func(err error) {
		if err == nil {
			delete(s.clusters, req.Name)
		}
	}), nil
}

// GetServerConfig implements ClusterManager.
func (s *Server) GetServerConfig(_ context.Context,
	req *containerpb.GetServerConfigRequest) (*containerpb.ServerConfig, error) {
	if strings.HasSuffix(req.Name, "/locations/moon-1") {
		return nil, Error(codes.InvalidArgument, "", `Location "moon-1" does not exist.`, nil)
	}
	versions := []string{"1.37.2-gke.1100000", "1.36.4-gke.2000000"}
	return &containerpb.ServerConfig{
		DefaultClusterVersion: versions[1], ValidMasterVersions: versions,
		Channels: []*containerpb.ServerConfig_ReleaseChannelConfig{
			{Channel: containerpb.ReleaseChannel_REGULAR, ValidVersions: versions},
			{Channel: containerpb.ReleaseChannel_STABLE, ValidVersions: versions[1:]},
		},
	}, nil
}

// CancelOperation implements ClusterManager: a creation cannot be cancelled.
func (s *Server) CancelOperation(context.Context, *containerpb.CancelOperationRequest) (*emptypb.Empty, error) {
	return nil, status.Error(codes.InvalidArgument, "Operation cannot be cancelled.")
}
