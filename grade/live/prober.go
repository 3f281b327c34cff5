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
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

const (
	// perExec bounds the processes that one exec starts in a pod.
	perExec = 40
	// tries is how often a connection is probed at most until two tries agree.
	tries = 3
	// awaitDrops is how long a grading waits for a Cilium agent that restarts.
	awaitDrops = 90 * time.Second
	// dnsRefused is the status (RFC 1035, RCODE 5) with which Cilium's DNS proxy answers for names that no rule
	// lets through.
	dnsRefused = "REFUSED"
)

// prober probes the lab at one checkpoint.
type prober struct {
	engine   *Engine
	topology *topology
	model    engine.Prober // nil: the rule model does not take the state

	mu       sync.Mutex
	seen     map[string]probe.Result // by connection: what was probed at this checkpoint
	with     []engine.ProberReport   // what was sent, with what
	replaced map[string]bool         // apps whose pods were replaced meanwhile: failures there prove nothing
}

// Probe tries the connections and accounts for those that do not meet what they want.
func (p *prober) Probe(ctx context.Context, probes []engine.Probe) ([]engine.Observation, error) {
	return p.each(ctx, probes, false)
}

// Explain tries the connections and accounts for every verdict.
func (p *prober) Explain(ctx context.Context, probes []engine.Probe) ([]engine.Observation, error) {
	return p.each(ctx, probes, true)
}

func (p *prober) each(ctx context.Context, probes []engine.Probe, explain bool) ([]engine.Observation, error) {
	outcomes := make([]engine.Observation, len(probes))
	attempts := make([][]connection, len(probes))
	var all []connection
	for i := range probes {
		var err error
		if attempts[i], err = p.topology.resolve(probes[i]); err != nil {
			outcomes[i] = engine.Observation{Probe: probes[i], Verdict: verdict.ProbeError, Error: err.Error()}
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
func misses(v, want verdict.Verdict) bool { return want != "" && !v.Meets(want) }

// outcome is that of the first replica that does not meet what is wanted.
func (p *prober) outcome(want engine.Probe, attempts []connection) engine.Observation {
	out := engine.Observation{Probe: want}
	var all []verdict.Verdict
	resolved := true
	for i, a := range attempts {
		result := p.judge(a)
		if a.named && !resolved {
			continue // what nobody can know by its name
		}
		if !a.named {
			resolved = result.Verdict != verdict.DNSFailed
		}
		if !slices.Contains(all, result.Verdict) {
			all = append(all, result.Verdict)
		}
		if i > 0 && (!misses(result.Verdict, want.Want) || misses(out.Verdict, want.Want)) {
			continue
		}
		out.Verdict, out.Seen, out.Flow, out.Error = result.Verdict, result.Detail, nil, ""
		if out.At = ""; len(attempts) > 1 {
			out.At = a.at
		}
		if result.Drop != nil {
			out.Flow = flowOf(*result.Drop)
		}
		if result.Verdict == verdict.ProbeError {
			out.Error = fmt.Sprintf("%s → %s: %s", a.from, a.to, result.Detail)
		}
	}
	if len(all) > 1 {
		out.Verdicts = all
	}
	return out
}

// judge holds what was seen of a connection against what it takes to be a verdict on policies.
func (p *prober) judge(a connection) probe.Result {
	p.mu.Lock()
	result := p.seen[keyOf(a)]
	p.mu.Unlock()
	switch result.Verdict {
	case "":
		return probe.Result{Verdict: verdict.ProbeError, Detail: "it was not probed"}
	case verdict.Allowed:
		if result.Server != "" && len(a.servers) > 0 && !slices.Contains(a.servers, result.Server) {
			result.Verdict = verdict.AppError
			result.Detail = fmt.Sprintf("%s answered, but it is not one of the expected pods: %s",
				result.Server, strings.Join(a.servers, ", "))
		}
	case verdict.Dropped, verdict.DNSFailed, verdict.Rejected:
		switch {
		case a.broken != "":
			result.Detail = "it did not work without policies either (" + a.broken + "), so it cannot be graded: " +
				result.Detail
			result.Verdict = verdict.ProbeError
		case p.topology.tampered && result.Drop == nil:
			result.Detail = "it does not work, but the lab was changed after deployment, so only a drop that Hubble reports would count: " + result.Detail
			result.Verdict = verdict.ProbeError
		case result.Drop == nil && p.engine.unseen == nil && !explained(result):
			result.Detail = "it does not work, but Hubble reports no drop by a policy: " + result.Detail
			result.Verdict = verdict.ProbeError
		}
	}
	if result.Verdict == verdict.Allowed || result.Drop != nil {
		return result
	}
	for _, name := range a.apps {
		if p.replaced[name] {
			result.Detail = fmt.Sprintf("the pods of %s were replaced during the probe, so it cannot be graded: %s",
				name, result.Detail)
			result.Verdict = verdict.ProbeError
			break
		}
	}
	return result
}

// unsure says whether anything failed without a packet that a policy dropped.
func (p *prober) unsure(attempts []connection) bool {
	return slices.ContainsFunc(attempts, func(a connection) bool {
		r := p.judge(a)
		return r.Verdict != verdict.Allowed && r.Drop == nil
	})
}

// explained says whether a failure without a dropped packet can be a policy's doing: the DNS proxy refuses
// names by an answer, and a refusal is the network's own.
func explained(r probe.Result) bool {
	switch r.Verdict {
	case verdict.DNSFailed:
		return r.DNSStatus == dnsRefused
	case verdict.Rejected:
		return true
	}
	return false
}

// keyOf is the same for connections that are the same.
func keyOf(a connection) string {
	t := a.to
	key := fmt.Sprint(a.from, "|", t.Host, "|", t.Port, "|", t.Protocol, "|", t.DNSOverTCP, "|", t.Echo, "|", t.Learn)
	if t.HTTP != nil {
		key += fmt.Sprintf("|%+v", *t.HTTP)
	}
	return key
}

// try probes the connections that were not probed yet, all sources at the same time, and once more what
// nothing but a time-out says.
func (p *prober) try(ctx context.Context, attempts []connection) error {
	start := time.Now()
	defer func() { p.engine.stats.Probed += time.Since(start) }()
	bySource := map[string][]connection{}
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
	p.replaced, err = p.topology.replacedApps(ctx)
	return err
}

// tryFrom probes connections from one source until each has a final verdict.
func (p *prober) tryFrom(ctx context.Context, attempts []connection) error {
	open := attempts
	before := map[string]verdict.Verdict{}
	retries := 0
	defer func() { p.sent(attempts[0].from, len(attempts), retries) }()
	defer p.probeEndpoints(ctx, attempts)
	for n := 1; len(open) > 0; n++ {
		results, err := p.observe(ctx, open)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var again []connection
		p.mu.Lock()
		for i, a := range open {
			key := keyOf(a)
			result := probe.Result{Verdict: verdict.ProbeError}
			if err != nil {
				result.Detail = err.Error()
			} else {
				result = results[i]
			}
			p.seen[key] = result
			certain := result.Verdict == verdict.Allowed || result.Drop != nil ||
				result.Verdict != verdict.ProbeError && before[key] == result.Verdict
			before[key] = result.Verdict
			switch {
			case certain:
			case n < tries:
				again = append(again, a)
			case result.Verdict != verdict.ProbeError:
				result.Detail = fmt.Sprintf("%d attempts had different results, the last one %s: %s",
					n, result.Verdict, result.Detail)
				result.Verdict = verdict.ProbeError
				p.seen[key] = result
			}
		}
		retries += len(again)
		p.mu.Unlock()
		open = again
	}
	return nil
}

// probeEndpoints probes the pods of services that gave no answer although Hubble saw no drop. A policy that also
// blocks the kubelet makes its pods unready, and the service then has no endpoints. If policies drop the
// connections to all of its pods, the service counts as dropped.
func (p *prober) probeEndpoints(ctx context.Context, attempts []connection) {
	if p.engine.unseen != nil || ctx.Err() != nil {
		return
	}
	var behind []connection
	of := map[string][]int{}
	p.mu.Lock()
	for _, a := range attempts {
		if r := p.seen[keyOf(a)]; len(a.behind) > 0 && r.Drop == nil &&
			(r.Verdict == verdict.Dropped || r.Verdict == verdict.Rejected) {
			for _, to := range a.behind {
				of[keyOf(a)] = append(of[keyOf(a)], len(behind))
				behind = append(behind, connection{from: a.from, to: to})
			}
		}
	}
	p.mu.Unlock()
	if len(behind) == 0 {
		return
	}
	results, err := p.run(ctx, behind)
	if err != nil {
		return // keep the first result
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
			r.Verdict, r.Drop = verdict.Dropped, drop
			r.Detail = "the service did not answer: a policy drops the connections to its pods"
			p.seen[key] = r
		}
	}
}

// observe is run, again if an agent was restarted meanwhile: then the drops that were seen are not all that there were.
func (p *prober) observe(ctx context.Context, attempts []connection) ([]probe.Result, error) {
	for n := 1; ; n++ {
		start := time.Now()
		results, err := p.run(ctx, attempts)
		silent := slices.ContainsFunc(results, func(r probe.Result) bool {
			return r.Verdict != verdict.Allowed && r.Drop == nil
		})
		if err != nil || !silent || p.engine.unseen != nil || p.engine.drops == nil {
			return results, err
		}
		gap := p.engine.drops.CompleteSince(start)
		if gap == nil {
			return results, nil
		}
		if n == tries {
			return nil, fmt.Errorf("not all drops were seen: %w", gap)
		}
		if err := p.engine.drops.AwaitComplete(ctx, awaitDrops); err != nil {
			return nil, fmt.Errorf("not all drops were seen: %w", err)
		}
	}
}

// run probes from one source, in one exec, with whatever has the tools.
func (p *prober) run(ctx context.Context, attempts []connection) ([]probe.Result, error) {
	probes := make([]probe.Probe, len(attempts))
	for i, a := range attempts {
		probes[i] = a.to
	}
	from, methods := attempts[0].from, p.engine.methods
	for {
		method := methods.methodOf(from)
		target, err := methods.target(ctx, from, method)
		if err != nil {
			if method == engine.EphemeralContainer && rejectsEphemeral(err) && ctx.Err() == nil &&
				methods.fallBack(from, method, err) {
				continue
			}
			return nil, err
		}
		results, err := p.engine.runner.Run(ctx, target, probes)
		if method == engine.OwnImage {
			var missing *kube.NoProgramError
			if errors.As(err, &missing) && methods.fallBack(from, method, err) {
				continue
			}
			if i := slices.IndexFunc(results, func(r probe.Result) bool {
				return r.Missing
			}); i >= 0 && methods.fallBack(from, method, errors.New(results[i].Detail)) {
				continue
			}
		}
		return results, err
	}
}

// account gives the outcomes the rule model's account of them.
func (p *prober) account(ctx context.Context, probes []engine.Probe, outcomes []engine.Observation, missed []int) {
	model, ok := p.model.(engine.Explainer)
	if !ok || len(missed) == 0 {
		return
	}
	ask := make([]engine.Probe, len(missed))
	for i, n := range missed {
		ask[i] = probes[n]
	}
	accounts, err := model.Explain(ctx, ask)
	if err != nil {
		return // the verdict does not need it
	}
	for i, n := range missed {
		outcomes[n].Detail = accounts[i].Detail
		if d := accounts[i].Detail; d != nil && d.Verdict != outcomes[n].Verdict {
			// An account of another verdict would mislead.
			outcomes[n].Detail = nil
		}
	}
}

// flowOf is what a dropped packet says as evidence.
func flowOf(d hubble.Drop) *engine.Flow {
	f := d.Flow
	flow := &engine.Flow{
		Time: f.GetTime().AsTime(), Verdict: f.GetVerdict().String(), DropReason: f.GetDropReasonDesc().String(),
		Direction: strings.ToLower(f.GetTrafficDirection().String()), Protocol: d.Protocol, Node: f.GetNodeName(),
		Source: endOf(f.GetSource(), d.Source), Destination: endOf(f.GetDestination(), d.Destination),
		AllowedBy: policyNames(f.GetIngressAllowedBy(), f.GetEgressAllowedBy()),
		DeniedBy:  policyNames(f.GetIngressDeniedBy(), f.GetEgressDeniedBy()),
	}
	return flow
}

func endOf(end *flowpb.Endpoint, addr netip.AddrPort) engine.FlowEnd {
	e := engine.FlowEnd{
		Address: addr.Addr().String(), Port: int(addr.Port()), Identity: end.GetIdentity(), Labels: end.GetLabels(),
	}
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
