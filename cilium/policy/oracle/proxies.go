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
			id := policy.ProxyID(uint16(e.id), filter.Ingress, string(filter.Protocol), port, tuple.Policy.GetListener())
			if _, ok := out[id]; ok {
				continue
			}
			out[id] = uint16(kind)
			if kind == toDNSProxy {
				if e.dns == nil {
					e.dns = dnsproxy.NewDNSProxy(dnsproxy.DNSProxyConfig{Logger: discard, IPv4: true, IPv6: true}, nil, nil)
				}
				// The patterns were validated with the policy; one that does not compile allows nothing.
				_, _ = e.dns.UpdateAllowed(e.id, restore.MakeV2PortProto(port, filter.U8Proto), filter.GetPerSelectorPolicies())
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
			for _, port := range p.GetEgressNamedPorts(filter.PortName, filter.U8Proto, filter.Identities(p.GetSelectorSnapshot())) {
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
	n := envoy.GetNetworkPolicy(e, named, p.GetSelectorSnapshot(), nil, l4, ingress, egress, false, false, "", discard, translator)
	e.ingress, e.egress = n.IngressPerPortPolicies, n.EgressPerPortPolicies
}

// passes asks the proxy whether it forwards the request of a probe.
func (e *endpoint) passes(to redirect, ingress bool, peer identity.NumericIdentity, proto u8proto.U8proto, port uint16, p *Probe) bool {
	switch to {
	case toDNSProxy:
		if p.DNSQuery == "" {
			return true
		}
		ok, err := e.dns.CheckAllowed(e.id, restore.MakeV2PortProto(port, proto), peer, netip.Addr{}, p.DNSQuery)
		return ok && err == nil
	case toEnvoy:
		if p.HTTP == nil {
			return true
		}
		policies := e.egress
		if ingress {
			policies = e.ingress
		}
		return envoyAllows(policies, peer, port, p.HTTP)
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

// envoyAllows decides an HTTP request as Cilium's Envoy filter does (cilium/network_policy.cc of
// cilium/proxy): the rules of every range that holds the port, and the wildcard port's, are alternatives
// in the order of their precedence; a pass goes on behind its tier.
func envoyAllows(policies []*cilium.PortNetworkPolicy, peer identity.NumericIdentity, port uint16, request *HTTPProbe) bool {
	var rules []envoyRule
	initialized := false
	add := func(p *cilium.PortNetworkPolicy) {
		if initialized && (len(p.Rules) == 0) != (len(rules) == 0) {
			rules = append(rules, envoyRule{&cilium.PortNetworkPolicyRule{}, rankAllow}) // no rules: everything
		}
		for _, r := range p.Rules {
			rank := rankAllow
			switch {
			case r.GetPassPrecedence() != 0:
				rank = rankPass
			case r.GetDeny():
				rank = rankDeny
			}
			rules = append(rules, envoyRule{r, rank})
		}
		initialized = true
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
	if !initialized {
		return true // no HTTP rules on the port: the network layer has decided
	}
	if !slices.ContainsFunc(rules, func(r envoyRule) bool { return r.GetHttpRules() != nil }) {
		return true
	}
	slices.SortStableFunc(rules, func(a, b envoyRule) int {
		if c := cmp.Compare(b.Precedence, a.Precedence); c != 0 {
			return c
		}
		return cmp.Compare(b.rank, a.rank)
	})
	verdict, precedence := -1, uint32(0)
	for i := 0; i < len(rules); {
		r := rules[i]
		if verdict >= 0 && r.Precedence < precedence {
			break
		}
		switch got := r.verdict(peer, request); got {
		case rankPass:
			if verdict < 0 || precedence < r.Precedence {
				j := i + 1
				for j < len(rules) && rules[j].Precedence >= r.GetPassPrecedence() {
					j++
				}
				i = j
				continue
			}
		case rankDeny:
			return false
		case rankAllow:
			verdict, precedence = got, r.Precedence
		}
		i++
	}
	return verdict == rankAllow
}

func (r envoyRule) verdict(peer identity.NumericIdentity, request *HTTPProbe) int {
	if len(r.RemotePolicies) > 0 && !slices.Contains(r.RemotePolicies, uint32(peer)) {
		return -1
	}
	if http := r.GetHttpRules(); r.rank == rankAllow && http != nil {
		for _, rule := range http.HttpRules {
			if requestMatches(rule, request) {
				return rankAllow
			}
		}
		return -1
	}
	return r.rank
}

// requestMatches matches a request against the header matchers that Cilium made of an HTTP rule.
func requestMatches(rule *cilium.HttpNetworkPolicyRule, request *HTTPProbe) bool {
	for _, m := range rule.Headers {
		value, present := headerOf(request, m.Name)
		if matched := headerMatches(m, value, present); matched == m.InvertMatch {
			return false
		}
	}
	return len(rule.HeaderMatches) == 0 // the generator makes none that Envoy mends
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
