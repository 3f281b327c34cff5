package policy

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/internal/representative"
)

// representatives are pods, addresses and ports that stand for everything that the policies of an engine can tell
// apart. They are made once an engine and not changed afterwards.
type representatives struct {
	engine    *Engine // of the cluster with the pods
	pods      []representative.Pod
	ports     map[string][]int // by protocol
	addresses []netip.Addr
}

// representatives returns the engine's.
func (e *Engine) representatives() *representatives {
	e.representOnce.Do(func() {
		defer budgetError(&e.representErr)
		r := &representatives{}
		in := representative.Input{Cluster: e.c, Labels: representative.NewLabels(), Spend: e.spend}
		r.collect(e, &in)
		var c *cluster.Cluster
		r.pods, c = representative.Pods(in)
		r.engine = e.withRepresentatives(c)
		e.represented = r
	})
	if e.representErr != nil {
		panic(e.representErr)
	}
	return e.represented
}

// describeRepresentative says what a pod stands for, in the words of somebody who does not know that it was made up.
func describeRepresentative(p *representative.Pod) string {
	which := "any other pod"
	switch {
	case len(p.Labels) > 0:
		which = "any pod with " + describeMade(p.Labels)
	case p.NewNamespace:
		which = "any pod"
	}
	where := "in namespace " + p.Namespace
	if p.NewNamespace {
		where = describeNewNamespace(p)
	}
	return "stands for " + which + " " + where
}

// describeNewNamespace says in which namespaces the pods are that a pod stands for, if its own is made up.
func describeNewNamespace(p *representative.Pod) string {
	rest := maps.Clone(p.NamespaceLabels)
	delete(rest, cluster.LabelMetadataName)
	where := "in a namespace that is not in the cluster"
	if !representative.IsMadeUp(p.Namespace) {
		where = "in the namespace " + p.Namespace + ", which is not in the cluster"
		if len(rest) == 0 {
			return where
		}
		return where + ", with the labels " + describeMade(rest)
	}
	if len(rest) == 0 {
		return where + " and has none of the labels that policies ask for"
	}
	return where + ", with the labels " + describeMade(rest)
}

// describeMade writes labels of which some have a value that no policy mentions.
func describeMade(labels map[string]string) string {
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if labels[k] == representative.AnyValue {
			terms = append(terms, k+" (of any other value)")
		} else {
			terms = append(terms, k+"="+labels[k])
		}
	}
	return listed(terms, len(terms), ", ")
}

// What is noted once for an engine costs more steps than one.
const (
	collectSteps = 4
	edgeSteps    = 10
)

// collect gathers the selectors, addresses and ports that the policies mention.
func (r *representatives) collect(e *Engine, in *representative.Input) {
	protocols := []string{protoTCP, protoUDP, protoSCTP, protoICMP, protoICMPv6}
	r.ports = map[string][]int{protoICMP: {0, 8, math.MaxUint8}, protoICMPv6: {0, 128, math.MaxUint8}}
	for _, protocol := range protocols[:3] {
		r.ports[protocol] = []int{1, math.MaxUint16}
	}
	seen := map[string]bool{}
	addSelector := func(s *types.LabelSelector, text *slimv1.LabelSelector) {
		if s != nil && text != nil && !seen[s.Key()] {
			seen[s.Key()] = true
			in.Selectors = append(in.Selectors, s)
			in.Terms += 1 + terms(text)
			for j := range text.MatchExpressions {
				e.spend(len(text.MatchExpressions[j].Values))
			}
			in.Labels.Add(text)
		}
	}
	groups := map[*cidrGroup]bool{}
	ranges := func(list []netip.Prefix) {
		e.spend(edgeSteps * len(list))
		for _, prefix := range list {
			r.addresses = append(r.addresses, edges(prefix)...)
		}
	}
	for _, b := range e.rules {
		e.spend(collectSteps * (b.selectorTerms() + len(b.ports)))
		in.Texts = append(in.Texts, b.texts()...)
		addSelector(b.subject, b.subjectText)
		for j := range b.peers {
			p := &b.peers[j]
			addSelector(p.selector, p.text)
			if p.kind != peerCIDR {
				continue
			}
			ranges(p.except.ranges)
			if p.groupBy == nil {
				ranges([]netip.Prefix{p.prefix})
			}
			e.spend(len(p.groups))
			for _, g := range p.groups {
				if !groups[g] {
					groups[g] = true
					ranges(g.prefixes.ranges)
				}
			}
		}
		for j := range b.ports {
			p := &b.ports[j]
			for _, protocol := range protocols {
				if p.name == "" &&
					(p.protocol == protocol || p.protocol == "" && protocol != protoICMP && protocol != protoICMPv6) {
					r.ports[protocol] = append(r.ports[protocol], int(p.from)-1, int(p.from), int(p.to), int(p.to)+1)
				}
			}
		}
	}
	for _, addrs := range e.names {
		r.addresses = append(r.addresses, addrs...)
	}
	slices.SortFunc(r.addresses, netip.Addr.Compare)
	r.addresses = slices.Compact(r.addresses)
	for protocol, list := range r.ports {
		least, most := 1, math.MaxUint16
		if protocol == protoICMP || protocol == protoICMPv6 {
			least, most = 0, math.MaxUint8
		}
		list = slices.DeleteFunc(list, func(n int) bool { return n < least || n > most })
		slices.Sort(list)
		r.ports[protocol] = slices.Compact(list)
	}
}

// edges returns the first and last address of a range and their neighbours outside it.
func edges(p netip.Prefix) []netip.Addr {
	if !p.IsValid() {
		return nil
	}
	first := p.Masked().Addr()
	bits := first.AsSlice()
	for i := p.Bits(); i < len(bits)*8; i++ {
		bits[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(bits)
	return slices.DeleteFunc([]netip.Addr{first.Prev(), first, last, last.Next()}, func(a netip.Addr) bool {
		return !a.IsValid()
	})
}

// withRepresentatives returns the engine with a cluster that has more identities, too many to remember what each rule
// has to do with each.
func (e *Engine) withRepresentatives(c *Cluster) *Engine {
	e.spend(len(e.rules))
	made := &Engine{
		c: c, policies: e.policies, rules: make([]*boundRule, len(e.rules)), names: e.names, budget: e.budget,
	}
	block := make([]boundRule, len(e.rules))
	for i, b := range e.rules {
		block[i].rule, block[i].peers, block[i].anyPeer = b.rule, b.peers, b.anyPeer
		made.rules[i] = &block[i]
	}
	for d := range made.ruleSets {
		made.ruleSets[d] = make([]atomic.Pointer[ruleSet], len(e.c.IDs.List))
	}
	made.resolves = make([]atomic.Uint32, len(c.IDs.List))
	return made
}

func describeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return "no labels"
	}
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		terms = append(terms, k+"="+labels[k])
	}
	return listed(terms, len(terms), ", ")
}
