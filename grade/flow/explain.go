package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// Explanation is the path to one verdict, and what would change it.
type Explanation struct {
	Task    string         `json:"task"`
	From    string         `json:"from"`
	To      string         `json:"to"`
	Verdict labs.Verdict   `json:"verdict"`
	Detail  *policy.Result `json:"detail,omitempty"`
	Needs   []Need         `json:"needs"` // what some policy would have to allow; empty if it is allowed
	Flips   []Flip         `json:"flips"` // single changes, tried out, after which the verdict is another
	Probed  *Probed        `json:"probed,omitempty"`
}

// Probed is what became of the connection when it was tried in a running lab.
type Probed struct {
	Verdict labs.Verdict `json:"verdict"`
	Seen    string       `json:"seen"` // by the probe
	Flow    *grade.Flow  `json:"flow,omitempty"`
}

// Need is one direction that is closed.
type Need struct {
	Direction string `json:"direction"` // egress, ingress
	Endpoint  string `json:"endpoint"`  // whose policies would have to allow it
	Peer      string `json:"peer"`
	Port      int    `json:"port,omitempty"`
	Protocol  string `json:"protocol"`
}

// Flip is a single change and the verdict that it leads to.
type Flip struct {
	// Without is the policy that is taken away; or Unlabelled is the namespace whose labels are taken back.
	Without    *manifest.Ref `json:"without,omitempty"`
	Unlabelled string        `json:"unlabelled,omitempty"`
	File       string        `json:"file,omitempty"`
	Line       int           `json:"line,omitempty"`
	Verdict    labs.Verdict  `json:"verdict"`
}

// Explain judges a connection at a checkpoint and tries out which single change would flip the verdict.
func Explain(ctx context.Context, eng grade.Engine, state *grade.State, probe grade.Probe) (*Explanation, error) {
	outcome, err := ask(ctx, eng, state, probe)
	if err != nil {
		return nil, err
	}
	if outcome.Error != "" {
		return nil, fmt.Errorf("%s to %s: %s", probe.From, grade.TargetName(probe.To), outcome.Error)
	}
	e := &Explanation{
		Task: state.Task, From: probe.From.String(), To: grade.TargetName(probe.To),
		Verdict: outcome.Verdict, Detail: outcome.Detail, Needs: needs(outcome.Detail), Flips: []Flip{},
	}
	try := func(change Flip, changed grade.State) error {
		after, err := ask(ctx, eng, &changed, probe)
		if err != nil {
			return err
		}
		if after.Verdict != outcome.Verdict {
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
func ask(ctx context.Context, eng grade.Engine, state *grade.State, probe grade.Probe) (*grade.Outcome, error) {
	prober, err := at(ctx, eng, state)
	if err != nil {
		return nil, err
	}
	judge := prober.Probe
	if explainer, ok := prober.(grade.Explainer); ok {
		judge = explainer.Explain
	}
	outcomes, err := judge(ctx, []grade.Probe{probe})
	if err != nil {
		return nil, fmt.Errorf("checkpoint of task %s: %w", state.Task, err)
	}
	return &outcomes[0], nil
}

// needs lists the closed directions on the way to a verdict.
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
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	add := func(direction string, side *policy.Side, peer string) {
		if side == nil || side.Verdict == policy.Allowed {
			return
		}
		protocol := r.Protocol
		if protocol == "" {
			protocol = "TCP"
		}
		n := Need{Direction: direction, Endpoint: side.Endpoint, Peer: peer, Port: r.Port, Protocol: protocol}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	peer := r.To
	if r.Ingress != nil {
		peer = r.Ingress.Endpoint
	}
	add("egress", r.Egress, peer)
	peer = r.From
	if r.Egress != nil {
		peer = r.Egress.Endpoint
	}
	add("ingress", r.Ingress, peer)
	return all
}
