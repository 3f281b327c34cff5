package live

import (
	"cmp"
	"context"
	"slices"

	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

// spare is a port that no app of a lab listens on: that nothing answers there is told apart from a drop.
const spare = 9

// Prove has the rule model prove the invariant, over every peer and port that the policies could tell apart,
// and probes a sample of what it is about: the lab's own pods, on the apps' ports and one more.
func (p *prober) Prove(ctx context.Context, inv labs.Invariant) (*grade.Outcome, error) {
	if p.model != nil {
		broken, err := p.model.Prove(ctx, inv)
		if err != nil || broken != nil {
			return broken, err
		}
	}
	samples := p.sample(inv)
	if err := p.try(ctx, attemptsOf(samples)); err != nil {
		return nil, err
	}
	for _, s := range samples {
		result := p.judge(s.attempt)
		switch result.Verdict {
		case labs.Allowed, labs.Rejected, labs.AppError:
			// What is refused was reached: a policy drops.
			out := grade.Outcome{Probe: s.probe, Verdict: labs.Allowed, Seen: result.Detail}
			return &out, nil
		case labs.ProbeError:
			return &grade.Outcome{Probe: s.probe, Verdict: labs.ProbeError, Error: result.Detail}, nil
		}
	}
	return nil, nil
}

type sample struct {
	attempt attempt
	probe   grade.Probe
}

func attemptsOf(samples []sample) []attempt {
	out := make([]attempt, len(samples))
	for i := range samples {
		out[i] = samples[i].attempt
	}
	return out
}

// sample are the connections between the lab's pods that the invariant forbids.
func (p *prober) sample(inv labs.Invariant) []sample {
	var out []sample
	add := func(from, to *app) {
		for i := range from.pods {
			for j := range to.pods {
				src, dst := &from.pods[i], &to.pods[j]
				if src.UID == dst.UID {
					continue // a pod always reaches itself
				}
				for _, port := range portsOf(to.App) {
					if slices.Contains(inv.ExceptPorts, port.number) || len(inv.Protocols) > 0 && !slices.Contains(inv.Protocols, port.protocol) {
						continue
					}
					protocol := port.protocol
					if protocol == "TCP" {
						protocol = ""
					}
					target := labs.Target{App: to.Name, Via: labs.ViaIP, Port: port.number, Protocol: port.protocol}
					out = append(out, sample{
						attempt: attempt{from: source{name: from.Name, pod: src}, apps: []string{from.Name, to.Name}, to: probe.Probe{
							Host: dst.Status.PodIP, Port: port.number, Protocol: protocol, Echo: p.topology.echoes(dst, protocol, port.number),
						}},
						probe: grade.Probe{From: labs.Source{App: from.Name}, To: target, Want: labs.Denied},
					})
				}
			}
		}
	}
	outside := func(a *app) bool {
		return !slices.Contains(inv.ExceptNamespaces, a.Namespace) && !slices.Contains(inv.ExceptApps, a.Name)
	}
	for _, other := range p.topology.cfg.Lab.Apps {
		peer := p.topology.apps[other.Name]
		if !outside(peer) {
			continue
		}
		for _, name := range inv.To {
			if subject := p.topology.apps[name]; subject != nil && name != peer.Name {
				add(peer, subject)
			}
		}
		for _, name := range inv.From {
			if subject := p.topology.apps[name]; subject != nil && name != peer.Name {
				add(subject, peer)
			}
		}
	}
	return out
}

type port struct {
	number   int
	protocol string
}

// portsOf are the ports that an app listens on, and one on which it does not.
func portsOf(a *labs.App) []port {
	var out []port
	for _, p := range a.Ports {
		out = append(out, port{cmp.Or(p.TargetPort, p.Port), cmp.Or(p.Protocol, "TCP")})
	}
	return append(out, port{spare, "TCP"})
}
