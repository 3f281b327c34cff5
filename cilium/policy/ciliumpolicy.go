package policy

import (
	"cmp"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	ciliumutils "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/utils"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// ciliumPolicy compiles a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy. Cilium's own parsers turn
// each rule into entries, in the order ingress, ingressDeny, egress, egressDeny; that order tells where in
// the YAML an entry comes from.
func (c *compiler) ciliumPolicy(v *manifest.CiliumNetworkPolicy) {
	if v.Spec == nil && v.Specs == nil {
		c.problem("spec", "the policy has neither spec nor specs")
		return
	}
	if problems := CheckPatterns([]*manifest.Object{c.obj}); len(problems) > 0 {
		c.problems = append(c.problems, problems...)
		return
	}
	if v.Spec != nil {
		c.ciliumRule("spec", v.Spec)
	}
	for i, r := range v.Specs {
		if path := "specs[" + strconv.Itoa(i) + "]"; r == nil {
			c.problem(path, "the rule is empty")
		} else {
			c.ciliumRule(path, r)
		}
	}
}

// ciliumRule compiles one rule.
func (c *compiler) ciliumRule(path string, written *api.Rule) {
	before := len(c.problems)
	c.refuseUnmodelled(path, written)
	r := written.DeepCopy() // Sanitize changes it
	if err := r.Sanitize(); err != nil {
		c.refused(path, written, err)
	} else if c.obj.Namespace != "" && r.NodeSelector.LabelSelector != nil {
		c.problem(path+".nodeSelector",
			"a CiliumNetworkPolicy cannot have a nodeSelector, only a CiliumClusterwideNetworkPolicy can")
		c.hint("for pods write endpointSelector; for nodes write kind: CiliumClusterwideNetworkPolicy, without a namespace")
	}
	if len(c.problems) > before {
		return
	}
	r = ciliumutils.ParseToCiliumRule(slog.New(slog.DiscardHandler), c.cfg.ClusterName, c.obj.Namespace,
		c.obj.Name, "", r)
	entries := policyutils.RulesToPolicyEntries(api.Rules{r})
	parts := ruleParts(path, r)
	if len(entries) != len(parts) {
		c.problem(path, "the rule has %d parts and became %d entries", len(parts), len(entries))
		return
	}
	subjectText := r.EndpointSelector.LabelSelector
	if r.NodeSelector.LabelSelector != nil {
		subjectText = r.NodeSelector.LabelSelector
	}
	for i, in := range entries {
		part := parts[i]
		e := &rule{
			path: part.path, ingress: in.Ingress, node: in.Node, defaultDeny: in.DefaultDeny, verdict: in.Verdict,
			tier: in.Tier, priority: in.Priority, subject: in.Subject, subjectText: subjectText,
		}
		e.ports = c.ciliumPorts(part, in.L4)
		e.allPorts = len(in.L4) == 0
		services := part.services()
		switch {
		case len(services) > 0:
			e.unresolved = true
			for j := range services {
				e.peers = append(e.peers, peer{
					path: index(part.path+".toServices", j), kind: peerService, service: &services[j],
				})
			}
		case in.L3 == nil:
			// An empty list of peers selects none.
		case len(in.L3) == 0:
			e.anyPeer = len(in.L4) > 0 // without ports, a rule that names nothing allows nothing
		default:
			e.peers = c.ciliumPeers(part, in.L3)
			for j := range e.peers {
				e.unresolved = e.unresolved || e.peers[j].kind == peerGroup
			}
		}
		c.add(e)
	}
}

// blame returns the path of the part of a rule that Cilium does not take, or of the rule if each part is
// right by itself.
func blame(path string, r *api.Rule) string {
	for _, p := range ruleParts(path, r) {
		one := &api.Rule{EndpointSelector: r.EndpointSelector, NodeSelector: r.NodeSelector}
		switch i := p.index; {
		case p.in != nil && !p.deny:
			one.Ingress = r.Ingress[i : i+1]
		case p.in != nil:
			one.IngressDeny = r.IngressDeny[i : i+1]
		case !p.deny:
			one.Egress = r.Egress[i : i+1]
		default:
			one.EgressDeny = r.EgressDeny[i : i+1]
		}
		if one.DeepCopy().Sanitize() != nil {
			return p.path
		}
	}
	return path
}

// refused reports what Cilium does not take in a rule: a port at its own field and without Cilium's words, which quote
// the function that failed.
func (c *compiler) refused(path string, written *api.Rule, err error) {
	part := blame(path, written)
	m := parsedPort.FindStringSubmatch(err.Error())
	if m == nil {
		c.problem(part, "%v", err)
		c.hint(sanitizeHint(err))
		return
	}
	for _, p := range ruleParts(path, written) {
		if p.path == part {
			part = p.portField(m[1])
			break
		}
	}
	c.problem(part, "%q is no port, which is a number up to 65535 or a name", m[1])
	c.hint(manifest.PortHint(m[1]))
}

// portField is the path of the first port with this text, or of the part if that is not in an allow rule.
func (p *part) portField(text string) string {
	for i, rule := range p.toPorts {
		for j := range rule.Ports {
			if rule.Ports[j].Port == text {
				return index(index(p.path+".toPorts", i)+".ports", j) + ".port"
			}
		}
	}
	return p.path
}

// parsedPort finds the text in Cilium's error about a port.
var parsedPort = regexp.MustCompile(`^unable to parse port: .*parsing "([^"]+)"`)

// sanitizeHint adds to Cilium's words what to write instead.
func sanitizeHint(err error) string {
	if strings.Contains(err.Error(), "L7 rules can only apply to TCP") {
		return "write protocol: TCP for each port in the rule's toPorts; without it a port is of any protocol"
	}
	if strings.Contains(err.Error(), "must have at least one of Ingress") {
		return "an empty list is no rule; to close a direction, write one empty rule: ingress: [{}]"
	}
	return ""
}

// part is one item of a rule's ingress, ingressDeny, egress or egressDeny; in or out is set.
type part struct {
	path    string
	index   int // in its list
	deny    bool
	in      *api.IngressCommonRule
	out     *api.EgressCommonRule
	fqdns   []api.FQDNSelector
	auth    *api.Authentication
	toPorts api.PortRules // of an allow rule
	ports   int           // toPorts items; icmps follow them in the entry
}

func (p *part) services() []api.Service {
	if p.out == nil {
		return nil
	}
	return p.out.ToServices
}

// ruleParts lists the parts of a rule in the order in which they become entries.
func ruleParts(path string, r *api.Rule) []part {
	parts := make([]part, 0, len(r.Ingress)+len(r.IngressDeny)+len(r.Egress)+len(r.EgressDeny))
	for i := range r.Ingress {
		x := &r.Ingress[i]
		parts = append(parts, part{
			path: index(path+".ingress", i), index: i, in: &x.IngressCommonRule, auth: x.Authentication,
			toPorts: x.ToPorts, ports: len(x.ToPorts),
		})
	}
	for i := range r.IngressDeny {
		x := &r.IngressDeny[i]
		parts = append(parts, part{
			path: index(path+".ingressDeny", i), index: i, deny: true, in: &x.IngressCommonRule, ports: len(x.ToPorts),
		})
	}
	for i := range r.Egress {
		x := &r.Egress[i]
		parts = append(parts, part{
			path: index(path+".egress", i), index: i, out: &x.EgressCommonRule, fqdns: x.ToFQDNs,
			auth: x.Authentication, toPorts: x.ToPorts, ports: len(x.ToPorts),
		})
	}
	for i := range r.EgressDeny {
		x := &r.EgressDeny[i]
		parts = append(parts, part{
			path: index(path+".egressDeny", i), index: i, deny: true, out: &x.EgressCommonRule, ports: len(x.ToPorts),
		})
	}
	return parts
}

// pairing takes the selectors of an entry one by one, to pair them with the fields that they come from. Cilium lists
// them by field, so that order is all that connects the two.
type pairing struct {
	left   types.Selectors
	failed bool
}

// takeSelector takes the next selector, which has to be of type T.
func takeSelector[T types.Selector](p *pairing) T {
	var sel T
	ok := len(p.left) > 0
	if ok {
		sel, ok = p.left[0].(T)
		p.left = p.left[1:]
	}
	p.failed = p.failed || !ok
	return sel
}

// ciliumPeers compiles the peers of a part and pairs them with Cilium's selectors. If a selector is left over or
// missing, Cilium knows a field that this package does not, or lists them in another order: the part is refused,
// since a selector too few would deny what Cilium allows.
func (c *compiler) ciliumPeers(p part, l3 types.Selectors) []peer {
	selectors := &pairing{left: l3}
	var peers []peer
	if in := p.in; in != nil {
		peers = append(peers, labelPeers(selectors, p.path+".fromEndpoints", in.FromEndpoints)...)
		peers = append(peers, labelPeers(selectors, p.path+".fromNodes", in.FromNodes)...)
		peers = append(peers, entityPeers(selectors, p.path+".fromEntities", in.FromEntities)...)
		peers = append(peers, c.cidrPeers(selectors, p.path+".fromCIDR", in.FromCIDR)...)
		peers = append(peers, c.cidrSetPeers(selectors, p.path+".fromCIDRSet", in.FromCIDRSet)...)
	} else {
		peers = append(peers, labelPeers(selectors, p.path+".toEndpoints", p.out.ToEndpoints)...)
		peers = append(peers, labelPeers(selectors, p.path+".toNodes", p.out.ToNodes)...)
		peers = append(peers, entityPeers(selectors, p.path+".toEntities", p.out.ToEntities)...)
		peers = append(peers, c.cidrPeers(selectors, p.path+".toCIDR", p.out.ToCIDR)...)
		peers = append(peers, c.cidrSetPeers(selectors, p.path+".toCIDRSet", p.out.ToCIDRSet)...)
		peers = append(peers, c.fqdnPeers(selectors, p.path+".toFQDNs", p.fqdns)...)
	}
	if selectors.failed || len(selectors.left) > 0 {
		c.problem(p.path,
			"Cilium makes %d selectors of the rule's peers, and they do not correspond to the %d that labctl expects", len(l3), len(peers))
	}
	return peers
}

func labelPeers(from *pairing, path string, selectors []api.EndpointSelector) []peer {
	peers := make([]peer, len(selectors))
	for i := range selectors {
		sel := takeSelector[*types.LabelSelector](from)
		peers[i] = peer{
			path: index(path, i), kind: peerLabels, selector: sel, text: selectors[i].LabelSelector,
			allPods: sel != nil && selectsAllPods(sel),
		}
	}
	return peers
}

// entityPeers: an entity may become several selectors.
func entityPeers(from *pairing, path string, entities api.EntitySlice) []peer {
	var peers []peer
	for i, entity := range entities {
		for _, es := range api.EntitySelectorMapping[entity] {
			sel := takeSelector[*types.LabelSelector](from)
			peers = append(peers, peer{
				path: index(path, i), kind: peerLabels, selector: sel, text: es.LabelSelector, entity: entity,
			})
		}
	}
	return peers
}

func (c *compiler) cidrPeers(from *pairing, path string, cidrs api.CIDRSlice) []peer {
	peers := make([]peer, len(cidrs))
	for i, s := range cidrs {
		takeSelector[*types.CIDRSelector](from)
		prefix, err := parsePrefix(string(s))
		if err != nil {
			c.problem(index(path, i), "%v", err)
		}
		peers[i] = peer{path: index(path, i), kind: peerCIDR, prefix: prefix}
	}
	return peers
}

func (c *compiler) cidrSetPeers(from *pairing, path string, rules api.CIDRRuleSlice) []peer {
	peers := make([]peer, len(rules))
	for i := range rules {
		takeSelector[*types.CIDRSelector](from)
		peers[i] = c.cidrRule(index(path, i), &rules[i])
	}
	return peers
}

func (c *compiler) fqdnPeers(from *pairing, path string, names []api.FQDNSelector) []peer {
	peers := make([]peer, len(names))
	for i, s := range names {
		takeSelector[*types.FQDNSelector](from)
		re, err := s.ToRegex()
		if err != nil {
			c.problem(index(path, i), "%v", err)
		}
		peers[i] = peer{path: index(path, i), kind: peerFQDN, fqdn: re, pattern: cmp.Or(s.MatchName, s.MatchPattern)}
	}
	return peers
}

func (c *compiler) cidrRule(path string, r *api.CIDRRule) peer {
	p := peer{path: path, kind: peerCIDR}
	var except []netip.Prefix
	for i, s := range r.ExceptCIDRs {
		prefix, err := parsePrefix(string(s))
		if err != nil {
			c.problem(index(path+".except", i), "%v", err)
		}
		except = append(except, prefix)
	}
	p.except = newAddresses(except)
	switch {
	case r.CIDRGroupRef != "":
		p.kind, p.groupBy = peerGroup, &groupRef{name: string(r.CIDRGroupRef)}
	case r.CIDRGroupSelector.LabelSelector != nil:
		p.kind, p.groupBy = peerGroup, &groupRef{selector: plainKeys(r.CIDRGroupSelector.LabelSelector)}
	default:
		var err error
		if p.prefix, err = parsePrefix(string(r.Cidr)); err != nil {
			c.problem(path+".cidr", "%v", err)
		}
	}
	return p
}

// ciliumPorts compiles the ports of a part: those of toPorts, then the types of icmps.
func (c *compiler) ciliumPorts(p part, rules api.PortRules) []port {
	var out []port
	for i := range rules {
		r := &rules[i]
		path := func() string { return index(p.path+".toPorts", i) }
		if i >= p.ports {
			path = func() string { return index(p.path+".icmps", i-p.ports) }
		}
		l := c.l7(path, r)
		if l != nil {
			var m patternMeter
			m.ports(rules[i : i+1])
			l.size = m.size
		}
		for _, pp := range r.Ports {
			one, err := parsePort(pp)
			if err != nil {
				c.problem(path(), "%v", err)
			}
			one.l7 = l
			out = append(out, one)
		}
	}
	return out
}

// l7 compiles what a port rule asks of the requests; nil if nothing.
func (c *compiler) l7(path func() string, r *api.PortRule) *l7 {
	if len(r.ServerNames) > 0 {
		out := &l7{}
		for i, name := range r.ServerNames {
			rule, err := newSNIRule(string(name))
			if err != nil {
				c.problem(index(path()+".serverNames", i), "%v", err)
			}
			out.sni = append(out.sni, rule)
		}
		return out
	}
	if r.Rules == nil {
		return nil
	}
	switch {
	case len(r.Rules.HTTP) > 0:
		out := &l7{}
		for i := range r.Rules.HTTP {
			rule, err := newHTTPRule(&r.Rules.HTTP[i])
			if err != nil {
				c.problem(index(path()+".rules.http", i), "%v", err)
			}
			out.http = append(out.http, rule)
		}
		return out
	case len(r.Rules.DNS) > 0:
		out := &l7{}
		for i := range r.Rules.DNS {
			rule, err := newDNSRule(api.FQDNSelector(r.Rules.DNS[i]))
			if err != nil {
				c.problem(index(path()+".rules.dns", i), "%v", err)
			}
			out.dns = append(out.dns, rule)
		}
		return out
	}
	return nil
}

// plainKeys returns the selector without the source prefixes of its keys, to match it against the labels
// of an object.
func plainKeys(s *slimv1.LabelSelector) *slimv1.LabelSelector {
	out := &slimv1.LabelSelector{MatchLabels: map[string]string{}}
	for k, v := range s.MatchLabels {
		out.MatchLabels[keyOf(k)] = v
	}
	for _, r := range s.MatchExpressions {
		r.Key = keyOf(r.Key)
		out.MatchExpressions = append(out.MatchExpressions, r)
	}
	return out
}
