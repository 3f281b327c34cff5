package provision

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// UpOptions say what to create.
type UpOptions struct {
	// Spend is asked before a cluster is created that costs money; an error ends the up. Nil: none is created.
	Spend func(cluster string, cost Cost) error

	Lab  *labs.Lab
	Ref  LabRef // how to read Lab again
	Name string // of the instance; default the lab's
	On   string // the cluster block's provider; default the lab's first
	Tool string // labctl's version

	Adopt bool // allow changes to objects of an existing cluster that labctl did not create
	// Recreate deletes a cluster that is there, with all that is in it, and creates it again.
	Recreate bool
	// InstallCilium allows to install Cilium in an existing cluster that has another network.
	InstallCilium bool
	Retain        bool   // keep what a failed run created, to inspect it
	Merge         string // a kubeconfig file to which the cluster's context is added; empty: none
}

// run is a command that works on an instance: an up, a plan of one, a reset, a down.
type run struct {
	m        *Manager
	opts     UpOptions
	lab      *labs.Lab
	provider Provider
	cluster  Cluster
	inst     *Instance // nil in a plan of something new

	mu sync.Mutex // guards inst.State
}

// results are what the phases of one up hand on. Each is set by one phase, and read by phases that need it.
type results struct {
	created atomic.Bool           // phaseCluster has begun to create a cluster
	client  result[*kube.Client]  // of phaseCluster, with signalAPI; nil in a plan without a cluster
	chart   result[*cilium.Chart] // of phaseChart; nil if that had nothing to do
}

func (m *Manager) newRun(opts UpOptions) (*run, error) {
	if opts.Name == "" {
		opts.Name = opts.Lab.Name
	}
	if err := checkName(opts.Name); err != nil {
		return nil, err
	}
	block := clusterBlock(opts.Lab, opts.On)
	id := ""
	if st, err := m.Store.Read(opts.Name); err == nil && st.Lab.Name == opts.Lab.Name {
		id = st.ID
		if opts.On == "" { // an instance stays where it is
			opts.On = st.Cluster.Provider
			block = clusterBlock(opts.Lab, opts.On)
		}
		if block.Provider == st.Cluster.Provider &&
			digestOf([]any{block.Settings}) == digestOf([]any{st.Cluster.Block}) {
			block = st.Cluster.block()
		}
	}
	provider, err := m.provider(block)
	if err != nil {
		return nil, err
	}
	return &run{
		m: m, opts: opts, lab: opts.Lab, provider: provider,
		cluster: m.cluster(&State{
			Name: opts.Name, ID: id, Lab: LabRef{Name: opts.Lab.Name}, Cluster: ClusterState{Name: "labctl-" + opts.Name},
		}),
	}, nil
}

// clusterBlock is the lab's cluster block for a provider, or one without settings if the lab has none. An empty
// provider means the lab's first.
func clusterBlock(lab *labs.Lab, on string) labs.Cluster {
	if on == "" && len(lab.Clusters) > 0 {
		return lab.Clusters[0]
	}
	for _, c := range lab.Clusters {
		if c.Provider == on {
			return c
		}
	}
	return labs.Cluster{Provider: cmp.Or(on, "kind")} // kind costs nothing
}

// Up creates an instance, or what is missing of it. On failure it deletes what this run created, unless opts.Retain
// is set.
func (m *Manager) Up(ctx context.Context, opts UpOptions) (*State, error) {
	r, err := m.newRun(opts)
	if err != nil {
		return nil, err
	}
	if r.inst, err = m.Store.Create(ctx, r.opts.Name, "labctl up"); err != nil {
		return nil, err
	}
	defer r.inst.Close()
	fresh, err := r.begin()
	if err != nil {
		return nil, err
	}
	if err := r.agreeToCost(ctx); err != nil {
		if fresh {
			err = errors.Join(err, os.Remove(filepath.Join(r.inst.Dir, stateFile)))
		}
		return nil, err
	}
	var res results
	if err := r.runPhases(ctx, r.phases(&res)); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, r.cleanUp(err, fresh, res.created.Load())
	}
	if err := r.moveMerged(opts.Merge); err != nil {
		return nil, err
	}
	return r.inst.State, nil
}

// agreeToCost asks before a cluster is created that costs money. It does not ask again for one whose creation was
// interrupted.
func (r *run) agreeToCost(ctx context.Context) error {
	priced, ok := r.provider.(Priced)
	st := r.state()
	if _, begun := st.Phases[phaseCluster]; !ok || begun && !st.Cluster.Complete {
		return nil
	}
	found, err := r.provider.Find(ctx, r.cluster)
	if err != nil {
		return &PhaseError{phaseCluster, err}
	}
	if found.State != Absent || found.Foreign { // it is not going to be created
		return nil
	}
	what := r.provider.Name() + " cluster " + r.cluster.Name
	if d, ok := r.provider.(Describer); ok {
		what += " (" + d.Describe() + ")"
	}
	if r.opts.Spend == nil {
		return &UsageError{&OptionError{OptionSpend, fmt.Errorf("%s is not created, since it costs money: %s; agree",
			what, priced.Cost())}}
	}
	return r.opts.Spend(what, priced.Cost())
}

// begin checks and updates the state of an earlier run, or writes the first; fresh says that there was none.
func (r *run) begin() (fresh bool, err error) {
	want := ClusterState{Provider: r.provider.Name(), Block: r.block().Settings, Name: r.cluster.Name}
	st := r.inst.State
	if st != nil {
		if st.Lab.Name != r.lab.Name {
			return false, &UsageError{NameError("instance %q belongs to lab %q; use another name",
				st.Name, st.Lab.Name)}
		}
		if st.Cluster.Provider != want.Provider {
			return false, &UsageError{NameError("instance %q runs on %s; delete it first (labctl down), or use another name",
				st.Name, st.Cluster.Provider)}
		}
		if digestOf([]any{st.Cluster.Block}) != digestOf([]any{want.Block}) {
			return false, &UsageError{fmt.Errorf("the lab's cluster block has changed since instance %q was created; delete the instance first (labctl down)", st.Name)}
		}
	} else {
		fresh = true
		st = &State{
			Name: r.opts.Name, ID: strings.ToLower(rand.Text()[:8]), Created: r.m.Now(), Cluster: want,
			Phases: map[string]PhaseState{}, External: map[string]ExternalState{}, Baseline: []Connection{},
		}
		r.inst.State = st
	}
	r.cluster.ID = st.ID
	if _, ok := r.provider.(Pruner); ok {
		if r.cluster.Owner, err = r.m.Store.Owner(); err != nil {
			return false, err
		}
	}
	st.Tool, st.Lab, st.AppImage = r.opts.Tool, r.opts.Ref, r.m.Settings.AppImage
	st.Cluster.Adopted = st.Cluster.Adopted || r.opts.Adopt
	st.Cluster.InstallCilium = st.Cluster.InstallCilium || r.opts.InstallCilium
	return fresh, r.inst.Save()
}

func (r *run) block() labs.Cluster {
	return clusterBlock(r.lab, r.opts.On)
}

// cleanUp deletes what a failed run created: the cluster, or the objects in a shared one. Its own failure is added
// to cause.
func (r *run) cleanUp(cause error, fresh, created bool) error {
	if r.opts.Retain || !created && !fresh {
		return cause
	}
	r.report(Event{Phase: PhaseCleanUp, Kind: Began, Text: "deleting what this run created"})
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Minute, r.m.clusterTimeout(r.provider)))
	defer cancel()
	start := r.m.Now()
	var err error
	if created {
		err = r.provider.Delete(ctx, r.cluster)
	} else if !r.provider.Ephemeral() {
		err = r.removeObjects(ctx, r.standalone(PhaseCleanUp))
	}
	if err != nil {
		r.report(Event{Phase: PhaseCleanUp, Kind: Failed, Text: err.Error()})
		return errors.Join(cause, fmt.Errorf("cleanup failed: %w", err))
	}
	if err := os.Remove(filepath.Join(r.inst.Dir, stateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(cause, err)
	}
	os.Remove(r.inst.Kubeconfig())
	r.report(Event{Phase: PhaseCleanUp, Kind: Done, Took: r.m.Now().Sub(start)})
	return cause
}

// PhaseCleanUp is the name under which Up reports the deletion of what a failed run created.
const PhaseCleanUp = "clean-up"

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
	signalInstalled     = "cilium installed" // its objects exist
	signalNetworkImages = "network images"   // the images that nodes need to become Ready are loaded
	signalDNS           = "dns up"
)

// phases is the graph of an up: which phase needs which, and what they hand on in res.
func (r *run) phases(res *results) []phase {
	return []phase{
		{name: phasePreflight, look: r.lookPreflight, do: r.preflight},
		{
			name: phaseChart, needs: []string{phasePreflight},
			look: r.lookChart,
			do: func(ctx context.Context, _ *progress) error {
				chart, err := r.fetchChart(ctx)
				res.chart.set(chart)
				return err
			},
		},
		{
			name: phaseCluster, needs: []string{phasePreflight}, emits: []string{signalNodes, signalAPI},
			look: func(ctx context.Context) (Action, error) {
				act, client, err := r.lookCluster(ctx)
				if err == nil && !r.provider.Ephemeral() {
					act, client, err = r.lookShared(ctx, act)
				}
				res.client.set(client)
				return act, err
			},
			do: func(ctx context.Context, p *progress) error {
				if err := r.announceShared(ctx, p); err != nil {
					return err
				}
				return r.createCluster(ctx, p, res)
			},
		},
		{
			name: phaseImages, needs: []string{signalNodes}, emits: []string{signalNetworkImages},
			look: r.lookImages,
			do:   r.loadImages,
		},
		{
			name: phaseCilium, needs: []string{phaseChart, signalAPI},
			awaits: []string{signalNetworkImages, phaseImages}, emits: []string{signalInstalled, signalDNS},
			look: func(ctx context.Context) (Action, error) { return r.lookCilium(ctx, res.client.get()) },
			do: func(ctx context.Context, p *progress) error {
				return r.installCilium(ctx, p, res.client.get(), res.chart.get())
			},
		},
		r.externalsPhase(&res.client),
		{
			name: phaseApps, needs: []string{signalAPI, phaseImages},
			look: func(ctx context.Context) (Action, error) { return r.lookApps(ctx, res.client.get()) },
			do:   func(ctx context.Context, p *progress) error { return r.deployApps(ctx, p, res.client.get()) },
		},
		{
			name: phaseCanary, needs: []string{signalAPI, phaseImages, signalInstalled},
			look: r.lookCanary,
			do:   func(ctx context.Context, p *progress) error { return r.canary(ctx, p, res.client.get()) },
		},
		{
			name: phaseBaseline, needs: []string{phaseExternals, phaseApps, phaseCanary, signalDNS},
			look: r.lookBaseline,
			do:   func(ctx context.Context, p *progress) error { return r.baseline(ctx, p, res.client.get()) },
		},
	}
}

// report passes an event on, one at a time.
func (r *run) report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m.log().Debug("phase", "name", e.Phase, "event", e.Kind, "text", e.Text, "took", e.Took)
	if r.m.Report != nil {
		r.m.Report(e)
	}
}

// save changes the state and writes it to disk.
func (r *run) save(change func(*State)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r.inst.State)
	return r.inst.Save()
}

// state is a copy of the state; empty if there is none.
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
	st.Cluster.Merged = slices.Clone(st.Cluster.Merged)
	return st
}

// kube opens a client by the instance's kubeconfig. It does not connect.
func (r *run) kube() (*kube.Client, error) {
	client, err := kube.Open(r.cluster.Kubeconfig, "")
	if err != nil && r.inst.State != nil && r.provider.Ephemeral() {
		return nil, fmt.Errorf("%w: regenerate it with: %s", err, r.inst.State.upCommand())
	}
	return client, err
}
