package live

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// closedPort is a port that no app of a lab listens on. A refused connection there is not a drop.
const closedPort = 9

// Prove lets the rule model prove the invariant, for every peer and port that the policies can distinguish, and
// probes a sample: the lab's own pods, on the apps' ports and one more.
func (p *prober) Prove(ctx context.Context, inv labs.Invariant) (*engine.Observation, error) {
	if p.model != nil {
		broken, err := p.model.Prove(ctx, inv)
		if err != nil || broken != nil {
			return broken, err
		}
	}
	samples := p.sample(inv)
	if err := p.try(ctx, connectionsOf(samples)); err != nil {
		return nil, err
	}
	for _, s := range samples {
		result := p.judge(s.connection)
		switch result.Verdict {
		case verdict.Allowed, verdict.Rejected, verdict.AppError:
			// What is refused was reached: a policy drops.
			out := engine.Observation{Probe: s.probe, Verdict: verdict.Allowed, Seen: result.Detail}
			return &out, nil
		case verdict.ProbeError:
			return &engine.Observation{Probe: s.probe, Verdict: verdict.ProbeError, Error: result.Detail}, nil
		}
	}
	return nil, nil
}

type sample struct {
	connection connection
	probe      engine.Probe
}

func connectionsOf(samples []sample) []connection {
	out := make([]connection, len(samples))
	for i := range samples {
		out[i] = samples[i].connection
	}
	return out
}

// sample are the connections between the lab's pods that the invariant forbids.
func (p *prober) sample(inv labs.Invariant) []sample {
	var out []sample
	for _, other := range p.topology.cfg.Lab.Apps {
		peer := p.topology.apps[other.Name]
		if slices.Contains(inv.ExceptNamespaces, peer.Namespace) || slices.Contains(inv.ExceptApps, peer.Name) {
			continue
		}
		for _, name := range inv.To {
			if subject := p.topology.apps[name]; subject != nil && name != peer.Name {
				out = append(out, p.samplesBetween(peer, subject, inv)...)
			}
		}
		for _, name := range inv.From {
			if subject := p.topology.apps[name]; subject != nil && name != peer.Name {
				out = append(out, p.samplesBetween(subject, peer, inv)...)
			}
		}
	}
	return out
}

// samplesBetween are the connections from each pod of an app to each port of each pod of another that the invariant
// does not except.
func (p *prober) samplesBetween(from, to *app, inv labs.Invariant) []sample {
	var ports []port
	for _, port := range portsOf(to.App) {
		if !slices.Contains(inv.ExceptPorts, port.number) &&
			(len(inv.Protocols) == 0 || slices.Contains(inv.Protocols, port.protocol)) {
			ports = append(ports, port)
		}
	}
	var out []sample
	for i := range from.pods {
		for j := range to.pods {
			if from.pods[i].UID == to.pods[j].UID || ownNode(&from.pods[i], &to.pods[j]) {
				continue // a pod always reaches itself, and is reached from its own node
			}
			for _, port := range ports {
				out = append(out, p.sampleOf(from, &from.pods[i], to, &to.pods[j], port))
			}
		}
	}
	return out
}

// ownNode reports whether a source is in the network of the node that a pod runs on.
func ownNode(from, to *corev1.Pod) bool {
	return from.Spec.HostNetwork && from.Spec.NodeName == to.Spec.NodeName
}

func (p *prober) sampleOf(from *app, src *corev1.Pod, to *app, dst *corev1.Pod, port port) sample {
	protocol := port.protocol
	if protocol == "TCP" {
		protocol = ""
	}
	return sample{
		connection: connection{
			from: source{name: from.Name, pod: src}, apps: []string{from.Name, to.Name},
			to: probe.Probe{
				Host: dst.Status.PodIP, Port: port.number, Protocol: protocol,
				Echo: p.topology.echoes(dst, protocol, port.number),
			},
		},
		probe: engine.Probe{
			From: labs.Source{App: from.Name}, Want: verdict.Denied,
			To: labs.Target{App: to.Name, Via: labs.ViaIP, Port: port.number, Protocol: port.protocol},
		},
	}
}

type port struct {
	number   int
	protocol string
}

// portsOf are the ports that an app listens on, and one on which it does not.
func portsOf(a *labs.App) []port {
	var out []port
	for _, p := range a.Ports {
		out = append(out, port{p.TargetPort, p.Protocol})
	}
	return append(out, port{closedPort, "TCP"})
}
