// Package live is the grading engine that probes a running lab: it puts a submission's policies in force in the
// cluster, waits until every endpoint has realized them, and tries the connections from the lab's own pods.
// What a policy drops it knows from Hubble, before the client's time-out.
package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// Instance is the running lab as its state knows it.
type Instance struct {
	Name string
	// Scope says what in the cluster is the lab's.
	Scope scope.Scope
	// NamespaceLabels are the labels of namespaces as the lab left them, by namespace: of those that the submission may
	// label, and in a cluster of labctl's own of all.
	NamespaceLabels map[string]map[string]string
	// Externals are addresses of the lab's externals, by name.
	Externals map[string][]string
	// Broken are connections that did not work with no policy in force, and why.
	Broken map[Connection]string
	// AppImage is the image of the demo apps.
	AppImage string
	// Deployed are the objects of the apps as they are to be in the cluster.
	Deployed []*unstructured.Unstructured
	// Prepare makes an object of a setup block what the site needs, such as images from its own registry; may be nil.
	Prepare func(*unstructured.Unstructured)
}

// Connection is one that the lab's baseline has tried.
type Connection struct {
	From     string // "namespace/app"
	To       string // as dialled: "backend.default:80"
	Protocol string // never empty
}

// Config is what an engine works with. Client, Lab and Model are needed.
type Config struct {
	Client   *kube.Client
	Lab      *labs.Lab
	Instance Instance
	// Model is the offline engine: it accounts for what was probed, and proves invariants.
	Model engine.Engine
	// Observe leaves the cluster as it is: At takes the state for what is in force.
	Observe bool
	// NoHubble recognizes drops by time-outs alone.
	NoHubble bool
	Timeout  time.Duration // how long a connection may take; default 2 s
	// how long a change may take to be in force; default 60 s: Cilium's own defaults take 35 s to act on a namespace's
	// labels
	Settle   time.Duration
	Parallel int          // pods that are probed from at the same time; default 16
	Log      *slog.Logger // nil: nothing is logged
	// RestoreHint says in messages about a changed lab how to restore it.
	RestoreHint string
}

// Engine probes one running lab. It is for one grading at a time. Close it.
type Engine struct {
	cfg    Config
	drops  *hubble.Drops
	runner *probe.Runner
	// unseen says why drops cannot be seen; nil: that no drop was seen means that no policy dropped anything.
	unseen  error
	methods *methods
	// tampering is what is not as the lab deployed it: nothing but packets is believed then.
	tampering manifest.Problems

	inForce map[string]string // of policies that this engine applied: name → digest of their content

	mu    sync.Mutex // of what several sources note at the same time
	stats Stats
}

// Stats says what grading took.
type Stats struct {
	Execs   int64         `json:"execs"` // for probes
	Bytes   int64         `json:"bytes"` // of probes' scripts and output
	Probes  int           `json:"probes"`
	Retries int           `json:"retries"`
	Applied time.Duration `json:"apply_ns"`
	Settled time.Duration `json:"settle_ns"`
	Probed  time.Duration `json:"probe_ns"`
}

// Open connects to the lab. It changes nothing yet.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Settle == 0 {
		cfg.Settle = 60 * time.Second
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = 16
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, inForce: map[string]string{}, methods: newMethods(cfg)}
	if cfg.NoHubble {
		e.unseen = errors.New("no flows: Hubble is off")
	} else if drops, err := hubble.WatchDrops(ctx, cfg.Client); err != nil {
		return nil, err
	} else {
		e.drops = drops
	}
	e.runner = &probe.Runner{Client: cfg.Client, Drops: e.drops, Timeout: cfg.Timeout}
	return e, nil
}

// Close closes the engine's connections and deletes its helper pods. It changes nothing else in the cluster.
func (e *Engine) Close() {
	e.drops.Close()
	// Also after Ctrl-C. The next grading deletes what remains.
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := e.methods.deleteHelpers(ctx); err != nil {
		e.cfg.Log.Warn("a helper pod remains; labctl reset deletes it", "error", err)
	}
}

// Name is "live".
func (e *Engine) Name() string { return "live" }

// Stats says what was done so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Execs, s.Bytes = e.runner.Stats()
	return s
}

// At puts the state in force, waits until it is, and returns what probes it.
func (e *Engine) At(ctx context.Context, state *engine.State) (engine.Prober, error) {
	start := time.Now()
	change, err := e.enforce(ctx, state)
	if err != nil {
		return nil, err
	}
	change.Namespaces = e.cfg.Instance.Scope.Settles()
	applied := time.Now()
	if err := cilium.Settle(ctx, e.cfg.Client, change, e.cfg.Settle); err != nil {
		return nil, err
	}
	e.stats.Applied += applied.Sub(start)
	e.stats.Settled += time.Since(applied)
	e.cfg.Log.Debug("in force", "task", state.Task, "policies", len(change.Policies), "apply", applied.Sub(start),
		"settle", time.Since(applied))
	model, err := e.cfg.Model.At(ctx, state)
	if err != nil {
		// What the rule model does not take can be probed all the same, but not accounted for.
		e.cfg.Log.Debug("no model of this state", "error", err)
		model = nil
	}
	topology, err := readTopology(ctx, e.cfg)
	if err != nil {
		return nil, fmt.Errorf("read the lab's pods: %w", err)
	}
	topology.tampered = len(e.tampering) > 0
	e.methods.requireTrusted(topology.tampered)
	topology.learn = slices.ContainsFunc(state.Policies, looksUpNames)
	return &prober{engine: e, topology: topology, model: model, seen: map[string]probe.Result{}}, nil
}
