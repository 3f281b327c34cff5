package provision

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/labctl/labctl/labs"
)

// Provider makes, finds and removes clusters of one kind. Everything that only some clusters can do is an
// optional interface: ImageLoader, Pauser, LogCollector, Outsider, Continuer, Pinner, Describer, Networker, Collector.
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
	// not be Ready, since there is no network yet. It tells watch as milestones pass, each once and in
	// order, so that others can begin before it returns. What a cancelled or failed Create leaves is for
	// Delete, or, from a Continuer, for the next Create.
	Create(ctx context.Context, c Cluster, watch Watch) error

	// Delete removes what Create made, whatever state it is in, and then looks whether it is gone.
	Delete(ctx context.Context, c Cluster) error

	// Kubeconfig returns a kubeconfig whose current context is the cluster's administrator.
	Kubeconfig(ctx context.Context, c Cluster) ([]byte, error)

	// Values are the Helm values that Cilium needs on such a cluster; a lab's and the user's go before them.
	Values(c Cluster) map[string]any

	// Timeout is how long Create may take, and Delete too, unless the site says otherwise.
	Timeout() time.Duration

	// Ephemeral says whether Delete removes the whole cluster. If not, the objects in it are removed one by
	// one, and nothing that was there before is touched.
	Ephemeral() bool
}

// NewProvider makes a provider for a lab's cluster block. Its errors are the author's or the user's: a
// setting that makes no sense.
type NewProvider func(block labs.Cluster, site *Settings, log *slog.Logger) (Provider, error)

// DecodeSettings puts the attributes of a lab's cluster block into a provider's struct, by its mapstructure tags.
func DecodeSettings(block labs.Cluster, into any) error {
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: into, ErrorUnused: true})
	if err != nil {
		return err
	}
	if err := dec.Decode(block.Settings); err != nil {
		return fmt.Errorf("cluster %q: %w", block.Provider, err)
	}
	return nil
}

// Cluster names a cluster of an instance.
type Cluster struct {
	Name       string // the provider's name for it, such as "labctl-networkpolicy"
	Kubeconfig string // the file that Create may write; the instance's own
	Instance   string // of the lab, which the cluster is for
	Lab        string // its name
}

// Watch is told how far Create is. Both functions are there.
type Watch struct {
	Reached func(Milestone)
	Step    func(string) // for people: what is being waited for
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

// Continuer is a provider whose Create goes on with what an interrupted one has left. Of all others that is
// removed first.
type Continuer interface {
	ContinuesCreate()
}

// Pinner is a provider some of whose settings come from the user's surroundings when the lab does not name them.
type Pinner interface {
	// Pinned are these settings, by the names of the block's attributes, as they are now.
	Pinned(ctx context.Context) (map[string]any, error)
}

// Describer is a provider that can say in a line what Create would make, and what it costs.
type Describer interface {
	Describe() string
}

// Networker is a provider whose clusters may come with a Cilium of their own.
type Networker interface {
	// Network names it, such as "GKE Dataplane V2", and the DaemonSet in kube-system that runs it; empty: labctl installs
	// Cilium.
	Network() (name, daemonSet string)
}

// Collector is a provider whose clusters cost money while they are there, and which can find all that labctl made.
type Collector interface {
	// Clusters are all that labctl made, by whomever, and that the user can see.
	Clusters(ctx context.Context) ([]Owned, error)
	// Remove deletes one of them, and looks whether it is gone.
	Remove(ctx context.Context, o Owned) error
}

// Owned is a cluster that says of itself that labctl made it.
type Owned struct {
	Provider string    `json:"provider"`
	Name     string    `json:"name"`
	Place    string    `json:"place"` // where it is, in the provider's words
	Lab      string    `json:"lab"`
	Instance string    `json:"instance"`
	Owner    string    `json:"owner"`
	State    string    `json:"state"`   // in the provider's words
	Created  time.Time `json:"created"` // zero: unknown
	Expires  time.Time `json:"expires"` // zero: never
	Mine     bool      `json:"mine"`    // this user made it on this machine
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
