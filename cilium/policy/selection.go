package policy

import (
	"slices"

	"github.com/cilium/cilium/pkg/policy/types"
)

// Selection is what a policy selects as its subjects, whose connections it is about.
type Selection struct {
	Ingress, Egress []string // pods by "namespace/name", sorted
	Nodes           bool     // it is about nodes
	// HostNetwork are pods on the host network that have the labels. No policy for pods governs them.
	HostNetwork []string
}

// maxSubjects is how many different subjects of one policy are looked at. Nobody writes so many by hand.
const maxSubjects = 50

// Selects returns what a policy selects in the engine's cluster. It takes nothing from the budget: a policy has few subjects.
func (e *Engine) Selects(p *Policy) Selection {
	var s Selection
	type part struct {
		subject *types.LabelSelector
		ingress bool
	}
	seen := map[part]bool{}
	for _, r := range p.rules {
		this := part{r.subject, r.ingress}
		switch {
		case r.node:
			s.Nodes = true
			continue
		case seen[this] || len(seen) == maxSubjects:
			continue
		}
		seen[this] = true
		for _, pod := range e.c.PodList {
			labels := pod.ID.Labels
			if pod.HostNetwork {
				labels = e.c.IDs.PodLabels(pod.Labels, pod.Namespace, e.c.NamespaceLabels[pod.Namespace], pod.Account, e.c.Config.ClusterName)
			}
			switch {
			case !r.subject.Matches(labels):
			case pod.HostNetwork:
				s.HostNetwork = append(s.HostNetwork, pod.Ref)
			case r.ingress:
				s.Ingress = append(s.Ingress, pod.Ref)
			default:
				s.Egress = append(s.Egress, pod.Ref)
			}
		}
	}
	for _, list := range []*[]string{&s.Ingress, &s.Egress, &s.HostNetwork} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return s
}

// onHostNetwork reports whether the endpoint is a pod that has its node's identity.
func (p *endpoint) onHostNetwork() bool { return p.pod != nil && p.pod.HostNetwork }
