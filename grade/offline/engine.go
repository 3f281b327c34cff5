// Package offline is the grading engine that needs no cluster: it builds the cluster that a lab describes,
// puts a submission's policies in force there, and has the rule model (package policy) judge the probes.
package offline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// DefaultWork is how many steps of the rule model the checkpoints of a submission may take, all together and in equal parts: whether
// one is judged must not depend on the others. 1,000 are enough for a checkpoint of the tutorial's solution.
const DefaultWork = 12_000_000

// How much is kept between checkpoints and submissions: enough for the objects of a few submissions at a
// time and for the ways in which a class labels namespaces, so that memory stays flat however many are graded.
const (
	keptClusters = 64
	keptSetups   = 16
)

// Engine judges the connections of one lab offline. It is safe for concurrent use.
type Engine struct {
	lab     *labs.Lab
	cfg     policy.Config
	objects []*manifest.Object // the lab's cluster
	base    *topology

	work       int64 // of a checkpoint, in steps
	policies   *compiledPolicies
	topologies *lru.Cache[string, *topology]
}

// New builds the lab's cluster. The error is the lab's: manifests that do not parse, or apps that cannot
// stand together.
func New(lab *labs.Lab, cfg policy.Config) (*Engine, error) {
	cfg.HostFirewall = cfg.HostFirewall || lab.Cilium.HostFirewall()
	objs, err := clusterObjects(lab)
	if err != nil {
		return nil, fmt.Errorf("lab %q: %w", lab.Name, err)
	}
	e := &Engine{lab: lab, cfg: cfg, objects: objs}
	if e.base, err = newTopology(lab, objs, cfg); err != nil {
		return nil, fmt.Errorf("lab %q: %w", lab.Name, err)
	}
	// The only error is a size that is not positive.
	e.policies, e.work = newCompiledPolicies(), DefaultWork/int64(max(1, len(lab.Tasks)))
	e.topologies, _ = lru.New[string, *topology](keptSetups)
	return e, nil
}

// Name is "offline".
func (e *Engine) Name() string { return "offline" }

// Cluster is the lab's cluster before any task.
func (e *Engine) Cluster() *policy.Cluster { return e.base.cluster }

// Check compiles the policies among the objects and returns what the rule model does not take.
func (e *Engine) Check(objs []*manifest.Object) manifest.Problems {
	if problems := policy.CheckPatterns(objs); len(problems) > 0 {
		return problems
	}
	var problems manifest.Problems
	for _, o := range objs {
		if manifest.IsPolicy(o.Kind) {
			problems = append(problems, e.compile(o).problems...)
		}
	}
	return problems
}

// compile compiles a policy object, or finds it compiled: an object stays in force over many checkpoints.
func (e *Engine) compile(o *manifest.Object) compiled {
	if c, ok := e.policies.get(o); ok {
		return c
	}
	var c compiled
	c.policy, c.problems = policy.Compile(o, e.cfg)
	e.policies.add(o, c)
	return c
}

// At puts the state in force. The error is manifest.Problems if the rule model does not take a policy.
func (e *Engine) At(_ context.Context, state *engine.State) (engine.Prober, error) {
	return e.Prober(state)
}

// Prober is At with the type that also explains.
func (e *Engine) Prober(state *engine.State) (*Prober, error) {
	t, err := e.topology(state)
	if err != nil {
		return nil, err
	}
	policies := make([]*policy.Policy, 0, len(state.Policies))
	byObject := make(map[*manifest.Object]*policy.Policy, len(state.Policies))
	var problems manifest.Problems
	for _, o := range state.Policies {
		c := e.compile(o)
		if len(c.problems) > 0 {
			problems = append(problems, c.problems...)
			continue
		}
		policies = append(policies, c.policy)
		byObject[o] = c.policy
	}
	if len(problems) > 0 {
		return nil, problems
	}
	budget := policy.NewBudget(e.work)
	model := policy.NewWithin(budget, t.labelled(state.NamespaceLabels), policies, t.names)
	return &Prober{topology: t, engine: model, policies: byObject, budget: budget, compile: e.compile}, nil
}

// clusterSteps is what it costs to give the pods of a lab other identities.
const clusterSteps = 2000

// Changed judges the prober's state with one object changed. It shares with the prober what the change leaves as it is, so it
// costs little; b counts it.
func (p *Prober) Changed(b *policy.Budget, c engine.Change) (engine.Prober, error) {
	changed := *p
	changed.brief, changed.budget = true, b
	if c.NamespaceLabels != nil {
		b.Spend(clusterSteps)
		changed.engine = p.engine.In(b, p.topology.labelled(c.NamespaceLabels))
		return &changed, nil
	}
	var other *policy.Policy
	if c.Object == nil {
		b.Spend(1 + len(c.By.JSON)) // it is compiled as a whole
		added := p.compile(c.By)
		if len(added.problems) > 0 {
			return nil, added.problems
		}
		changed.engine = p.engine.Replace(b, nil, added.policy)
		return &changed, nil
	}
	old := p.policies[c.Object]
	if old == nil {
		return nil, fmt.Errorf("%s is not in force", c.Object.Ref())
	}
	if c.By != nil {
		var problems manifest.Problems
		if other, problems = old.Recompile(b, c.By); len(problems) > 0 {
			return nil, problems
		}
	}
	changed.engine = p.engine.Replace(b, old, other)
	return &changed, nil
}

// topology is the lab's cluster with what the setup of its tasks made of it.
func (e *Engine) topology(state *engine.State) (*topology, error) {
	if len(state.Applied) == 0 && len(state.Deleted) == 0 {
		return e.base, nil
	}
	var key strings.Builder
	for _, o := range state.Applied {
		// An object in the cache is kept alive by it, so its address is nobody else's.
		fmt.Fprintf(&key, "%p ", o)
	}
	for _, r := range state.Deleted {
		key.WriteString("-" + r.String() + " ")
	}
	if t, ok := e.topologies.Get(key.String()); ok {
		return t, nil
	}
	objs := slices.Clone(e.objects)
	replace := func(ref manifest.Ref) {
		objs = slices.DeleteFunc(objs, func(o *manifest.Object) bool { return o.Ref() == ref })
	}
	for _, r := range state.Deleted {
		replace(r)
	}
	for _, o := range state.Applied {
		replace(o.Ref())
		objs = append(objs, o)
	}
	t, err := newTopology(e.lab, objs, e.cfg)
	if err != nil {
		return nil, err
	}
	t.applied = state.Applied
	e.topologies.Add(key.String(), t)
	return t, nil
}
