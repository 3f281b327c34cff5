package provision

import (
	"context"
	"log/slog"

	"github.com/labctl/labctl/labs"
)

// Provider makes, finds and removes clusters of one kind. Everything that only some clusters can do is an
// optional interface: ImageLoader, Pauser, LogCollector, Outsider.
//
// Every method is idempotent, and returns soon after its context ends.
type Provider interface {
	// Name is what a lab's cluster block calls the provider.
	Name() string

	// Preflight says what stands in the way of Create on this machine; none: nothing. It changes nothing.
	Preflight(ctx context.Context, c Cluster) []Finding

	// Find says what there is of the cluster.
	Find(ctx context.Context, c Cluster) (Found, error)

	// Create makes the cluster and returns when its API answers on all nodes that it is to have; nodes need
	// not be Ready, since there is no network yet. It calls reached as milestones pass, each once and in
	// order, so that others can begin before it returns. What a cancelled or failed Create leaves is for
	// Delete.
	Create(ctx context.Context, c Cluster, reached func(Milestone)) error

	// Delete removes what Create made, whatever state it is in, and then looks whether it is gone.
	Delete(ctx context.Context, c Cluster) error

	// Kubeconfig returns a kubeconfig whose current context is the cluster's administrator.
	Kubeconfig(ctx context.Context, c Cluster) ([]byte, error)

	// Values are the Helm values that Cilium needs on such a cluster; a lab's and the user's go before them.
	Values(c Cluster) map[string]any

	// Ephemeral says whether Delete removes the whole cluster. If not, the objects in it are removed one by
	// one, and nothing that was there before is touched.
	Ephemeral() bool
}

// NewProvider makes a provider for a lab's cluster block. Its errors are the author's or the user's: a
// setting that makes no sense.
type NewProvider func(block labs.Cluster, site *Settings, log *slog.Logger) (Provider, error)

// Cluster names a cluster of an instance.
type Cluster struct {
	Name       string // the provider's name for it, such as "labctl-networkpolicy"
	Kubeconfig string // the file that Create may write; the instance's own
}

// Milestone is a point in Create's work at which somebody else can begin.
type Milestone string

const (
	NodesUp Milestone = "nodes" // images can be loaded into the nodes
	APIUp   Milestone = "api"   // Kubeconfig returns one that works
)

// Found is what there is of a cluster.
type Found struct {
	State   FoundState
	Nodes   []string // node names that were found
	Missing []string // nodes that the cluster is to have and that are gone
	Detail  string   // for people: why it is not Running
}

// FoundState says how much of a cluster there is.
type FoundState string

const (
	Absent  FoundState = "absent"
	Running FoundState = "running"
	Stopped FoundState = "stopped" // paused, or the machine was restarted
	Broken  FoundState = "broken"  // half made, or nodes are missing
)

// ImageLoader is a provider that can put images into its nodes.
type ImageLoader interface {
	// LoadImages puts images of the local engine, or in archive files (*.tar), into every node that lacks
	// them. It can begin at NodesUp. progress gets one line at a time.
	LoadImages(ctx context.Context, c Cluster, images []string, progress func(string)) error
}

// Pauser is a provider whose nodes can be stopped and started with everything in them.
type Pauser interface {
	Pause(ctx context.Context, c Cluster) error
	Resume(ctx context.Context, c Cluster) error
}

// LogCollector is a provider that can collect its nodes' logs.
type LogCollector interface {
	CollectLogs(ctx context.Context, c Cluster, dir string) error
}

// Outsider is a provider that can run something outside the cluster, where no policy reaches: the stand-in
// for what is on the internet, on networks that have none.
type Outsider interface {
	// StandIn runs image beside the cluster, answering on each address and port, and makes the nodes route
	// the addresses to it.
	StandIn(ctx context.Context, c Cluster, image string, endpoints []Endpoint) error
}

// Endpoint is an address and port that a stand-in answers on.
type Endpoint struct {
	Addr     string
	Port     int
	Protocol string // TCP or UDP
}

// Finding is one thing that preflight or doctor looked at.
type Finding struct {
	Check    string   `json:"check"` // "docker", "memory"
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`       // what was found
	Fix      string   `json:"fix,omitempty"` // what to do about it
}

// Severity ranks findings. Only Failure stops an up.
type Severity string

const (
	OK      Severity = "ok"
	Warning Severity = "warning"
	Failure Severity = "failure"
)
