package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// Prober judges connections at one checkpoint.
type Prober struct {
	topology *topology
	engine   *policy.Engine
	policies map[*manifest.Object]*policy.Policy // in force
	budget   *policy.Budget
	compile  func(*manifest.Object) compiled
	brief    bool // accounts for nothing
}

// Engine is the rule model with the checkpoint's policies in force, for connections that no app of the lab
// makes.
func (p *Prober) Engine() *policy.Engine { return p.engine }

// Budget counts the work of all that the prober is asked.
func (p *Prober) Budget() *policy.Budget { return p.budget }

// Resolve returns the connections that stand behind a probe, one for each pair of replicas.
func (p *Prober) Resolve(probe engine.Probe) ([]policy.Probe, error) {
	return p.topology.resolve(probe)
}

// Probe judges the probes, and accounts for those that do not meet what they want.
func (p *Prober) Probe(ctx context.Context, probes []engine.Probe) ([]engine.Observation, error) {
	return p.each(ctx, probes, false)
}

// Explain judges the probes and accounts for every verdict.
func (p *Prober) Explain(ctx context.Context, probes []engine.Probe) ([]engine.Observation, error) {
	return p.each(ctx, probes, true)
}

// Selects returns what a policy in force selects.
func (p *Prober) Selects(o *manifest.Object) (policy.Selection, bool) {
	compiled, ok := p.policies[o]
	if !ok {
		return policy.Selection{}, false
	}
	return p.engine.Selects(compiled), true
}

// Notes are none: nothing is sent.
func (p *Prober) Notes() engine.Notes { return engine.Notes{} }

func (p *Prober) each(ctx context.Context, probes []engine.Probe, explain bool) ([]engine.Observation, error) {
	outcomes := make([]engine.Observation, len(probes))
	for i := range probes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.judge(&probes[i], &outcomes[i], explain); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// judge finds the outcome of one probe: of its connections, the first that does not meet what is wanted. The error is a
// *policy.BudgetError.
func (p *Prober) judge(probe *engine.Probe, out *engine.Observation, explain bool) error {
	out.Probe = *probe
	connections, err := p.topology.resolve(*probe)
	if err == nil && len(connections) == 0 {
		err = fmt.Errorf("there is nothing to probe")
	}
	if err != nil {
		out.Verdict, out.Error = verdict.ProbeError, err.Error()
		return nil
	}
	listens := p.topology.listens(probe.To)
	chosen := 0
	var all []verdict.Verdict
	for i, c := range connections {
		v, err := p.verdict(c, probe, listens)
		if err != nil {
			out.Verdict, out.Error = verdict.ProbeError, err.Error()
			return tooMuch(err)
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
	if p.brief || !explain && !misses(out.Verdict, probe.Want) {
		return nil
	}
	out.At = place(probe, connections, chosen)
	detail, err := p.engine.Explain(connections[chosen])
	if err != nil {
		return tooMuch(err) // judged before; without an account the verdict stands all the same
	}
	detail, at := decisive(detail, out.Verdict)
	if probe.To.App == "" {
		out.At = cmp.Or(at, out.At)
	}
	if look := detail.DNS; look != nil && look.Verdict == verdict.Allowed && !explain && probe.Want != verdict.DNSFailed {
		detail.DNS = nil // of no use in a report
	}
	out.Detail = &detail
	if out.Verdict == verdict.Rejected && detail.Verdict == verdict.Allowed {
		detail.Verdict = verdict.Rejected
		detail.Reason = fmt.Sprintf("policies allow it, but nothing listens on port %d of %s", probe.To.Port, probe.To.App)
	}
	return nil
}

// decisive is the part of an account that is about the verdict: of several backends the account has the worst verdict,
// and it may be another one that does not meet what is wanted. at names it.
func decisive(detail policy.Result, v verdict.Verdict) (part policy.Result, at string) {
	if detail.Verdict == v {
		return detail, ""
	}
	i := slices.IndexFunc(detail.Backends, func(r policy.Result) bool { return r.Verdict == v })
	if i < 0 {
		return detail, ""
	}
	part = detail.Backends[i]
	part.DNS = detail.DNS
	return part, named(part.To)
}

// place names the one of several connections that was chosen, where an end of the probe stands for several.
func place(probe *engine.Probe, connections []policy.Probe, chosen int) string {
	c := &connections[chosen]
	differ := func(end func(*policy.Probe) string) bool {
		return slices.ContainsFunc(connections, func(other policy.Probe) bool { return end(&other) != end(c) })
	}
	switch {
	case probe.To.App == "" && differ(func(p *policy.Probe) string { return p.To }):
		return named(c.To)
	case probe.From.App == "" && differ(func(p *policy.Probe) string { return p.From }):
		return named(c.From)
	}
	return ""
}

// named is how reports write an end of a connection of the rule model.
func named(end string) string {
	kind, name, ok := strings.Cut(end, ":")
	switch {
	case !ok:
		return end
	case kind == "node":
		return "node " + name
	}
	return name
}

// tooMuch returns the error if it is that of the work budget, which concerns all probes.
func tooMuch(err error) error {
	if over := (*policy.BudgetError)(nil); errors.As(err, &over) {
		return over
	}
	return nil
}

// misses reports whether a verdict is not the one wanted. A probe that wants none cannot be missed.
func misses(v, want verdict.Verdict) bool { return want != "" && !v.Meets(want) }

// verdict judges one connection as the client sees it.
func (p *Prober) verdict(c policy.Probe, probe *engine.Probe, listens bool) (verdict.Verdict, error) {
	r, err := p.engine.Evaluate(c)
	if err != nil {
		return "", err
	}
	// Of several backends the engine gives the worst; a connection that must not work must not work to any.
	for i := range r.Backends {
		if v := p.clientVerdict(&r.Backends[i], &probe.To, listens); misses(v, probe.Want) {
			return v, nil
		}
	}
	return p.clientVerdict(&r, &probe.To, listens), nil
}

// clientVerdict is the verdict that the client of a probe reports.
func (p *Prober) clientVerdict(r *policy.Result, to *labs.Target, listens bool) verdict.Verdict {
	switch {
	case to.DNS != "" && r.Verdict != verdict.Allowed:
		// The client waits for an answer to its query, whatever became of the packet.
		return verdict.DNSFailed
	case r.Verdict == verdict.Allowed && !listens:
		return verdict.Rejected
	case to.HTTP == nil || to.HTTP.Status == http.StatusOK:
		return r.Verdict
	}
	// Another answer than 200 is asked for: the proxy gives 403 to what it refuses, the app 200 to the rest.
	switch r.Verdict {
	case verdict.AppError:
		if to.HTTP.Status == 403 {
			return verdict.Allowed
		}
	case verdict.Allowed:
		return verdict.AppError
	}
	return r.Verdict
}

// Prove looks for a connection that breaks the invariant, over every peer and port that the policies in
// force could tell apart.
func (p *Prober) Prove(_ context.Context, inv labs.Invariant) (*engine.Observation, error) {
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
			ExceptExternal: inv.ExceptExternal, Protocols: inv.Protocols, ExceptPorts: inv.ExceptPorts,
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
			return &engine.Observation{Verdict: r.Verdict, Detail: r}, nil
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
