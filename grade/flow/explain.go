package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// Explanation is the path to one verdict, and what would change it.
type Explanation struct {
	Task    string          `json:"task"`
	From    string          `json:"from"`
	To      string          `json:"to"`
	Verdict verdict.Verdict `json:"verdict"`
	Detail  *policy.Result  `json:"detail,omitempty"`
	Needs   []Need          `json:"needs"` // what some policy would have to allow; empty if it is allowed
	Flips   []Flip          `json:"flips"` // single changes, tried out, that let the connection through or keep it out
	Probed  *Probed         `json:"probed,omitempty"`

	Policies int `json:"-"` // how many are in force
}

// Probed is what became of the connection when it was tried in a running lab.
type Probed struct {
	Verdict verdict.Verdict `json:"verdict"`
	Seen    string          `json:"seen"` // by the probe
	Flow    *engine.Flow    `json:"flow,omitempty"`
}

// Need is one direction that no rule allows, as policies see it: the port is the pod's, not the service's.
type Need struct {
	Direction string `json:"direction"` // egress, ingress
	Endpoint  string `json:"endpoint"`  // whose policies would have to allow it
	Peer      string `json:"peer"`      // "default/backend", "entity:host", "entity:remote-node", "ip:192.0.2.1"
	Port      int    `json:"port,omitempty"`
	Protocol  string `json:"protocol"`
	Request   string `json:"request,omitempty"` // that a rule for the proxy would have to let through
}

// Flip is a single change and the verdict that it leads to, when it lets the connection through or keeps it out.
type Flip struct {
	// Without is the policy that is taken away; or Unlabelled is the namespace whose labels are taken back.
	Without    *manifest.Ref   `json:"without,omitempty"`
	Unlabelled string          `json:"unlabelled,omitempty"`
	File       string          `json:"file,omitempty"`
	Line       int             `json:"line,omitempty"`
	Verdict    verdict.Verdict `json:"verdict"`
}

// Explain judges a connection at a checkpoint and tries out which single change would flip the verdict.
func Explain(ctx context.Context, eng engine.Engine, state *engine.State, probe engine.Probe) (*Explanation, error) {
	outcome, err := ask(ctx, eng, state, probe)
	if err != nil {
		return nil, err
	}
	if outcome.Error != "" {
		return nil, fmt.Errorf("%s to %s: %s", probe.From, engine.TargetName(probe.To), outcome.Error)
	}
	e := &Explanation{
		Task: state.Task, From: probe.From.String(), To: engine.TargetName(probe.To),
		Verdict: outcome.Verdict, Detail: outcome.Detail, Needs: needs(outcome.Detail), Flips: []Flip{},
		Policies: len(state.Policies),
	}
	try := func(change Flip, changed engine.State) error {
		after, err := ask(ctx, eng, &changed, probe)
		if err != nil {
			return err
		}
		// One way to fail instead of another is no change to ask for.
		if (after.Verdict == verdict.Allowed) != (outcome.Verdict == verdict.Allowed) {
			change.Verdict = after.Verdict
			e.Flips = append(e.Flips, change)
		}
		return nil
	}
	for i, p := range state.Policies {
		changed, ref := *state, p.Ref()
		changed.Policies = slices.Concat(state.Policies[:i], state.Policies[i+1:])
		if err := try(Flip{Without: &ref, File: p.File, Line: p.Line}, changed); err != nil {
			return nil, err
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(state.NamespaceLabels)) {
		changed := *state
		changed.NamespaceLabels = maps.Clone(state.NamespaceLabels)
		delete(changed.NamespaceLabels, ns)
		if err := try(Flip{Unlabelled: ns}, changed); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// ask judges one connection with the engine's full account of it.
func ask(ctx context.Context, eng engine.Engine, state *engine.State, probe engine.Probe) (*engine.Observation, error) {
	prober, err := at(ctx, eng, state)
	if err != nil {
		return nil, err
	}
	judge := prober.Probe
	if explainer, ok := prober.(engine.Explainer); ok {
		judge = explainer.Explain
	}
	outcomes, err := judge(ctx, []engine.Probe{probe})
	if err != nil {
		return nil, fmt.Errorf("checkpoint of task %s: %w", state.Task, err)
	}
	return &outcomes[0], nil
}

// needs lists what rules would have to allow on the way to a verdict.
func needs(r *policy.Result) []Need {
	all := []Need{}
	if r == nil {
		return all
	}
	if r.DNS != nil {
		all = append(all, needs(r.DNS)...)
	}
	for i := range r.Backends {
		for _, n := range needs(&r.Backends[i]) {
			if !slices.ContainsFunc(all, n.covers) {
				all = append(all, n)
			}
		}
	}
	add := func(direction string, side *policy.Side) {
		if side == nil || side.Needed == nil {
			return
		}
		n := Need{
			Direction: direction, Endpoint: side.Endpoint, Peer: side.Needed.Peer, Port: side.Needed.Port,
			Protocol: side.Needed.Protocol, Request: side.Needed.Request,
		}
		if !slices.ContainsFunc(all, n.covers) {
			all = append(all, n)
		}
	}
	add("egress", r.Egress)
	add("ingress", r.Ingress)
	return all
}

// covers reports whether a rule for the other need would do for n too. A rule that lets a request through names the
// request, and not which of the name servers answers it.
func (n Need) covers(other Need) bool {
	if n.Request != "" && n.Request == other.Request {
		n.Peer = other.Peer
	}
	return n == other
}
