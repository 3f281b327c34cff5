package mistake

import (
	"fmt"
	"slices"

	"github.com/cilium/cilium/pkg/policy/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
)

// swappedSubjects: a policy of this task whose peer is the pod that it should have selected, until the two change places.
func (r *recognizer) swappedSubjects(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	for at := range p.spec.peers() {
		who := r.subject(at.d)
		if !r.namesSubject(p, at) {
			continue
		}
		peer := p.spec.rule(at).peers[at.item]
		s := p.spec.clone()
		x := s.peer(at)
		x.PodSelector, x.NamespaceSelector = &p.spec.subject, nil
		if who.namespace != p.Namespace {
			x.NamespaceSelector = namespaceNamed(p.Namespace)
		}
		s.subject = *peer.PodSelector
		change := r.with(p, s)
		change.By = s.object(p.Object, who.namespace)
		if !yield(repair{
			mistake: swapped, change: change, whole: true, object: p.Object, field: "spec.podSelector",
			message: fmt.Sprintf("%s applies to %s, and %s is the peer of its %s rule.",
				p.Ref(), r.subjectsOf(p), who.name, at.d),
		}) {
			return false
		}
	}
	return true
}

// namesSubject reports whether a peer of a policy is the pod whose policies decide in its direction, and the policy does
// not select that pod.
func (r *recognizer) namesSubject(p *networkPolicy, at place) bool {
	who, peer := r.subject(at.d), &p.spec.rule(at).peers[at.item]
	return who.known() && !isEmpty(&p.spec.subject) && peer.PodSelector != nil && !isEmpty(peer.PodSelector) &&
		r.peerSelects(p, peer.PodSelector, peer.NamespaceSelector, who) && !r.selectsSubject(p, who)
}

// hasSwapped reports whether a policy lets this connection through with its ends swapped.
func (r *recognizer) hasSwapped(p *networkPolicy, d direction) bool {
	if !r.selectsSubject(p, r.peer(d)) {
		return false
	}
	for at := range p.spec.peers() {
		if at.d == d && r.namesSubject(p, at) {
			return true
		}
	}
	return false
}

// wrongSubjects: a policy of this task that selects other pods, until it selects the one whose connection it is, or all. In
// another namespace, only where it selects the other end.
func (r *recognizer) wrongSubjects(p *networkPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || r.selectsNobody(p) || r.hasSay(p) {
		return true
	}
	for _, d := range directions {
		who := r.subject(d)
		if !who.known() || !p.spec.isolates(d) || who.namespace != p.Namespace && !r.selectsSubject(p, r.peer(d)) {
			continue
		}
		for _, subject := range []metav1.LabelSelector{{MatchLabels: who.labels}, {}} {
			s := p.spec.clone()
			s.subject = subject
			change := r.with(p, s)
			change.By = s.object(p.Object, who.namespace)
			if !yield(repair{
				mistake: wrongSubject, change: change, whole: true, object: p.Object, field: "spec.podSelector",
				message: fmt.Sprintf("%s applies to %s, not to %s.", p.Ref(), r.subjectsOf(p), who.name),
			}) {
				return false
			}
		}
	}
	return true
}

// otherPeers: wrongPeers of all policies of this task.
func (r *recognizer) otherPeers(yield func(repair) bool) bool {
	return !slices.ContainsFunc(r.policies, func(p *networkPolicy) bool { return p.fromThisTask && !r.wrongPeers(p, yield) }) &&
		!slices.ContainsFunc(r.cilium, func(p *ciliumPolicy) bool { return p.fromThisTask && !r.wrongCiliumPeers(p, yield) })
}

// wrongPeers: a peer that selects other pods, until it selects the one that is to get through.
func (r *recognizer) wrongPeers(p *networkPolicy, yield func(repair) bool) bool {
	for at, peer := range p.spec.peers() {
		selects := func(who endpoint) bool { return r.peerSelects(p, peer.PodSelector, peer.NamespaceSelector, who) }
		if peer.IPBlock != nil || !r.selectsSubject(p, r.subject(at.d)) || r.lookUp() && !isForDNS(p.spec.rule(at)) ||
			!slices.ContainsFunc(r.everybody, selects) {
			continue
		}
		for _, who := range r.meantPeers[at.d]() {
			if selects(who) {
				continue
			}
			s := p.spec.clone()
			*s.peer(at) = peerOf(who)
			if !yield(repair{
				mistake: wrongPeer, change: r.with(p, s), whole: true, keeps: true, object: p.Object, field: at.String(),
				message: wrongPeerMessage(p.Object, at.d, r.podsThat(selects), who),
			}) {
				return false
			}
		}
	}
	return true
}

func wrongPeerMessage(p *manifest.Object, d direction, named string, meant endpoint) string {
	return fmt.Sprintf("%s has an %s rule whose peer is %s, not %s.", p.Ref(), d, named, meant.name)
}

// findMeantPeers finds the pods that a rule may have been meant for: the one at the other end or, where that was to be kept out, those of
// which the same check wants a connection allowed and no rule speaks.
func (r *recognizer) findMeantPeers(d direction) []endpoint {
	if r.Probe.Want == verdict.Allowed {
		if who := r.peer(d); who.known() {
			return []endpoint{who}
		}
		return nil
	}
	var all []endpoint
	for _, pair := range allowedBy(r.Check) {
		subject, peer := pair.To.App, pair.From.App
		if d == egress {
			subject, peer = peer, subject
		}
		if who, ok := r.app(peer); ok && subject == r.subject(d).name && !r.names(d, who) {
			all = append(all, who)
		}
	}
	return all
}

// names reports whether a rule of some policy for the pod whose policies decide in a direction has a peer that selects an endpoint.
func (r *recognizer) names(d direction, who endpoint) bool {
	return slices.ContainsFunc(r.policies, func(p *networkPolicy) bool {
		if !r.selectsSubject(p, r.subject(d)) {
			return false
		}
		for at, peer := range p.spec.peers() {
			if at.d == d && peer.IPBlock == nil && r.peerSelects(p, peer.PodSelector, peer.NamespaceSelector, who) {
				return true
			}
		}
		return false
	}) || slices.ContainsFunc(r.cilium, func(p *ciliumPolicy) bool {
		return slices.ContainsFunc(p.rules, func(x *ciliumRule) bool {
			return x.d == d && r.selects(p, x.of, r.subject(d)) && slices.ContainsFunc(*x.endpoints, func(s api.EndpointSelector) bool {
				here, _ := r.covers(p, s, who)
				return here
			})
		})
	})
}

// meantOthers reports whether the check wants connections allowed with pods, and a peer that selects some has none of these.
func (r *recognizer) meantOthers(d direction, selects func(endpoint) bool) bool {
	meant := r.meantPeers[d]()
	return len(meant) > 0 && !slices.ContainsFunc(meant, selects)
}

// hasSay reports whether a policy is one of those that decide about the connection.
func (r *recognizer) hasSay(p *networkPolicy) bool {
	return slices.ContainsFunc(directions[:], func(d direction) bool {
		return p.spec.isolates(d) && r.selectsSubject(p, r.subject(d))
	})
}

// subjectsShown is how many of the pods that a policy selects are named.
const subjectsShown = 3

// subjectsOf names the pods of the lab that a policy selects.
func (r *recognizer) subjectsOf(p *networkPolicy) string {
	return r.podsThat(func(who endpoint) bool { return r.selectsSubject(p, who) })
}

// podsThat names the pods of the lab of which is holds.
func (r *recognizer) podsThat(is func(endpoint) bool) string {
	var names []string
	for _, who := range r.everybody {
		if is(who) {
			names = append(names, who.name)
		}
	}
	slices.Sort(names)
	if more := len(names) - subjectsShown; more > 1 {
		names = append(names[:subjectsShown], fmt.Sprintf("%d others", more))
	}
	if len(names) == 0 {
		return "no pod"
	}
	return wording.And(names)
}

// restoredPolicies: a policy that took the place of another one of its name, until that one is in force besides. Where that does not
// meet the whole objective, the replacement may be what the task asks for.
func (r *recognizer) restoredPolicies(yield func(repair) bool) bool {
	for _, o := range slices.Backward(r.State.Policies) {
		old := r.State.Replaced[o]
		if old == nil {
			continue
		}
		if !yield(repair{
			mistake: replaced, change: engine.Change{By: old}, whole: true, object: o, field: "metadata.name",
			message: fmt.Sprintf("%s took the place of the policy of that name in %s:%d, which is no longer in force.",
				o.Ref(), old.File, old.Line),
		}) {
			return false
		}
	}
	return true
}

// undeletedPolicies: a policy that was deleted in this task, until it is in force again.
func (r *recognizer) undeletedPolicies(yield func(repair) bool) bool {
	return r.undeleted(yield, repair{mistake: deleted, whole: true}, "and what it closed and allowed with it")
}

// unreplacedPolicies: a policy that was deleted in a task for which no other was written, until it is in force again. That need not meet
// the objective: the task may want another one in its place.
func (r *recognizer) unreplacedPolicies(yield func(repair) bool) bool {
	return r.ownPolicies() > 0 || r.undeleted(yield, repair{mistake: deletedOnly}, "and no policy is applied in its place")
}

// undeleted proposes to have each policy that was deleted in this task in force again.
func (r *recognizer) undeleted(yield func(repair) bool, fix repair, consequence string) bool {
	for _, gone := range r.State.Deletions {
		if gone.Task != r.Task.Name {
			continue
		}
		fix.change, fix.object, fix.field = engine.Change{By: gone.Policy}, gone.By, "metadata.name"
		fix.message = fmt.Sprintf("%s, from %s:%d, is deleted in this task, %s.", gone.Policy.Ref(), gone.Policy.File, gone.Policy.Line, consequence)
		if !yield(fix) {
			return false
		}
	}
	return true
}

// deletes reports whether the student deleted a policy in this task.
func (r *recognizer) deletes() bool {
	return slices.ContainsFunc(r.State.Deletions, func(gone engine.Deletion) bool { return gone.Task == r.Task.Name })
}
