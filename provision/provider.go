package provision

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/labctl/labctl/labs"
)

// Provider creates, finds and deletes clusters of one kind. What only some providers can do is an optional
// interface: ImageLoader, Pauser, LogCollector, StandInProvider, ResumableCreator, SettingsResolver, Describer, Priced,
// BundledCNI, Pruner.
//
// Every method is idempotent, and returns soon after its context ends.
type Provider interface {
	// Name is what a lab's cluster block calls the provider.
	Name() string

	// Preflight reports what prevents Create on this machine; an empty list means nothing does. It changes nothing.
	Preflight(ctx context.Context, c Cluster) []Finding

	// Find reports the state of the cluster.
	Find(ctx context.Context, c Cluster) (Found, error)

	// Create creates the cluster and returns when its API server and all nodes are up. Nodes need not be Ready,
	// since there is no network yet. It reports each milestone once and in order, so that other work can begin
	// before it returns. Delete removes what a cancelled or failed Create leaves; the next Create of a
	// ResumableCreator resumes it.
	Create(ctx context.Context, c Cluster, progress CreateProgress) error

	// Delete deletes what Create created, whatever state it is in, and verifies that it is gone.
	Delete(ctx context.Context, c Cluster) error

	// Kubeconfig returns a kubeconfig whose current context has administrator rights in the cluster.
	Kubeconfig(ctx context.Context, c Cluster) ([]byte, error)

	// Values are the Helm values that Cilium needs on such a cluster. Values of the lab and the user override them. The
	// result depends on the settings and on the cluster as it is now, not on earlier calls.
	Values(ctx context.Context, c Cluster) (map[string]any, error)

	// Timeout limits Create and Delete, unless the site's settings say otherwise.
	Timeout() time.Duration

	// Ephemeral reports whether labctl owns the cluster, so that Delete deletes all of it. Otherwise the cluster is
	// shared: its objects are deleted one by one, and nothing that was there before is changed.
	Ephemeral() bool

	// Local reports whether the nodes run on this machine and use its memory and kernel limits.
	Local() bool
}

// NewProvider makes a provider for a lab's cluster block. Its errors are the author's or the user's: an invalid
// setting.
type NewProvider func(block labs.Cluster, site *Settings, log *slog.Logger) (Provider, error)

// Cluster identifies the cluster of an instance.
type Cluster struct {
	Name       string // the provider's name for it, such as "labctl-networkpolicy"
	Kubeconfig string // the instance's kubeconfig, which Create may write
	Instance   string // the lab instance that the cluster belongs to
	Lab        string // the lab's name
	ID         string // of the instance, in the state and in the cluster's labels; empty: not created yet, or very old
	Owner      string // who creates the cluster (Store.Owner); set for Create of a Pruner
}

// CreateProgress receives the progress of Create. Both functions are set.
type CreateProgress struct {
	Milestone func(Milestone)
	Step      func(string) // what Create waits for, for people
}

// Milestone is a point in Create after which other work can begin.
type Milestone string

const (
	NodesUp Milestone = "nodes" // images can be loaded into the nodes
	APIUp   Milestone = "api"   // Kubeconfig returns one that works
)

// Found is the state of a cluster.
type Found struct {
	State   FoundState
	Nodes   []string // names of the nodes that exist
	Missing []string // names of nodes that should exist and do not
	Foreign bool     // Absent, but a cluster of this name exists that the instance did not create
	Detail  string   // why the cluster is not Running, or what is wrong with it, for people
	// Started is when each running node was last started, by the clock of the nodes; nil: the provider cannot tell.
	Started map[string]time.Time
}

// FoundState is how much of a cluster exists.
type FoundState string

const (
	Absent  FoundState = "absent"
	Running FoundState = "running"
	Stopped FoundState = "stopped" // paused, or a node or its kubelet does not run: Resume starts it
	Broken  FoundState = "broken"  // incomplete, or nodes are missing: nothing but a new cluster helps
)

// ImageLoader is a provider that can load images into its nodes.
type ImageLoader interface {
	// LoadImages loads images of the local engine, or archive files (*.tar), into every node that lacks them. It
	// can begin at NodesUp. progress gets one line at a time.
	LoadImages(ctx context.Context, c Cluster, images []string, progress func(string)) error
}

// Pauser is a provider that can stop and start its nodes and keep everything in them.
type Pauser interface {
	Pause(ctx context.Context, c Cluster) error
	// Resume starts the nodes. progress gets what it waits for, one line at a time.
	Resume(ctx context.Context, c Cluster, progress func(string)) error
}

// LogCollector is a provider that can collect its nodes' logs.
type LogCollector interface {
	CollectLogs(ctx context.Context, c Cluster, dir string) error
}

// StandInProvider is a provider that can run a stand-in for hosts on the internet outside the cluster, for networks
// without internet access. No policy selects it.
type StandInProvider interface {
	// StandIn runs image next to the cluster, answers on each address and port, and makes the nodes route the
	// addresses to it.
	StandIn(ctx context.Context, c Cluster, image string, endpoints []Endpoint) error
}

// Endpoint is an address and port that a stand-in answers on.
type Endpoint struct {
	Addr     string
	Port     int
	Protocol string // TCP or UDP
}

// ResumableCreator is a provider whose Create resumes an interrupted one. Other providers' leftovers are deleted before
// Create.
type ResumableCreator interface {
	ResumesCreate()
}

// SettingsResolver is a provider that takes settings which the lab leaves out from the user's environment.
type SettingsResolver interface {
	// ResolvedSettings are those settings as they are now, by the names of the block's attributes.
	ResolvedSettings(ctx context.Context) (map[string]any, error)
}

// Describer is a provider that can say in one line what Create would create.
type Describer interface {
	Describe() string
}

// Priced is a provider whose clusters cost money while they exist.
type Priced interface {
	Cost() Cost
}

// Cost is an estimate of what a cluster costs.
type Cost struct {
	Known  bool    `json:"known"`
	Hourly float64 `json:"usd_per_hour"` // 0 if it is not known
	// Source says where the prices are from, and as of when; or where to look them up, if the cost is not known.
	Source string `json:"source"`
}

func (c Cost) String() string {
	if !c.Known {
		return "what it costs is not known here: see " + c.Source
	}
	return fmt.Sprintf("about %.2f USD an hour (%s)", c.Hourly, c.Source)
}

// BundledCNI is a provider whose clusters may come with a Cilium of their own.
type BundledCNI interface {
	// CNI names it, such as "GKE Dataplane V2", and the DaemonSet in kube-system that runs it. An empty name means that
	// labctl installs Cilium.
	CNI() (name, daemonSet string)
}

// Pruner is a provider that can list and delete all clusters that labctl created, because they cost money while
// they exist.
type Pruner interface {
	// Clusters are all clusters that labctl created, for any user, and that this user can see.
	Clusters(ctx context.Context) ([]ManagedCluster, error)
	// Remove deletes one of them, and verifies that it is gone.
	Remove(ctx context.Context, c ManagedCluster) error
}

// ManagedCluster is a cluster whose labels say that labctl created it.
type ManagedCluster struct {
	Provider string    `json:"provider"`
	Name     string    `json:"name"`
	Place    string    `json:"place"` // where it is, in the provider's words
	Lab      string    `json:"lab"`
	Instance string    `json:"instance"`
	ID       string    `json:"id,omitempty"` // of the instance; empty: unknown
	Owner    string    `json:"owner"`
	State    string    `json:"state"`   // in the provider's words
	Created  time.Time `json:"created"` // zero: unknown
	Expires  time.Time `json:"expires"` // zero: never
	Mine     bool      `json:"mine"`    // created from this machine's state folder; Orphans sets it
}

// Finding is the result of one check of preflight or doctor.
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
