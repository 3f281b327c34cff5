package policy

import (
	"reflect"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/internal/representative"
)

// breach is a connection that Prove found.
type breach struct {
	q       Reach
	subject *cluster.Pod
	peer    candidate
	found   *Result
}

// stillBroken looks whether the connection that breaks q in the engine that this one comes from still gets through,
// which takes less than looking for one. nil says nothing.
func (e *Engine) stillBroken(q Reach, ingress bool) *Result {
	b := e.base.broken.Load()
	if b == nil || !reflect.DeepEqual(b.q, q) {
		return nil
	}
	if b.peer.represents != nil && e.nowExcepted(q, b.peer.represents) {
		return nil
	}
	p := prover{e: e, q: q, ingress: ingress}
	subject := podEndpoint(b.subject)
	l := p.link(&subject, &b.peer.endpoint)
	f := flow{to: l.target.pod, probe: &Probe{}, from: l.source, protocol: b.found.Protocol, port: uint16(b.found.Port)}
	if t := b.found.ICMPType; t != nil {
		f.port = uint16(*t)
	}
	if !l.passes(e, &f) {
		return nil
	}
	return b.found
}

// nowExcepted reports whether a representative counts as excepted under the policies of this engine, which may look at
// fewer labels.
func (e *Engine) nowExcepted(q Reach, x *representative.Pod) bool {
	if len(q.ExceptNamespaces)+len(q.ExceptPods) == 0 {
		return false
	}
	labels := representative.NewLabels()
	seen := map[any]bool{}
	for _, b := range e.rules {
		e.spend(1 + len(b.peers))
		for _, s := range b.texts() {
			if s != nil && !seen[s] {
				seen[s] = true
				e.spend(collectSteps * terms(s))
				labels.Add(s)
			}
		}
	}
	now := x.Under(labels, e.c)
	p := prover{e: e, q: q}
	return p.representativeExcepted(&now)
}
