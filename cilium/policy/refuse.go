package policy

import (
	"github.com/cilium/cilium/pkg/policy/api"
)

// refuseUnmodelled notes every part of the rule that the engine has no model of. Evaluating the rest
// would be a guess.
func (c *compiler) refuseUnmodelled(path string, r *api.Rule) {
	for _, p := range ruleParts(path, r) {
		if p.in != nil {
			c.refuseIngress(p.path, p.in)
		} else {
			c.refuseEgress(p.path, p.out)
		}
		if p.deny && p.out != nil && len(p.out.ToServices) > 0 {
			// Cilium never resolves these: with toPorts such a rule denies every destination.
			c.notModelled(p.path+".toServices", "toServices in a deny rule (which Cilium does not resolve)")
		}
		if a := p.auth; a != nil && a.Mode != api.AuthenticationModeDisabled {
			c.notModelled(p.path+".authentication", "mutual authentication (mode "+string(a.Mode)+")")
		}
		c.refusePorts(p.path, p.toPorts)
	}
}

func (c *compiler) refuseIngress(path string, r *api.IngressCommonRule) {
	if len(r.FromGroups) > 0 {
		c.notModelled(path+".fromGroups", "fromGroups (addresses that a cloud provider supplies)")
	}
	if len(r.FromRequires) > 0 {
		c.notModelled(path+".fromRequires", "fromRequires")
	}
	if len(r.FromNodes) > 0 {
		c.notModelled(path+".fromNodes", "fromNodes (node labels as identities, which Cilium leaves off by default)")
	}
}

func (c *compiler) refuseEgress(path string, r *api.EgressCommonRule) {
	if len(r.ToGroups) > 0 {
		c.notModelled(path+".toGroups", "toGroups (addresses that a cloud provider supplies)")
	}
	if len(r.ToRequires) > 0 {
		c.notModelled(path+".toRequires", "toRequires")
	}
	if len(r.ToNodes) > 0 {
		c.notModelled(path+".toNodes", "toNodes (node labels as identities, which Cilium leaves off by default)")
	}
}

func (c *compiler) refusePorts(path string, rules api.PortRules) {
	for i := range rules {
		r := &rules[i]
		if r.Listener == nil && r.TerminatingTLS == nil && r.OriginatingTLS == nil && r.Rules == nil {
			continue
		}
		at := index(path+".toPorts", i)
		if r.Listener != nil {
			c.notModelled(at+".listener", "a redirect to a custom Envoy listener")
		}
		if r.TerminatingTLS != nil {
			c.notModelled(at+".terminatingTLS", "TLS interception")
		}
		if r.OriginatingTLS != nil {
			c.notModelled(at+".originatingTLS", "TLS origination")
		}
		if r.Rules == nil {
			continue
		}
		for j := range r.Rules.HTTP {
			for k, h := range r.Rules.HTTP[j].HeaderMatches {
				if h.Secret != nil {
					c.notModelled(index(index(at+".rules.http", j)+".headerMatches", k)+".secret",
						"a header value from a Secret")
				}
			}
		}
	}
}
