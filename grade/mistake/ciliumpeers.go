package mistake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/policy/api"
)

// What the rules of Cilium's kinds may allow too much of: as in open.go for NetworkPolicies.

// splitCiliumRules: splitRules for Cilium's kinds.
func (r *recognizer) splitCiliumRules(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, a *ciliumRule) bool {
		if a.peerless() || len(*a.ports) > 0 {
			return true
		}
		for k, b := range p.rules {
			if b.of != a.of || b.d != a.d || !b.peerless() || len(*b.ports) == 0 || *b.endpoints != nil {
				continue
			}
			if !yield(repair{
				mistake: ruleSplit, object: p.Object, field: p.rules[max(i, k)].path,
				change: r.edited(p, i, func(x *ciliumRule) {
					*x.ports = *b.ports
					x.drop(b)
				}),
				message: fmt.Sprintf("%s has one %s rule with peers and no ports and another with ports and no peers: "+
					"the one opens every port, the other lets everybody connect.", p.Ref(), a.d),
			}) {
				return false
			}
		}
		return true
	})
}

// drop removes another rule of the same spec. It has an index in the direction's list, which its path tells.
func (x *ciliumRule) drop(other *ciliumRule) {
	text := other.path[strings.LastIndexByte(other.path, '[')+1 : len(other.path)-1]
	at, _ := strconv.Atoi(text)
	if x.d == ingress {
		x.of.Ingress = without(x.of.Ingress, at)
	} else {
		x.of.Egress = without(x.of.Egress, at)
	}
}

// splitEndpoints: a selector of a namespace only beside one of pods only, until they are one.
func (r *recognizer) splitEndpoints(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		for j, a := range *x.endpoints {
			if !namesNamespaceOnly(a) {
				continue
			}
			for k, b := range *x.endpoints {
				if _, named := kubernetesSelector(b.LabelSelector); named || b.LabelSelector == nil || isEmptyEndpoint(b) {
					continue
				}
				if !yield(repair{
					mistake: andOrPeers, object: p.Object, field: x.endpointField(max(j, k)),
					change: r.edited(p, i, func(x *ciliumRule) {
						merged := *a.DeepCopy()
						if merged.MatchLabels == nil {
							merged.MatchLabels = map[string]string{}
						}
						maps.Copy(merged.MatchLabels, b.MatchLabels)
						merged.MatchExpressions = slices.Concat(merged.MatchExpressions, b.MatchExpressions)
						(*x.endpoints)[j] = merged
						*x.endpoints = without(*x.endpoints, k)
					}),
					message: fmt.Sprintf("%s lists the namespace and the pods' labels as two selectors: any pod of that namespace, "+
						"or those pods of the policy's own namespace.", p.Ref()),
				}) {
					return false
				}
			}
		}
		return true
	})
}

// namesNamespaceOnly reports whether a selector asks for namespaces and nothing of pods.
func namesNamespaceOnly(s api.EndpointSelector) bool {
	if s.LabelSelector == nil || isEmptyEndpoint(s) {
		return false
	}
	of := func(key string) bool {
		key = withoutSource(key)
		return key == podNamespaceLabel || strings.HasPrefix(key, namespaceLabelsPrefix)
	}
	for key := range s.MatchLabels {
		if !of(key) {
			return false
		}
	}
	for i := range s.MatchExpressions {
		if !of(s.MatchExpressions[i].Key) {
			return false
		}
	}
	return true
}

// missingCiliumPorts: missingPorts for Cilium's kinds.
func (r *recognizer) missingCiliumPorts(p *ciliumPolicy, yield func(repair) bool) bool {
	meant := r.meantPorts()
	if !p.fromThisTask || len(meant) == 0 {
		return true
	}
	var ports []api.PortProtocol
	for _, n := range meant {
		ports = append(ports, api.PortProtocol{Port: strconv.Itoa(n), Protocol: api.ProtoAny})
	}
	return p.each(func(i int, x *ciliumRule) bool {
		if x.peerless() || len(*x.ports) > 0 {
			return true
		}
		return yield(repair{
			mistake: portsMissing, whole: !r.provesPorts(), object: p.Object, field: x.path,
			change:  r.edited(p, i, func(x *ciliumRule) { *x.ports = api.PortRules{{Ports: ports}} }),
			message: fmt.Sprintf("%s has an %s rule that names no port, so it opens every port.", p.Ref(), x.d),
		})
	})
}

// missingCiliumPeers: missingPeers for Cilium's kinds.
func (r *recognizer) missingCiliumPeers(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	return p.each(func(i int, x *ciliumRule) bool {
		if !x.peerless() || len(*x.ports) == 0 || *x.endpoints != nil {
			return true
		}
		return yield(repair{
			mistake: peersMissing, object: p.Object, field: x.path,
			change: r.edited(p, i, func(x *ciliumRule) { x.closeIfEmpty() }),
			message: fmt.Sprintf("%s has an %s rule with ports and without `%s` or the like, so it opens these ports to everybody.",
				p.Ref(), x.d, map[direction]string{ingress: "fromEndpoints", egress: "toEndpoints"}[x.d]),
		})
	})
}

// wholeCiliumNamespaces: wholeNamespaces for Cilium's kinds.
func (r *recognizer) wholeCiliumNamespaces(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	return p.each(func(i int, x *ciliumRule) bool {
		for j, s := range *x.endpoints {
			selects := func(who endpoint) bool {
				here, _ := r.covers(p, s, who)
				return here
			}
			if !namesNamespaceOnly(s) || !selects(r.peer(x.d)) || r.meantOthers(x.d, selects) {
				continue
			}
			if !yield(repair{
				mistake: wholeNamespace, object: p.Object, field: x.endpointField(j),
				change: r.edited(p, i, func(x *ciliumRule) {
					*x.endpoints = without(*x.endpoints, j)
					x.closeIfEmpty()
				}),
				message: fmt.Sprintf("%s names namespaces with %s and no pods, which means every pod there.", p.Ref(), endpointsText(s)),
			}) {
				return false
			}
		}
		return true
	})
}

// ciliumDNSPorts: dnsPorts for Cilium's kinds.
func (r *recognizer) ciliumDNSPorts(p *ciliumPolicy, yield func(repair) bool) bool {
	if !r.lookUp() {
		return true
	}
	return p.each(func(i int, x *ciliumRule) bool {
		if x.d == ingress || len(*x.ports) == 0 || x.speaksOfDNS() || !slices.ContainsFunc(*x.endpoints, func(s api.EndpointSelector) bool {
			here, _ := r.covers(p, s, nameServer())
			return here
		}) {
			return true
		}
		var numbers []string
		for _, rule := range *x.ports {
			for _, port := range rule.Ports {
				numbers = append(numbers, port.Port)
			}
		}
		return yield(repair{
			mistake: dnsWrongPort, object: p.Object, field: x.path + ".toPorts",
			change: r.edited(p, i, func(x *ciliumRule) {
				*x.ports = api.PortRules{{Ports: []api.PortProtocol{{Port: "53", Protocol: api.ProtoAny}}}}
			}),
			message: fmt.Sprintf("%s lets pods out to the name server on port %s, and it answers on port 53.",
				p.Ref(), strings.Join(numbers, ", ")),
		})
	})
}
