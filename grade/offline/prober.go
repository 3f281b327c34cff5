package offline

import (
	"context"
	"fmt"
	"slices"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// Prober judges connections at one checkpoint.
type Prober struct {
	topology *topology
	engine   *policy.Engine
}

// Engine is the rule model with the checkpoint's policies in force, for connections that no app of the lab
// makes.
func (p *Prober) Engine() *policy.Engine { return p.engine }

// Resolve returns the connections that stand behind a probe, one for each pair of replicas.
func (p *Prober) Resolve(probe grade.Probe) ([]policy.Probe, error) { return p.topology.resolve(probe) }

// Probe judges the probes, and accounts for those that do not meet what they want.
func (p *Prober) Probe(ctx context.Context, probes []grade.Probe) ([]grade.Outcome, error) {
	return p.each(ctx, probes, false)
}

// Explain judges the probes and accounts for every verdict.
func (p *Prober) Explain(ctx context.Context, probes []grade.Probe) ([]grade.Outcome, error) {
	return p.each(ctx, probes, true)
}

func (p *Prober) each(ctx context.Context, probes []grade.Probe, explain bool) ([]grade.Outcome, error) {
	outcomes := make([]grade.Outcome, len(probes))
	for i := range probes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.judge(&probes[i], &outcomes[i], explain)
	}
	return outcomes, nil
}

// judge finds the outcome of one probe: of its connections, the first that does not meet what is wanted.
func (p *Prober) judge(probe *grade.Probe, out *grade.Outcome, explain bool) {
	out.Probe = *probe
	connections, err := p.topology.resolve(*probe)
	if err == nil && len(connections) == 0 {
		err = fmt.Errorf("there is nothing to probe")
	}
	if err != nil {
		out.Verdict, out.Error = labs.ProbeError, err.Error()
		return
	}
	listens := p.topology.listens(probe.To)
	chosen := 0
	var all []labs.Verdict
	for i, c := range connections {
		v, err := p.verdict(c, probe, listens)
		if err != nil {
			out.Verdict, out.Error = labs.ProbeError, err.Error()
			return
		}
		switch {
		case i == 0:
			out.Verdict = v
		case misses(v, probe.Want) && !misses(out.Verdict, probe.Want):
			chosen, out.Verdict = i, v
		}
		if len(connections) > 1 && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	if len(all) > 1 {
		out.Verdicts = all
	}
	if !explain && !misses(out.Verdict, probe.Want) {
		return
	}
	detail, err := p.engine.Explain(connections[chosen])
	if err != nil {
		return // judged a moment ago; without an account the verdict stands all the same
	}
	out.Detail = &detail
	if out.Verdict == labs.Rejected && detail.Verdict == policy.Allowed {
		detail.Verdict = policy.Rejected
		detail.Reason = fmt.Sprintf("policies allow it, but nothing listens on port %d of %s", probe.To.Port, probe.To.App)
	}
}

// misses reports whether a verdict is not the one wanted. A probe that wants none cannot be missed.
func misses(v, want labs.Verdict) bool { return want != "" && !v.Meets(want) }

// verdict judges one connection as the client sees it.
func (p *Prober) verdict(c policy.Probe, probe *grade.Probe, listens bool) (labs.Verdict, error) {
	r, err := p.engine.Judge(c)
	if err != nil {
		return "", err
	}
	// Of several backends the engine gives the worst; a connection that must not work must not work to any.
	for i := range r.Backends {
		if v := p.seen(&r.Backends[i], &probe.To, listens); misses(v, probe.Want) {
			return v, nil
		}
	}
	return p.seen(&r, &probe.To, listens), nil
}

// seen is the verdict that the client of a probe reports.
func (p *Prober) seen(r *policy.Result, to *labs.Target, listens bool) labs.Verdict {
	switch {
	case to.DNS != "" && r.Verdict != policy.Allowed:
		// The client waits for an answer to its query, whatever became of the packet.
		return labs.DNSFailed
	case r.Verdict == policy.Allowed && !listens:
		return labs.Rejected
	case to.HTTP == nil || to.HTTP.Status == 0 || to.HTTP.Status == 200:
		return labs.Verdict(r.Verdict)
	}
	// Another answer than 200 is asked for: the proxy gives 403 to what it refuses, the app 200 to the rest.
	switch r.Verdict {
	case policy.AppError:
		if to.HTTP.Status == 403 {
			return labs.Allowed
		}
	case policy.Allowed:
		return labs.AppError
	}
	return labs.Verdict(r.Verdict)
}

// Prove looks for a connection that breaks the invariant, over every peer and port that the policies in
// force could tell apart.
func (p *Prober) Prove(_ context.Context, inv labs.Invariant) (*grade.Outcome, error) {
	except, err := p.pods(inv.ExceptApps)
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		direction string
		apps      []string
	}{{"ingress", inv.To}, {"egress", inv.From}} {
		if len(side.apps) == 0 {
			continue
		}
		subjects, err := p.pods(side.apps)
		if err != nil {
			return nil, err
		}
		q := policy.Reach{
			Direction: side.direction, ExceptNamespaces: inv.ExceptNamespaces, ExceptPods: except,
			Protocols: inv.Protocols, ExceptPorts: inv.ExceptPorts,
		}
		if side.direction == "ingress" {
			q.To = subjects
		} else {
			q.From = subjects
		}
		r, err := p.engine.Prove(q)
		if err != nil {
			return nil, err
		}
		if r != nil {
			return &grade.Outcome{Verdict: labs.Verdict(r.Verdict), Detail: r}, nil
		}
	}
	return nil, nil
}

// pods returns the pods of apps.
func (p *Prober) pods(apps []string) ([]string, error) {
	var pods []string
	for _, name := range apps {
		a, err := p.topology.app(name)
		if err != nil {
			return nil, err
		}
		pods = append(pods, a.pods...)
	}
	return pods, nil
}
