package gke

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/option"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/gke/gketest"
	"github.com/labctl/labctl/provision/providertest"
)

var shop = provision.Cluster{
	Name: "labctl-shop", Instance: "shop", Lab: "Shop", ID: "k2m9x7qa", Owner: "ada_p4r8t2wz",
}

// google serves a stand-in for Google's API, and returns what makes a client use it.
func google(t *testing.T, s *gketest.Server) []option.ClientOption {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return []option.ClientOption{
		option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// provider is one that asks the server.
func provider(t *testing.T, options []option.ClientOption, attrs map[string]any) *Provider {
	t.Helper()
	all := map[string]any{"project": "course", "location": "us-west2-a"}
	for k, v := range attrs {
		all[k] = v
	}
	p, err := newProvider(labs.Cluster{Provider: Name, Settings: all}, slog.New(slog.DiscardHandler), options...)
	if err != nil {
		t.Fatal(err)
	}
	p.poll = time.Millisecond
	return p
}

func watch(steps *[]string) provision.CreateProgress {
	return provision.CreateProgress{Milestone: func(provision.Milestone) {}, Step: func(s string) {
		if steps != nil {
			*steps = append(*steps, s)
		}
	}}
}

func TestContract(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{Looks: 5}
	options := google(t, s)
	providertest.Run(t, providertest.Subject{
		New:     func(t *testing.T) provision.Provider { return provider(t, options, nil) },
		Cluster: shop, Interrupt: 2, Timeout: time.Minute,
	})
	if made := s.Calls()["CreateCluster"]; made != 1 {
		t.Errorf("Google was asked for %d clusters: an interrupted creation was not resumed", made)
	}
	if left := s.Clusters(); len(left) != 0 {
		t.Errorf("clusters are left: %v", left)
	}
}

// What Google is asked for, and what the labels say.
func TestRequest(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	options := google(t, s)
	p := provider(t, options, map[string]any{
		"machine_type": "n1-standard-4", "nodes": 3, "disk_gb": 30, "spot": true, "release_channel": "stable", "version": "1.36",
		"network": "net", "subnetwork": "sub", "private_nodes": true, "labels": map[string]string{"course": "k8s"},
		"service_account": "nodes@course.iam.gserviceaccount.com", "ttl": "8h",
	})
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p.now = func() time.Time { return now }
	var steps []string
	if err := p.Create(t.Context(), shop, watch(&steps)); err != nil {
		t.Fatal(err)
	}
	c := s.Clusters()[0]
	pool := c.NodePools[0]
	node := pool.Config
	for what, ok := range map[string]bool{
		"place":        c.Location == "us-west2-a" && c.Name == "labctl-shop",
		"nodes":        pool.InitialNodeCount == 3 && node.MachineType == "n1-standard-4" && node.DiskSizeGb == 30 && node.Spot,
		"version":      c.InitialClusterVersion == "1.36" && c.ReleaseChannel.Channel == containerpb.ReleaseChannel_STABLE,
		"network":      c.Network == "net" && c.Subnetwork == "sub" && c.NetworkConfig.GetDefaultEnablePrivateNodes(),
		"account":      node.ServiceAccount == "nodes@course.iam.gserviceaccount.com",
		"taint":        len(node.Taints) == 1 && node.Taints[0].Key == "node.cilium.io/agent-not-ready" && node.Taints[0].Effect == containerpb.NodeTaint_NO_EXECUTE,
		"dataplane":    c.NetworkConfig.DatapathProvider == containerpb.DatapathProvider_LEGACY_DATAPATH,
		"own labels":   c.ResourceLabels["course"] == "k8s",
		"lab's labels": c.ResourceLabels[labelLab] == "shop" && c.ResourceLabels[labelInstance] == "shop" && c.ResourceLabels[labelID] == shop.ID && c.ResourceLabels[labelOwner] == shop.Owner,
		"expiry":       c.ResourceLabels[labelExpiry] == strconv.FormatInt(now.Add(8*time.Hour).Unix(), 10),
		"scopes": len(node.OauthScopes) > 0 && !slices.ContainsFunc(node.OauthScopes, func(s string) bool {
			return strings.HasSuffix(s, "/cloud-platform") || strings.HasSuffix(s, "/compute")
		}),
		"labels of nodes": node.ResourceLabels[labelInstance] == "shop",
	} {
		if !ok {
			t.Errorf("%s: %v", what, c)
		}
	}
	if got := strings.Join(steps, "\n"); !strings.Contains(got, "GKE is creating the cluster: deploying 1 of 3") {
		t.Errorf("the steps do not say how far Google is:\n%s", got)
	}
	// Another process, which has not called Find, gets the same.
	values, err := provider(t, options, nil).Values(t.Context(), shop)
	if err != nil || values["ipv4NativeRoutingCIDR"] != "10.244.0.0/16" || values["gke"].(map[string]any)["enabled"] != true {
		t.Errorf("values %v", values)
	}
}

// Who may reach the control plane gets into the request, and where it is into the kubeconfig.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		attrs  map[string]any
		public bool
		dns    bool
		allow  []string
		server string
		ca     bool
	}{
		{"public", nil, true, false, nil, "https://192.0.2.1", true},
		{"some networks", map[string]any{"authorized_networks": []any{"203.0.113.0/24", "198.51.100.7/32"}}, true, false,
			[]string{"203.0.113.0/24", "198.51.100.7/32"}, "https://192.0.2.1", true},
		{"by name", map[string]any{"endpoint": "dns"}, false, true, nil, "https://gke-0a1b2c-123456789.us-west2.gke.goog", false},
		{"private", map[string]any{"endpoint": "private", "authorized_networks": []any{"10.0.0.0/8"}}, false, false,
			[]string{"10.0.0.0/8"}, "https://10.128.0.2", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &gketest.Server{}
			p := provider(t, google(t, s), tc.attrs)
			if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
				t.Fatal(err)
			}
			config := s.Clusters()[0].ControlPlaneEndpointsConfig
			ip := config.GetIpEndpointsConfig()
			if public := ip == nil || ip.EnablePublicEndpoint == nil; public != tc.public {
				t.Errorf("a public endpoint: %v", config)
			}
			if config.GetDnsEndpointConfig().GetAllowExternalTraffic() != tc.dns {
				t.Errorf("a DNS endpoint: %v", config)
			}
			var allowed []string
			for _, block := range ip.GetAuthorizedNetworksConfig().GetCidrBlocks() {
				allowed = append(allowed, block.CidrBlock)
			}
			if !slices.Equal(allowed, tc.allow) || ip.GetAuthorizedNetworksConfig().GetEnabled() != (tc.allow != nil) {
				t.Errorf("allowed are %v", ip.GetAuthorizedNetworksConfig())
			}
			data, err := p.Kubeconfig(t.Context(), shop)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := clientcmd.Load(data)
			if err != nil {
				t.Fatal(err)
			}
			server := cfg.Clusters[cfg.Contexts[cfg.CurrentContext].Cluster]
			if server.Server != tc.server || (len(server.CertificateAuthorityData) > 0) != tc.ca {
				t.Errorf("the kubeconfig leads to %s, by an authority of its own: %t", server.Server, len(server.CertificateAuthorityData) > 0)
			}
		})
	}
}

// With Workload Identity, pods get no token of their node. The pool is the project's, even one of the credentials.
func TestWorkloadIdentity(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := &gketest.Server{}
		if err := provider(t, google(t, s), map[string]any{"workload_identity": on}).Create(t.Context(), shop, watch(nil)); err != nil {
			t.Fatal(err)
		}
		c := s.Clusters()[0]
		hidden := c.NodePools[0].Config.GetWorkloadMetadataConfig().GetMode() == containerpb.WorkloadMetadataConfig_GKE_METADATA
		if hidden != on || (c.GetWorkloadIdentityConfig().GetWorkloadPool() == "course.svc.id.goog") != on {
			t.Errorf("workload_identity = %t: %v, %v", on, c.WorkloadIdentityConfig, c.NodePools[0].Config)
		}
	}
}

func TestDataplaneV2(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	p := provider(t, google(t, s), map[string]any{"dataplane": "v2"})
	if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
		t.Fatal(err)
	}
	c := s.Clusters()[0]
	if c.NetworkConfig.DatapathProvider != containerpb.DatapathProvider_ADVANCED_DATAPATH || len(c.NodePools[0].Config.Taints) != 0 {
		t.Errorf("asked for %v", c)
	}
	if name, daemonSet := p.CNI(); name == "" || daemonSet != "anetd" {
		t.Errorf("the network is %q, %q", name, daemonSet)
	}
	if name, _ := provider(t, nil, nil).CNI(); name != "" {
		t.Errorf("a cluster without Dataplane V2 comes with the network %q", name)
	}
}

// Every error of Google's says what to do.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before string // the method that fails
		err    error
		middle *rpcstatus.Status // or the creation, in the middle
		want   string
	}{
		{name: "API disabled", before: "GetCluster", want: "enable the Kubernetes Engine API, wait a minute, and retry: https://console.example.org/enable",
			err: gketest.Error(codes.PermissionDenied, "SERVICE_DISABLED", "Kubernetes Engine API has not been used in project course before or it is disabled.", map[string]string{"activationUrl": "https://console.example.org/enable"})},
		{name: "billing off", before: "CreateCluster", want: "link a billing account to the project: https://console.cloud.google.com/billing/linkedaccount?project=course",
			err: gketest.Error(codes.PermissionDenied, "BILLING_DISABLED", "This API method requires billing to be enabled.", nil)},
		{name: "no permission", before: "CreateCluster", want: "roles/container.admin",
			err: gketest.Error(codes.PermissionDenied, "IAM_PERMISSION_DENIED", `Required "container.clusters.create" permission(s) for "projects/course".`, nil)},
		{name: "not the nodes' service account", before: "CreateCluster", want: "roles/iam.serviceAccountUser",
			err: gketest.Error(codes.PermissionDenied, "", "The user does not have access to service account \"default\".", nil)},
		{name: "not logged in", before: "GetCluster", want: "gcloud auth application-default login",
			err: gketest.Error(codes.Unauthenticated, "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials.", nil)},
		{name: "quota", before: "CreateCluster", want: "use fewer or smaller nodes",
			err: gketest.Error(codes.PermissionDenied, "", `Insufficient regional quota to satisfy request: resource "CPUS": request requires '8.0' and is short '4.0'.`, nil)},
		{name: "quota in the middle", want: "use fewer or smaller nodes", middle: status.New(codes.ResourceExhausted, "Quota 'SSD_TOTAL_GB' exceeded. Limit: 250.0 in region us-west2.").Proto()},
		{name: "zone exhausted", want: "set another location or machine_type",
			middle: status.New(codes.ResourceExhausted, "Google Compute Engine: The zone 'projects/course/zones/us-west2-a' does not have enough resources available to fulfill the request. ZONE_RESOURCE_POOL_EXHAUSTED.").Proto()},
		{name: "too many requests", before: "GetCluster", want: "wait a minute",
			err: gketest.Error(codes.ResourceExhausted, "RATE_LIMIT_EXCEEDED", "Too many requests.", nil)},
		{name: "no such project", before: "GetCluster", want: "check the project's ID (course)",
			err: gketest.Error(codes.NotFound, "CONSUMER_INVALID", "Project 'course' not found.", nil)},
		{name: "no quota project", before: "GetCluster", want: "set-quota-project course",
			err: gketest.Error(codes.PermissionDenied, "SERVICE_DISABLED", "Your application is authenticating by using local Application Default Credentials. The container.googleapis.com API requires a quota project, which is not set by default.", map[string]string{"activationUrl": "https://console.example.org/764086051850"})},
		{name: "organization policy", before: "CreateCluster", want: "private_nodes = true",
			err: gketest.Error(codes.FailedPrecondition, "", "Constraint constraints/compute.vmExternalIpAccess violated for project course.", nil)},
		{name: "another policy", before: "CreateCluster", want: "ask your administrator",
			err: gketest.Error(codes.PermissionDenied, "", "Operation denied by org policy: [constraints/gcp.resourceLocations].", nil)},
		{name: "no default network", before: "CreateCluster", want: "set network and subnetwork",
			err: gketest.Error(codes.InvalidArgument, "", `Project "course" has no network named "default".`, nil)},
		{name: "a network that is missing", before: "CreateCluster", want: "set network and subnetwork",
			err: gketest.Error(codes.NotFound, "", "Not found: projects/course/global/networks/nowhere.", nil)},
		{name: "no addresses left", want: "too few free addresses",
			middle: status.New(codes.ResourceExhausted, "Quota error: IP_SPACE_EXHAUSTED: the primary range has no free address.").Proto()},
		{name: "no such version", before: "CreateCluster", want: "choose a version that the release channel offers",
			err: gketest.Error(codes.InvalidArgument, "", "No valid versions with the prefix \"1.2\" found.", nil)},
		{name: "no such zone", before: "CreateCluster", want: "choose a location",
			err: gketest.Error(codes.InvalidArgument, "", `Location "us-moon1-a" does not exist.`, nil)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &gketest.Server{FailCreation: tc.middle, Fail: func(method string, _ int) error {
				if method == tc.before {
					return tc.err
				}
				return nil
			}}
			p := provider(t, google(t, s), nil)
			err := p.Create(t.Context(), shop, watch(nil))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Count(err.Error(), " — ") != 1 {
				t.Fatalf("got %v, want %q once", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "rpc error") {
				t.Errorf("not for people: %v", err)
			}
			if tc.middle == nil {
				return
			}
			if found, err := p.Find(t.Context(), shop); err != nil || found.State != provision.Broken || !strings.Contains(found.Detail, tc.middle.Message) {
				t.Errorf("what failed in the middle is found as %+v, %v", found, err)
			}
			// The next up removes what failed, and then succeeds.
			s.FailCreation = nil
			if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
				t.Errorf("after the reason is gone: %v", err)
			}
		})
	}
}

// An operation that Google has forgotten has ended: the cluster shows how.
func TestForgottenOperation(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{Fail: func(method string, before int) error {
		if method == "GetOperation" && before > 0 {
			return gketest.Error(codes.NotFound, "", "Not found: projects/course/locations/us-west2-a/operations/operation-1.", nil)
		}
		return nil
	}}
	if err := provider(t, google(t, s), nil).Create(t.Context(), shop, watch(nil)); err != nil {
		t.Error(err)
	}
}

// A cluster is deleted after the operations on what it consists of: Google refuses it before.
func TestOperationsOfNodePools(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	p := provider(t, google(t, s), nil)
	if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
		t.Fatal(err)
	}
	client, err := p.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Repair("projects/course/locations/us-west2-a/clusters/labctl-shop")
	running, err := client.operations(t.Context(), shop.Name)
	if err != nil || len(running) != 1 || !strings.HasSuffix(running[0].TargetLink, "/nodePools/default-pool") {
		t.Fatalf("operations %v, %v", running, err)
	}
	if err := p.Delete(t.Context(), shop); err != nil || len(s.Clusters()) != 0 {
		t.Errorf("%v; left %v", err, s.Clusters())
	}
}

func TestIsZone(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"us-central1": "", "northamerica-northeast1": "", "us-central1-a": "us-central1", "us-central1-ai1a": "us-central1",
	} {
		if isZone(location) != (want != "") || want != "" && region(location) != want {
			t.Errorf("%s: a zone: %t, in %s", location, isZone(location), region(location))
		}
	}
}

// An API that is away for a while costs time, not the cluster, and never makes a second one.
func TestRetries(t *testing.T) {
	t.Parallel()
	away := status.Error(codes.Unavailable, "the service is currently unavailable")
	for name, fail := range map[string]func(method string, before int) error{
		"asking": func(method string, before int) error {
			if method == "CreateCluster" && before < 2 {
				return away
			}
			return nil
		},
		"following": func(method string, before int) error {
			if method == "GetOperation" && before%3 != 2 {
				return away
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &gketest.Server{Fail: fail}
			if err := provider(t, google(t, s), nil).Create(t.Context(), shop, watch(nil)); err != nil {
				t.Fatal(err)
			}
			if n := len(s.Clusters()); n != 1 {
				t.Errorf("%d clusters", n)
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		s := &gketest.Server{Fail: func(method string, _ int) error {
			if method == "CreateCluster" {
				return away
			}
			return nil
		}}
		err := provider(t, google(t, s), nil).Create(t.Context(), shop, watch(nil))
		if err == nil || !strings.Contains(err.Error(), "check the network of this machine") || s.Calls()["CreateCluster"] != attempts {
			t.Errorf("%v after %d attempts", err, s.Calls()["CreateCluster"])
		}
	})
}

// A request whose answer was lost has been taken: it is followed, not made again.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	options := google(t, s)
	var lose atomic.Bool
	lose.Store(true)
	options = append(options, option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			if strings.HasSuffix(method, "/CreateCluster") && lose.Swap(false) {
				return status.Error(codes.Unavailable, "connection reset by peer")
			}
			return err
		})))
	if err := provider(t, options, nil).Create(t.Context(), shop, watch(nil)); err != nil {
		t.Fatal(err)
	}
	if calls := s.Calls()["CreateCluster"]; calls != 2 || len(s.Clusters()) != 1 {
		t.Errorf("%d requests, %d clusters", calls, len(s.Clusters()))
	}
}

// An interrupted run says what goes on at Google and costs money.
func TestInterruptionIsMentioned(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{Looks: 1000}
	var log strings.Builder
	p := provider(t, google(t, s), nil)
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	w := watch(nil)
	w.Step = func(text string) {
		if strings.Contains(text, "is creating the cluster") {
			cancel()
		}
	}
	if err := p.Create(ctx, shop, w); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "labctl down shop deletes it") || !strings.Contains(log.String(), "projects/course/locations/us-west2-a/clusters/labctl-shop") {
		t.Errorf("it says: %s", log.String())
	}
}

func TestClustersOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	options := google(t, s)
	p := provider(t, options, nil)
	if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
		t.Fatal(err)
	}
	name := "projects/course/locations/us-west2-a/clusters/labctl-shop"
	if !s.Change(name, func(c *containerpb.Cluster) { c.ResourceLabels[labelID] = "another" }) {
		t.Fatal("there is no cluster")
	}
	if err := p.Create(t.Context(), shop, watch(nil)); err == nil || !strings.Contains(err.Error(), "was not created by this instance") {
		t.Errorf("Create: %v", err)
	}
	for what, change := range map[string]func(*containerpb.Cluster){
		"another instance's": func(*containerpb.Cluster) {},
		"without labels":     func(c *containerpb.Cluster) { c.ResourceLabels = nil },
	} {
		s.Change(name, change)
		if found, err := p.Find(t.Context(), shop); err != nil || found.State != provision.Absent || !found.Foreign {
			t.Errorf("%s: found %+v, %v", what, found, err)
		}
		if err := p.Delete(t.Context(), shop); err != nil {
			t.Errorf("%s: Delete: %v", what, err)
		}
		if len(s.Clusters()) != 1 {
			t.Fatalf("%s: it is gone", what)
		}
	}
}

// TestDegradedClusterIsUsed: a cluster that Google is repairing, or calls degraded, is used and never made again.
func TestDegradedClusterIsUsed(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	p := provider(t, google(t, s), nil)
	if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
		t.Fatal(err)
	}
	for status, detail := range map[containerpb.Cluster_Status]string{
		containerpb.Cluster_DEGRADED:    "the node pool is unhealthy",
		containerpb.Cluster_RECONCILING: "",
	} {
		s.Change("projects/course/locations/us-west2-a/clusters/labctl-shop", func(c *containerpb.Cluster) {
			c.Status = status
			c.Conditions = []*containerpb.StatusCondition{{Message: "the node pool is unhealthy"}}
		})
		found, err := p.Find(t.Context(), shop)
		if err != nil || found.State != provision.Running || !strings.Contains(found.Detail, detail) || (detail == "") != (found.Detail == "") {
			t.Errorf("%s: found %+v, %v", status, found, err)
		}
		if err := p.Create(t.Context(), shop, watch(nil)); err != nil {
			t.Errorf("%s: Create: %v", status, err)
		}
	}
	if calls := s.Calls(); calls["DeleteCluster"] > 0 || calls["CreateCluster"] != 1 {
		t.Errorf("calls: %v", calls)
	}
}

// Neither the name of the machine nor that of its user decides whose a cluster is.
func TestOwnClusterOnAnotherNetwork(t *testing.T) {
	s := &gketest.Server{Looks: 100}
	options := google(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	w := watch(nil)
	w.Step = func(text string) {
		if strings.Contains(text, "deploying") {
			cancel()
		}
	}
	if err := provider(t, options, nil).Create(ctx, shop, w); err == nil {
		t.Fatal("it was not interrupted")
	}
	again := shop
	again.Owner = "ada_on_another_machine"
	if err := provider(t, options, nil).Create(t.Context(), again, watch(nil)); err != nil {
		t.Errorf("it is not resumed: %v", err)
	}
	s.Change("projects/course/locations/us-west2-a/clusters/labctl-shop", func(c *containerpb.Cluster) {
		delete(c.ResourceLabels, labelID) // as an older labctl created it
		c.ResourceLabels[labelOwner] = "ada_laptop-2-local"
	})
	if found, err := provider(t, options, nil).Find(t.Context(), again); err != nil || found.State != provision.Running {
		t.Errorf("a cluster of an older version: %+v, %v", found, err)
	}
}

// TestEndsWithItsContext: a server that accepts connections and never answers costs no more than the context.
func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := provider(t, []option.ClientOption{
		option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}, nil)
	for name, call := range map[string]func(context.Context) error{
		"find":     func(ctx context.Context) error { _, err := p.Find(ctx, shop); return err },
		"create":   func(ctx context.Context) error { return p.Create(ctx, shop, watch(nil)) },
		"delete":   func(ctx context.Context) error { return p.Delete(ctx, shop) },
		"clusters": func(ctx context.Context) error { _, err := p.Clusters(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			if err := call(ctx); err == nil {
				t.Error("there is no error")
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A cluster that Google is still making can be deleted: once it is made.
func TestDeleteInTheMiddle(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{Looks: 10}
	p := provider(t, google(t, s), nil)
	ctx, cancel := context.WithCancel(t.Context())
	w := watch(nil)
	w.Step = func(text string) {
		if strings.Contains(text, "deploying") {
			cancel()
		}
	}
	if err := p.Create(ctx, shop, w); err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := p.Delete(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	if len(s.Clusters()) != 0 {
		t.Error("it is still there")
	}
}

func TestClusters(t *testing.T) {
	t.Parallel()
	s := &gketest.Server{}
	options := google(t, s)
	for i, location := range []string{"us-west2-a", "europe-west3", "us-west2-a"} {
		p := provider(t, options, map[string]any{"location": location})
		c := shop
		c.Instance += strconv.Itoa(i)
		c.Name += strconv.Itoa(i)
		if err := p.Create(t.Context(), c, watch(nil)); err != nil {
			t.Fatal(err)
		}
	}
	s.Change("projects/course/locations/us-west2-a/clusters/labctl-shop2", func(c *containerpb.Cluster) { c.ResourceLabels = nil })
	p := provider(t, options, nil)
	owned, err := p.Clusters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(owned) != 2 || owned[0].Place != "course/europe-west3" || owned[1].Name != "labctl-shop0" || owned[0].ID != shop.ID || owned[0].Owner != shop.Owner || owned[0].Expires.IsZero() || owned[0].Created.IsZero() {
		t.Fatalf("found %+v", owned)
	}
	if err := p.Remove(t.Context(), owned[0]); err != nil {
		t.Fatal(err)
	}
	if len(s.Clusters()) != 2 {
		t.Error("it is still there")
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		attrs map[string]any
		want  string // in a finding that is not OK; empty: all are
	}{
		{"fine", nil, ""},
		{"a version that is there", map[string]any{"version": "1.37"}, ""},
		{"a version of another channel", map[string]any{"version": "1.37", "release_channel": "stable"}, "set version to one of 1.36.4-gke.2000000"},
		{"half a version", map[string]any{"version": "1.3"}, "1.3 is not available"},
		{"no such place", map[string]any{"location": "moon-1"}, "choose a location"},
		{"a long name", nil, "at most 33 characters"},
		{"private endpoint", map[string]any{"endpoint": "private"}, "connected to it by VPN"},
		{"private nodes", map[string]any{"private_nodes": true}, "Cloud NAT in us-west2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var bad []string
			c := shop
			if tc.name == "a long name" {
				c.Instance = strings.Repeat("x", 40)
				c.Name = "labctl-" + c.Instance
			}
			for _, f := range provider(t, google(t, &gketest.Server{}), tc.attrs).Preflight(t.Context(), c) {
				if f.Severity != provision.OK {
					bad = append(bad, f.Message+": "+f.Fix)
				}
			}
			if tc.want == "" && len(bad) > 0 || tc.want != "" && (len(bad) != 1 || !strings.Contains(bad[0], tc.want)) {
				t.Errorf("findings %q, want %q", bad, tc.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		attrs map[string]any
		want  string
	}{
		// 0.10 + 2 × (4 × 0.031611 + 15 × 0.004237 + 50 × 0.10 / 730)
		{map[string]any{"machine_type": "n1-standard-4"}, "2 × n1-standard-4 with 50 GB, us-west2-a, regular channel; about 0.49 USD an hour"},
		{map[string]any{"spot": true}, "2 × e2-standard-2 (spot) with 50 GB, us-west2-a, regular channel; about 0.17 USD an hour"},
		{map[string]any{"location": "us-west2", "nodes": 1, "version": "1.36"}, "3 × e2-standard-2 with 50 GB, us-west2, 1 in each of its zones, Kubernetes 1.36; about 0.32 USD an hour"},
		{map[string]any{"machine_type": "m9-giant-1"}, "what it costs is not known here: see https://cloud.google.com/products/calculator"},
		{map[string]any{"machine_type": "e2-medium", "release_channel": "none"}, "no release channel; about 0.18 USD an hour"},
	} {
		p := provider(t, nil, tc.attrs)
		if got := p.Describe() + "; " + p.Cost().String(); !strings.Contains(got, tc.want) {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestNoProject(t *testing.T) {
	t.Setenv("GOOGLE_CLOUD_PROJECT", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
	p, err := newProvider(labs.Cluster{Provider: Name}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	findings := p.Preflight(t.Context(), shop)
	if len(findings) != 1 || findings[0].Severity != provision.Failure || !strings.Contains(findings[0].Message, "no credentials for Google Cloud were found") {
		t.Errorf("findings %+v", findings)
	}
}
