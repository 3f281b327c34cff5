package mistake

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// ciliumPolicy is a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy in force.
type ciliumPolicy struct {
	*manifest.Object
	rules        []*ciliumRule
	fromThisTask bool
}

// ciliumRule is one item of a rule's ingress or egress, with the two directions alike. What it points to belongs to the
// policy.
type ciliumRule struct {
	d         direction
	of        *api.Rule
	path      string // "spec.ingress[0]"
	endpoints *[]api.EndpointSelector
	cidrs     *api.CIDRSlice
	cidrSets  *api.CIDRRuleSlice
	entities  *api.EntitySlice
	ports     *api.PortRules
	fqdns     *api.FQDNSelectorSlice // nil for ingress
	others    int                    // kinds of peer that no recogniser looks at, and ICMP
}

// Labels that Cilium adds to pods: see Documentation/network/kubernetes/policy.rst, "Namespaces".
const (
	podNamespaceLabel     = "io.kubernetes.pod.namespace"
	namespaceLabelsPrefix = "io.cilium.k8s.namespace.labels."
)

func ciliumPolicyOf(o *manifest.Object) *ciliumPolicy {
	v, ok := o.Value.(*manifest.CiliumNetworkPolicy)
	if !ok {
		return nil
	}
	return &ciliumPolicy{Object: o, rules: ciliumRules(v)}
}

// ciliumRules lists what a policy allows, in the order in which it is written.
func ciliumRules(v *manifest.CiliumNetworkPolicy) []*ciliumRule {
	var list []*ciliumRule
	add := func(path string, r *api.Rule) {
		for i := range r.Ingress {
			x := &r.Ingress[i]
			list = append(list, &ciliumRule{
				d: ingress, of: r, path: fmt.Sprintf("%s.ingress[%d]", path, i), endpoints: &x.FromEndpoints, cidrs: &x.FromCIDR,
				cidrSets: &x.FromCIDRSet, entities: &x.FromEntities, ports: &x.ToPorts,
				others: len(x.FromGroups) + len(x.FromNodes) + len(x.ICMPs),
			})
		}
		for i := range r.Egress {
			x := &r.Egress[i]
			list = append(list, &ciliumRule{
				d: egress, of: r, path: fmt.Sprintf("%s.egress[%d]", path, i), endpoints: &x.ToEndpoints, cidrs: &x.ToCIDR,
				cidrSets: &x.ToCIDRSet, entities: &x.ToEntities, ports: &x.ToPorts, fqdns: &x.ToFQDNs,
				others: len(x.ToServices) + len(x.ToGroups) + len(x.ToNodes) + len(x.ICMPs),
			})
		}
	}
	if v.Spec != nil {
		add("spec", v.Spec)
	}
	for i, r := range v.Specs {
		if r != nil {
			add(fmt.Sprintf("specs[%d]", i), r)
		}
	}
	return list
}

// field is a field of the rule: "spec.egress[0].toCIDR".
func (x *ciliumRule) field(from, to string) string {
	if x.d == ingress {
		return x.path + "." + from
	}
	return x.path + "." + to
}

// endpointField is the field of a selector of pods: "spec.ingress[0].fromEndpoints[1]".
func (x *ciliumRule) endpointField(j int) string {
	return fmt.Sprintf("%s[%d]", x.field("fromEndpoints", "toEndpoints"), j)
}

// empty reports whether the rule says nothing.
func (x *ciliumRule) empty() bool {
	return x.peerless() && len(*x.ports) == 0 && *x.endpoints == nil
}

// edited is a policy in which one rule, given by its index, is changed.
func (r *recognizer) edited(p *ciliumPolicy, i int, edit func(*ciliumRule)) engine.Change {
	return r.rewritten(p, func(v *manifest.CiliumNetworkPolicy) { edit(ciliumRules(v)[i]) })
}

// rewritten is a policy that is changed.
func (r *recognizer) rewritten(p *ciliumPolicy, edit func(*manifest.CiliumNetworkPolicy)) engine.Change {
	r.Spend(1 + len(p.JSON)) // a policy is copied and compiled as a whole: about as much work for each byte as a step
	old := p.Value.(*manifest.CiliumNetworkPolicy)
	v := &manifest.CiliumNetworkPolicy{TypeMeta: old.TypeMeta, ObjectMeta: old.ObjectMeta, Spec: old.Spec.DeepCopy()}
	for _, rule := range old.Specs {
		v.Specs = append(v.Specs, rule.DeepCopy())
	}
	edit(v)
	c := *p.Object
	c.Value = v
	return engine.Change{Object: p.Object, By: &c}
}

// endpointLabels are the labels that Cilium's selectors see of an endpoint.
func (r *recognizer) endpointLabels(who endpoint) map[string]string {
	all := maps.Clone(who.labels)
	if all == nil {
		all = map[string]string{}
	}
	all[podNamespaceLabel] = who.namespace
	for key, value := range r.namespaceLabels(who.namespace) {
		all[namespaceLabelsPrefix+key] = value
	}
	return all
}

// selectorFor selects an endpoint from a policy's namespace.
func selectorFor(p *ciliumPolicy, who endpoint) api.EndpointSelector {
	match := maps.Clone(who.labels)
	if match == nil {
		match = map[string]string{}
	}
	if p.Namespace != who.namespace {
		match["k8s:"+podNamespaceLabel] = who.namespace
	}
	return api.EndpointSelector{LabelSelector: &slimv1.LabelSelector{MatchLabels: match}}
}

// withoutSource is a label's key without the source ("k8s:", "any:") that Cilium lets one write in front of it.
func withoutSource(key string) string {
	for _, source := range []string{"k8s:", "any:"} {
		if rest, ok := strings.CutPrefix(key, source); ok {
			return rest
		}
	}
	return key
}

// kubernetesSelector is the same selector without sources of labels; namesNamespace is whether it says where it looks.
func kubernetesSelector(s *slimv1.LabelSelector) (converted *metav1.LabelSelector, namesNamespace bool) {
	converted = &metav1.LabelSelector{MatchLabels: map[string]string{}}
	if s == nil {
		return converted, false
	}
	note := func(key string) string {
		key = withoutSource(key)
		namesNamespace = namesNamespace || key == podNamespaceLabel || strings.HasPrefix(key, namespaceLabelsPrefix)
		return key
	}
	for key, value := range s.MatchLabels {
		converted.MatchLabels[note(key)] = value
	}
	for _, e := range s.MatchExpressions {
		converted.MatchExpressions = append(converted.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: note(e.Key), Operator: metav1.LabelSelectorOperator(e.Operator), Values: e.Values,
		})
	}
	return converted, namesNamespace
}

// covers reports whether a selector of a policy selects an endpoint, and whether it would in another namespace.
func (r *recognizer) covers(p *ciliumPolicy, s api.EndpointSelector, who endpoint) (here, elsewhere bool) {
	if s.LabelSelector == nil {
		return false, false
	}
	r.Spend(parseSteps * (1 + len(s.MatchLabels) + len(s.MatchExpressions)))
	converted, named := kubernetesSelector(s.LabelSelector)
	parsed, err := metav1.LabelSelectorAsSelector(converted)
	if err != nil || !parsed.Matches(labels.Set(r.endpointLabels(who))) {
		return false, false
	}
	here = named || p.Namespace == "" || p.Namespace == who.namespace
	return here, !here
}

// selects reports whether a rule's subject is an endpoint.
func (r *recognizer) selects(p *ciliumPolicy, rule *api.Rule, who endpoint) bool {
	if p.Namespace != "" && p.Namespace != who.namespace {
		return false
	}
	here, _ := r.covers(p, rule.EndpointSelector, who)
	return here
}

// selectsAny reports whether a selector finds a pod of the lab.
func (r *recognizer) selectsAny(p *ciliumPolicy, s api.EndpointSelector) (here, elsewhere bool) {
	for _, who := range r.everybody {
		h, e := r.covers(p, s, who)
		here, elsewhere = here || h, elsewhere || e
	}
	return here, elsewhere
}

// hasCiliumRule reports whether some policy of Cilium's kinds has a rule of which is holds, for an endpoint in a direction.
func (r *recognizer) hasCiliumRule(d direction, subject endpoint, is func(*ciliumRule) bool) bool {
	return slices.ContainsFunc(r.cilium, func(p *ciliumPolicy) bool {
		return slices.ContainsFunc(p.rules, func(x *ciliumRule) bool {
			return x.d == d && is(x) && r.selects(p, x.of, subject)
		})
	})
}

// speaksOfDNS reports whether a rule may have been meant for DNS: it names port 53, a port by its name or a range, or all
// ports of what may be the name server.
func (x *ciliumRule) speaksOfDNS() bool {
	for _, rule := range *x.ports {
		for _, port := range rule.Ports {
			if n, err := strconv.Atoi(port.Port); err != nil || n == 53 || n == 0 || port.EndPort != 0 {
				return true
			}
		}
	}
	return len(*x.ports) == 0 && (len(*x.entities) > 0 || slices.ContainsFunc(*x.endpoints, func(s api.EndpointSelector) bool {
		_, namesNamespace := kubernetesSelector(s.LabelSelector)
		return namesNamespace
	}))
}

// ownNamespaceEndpoints: fromEndpoints or toEndpoints for pods of another namespace than the policy's, until they name it.
func (r *recognizer) ownNamespaceEndpoints(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		who := r.peer(x.d)
		for j, s := range *x.endpoints {
			if _, elsewhere := r.covers(p, s, who); !who.known() || !elsewhere {
				continue
			}
			if !yield(repair{
				mistake: ownNamespaceOnly, object: p.Object,
				change: r.edited(p, i, func(x *ciliumRule) {
					s := (*x.endpoints)[j].LabelSelector
					s.MatchLabels = maps.Clone(s.MatchLabels)
					if s.MatchLabels == nil {
						s.MatchLabels = map[string]string{}
					}
					s.MatchLabels["k8s:"+podNamespaceLabel] = who.namespace
				}),
				field: x.endpointField(j),
				message: fmt.Sprintf("%s looks for pods with %s in its own namespace, %s. Pods of another namespace need the label k8s:%s.",
					p.Ref(), endpointsText(s), p.Namespace, podNamespaceLabel),
			}) {
				return false
			}
		}
		return true
	})
}

func endpointsText(s api.EndpointSelector) string {
	converted, _ := kubernetesSelector(s.LabelSelector)
	return selectorText(converted)
}

// deadEndpoints: a selector of peers that finds no pod, until it asks for the labels that the pod has.
func (r *recognizer) deadEndpoints(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		who := r.peer(x.d)
		for j, s := range *x.endpoints {
			if here, elsewhere := r.selectsAny(p, s); !who.known() || here || elsewhere || s.LabelSelector == nil {
				continue
			}
			fix := repair{
				object: p.Object, field: x.endpointField(j),
				change: r.edited(p, i, func(x *ciliumRule) { (*x.endpoints)[j] = selectorFor(p, who) }),
			}
			fix.mistake, fix.message = r.deadEndpoint(p, s)
			if !yield(fix) {
				return false
			}
		}
		return true
	})
}

// deadCiliumSubjects: an endpointSelector that finds no pod, until it selects the one whose connection it is.
func (r *recognizer) deadCiliumSubjects(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		who, s := r.subject(x.d), x.of.EndpointSelector
		if s.LabelSelector == nil || !who.known() || p.Namespace != "" && p.Namespace != who.namespace {
			return true
		}
		if here, _ := r.selectsAny(p, s); here {
			return true
		}
		fix := repair{
			object: p.Object, field: x.specPath() + ".endpointSelector",
			change: r.edited(p, i, func(x *ciliumRule) { x.of.EndpointSelector = selectorFor(p, who) }),
		}
		fix.mistake, fix.message = r.deadEndpoint(p, s)
		return yield(fix)
	})
}

// deadEndpoint says which mistake a selector that selects nothing is.
func (r *recognizer) deadEndpoint(p *ciliumPolicy, s api.EndpointSelector) (Mistake, string) {
	converted, _ := kubernetesSelector(s.LabelSelector)
	m, message := r.deadSelector(p.Object, converted)
	if converted != nil && m == selectsNothing && converted.MatchLabels[corev1.LabelMetadataName] != "" {
		// It is a label of namespaces, and one selector of a NetworkPolicy's peer; pods do not carry it.
		message += " Pods of another namespace need the label k8s:" + podNamespaceLabel + "."
	}
	return m, message
}

// specPath is the path of the rule's spec: "spec" or "specs[1]".
func (x *ciliumRule) specPath() string { return x.path[:strings.IndexByte(x.path, '.')] }

// cidrPeers: address ranges where the peer is a pod, until a selector takes their place.
func (r *recognizer) cidrPeers(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		who := r.peer(x.d)
		if !who.known() || len(*x.cidrs)+len(*x.cidrSets) == 0 {
			return true
		}
		field := x.field("fromCIDR", "toCIDR")
		if len(*x.cidrs) == 0 {
			field += "Set"
		}
		return yield(repair{
			mistake: cidrForPods, object: p.Object, field: field,
			change: r.edited(p, i, func(x *ciliumRule) {
				*x.cidrs, *x.cidrSets, *x.endpoints = nil, nil, []api.EndpointSelector{selectorFor(p, who)}
			}),
			message: fmt.Sprintf("%s names addresses for %s, which is a pod. In Cilium a range of addresses never means pods of the cluster.",
				p.Ref(), who.name),
		})
	})
}

// endpointsForExternals: selectorsForExternals for Cilium's kinds.
func (r *recognizer) endpointsForExternals(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask {
		return true
	}
	return p.each(func(i int, x *ciliumRule) bool {
		name := r.external(x.d)
		if name == "" || len(*x.endpoints) == 0 || slices.ContainsFunc(*x.endpoints, func(s api.EndpointSelector) bool {
			here, elsewhere := r.selectsAny(p, s)
			return (here || elsewhere) && !isEmptyEndpoint(s)
		}) {
			return true
		}
		return yield(repair{
			mistake: selectorForExternal, whole: true, keeps: true, object: p.Object, field: x.endpointField(0),
			change: r.edited(p, i, func(x *ciliumRule) {
				*x.endpoints, *x.entities = nil, append(slices.Clip(*x.entities), api.EntityWorld)
			}),
			message: fmt.Sprintf("%s has an %s rule with a selector of pods. %s is outside the cluster, where selectors match nothing.",
				p.Ref(), x.d, name),
		})
	})
}

// entitiesOf are those that the other end of the connection belongs to, apart from "all".
func (r *recognizer) entitiesOf(d direction) api.EntitySlice {
	who := r.peer(d)
	entity := r.Probe.To.Entity
	if d == ingress {
		entity = r.Probe.From.Entity
	}
	if entity != "" {
		return api.EntitySlice{api.Entity(entity)}
	}
	node, external := r.Probe.To.Node != "", r.Probe.To.External != "" || r.Probe.To.IP != ""
	if d == ingress {
		node, external = r.Probe.From.Node != "", r.Probe.From.External != ""
	}
	switch {
	case who.app != nil && who.app.HostNetwork, node:
		return api.EntitySlice{api.EntityHost, api.EntityRemoteNode}
	case who.known():
		return api.EntitySlice{api.EntityCluster}
	case external:
		return api.EntitySlice{api.EntityWorld}
	}
	return nil
}

// wrongEntities: entities that the peer does not belong to, until they are those that it does.
func (r *recognizer) wrongEntities(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		right := r.entitiesOf(x.d)
		if len(*x.entities) == 0 || right == nil {
			return true
		}
		return yield(repair{
			mistake: wrongEntity, object: p.Object, field: x.field("fromEntities", "toEntities"),
			change: r.edited(p, i, func(x *ciliumRule) { *x.entities = right }),
			message: fmt.Sprintf("%s names the entity %s; the other end of the connection belongs to %s.",
				p.Ref(), entityNames(*x.entities), entityNames(right)),
		})
	})
}

// wideEntities: an entity of many kinds of peers that lets in more than was meant, until it is gone.
func (r *recognizer) wideEntities(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true // about ports, not about peers
	}
	return p.each(func(i int, x *ciliumRule) bool {
		for j, entity := range *x.entities {
			if entityMeaning(entity) == "" {
				continue
			}
			if !yield(repair{
				mistake: wideEntity, object: p.Object, field: x.field("fromEntities", "toEntities"),
				change: r.edited(p, i, func(x *ciliumRule) {
					*x.entities = without(*x.entities, j)
					x.closeIfEmpty()
				}),
				message: fmt.Sprintf("%s names the entity %s, and with it %s.", p.Ref(), entity, entityMeaning(entity)),
			}) {
				return false
			}
		}
		return true
	})
}

// peerless reports whether a rule lists no peer.
func (x *ciliumRule) peerless() bool {
	return len(*x.endpoints)+len(*x.cidrs)+len(*x.cidrSets)+len(*x.entities)+x.others == 0 && (x.fqdns == nil || len(*x.fqdns) == 0)
}

// closeIfEmpty has a rule that lost its last peer allow nobody, instead of everybody on its ports.
func (x *ciliumRule) closeIfEmpty() {
	if x.peerless() {
		*x.ports = nil
		*x.entities = api.EntitySlice{api.EntityNone}
	}
}

func entityNames(entities api.EntitySlice) string {
	names := make([]string, len(entities))
	for i, e := range entities {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

// entityMeaning says whom an entity includes; empty: one kind of peer only. See
// Documentation/security/policy/language.rst, "Entities based".
func entityMeaning(e api.Entity) string {
	switch e {
	case api.EntityAll:
		return "everybody, inside and outside the cluster"
	case api.EntityCluster:
		return "every pod and node of the cluster"
	case api.EntityWorld, api.EntityWorldIPv4, api.EntityWorldIPv6:
		return "everything outside the cluster"
	case api.EntityHost:
		return "the pod's own node and the pods in its network"
	case api.EntityRemoteNode:
		return "the other nodes and the pods in their networks"
	}
	return ""
}

// emptyCiliumRules: a rule that says nothing, until it allows everybody.
func (r *recognizer) emptyCiliumRules(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if !x.empty() || !r.selects(p, x.of, r.subject(x.d)) {
			return true
		}
		return yield(repair{
			mistake: emptyAllowsNobody, object: p.Object, field: x.path,
			change:  r.edited(p, i, func(x *ciliumRule) { *x.entities = api.EntitySlice{api.EntityAll} }),
			message: fmt.Sprintf("%s has an empty %s rule. In a Cilium policy such a rule allows nobody; it only closes the direction.", p.Ref(), x.d),
		})
	})
}

// emptyEndpoints: an empty selector of peers, until it is gone.
func (r *recognizer) emptyEndpoints(p *ciliumPolicy, yield func(repair) bool) bool {
	if !p.fromThisTask || len(r.meantPorts()) > 0 {
		return true
	}
	return p.each(func(i int, x *ciliumRule) bool {
		for j, s := range *x.endpoints {
			if s.LabelSelector == nil || len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
				continue
			}
			if !yield(repair{
				mistake: emptyOrMissing, object: p.Object,
				change: r.edited(p, i, func(x *ciliumRule) {
					*x.endpoints = without(*x.endpoints, j)
					x.closeIfEmpty()
				}),
				field:   x.endpointField(j),
				message: fmt.Sprintf("%s: An empty selector selects every pod where the rule looks.", p.Ref()),
			}) {
				return false
			}
		}
		return true
	})
}

// ciliumServicePorts: a rule with the number that the Service listens on, until it names the pod's.
func (r *recognizer) ciliumServicePorts(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		for j, rule := range *x.ports {
			for k, port := range rule.Ports {
				for app, svc := range r.ciliumServicesAt(p, x, port.Port) {
					if !yield(repair{
						mistake: servicePort, object: p.Object, field: fmt.Sprintf("%s.toPorts[%d].ports[%d]", x.path, j, k),
						change: r.edited(p, i, func(x *ciliumRule) { (*x.ports)[j].Ports[k].Port = fmt.Sprint(svc.TargetPort) }),
						message: fmt.Sprintf("%s names port %d. That is the port of the Service %s; its pods listen on another.",
							p.Ref(), svc.Port, app.Service),
					}) {
						return false
					}
				}
			}
		}
		return true
	})
}

// ciliumServicesAt is servicesAt for a rule of Cilium's kinds.
func (r *recognizer) ciliumServicesAt(p *ciliumPolicy, x *ciliumRule, number string) iter.Seq2[*labs.App, labs.Port] {
	n, _ := strconv.Atoi(number)
	return r.services(n, func(who endpoint) bool {
		if x.d == ingress {
			return r.selects(p, x.of, who)
		}
		return x.peerless() || slices.ContainsFunc(*x.endpoints, func(s api.EndpointSelector) bool {
			here, _ := r.covers(p, s, who)
			return here
		})
	})
}

// otherCiliumProtocols: otherProtocols for Cilium's kinds.
func (r *recognizer) otherCiliumProtocols(p *ciliumPolicy, yield func(repair) bool) bool {
	if r.lookUp() {
		return true // see ciliumDNSProtocols
	}
	protocol := api.L4Proto(cmp.Or(r.Probe.To.Protocol, string(api.ProtoTCP)))
	return p.each(func(i int, x *ciliumRule) bool {
		for j, rule := range *x.ports {
			for k, port := range rule.Ports {
				if port.Protocol == "" || port.Protocol == api.ProtoAny || port.Protocol == protocol {
					continue
				}
				if !yield(repair{
					mistake: wrongProtocol, object: p.Object, field: fmt.Sprintf("%s.toPorts[%d].ports[%d]", x.path, j, k),
					change:  r.edited(p, i, func(x *ciliumRule) { (*x.ports)[j].Ports[k].Protocol = protocol }),
					message: fmt.Sprintf("%s allows the port over %s; the connection is over %s.", p.Ref(), port.Protocol, protocol),
				}) {
					return false
				}
			}
		}
		return true
	})
}

// ciliumDNSProtocols: port 53 for one protocol, until it is for all.
func (r *recognizer) ciliumDNSProtocols(p *ciliumPolicy, yield func(repair) bool) bool {
	if !r.lookUp() {
		return true
	}
	return p.each(func(i int, x *ciliumRule) bool {
		for j, rule := range *x.ports {
			for k, port := range rule.Ports {
				m := dnsOnlyTCP
				switch {
				case x.d == ingress || port.Port != "53":
					continue
				case port.Protocol == api.ProtoUDP:
					m = dnsOnlyUDP
				case port.Protocol != api.ProtoTCP:
					continue
				}
				if !yield(repair{
					mistake: m, object: p.Object, field: fmt.Sprintf("%s.toPorts[%d].ports[%d]", x.path, j, k),
					change:  r.edited(p, i, func(x *ciliumRule) { (*x.ports)[j].Ports[k].Protocol = api.ProtoAny }),
					message: fmt.Sprintf("%s allows port 53 over %s only.", p.Ref(), port.Protocol),
				}) {
					return false
				}
			}
		}
		return true
	})
}

// unlearnedNames: toFQDNs in a policy whose pods look names up past Cilium's DNS proxy, until a DNS rule sends them there.
func (r *recognizer) unlearnedNames(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if x.fqdns == nil || len(*x.fqdns) == 0 || r.seesLookUps() {
			return true
		}
		return yield(repair{
			mistake: fqdnsWithoutDNS, object: p.Object, field: x.path + ".toFQDNs",
			change: r.edited(p, i, func(x *ciliumRule) {
				ask := api.EgressRule{ToPorts: api.PortRules{{
					Ports: []api.PortProtocol{{Port: "53", Protocol: api.ProtoAny}},
					Rules: &api.L7Rules{DNS: api.PortRulesDNS{{MatchPattern: "*"}}},
				}}}
				ask.ToEndpoints = []api.EndpointSelector{selectorFor(p, nameServer())}
				x.of.Egress = append(slices.Clip(x.of.Egress), ask)
			}),
			message: fmt.Sprintf("%s allows addresses by name (toFQDNs). Cilium learns which addresses a name has from look-ups that a rule with `rules.dns` allows, and no such rule allows this one.",
				p.Ref()),
		})
	})
}

// seesLookUps reports whether some rule sends look-ups of the client through Cilium's DNS proxy, for whatever names.
func (r *recognizer) seesLookUps() bool {
	return r.hasCiliumRule(egress, r.client, func(x *ciliumRule) bool {
		return slices.ContainsFunc(*x.ports, func(ports api.PortRule) bool { return ports.Rules != nil && len(ports.Rules.DNS) > 0 })
	})
}

// narrowRequests: a list of requests or names that does not include this one, until it includes all.
func (r *recognizer) narrowRequests(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		for j, rule := range *x.ports {
			if rule.Rules == nil {
				continue
			}
			what, all := "http", &api.L7Rules{HTTP: api.PortRulesHTTP{{}}}
			if len(rule.Rules.DNS) > 0 {
				what, all = "dns", &api.L7Rules{DNS: api.PortRulesDNS{{MatchPattern: "*"}}}
			}
			if !yield(repair{
				mistake: requestsTooNarrow, object: p.Object, field: fmt.Sprintf("%s.toPorts[%d].rules", x.path, j),
				change:  r.edited(p, i, func(x *ciliumRule) { (*x.ports)[j].Rules = all }),
				message: fmt.Sprintf("%s lists requests under `rules.%s`. What is not on the list is rejected, and this request is not on it.", p.Ref(), what),
			}) {
				return false
			}
		}
		return true
	})
}

// nodeSelectors: a policy about nodes, until it is about the pods with these labels.
func (r *recognizer) nodeSelectors(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if s := x.of.NodeSelector; s.LabelSelector == nil {
			return true
		} else if here, _ := r.covers(p, s, r.subject(x.d)); !here {
			return true
		}
		return yield(repair{
			mistake: nodesForPods, whole: true, object: p.Object, field: x.specPath() + ".nodeSelector",
			change: r.edited(p, i, func(x *ciliumRule) {
				x.of.EndpointSelector, x.of.NodeSelector = x.of.NodeSelector, api.EndpointSelector{}
			}),
			message: fmt.Sprintf("%s has a nodeSelector, so it is about nodes and governs no pod.", p.Ref()),
		})
	})
}

// disabledDefaultDeny: a policy that leaves a direction open by enableDefaultDeny, until it closes it.
func (r *recognizer) disabledDefaultDeny(p *ciliumPolicy, yield func(repair) bool) bool {
	return p.each(func(i int, x *ciliumRule) bool {
		if on := x.defaultDeny(); *on == nil || **on {
			return true
		}
		return yield(repair{
			mistake: defaultDenyOff, object: p.Object, field: x.specPath() + ".enableDefaultDeny",
			change: r.edited(p, i, func(x *ciliumRule) {
				closed := true
				*x.defaultDeny() = &closed
			}),
			message: fmt.Sprintf("%s sets enableDefaultDeny.%s to false, so its rules close nothing.", p.Ref(), x.d),
		})
	})
}

func (x *ciliumRule) defaultDeny() **bool {
	if x.d == ingress {
		return &x.of.EnableDefaultDeny.Ingress
	}
	return &x.of.EnableDefaultDeny.Egress
}

// each goes through the rules until one returns false.
func (p *ciliumPolicy) each(visit func(i int, x *ciliumRule) bool) bool {
	for i, x := range p.rules {
		if !visit(i, x) {
			return false
		}
	}
	return true
}
