package main

import (
	"cmp"
	"iter"
	"regexp"
	"slices"
	"strings"

	cilium "github.com/cilium/proxy/go/cilium/api"
	envoyroutev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/cilium/cilium/pkg/envoy"
	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/cilium/pkg/fqdn/restore"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/policy"
	ciliumtypes "github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"
	"net/netip"
)

// redirect is the kind of proxy that a map entry sends a connection to; it stands in for the proxy's port.
type redirect uint16

const (
	noRedirect redirect = iota
	toEnvoy
	toDNSProxy
)

// proxies is what an endpoint's policy told the proxies.
type proxies struct {
	ingress, egress []*cilium.PortNetworkPolicy
	dns             *dnsproxy.DNSProxy
}

// redirects lists the redirects that the endpoint's policy wants, keyed as the endpoint manager keys
// them. The first filter of a port and protocol makes the redirect; that is the one whose rules the DNS
// proxy gets.
func (e *endpoint) redirects(p policy.SelectorPolicy) map[string]uint16 {
	out := map[string]uint16{}
	for filter, tuple := range p.RedirectFilters() {
		kind := toEnvoy
		if tuple.Policy.L7Parser == policy.ParserTypeDNS {
			kind = toDNSProxy
		}
		for port := range e.redirectPorts(p, filter) {
			id := policy.ProxyID(uint16(e.id), filter.Ingress, string(filter.Protocol), port,
				tuple.Policy.GetListener())
			if _, ok := out[id]; ok {
				continue
			}
			out[id] = uint16(kind)
			if kind == toDNSProxy {
				if e.dns == nil {
					e.dns = dnsproxy.NewDNSProxy(dnsproxy.DNSProxyConfig{
						Logger: discard, IPv4: true, IPv6: true,
					}, nil, nil)
				}
				// The patterns were validated with the policy; one that does not compile allows nothing.
				_, _ = e.dns.UpdateAllowed(e.id, restore.MakeV2PortProto(port, filter.U8Proto),
					filter.GetPerSelectorPolicies())
			}
		}
	}
	return out
}

func (e *endpoint) redirectPorts(p policy.SelectorPolicy, filter *policy.L4Filter) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		switch {
		case filter.Port != 0 || filter.PortName == "":
			yield(filter.Port)
		case filter.Ingress:
			if port := e.GetIngressNamedPort(filter.PortName, filter.U8Proto); port != 0 {
				yield(port)
			}
		default:
			for _, port := range p.GetEgressNamedPorts(filter.PortName, filter.U8Proto,
				filter.Identities(p.GetSelectorSnapshot())) {
				if !yield(port) {
					return
				}
			}
		}
	}
}

// program translates the policy for Envoy.
func (e *endpoint) program(p policy.SelectorPolicy, ingress, egress bool, l4 *policy.L4Policy) {
	named := func(name string, proto u8proto.U8proto, ids iter.Seq[identity.NumericIdentity]) ciliumtypes.NidPortSeq {
		return p.GetEgressNamedPorts(name, proto, ids)
	}
	n := envoy.GetNetworkPolicy(e, named, p.GetSelectorSnapshot(), nil, l4, ingress, egress, false, false, "",
		discard, translator)
	e.ingress, e.egress = n.IngressPerPortPolicies, n.EgressPerPortPolicies
}

// passes asks the proxy whether it forwards the request of a probe.
func (e *endpoint) passes(to redirect, ingress bool, peer identity.NumericIdentity, proto u8proto.U8proto, port uint16,
	p *Probe) bool {
	switch to {
	case toDNSProxy:
		if p.DNSQuery == "" {
			return true
		}
		ok, err := e.dns.CheckAllowed(e.id, restore.MakeV2PortProto(port, proto), peer, netip.Addr{}, p.DNSQuery)
		return ok && err == nil
	case toEnvoy:
		policies := e.egress
		if ingress {
			policies = e.ingress
		}
		rules := envoyRules(policies, port)
		switch {
		case p.TLSSNI != "":
			return rules.allow(func(r envoyRule) int { return r.verdictSNI(peer, p.TLSSNI) })
		case p.HTTP != nil:
			// The connection must pass without a server name, then the request.
			return rules.allow(func(r envoyRule) int { return r.verdictSNI(peer, "") }) &&
				(!rules.haveHTTP() || rules.allow(func(r envoyRule) int { return r.verdictHTTP(peer, p.HTTP) }))
		}
		return true // a connection alone: it is the proxy that answers
	}
	return true
}

// envoyRule is a PortNetworkPolicyRule in Envoy's order of evaluation.
type envoyRule struct {
	*cilium.PortNetworkPolicyRule
	rank int // deny, allow, pass
}

const (
	rankPass = iota
	rankAllow
	rankDeny
)

// envoyPort is what Envoy knows of a port: no list at all if no policy mentions it.
type envoyPort struct {
	rules []envoyRule
	known bool
}

// envoyRules puts the rules of a port together as Cilium's Envoy filter does (cilium/network_policy.cc
// of cilium/proxy): those of every range that holds the port and those of the wildcard port are
// alternatives in the order of their precedence.
func envoyRules(policies []*cilium.PortNetworkPolicy, port uint16) envoyPort {
	var out envoyPort
	add := func(p *cilium.PortNetworkPolicy) {
		if out.known && (len(p.Rules) == 0) != (len(out.rules) == 0) {
			out.rules = append(out.rules, envoyRule{&cilium.PortNetworkPolicyRule{}, rankAllow}) // no rules: everything
		}
		for _, r := range p.Rules {
			rank := rankAllow
			switch {
			case r.GetPassPrecedence() != 0:
				rank = rankPass
			case r.GetDeny():
				rank = rankDeny
			}
			out.rules = append(out.rules, envoyRule{r, rank})
		}
		out.known = true
	}
	for _, p := range policies {
		if p.Port != 0 && uint32(port) >= p.Port && uint32(port) <= max(p.Port, p.EndPort) {
			add(p)
		}
	}
	for _, p := range policies {
		if p.Port == 0 {
			add(p)
		}
	}
	slices.SortStableFunc(out.rules, func(a, b envoyRule) int {
		return cmp.Or(cmp.Compare(b.Precedence, a.Precedence), cmp.Compare(b.rank, a.rank))
	})
	return out
}

func (p envoyPort) haveHTTP() bool {
	return slices.ContainsFunc(p.rules, func(r envoyRule) bool { return r.GetHttpRules() != nil })
}

// allow goes through the rules in their order: the first that allows or denies decides, a pass goes on
// behind its tier. verdict is -1 for a rule that does not match.
func (p envoyPort) allow(verdict func(envoyRule) int) bool {
	if !p.known {
		return false
	}
	if len(p.rules) == 0 {
		return true
	}
	for i := 0; i < len(p.rules); {
		r := p.rules[i]
		switch verdict(r) {
		case rankPass:
			for i++; i < len(p.rules) && p.rules[i].Precedence >= r.GetPassPrecedence(); i++ {
			}
			continue
		case rankDeny:
			return false
		case rankAllow:
			return true
		}
		i++
	}
	return false
}

func (r envoyRule) verdict(peer identity.NumericIdentity) int {
	if len(r.RemotePolicies) > 0 && !slices.Contains(r.RemotePolicies, uint32(peer)) {
		return -1
	}
	return r.rank
}

func (r envoyRule) verdictHTTP(peer identity.NumericIdentity, request *HTTPProbe) int {
	verdict := r.verdict(peer)
	if http := r.GetHttpRules(); verdict == rankAllow && http != nil {
		if !slices.ContainsFunc(http.HttpRules, func(rule *cilium.HttpNetworkPolicyRule) bool {
			return requestMatches(rule, request)
		}) {
			return -1
		}
	}
	return verdict
}

func (r envoyRule) verdictSNI(peer identity.NumericIdentity, name string) int {
	if len(r.ServerNames) > 0 && !slices.ContainsFunc(r.ServerNames, func(pattern string) bool {
		return serverNameMatches(pattern, name)
	}) {
		return -1
	}
	return r.verdict(peer)
}

// serverNameMatches matches a name as Envoy's SniPattern does.
func serverNameMatches(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	switch {
	case name == "":
		return false
	case pattern == "*":
		pattern = "**"
	case !strings.Contains(pattern, "*"):
		return pattern == name
	}
	re, err := regexp.Compile("^(?:" + strings.NewReplacer(".", "[.]", "**", "[-a-z0-9_]+([.][-a-z0-9_]+)*", "*",
		"[-a-z0-9_]*").Replace(pattern) + ")$")
	return err == nil && re.MatchString(name)
}

// requestMatches matches a request against the header matchers that Cilium made of an HTTP rule.
func requestMatches(rule *cilium.HttpNetworkPolicyRule, request *HTTPProbe) bool {
	for _, m := range rule.Headers {
		value, present := headerOf(request, m.Name)
		if matched := headerMatches(m, value, present); matched == m.InvertMatch {
			return false
		}
	}
	// What is left in HeaderMatches is mended or logged by Envoy where it does not match, not refused.
	return true
}

func headerMatches(m *envoyroutev3.HeaderMatcher, value string, present bool) bool {
	if m.GetPresentMatch() {
		return present
	}
	text := m.GetStringMatch()
	if !present || text == nil {
		return false
	}
	if re := text.GetSafeRegex(); re != nil {
		compiled, err := regexp.Compile("^(?:" + re.Regex + ")$") // Envoy matches the whole value
		return err == nil && compiled.MatchString(value)
	}
	return value == text.GetExact()
}

func headerOf(request *HTTPProbe, name string) (string, bool) {
	switch name {
	case ":method":
		return cmp.Or(request.Method, "GET"), true
	case ":path":
		return cmp.Or(request.Path, "/"), true
	case ":authority":
		return request.Host, true
	}
	for k, v := range request.Headers {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}
