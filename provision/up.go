package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// UpOptions say what to bring up.
type UpOptions struct {
	Lab  *labs.Lab
	Ref  LabRef // how to read Lab again
	Name string // of the instance; default the lab's
	On   string // the cluster block's provider; default the lab's first
	Tool string // labctl's version

	Adopt  bool   // an existing cluster that holds what labctl did not make may be changed
	Retain bool   // leave what a failed run made, to look at
	Merge  string // a kubeconfig file that is to get the cluster's context too; empty: none
}

// run is an up, or a plan of one.
type run struct {
	m        *Manager
	opts     UpOptions
	lab      *labs.Lab
	provider Provider
	cluster  Cluster
	inst     *Instance // nil in a plan of something new
	chart    *cilium.Chart
	values   map[string]any

	mu      sync.Mutex // guards inst.State and the client
	client  *kube.Client
	created bool // this run made the cluster
	fresh   bool // there was no instance before this run
}

func (m *Manager) newRun(opts UpOptions) (*run, error) {
	if opts.Name == "" {
		opts.Name = opts.Lab.Name
	}
	if err := checkName(opts.Name); err != nil {
		return nil, err
	}
	block := clusterBlock(opts.Lab, opts.On)
	if st, err := m.Store.Read(opts.Name); err == nil && st.Lab.Name == opts.Lab.Name {
		if opts.On == "" { // what is there goes on where it is
			opts.On = st.Cluster.Provider
			block = clusterBlock(opts.Lab, opts.On)
		}
		if block.Provider == st.Cluster.Provider && digestOf([]any{block.Settings}) == digestOf([]any{st.Cluster.Block}) {
			block = st.Cluster.block()
		}
	}
	provider, err := m.provider(block)
	if err != nil {
		return nil, err
	}
	return &run{
		m: m, opts: opts, lab: opts.Lab, provider: provider,
		cluster: m.cluster("labctl-"+opts.Name, opts.Name, opts.Lab.Name),
	}, nil
}

// clusterBlock is the lab's cluster block for a provider, one without settings if it has none; an empty provider is the
// lab's first.
func clusterBlock(lab *labs.Lab, on string) labs.Cluster {
	if on == "" && len(lab.Clusters) > 0 {
		return lab.Clusters[0]
	}
	for _, c := range lab.Clusters {
		if c.Provider == on {
			return c
		}
	}
	return labs.Cluster{Provider: cmp.Or(on, "kind")} // which costs nothing
}

// Up brings an instance up: whatever is missing is made, and only that. On failure what this run made is
// removed again, unless it is to be retained.
func (m *Manager) Up(ctx context.Context, opts UpOptions) (*State, error) {
	r, err := m.newRun(opts)
	if err != nil {
		return nil, err
	}
	if r.inst, err = m.Store.Create(ctx, r.opts.Name, "labctl up"); err != nil {
		return nil, err
	}
	defer r.inst.Close()
	if err := r.begin(); err != nil {
		return nil, err
	}
	if err := r.runPhases(ctx, r.phases()); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, r.cleanUp(err)
	}
	if err := r.merge(); err != nil {
		return nil, err
	}
	return r.inst.State, nil
}

// begin takes over the state of an earlier run, or writes the first.
func (r *run) begin() error {
	want := ClusterState{Provider: r.provider.Name(), Block: r.block().Settings, Name: r.cluster.Name}
	st := r.inst.State
	if st != nil {
		if st.Lab.Name != r.lab.Name {
			return &UsageError{fmt.Errorf("the instance %q is of the lab %q: give this one another name with --name", st.Name, st.Lab.Name)}
		}
		if st.Cluster.Provider != want.Provider {
			return &UsageError{fmt.Errorf("the instance %q runs on %s: take it down first, or give this one another name with --name", st.Name, st.Cluster.Provider)}
		}
		if digestOf([]any{st.Cluster.Block}) != digestOf([]any{want.Block}) {
			return &UsageError{fmt.Errorf("the cluster block of the lab has changed since the instance %q was made: take it down first", st.Name)}
		}
	} else {
		r.fresh = true
		st = &State{
			Name: r.opts.Name, Created: r.m.Now(), Cluster: want,
			Phases: map[string]PhaseState{}, External: map[string]ExternalState{}, Baseline: []Connection{},
		}
		r.inst.State = st
	}
	st.Tool, st.Lab, st.AppImage = r.opts.Tool, r.opts.Ref, r.m.Settings.AppImage
	st.Cluster.Adopted = st.Cluster.Adopted || r.opts.Adopt
	return r.inst.Save()
}

func (r *run) block() labs.Cluster {
	return clusterBlock(r.lab, r.opts.On)
}

// cleanUp removes what a failed run made. Its own failure is added to the run's.
func (r *run) cleanUp(cause error) error {
	if r.opts.Retain || !r.created && !r.fresh {
		return cause
	}
	r.report(Event{Phase: "clean-up", Kind: Began, Text: "removing what this run made (--retain keeps it)"})
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Minute, r.provider.Timeout()))
	defer cancel()
	start := r.m.Now()
	var err error
	if r.created {
		err = r.provider.Delete(ctx, r.cluster)
	} else if !r.provider.Ephemeral() {
		err = r.removeObjects(ctx, r.alone("clean-up"))
	}
	if err != nil {
		r.report(Event{Phase: "clean-up", Kind: Failed, Text: err.Error()})
		return errors.Join(cause, fmt.Errorf("what this run made could not be removed: %w", err))
	}
	if err := os.Remove(filepath.Join(r.inst.Dir, stateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(cause, err)
	}
	os.Remove(r.inst.Kubeconfig())
	r.report(Event{Phase: "clean-up", Kind: Done, Took: r.m.Now().Sub(start)})
	return cause
}

// Phases and the signals between them.
const (
	phasePreflight = "preflight"
	phaseChart     = "chart"
	phaseCluster   = "cluster"
	phaseImages    = "images"
	phaseCilium    = "cilium"
	phaseExternals = "externals"
	phaseApps      = "apps"
	phaseCanary    = "canary"
	phaseBaseline  = "baseline"

	signalNodes         = "nodes up"
	signalAPI           = "api up"
	signalInstalled     = "cilium installed" // its objects are there
	signalNetworkImages = "network images"   // what nodes need to become Ready is loaded
	signalDNS           = "dns up"
)

func (r *run) phases() []phase {
	return []phase{
		{phasePreflight, nil, nil, r.lookPreflight, r.preflight},
		{phaseChart, []string{phasePreflight}, nil, r.lookChart, r.fetchChart},
		{phaseCluster, []string{phasePreflight}, []string{signalNodes, signalAPI}, r.lookCluster, r.createCluster},
		{phaseImages, []string{signalNodes}, []string{signalNetworkImages}, r.lookImages, r.loadImages},
		{phaseCilium, []string{phaseChart, signalAPI}, []string{signalInstalled, signalDNS}, r.lookCilium, r.installCilium},
		r.externalsPhase(),
		{phaseApps, []string{signalAPI, phaseImages}, nil, r.lookApps, r.deployApps},
		{phaseCanary, []string{signalAPI, phaseImages, signalInstalled}, nil, r.lookCanary, r.canary},
		{phaseBaseline, []string{phaseExternals, phaseApps, phaseCanary, signalDNS}, nil, r.lookBaseline, r.baseline},
	}
}

// report hands an event on, one at a time.
func (r *run) report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m.log().Debug("phase", "name", e.Phase, "event", e.Kind, "text", e.Text, "took", e.Took)
	if r.m.Report != nil {
		r.m.Report(e)
	}
}

// save changes the state and writes it.
func (r *run) save(change func(*State)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r.inst.State)
	return r.inst.Save()
}

// state is a copy of the state; empty when there is none.
func (r *run) state() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inst == nil || r.inst.State == nil {
		return State{}
	}
	st := *r.inst.State
	st.Phases = maps.Clone(st.Phases)
	st.External = maps.Clone(st.External)
	st.Baseline = slices.Clone(st.Baseline)
	return st
}

// kube is the client for the instance's cluster, which must have reached signalAPI.
func (r *run) kube() (*kube.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	client, err := kube.Open(r.cluster.Kubeconfig, "")
	if err != nil && r.inst.State != nil && r.provider.Ephemeral() {
		return nil, fmt.Errorf("%w: have it written anew with: %s", err, r.inst.State.upCommand())
	}
	if err != nil {
		return nil, err
	}
	r.client = client
	return client, nil
}
