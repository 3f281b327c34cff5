package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

const (
	// perExec bounds the processes that one exec starts in a pod.
	perExec = 40
	// tries is how often a connection is probed at most until two tries agree.
	tries = 3
)

// prober probes the lab at one checkpoint.
type prober struct {
	engine   *Engine
	topology *topology
	model    grade.Prober // nil: the rule model does not take the state

	mu    sync.Mutex
	seen  map[string]probe.Result // by connection: what was probed at this checkpoint
	moved map[string]bool         // apps whose pods were replaced meanwhile: what failed there says nothing
}

// Probe tries the connections and accounts for those that do not meet what they want.
func (p *prober) Probe(ctx context.Context, probes []grade.Probe) ([]grade.Outcome, error) {
	return p.each(ctx, probes, false)
}

// Explain tries the connections and accounts for every verdict.
func (p *prober) Explain(ctx context.Context, probes []grade.Probe) ([]grade.Outcome, error) {
	return p.each(ctx, probes, true)
}

func (p *prober) each(ctx context.Context, probes []grade.Probe, explain bool) ([]grade.Outcome, error) {
	outcomes := make([]grade.Outcome, len(probes))
	attempts := make([][]attempt, len(probes))
	var all []attempt
	for i := range probes {
		var err error
		if attempts[i], err = p.topology.resolve(probes[i]); err != nil {
			outcomes[i] = grade.Outcome{Probe: probes[i], Verdict: labs.ProbeError, Error: err.Error()}
			continue
		}
		all = append(all, attempts[i]...)
	}
	if err := p.try(ctx, all); err != nil {
		return nil, err
	}
	var missed []int
	for i := range probes {
		if len(attempts[i]) == 0 {
			continue
		}
		outcomes[i] = p.outcome(probes[i], attempts[i])
		if explain || misses(outcomes[i].Verdict, probes[i].Want) {
			missed = append(missed, i)
		}
	}
	p.account(ctx, probes, outcomes, missed)
	return outcomes, nil
}

// misses reports whether a verdict is not the one wanted. A probe that wants none cannot be missed.
func misses(v, want labs.Verdict) bool { return want != "" && !v.Meets(want) }

// outcome is that of the first replica that does not meet what is wanted.
func (p *prober) outcome(want grade.Probe, attempts []attempt) grade.Outcome {
	out := grade.Outcome{Probe: want}
	var all []labs.Verdict
	for i, a := range attempts {
		result := p.judge(a)
		if !slices.Contains(all, result.Verdict) {
			all = append(all, result.Verdict)
		}
		if i > 0 && (!misses(result.Verdict, want.Want) || misses(out.Verdict, want.Want)) {
			continue
		}
		out.Verdict, out.Seen, out.Flow, out.Error = result.Verdict, result.Detail, nil, ""
		if result.Drop != nil {
			out.Flow = flowOf(*result.Drop)
		}
		if result.Verdict == labs.ProbeError {
			out.Error = fmt.Sprintf("%s → %s: %s", a.from, a.to, result.Detail)
		}
	}
	if len(all) > 1 {
		out.Verdicts = all
	}
	return out
}

// judge holds what was seen of a connection against what it takes to be a verdict on policies.
func (p *prober) judge(a attempt) probe.Result {
	p.mu.Lock()
	result := p.seen[keyOf(a)]
	p.mu.Unlock()
	switch result.Verdict {
	case "":
		return probe.Result{Verdict: labs.ProbeError, Detail: "it was not probed"}
	case labs.Allowed:
		if result.Server != "" && len(a.servers) > 0 && !slices.Contains(a.servers, result.Server) {
			result.Verdict = labs.AppError
			result.Detail = fmt.Sprintf("%s answered, which is none of the pods that should: %s", result.Server, strings.Join(a.servers, ", "))
		}
	case labs.Dropped, labs.DNSFailed, labs.Rejected:
		switch {
		case a.broken != "":
			result.Detail = "it did not work with no policy in force either (" + a.broken + "), so nothing can be said of it: " + result.Detail
			result.Verdict = labs.ProbeError
		case p.topology.tampered && result.Drop == nil:
			result.Detail = "it does not work, and the lab is not as it was deployed: only a packet that Hubble saw a policy drop would count: " + result.Detail
			result.Verdict = labs.ProbeError
		case result.Drop == nil && p.engine.unseen == nil && !explained(result):
			result.Detail = "it does not work, but no policy dropped it, as far as Hubble saw: " + result.Detail
			result.Verdict = labs.ProbeError
		}
	}
	if result.Verdict == labs.Allowed || result.Drop != nil {
		return result
	}
	for _, name := range a.apps {
		if p.moved[name] {
			result.Detail = fmt.Sprintf("the pods of %s were replaced while they were probed, so nothing can be said of it: %s", name, result.Detail)
			result.Verdict = labs.ProbeError
			break
		}
	}
	return result
}

// unsure says whether anything failed without a packet that a policy dropped.
func (p *prober) unsure(attempts []attempt) bool {
	return slices.ContainsFunc(attempts, func(a attempt) bool {
		r := p.judge(a)
		return r.Verdict != labs.Allowed && r.Drop == nil
	})
}

// explained says whether a failure without a dropped packet can be a policy's doing: the DNS proxy refuses
// names by an answer, and a refusal is the network's own.
func explained(r probe.Result) bool {
	switch r.Verdict {
	case labs.DNSFailed:
		return strings.HasSuffix(r.Detail, " REFUSED")
	case labs.Rejected:
		return true
	}
	return false
}

// keyOf is the same for connections that are the same.
func keyOf(a attempt) string {
	t := a.to
	key := fmt.Sprint(a.from, "|", t.Host, "|", t.Port, "|", t.Protocol, "|", t.DNSOverTCP, "|", t.Echo)
	if t.HTTP != nil {
		key += fmt.Sprintf("|%+v", *t.HTTP)
	}
	return key
}

// try probes the connections that were not probed yet, all sources at the same time, and once more what
// nothing but a time-out says.
func (p *prober) try(ctx context.Context, attempts []attempt) error {
	start := time.Now()
	defer func() { p.engine.stats.Probed += time.Since(start) }()
	bySource := map[string][]attempt{}
	var order []string
	asked := map[string]bool{}
	for _, a := range attempts {
		key := keyOf(a)
		if _, done := p.seen[key]; done || asked[key] {
			continue
		}
		asked[key] = true
		from := a.from.String()
		if bySource[from] == nil {
			order = append(order, from)
		}
		bySource[from] = append(bySource[from], a)
	}
	p.engine.stats.Probes += len(asked)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(p.engine.cfg.Parallel)
	for _, from := range order {
		for chunk := range slices.Chunk(bySource[from], perExec) {
			group.Go(func() error { return p.tryFrom(gctx, chunk) })
		}
	}
	if err := group.Wait(); err != nil || !p.unsure(attempts) {
		return err
	}
	var err error
	p.moved, err = p.topology.moved(ctx)
	return err
}

// tryFrom probes connections from one source until each has a verdict that stands.
func (p *prober) tryFrom(ctx context.Context, attempts []attempt) error {
	open := attempts
	before := map[string]labs.Verdict{}
	retries := 0
	defer func() { p.engine.account(attempts[0].from, len(attempts), retries) }()
	defer p.lookBehind(ctx, attempts)
	for n := 1; len(open) > 0; n++ {
		results, err := p.run(ctx, open)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var again []attempt
		p.mu.Lock()
		for i, a := range open {
			key := keyOf(a)
			result := probe.Result{Verdict: labs.ProbeError}
			if err != nil {
				result.Detail = err.Error()
			} else {
				result = results[i]
			}
			p.seen[key] = result
			certain := result.Verdict == labs.Allowed || result.Drop != nil || result.Verdict != labs.ProbeError && before[key] == result.Verdict
			before[key] = result.Verdict
			switch {
			case certain:
			case n < tries:
				again = append(again, a)
			case result.Verdict != labs.ProbeError:
				result.Detail = fmt.Sprintf("%d tries had different outcomes, the last one %s: %s", n, result.Verdict, result.Detail)
				result.Verdict = labs.ProbeError
				p.seen[key] = result
			}
		}
		retries += len(again)
		p.mu.Unlock()
		open = again
	}
	return nil
}

// lookBehind asks the pods of services that gave no answer, though Hubble saw no drop: a policy that shuts out the
// kubelet, too, makes its pod unready, and the service then leads nowhere. If every pod behind it is dropped by
// policy, so is the service.
func (p *prober) lookBehind(ctx context.Context, attempts []attempt) {
	if p.engine.unseen != nil || ctx.Err() != nil {
		return
	}
	var behind []attempt
	of := map[string][]int{}
	p.mu.Lock()
	for _, a := range attempts {
		if r := p.seen[keyOf(a)]; len(a.behind) > 0 && r.Drop == nil && (r.Verdict == labs.Dropped || r.Verdict == labs.Rejected) {
			for _, to := range a.behind {
				of[keyOf(a)] = append(of[keyOf(a)], len(behind))
				behind = append(behind, attempt{from: a.from, to: to})
			}
		}
	}
	p.mu.Unlock()
	if len(behind) == 0 {
		return
	}
	results, err := p.run(ctx, behind)
	if err != nil {
		return // what was seen stands
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, indices := range of {
		var drop *hubble.Drop
		for _, i := range indices {
			if drop = results[i].Drop; drop == nil {
				break
			}
		}
		if drop != nil {
			r := p.seen[key]
			r.Verdict, r.Drop = labs.Dropped, drop
			r.Detail = "the service gave no answer, and a policy drops what goes to the pods behind it"
			p.seen[key] = r
		}
	}
}

// run probes from one source, in one exec, with whatever has the tools.
func (p *prober) run(ctx context.Context, attempts []attempt) ([]probe.Result, error) {
	probes := make([]probe.Probe, len(attempts))
	for i, a := range attempts {
		probes[i] = a.to
	}
	from, ladder := attempts[0].from, p.engine.ladder
	for {
		rung := ladder.rungOf(from)
		stand, err := ladder.stand(ctx, from, rung)
		if err != nil {
			if rung == grade.EphemeralContainer && takesNone(err) && ctx.Err() == nil && ladder.climb(from, rung, err) {
				continue
			}
			return nil, err
		}
		results, err := p.engine.runner.Run(ctx, stand, probes)
		if rung == grade.OwnImage {
			if err != nil && lacksShell(err) && ladder.climb(from, rung, err) {
				continue
			}
			if i := slices.IndexFunc(results, func(r probe.Result) bool { return r.Missing }); i >= 0 && ladder.climb(from, rung, errors.New(results[i].Detail)) {
				continue
			}
		}
		return results, err
	}
}

// lacksShell says whether an exec failed because the image has nothing to run.
func lacksShell(err error) bool {
	return strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "not found in $PATH")
}

// account gives the outcomes the rule model's account of them.
func (p *prober) account(ctx context.Context, probes []grade.Probe, outcomes []grade.Outcome, missed []int) {
	model, ok := p.model.(grade.Explainer)
	if !ok || len(missed) == 0 {
		return
	}
	ask := make([]grade.Probe, len(missed))
	for i, n := range missed {
		ask[i] = probes[n]
	}
	accounts, err := model.Explain(ctx, ask)
	if err != nil {
		return // the verdict stands without
	}
	for i, n := range missed {
		outcomes[n].Detail = accounts[i].Detail
		if d := accounts[i].Detail; d != nil && labs.Verdict(d.Verdict) != outcomes[n].Verdict {
			// An account of another verdict would mislead.
			outcomes[n].Detail = nil
		}
	}
}

// flowOf is what a dropped packet says as evidence.
func flowOf(d hubble.Drop) *grade.Flow {
	f := d.Flow
	flow := &grade.Flow{
		Time: f.GetTime().AsTime(), Verdict: f.GetVerdict().String(), DropReason: f.GetDropReasonDesc().String(),
		Direction: strings.ToLower(f.GetTrafficDirection().String()), Protocol: d.Protocol, Node: f.GetNodeName(),
		Source: endOf(f.GetSource(), d.Source), Destination: endOf(f.GetDestination(), d.Destination),
		AllowedBy: policyNames(f.GetIngressAllowedBy(), f.GetEgressAllowedBy()),
		DeniedBy:  policyNames(f.GetIngressDeniedBy(), f.GetEgressDeniedBy()),
	}
	return flow
}

func endOf(end *flowpb.Endpoint, addr netip.AddrPort) grade.FlowEnd {
	e := grade.FlowEnd{Address: addr.Addr().String(), Port: int(addr.Port()), Identity: end.GetIdentity(), Labels: end.GetLabels()}
	if end.GetPodName() != "" {
		e.Pod = end.GetNamespace() + "/" + end.GetPodName()
	}
	if e.Labels == nil {
		e.Labels = []string{}
	}
	return e
}

func policyNames(lists ...[]*flowpb.Policy) []string {
	names := []string{}
	for _, p := range slices.Concat(lists...) {
		name := p.GetKind() + " " + p.GetName()
		if p.GetNamespace() != "" {
			name = p.GetKind() + " " + p.GetNamespace() + "/" + p.GetName()
		}
		names = append(names, name)
	}
	return names
}
