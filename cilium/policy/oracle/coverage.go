package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/cilium/cilium/pkg/iana"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
)

// coverage counts what happened in a run.
type coverage struct {
	cases, refused, unmodelled, probes int
	verdicts                           map[string]int
	decisions                          map[string]int
	features                           map[string]int // how many sides a rule with the feature decided
}

func newCoverage() *coverage {
	return &coverage{verdicts: map[string]int{}, decisions: map[string]int{}, features: map[string]int{}}
}

// count notes a judged probe.
func (c *coverage) count(p *Probe, e expected) {
	c.probes++
	c.verdicts[e.verdict]++
	all := e.backends
	if len(all) == 0 {
		all = []expected{e}
	}
	for _, e := range all {
		c.side("egress", p, e.egress)
		c.side("ingress", p, e.ingress)
	}
	kind, _, ok := strings.Cut(p.To, ":")
	if !ok {
		kind = "pod"
	}
	c.features["probe to "+kind]++
	if kind, _, ok := strings.Cut(p.From, ":"); ok {
		c.features["probe from "+kind]++
	}
}

func (c *coverage) side(direction string, p *Probe, s *side) {
	if s == nil {
		return
	}
	c.decisions[direction+" "+s.decision]++
	seen := map[string]bool{}
	for _, r := range s.rules {
		for _, f := range r.features() {
			seen[f] = true
		}
	}
	switch {
	case p.ICMPType != nil:
		seen["decided ICMP"] = len(s.rules) > 0
	case p.Protocol == "UDP" || p.Protocol == "SCTP":
		seen["decided "+p.Protocol] = len(s.rules) > 0
	}
	switch {
	case s.redirect == toEnvoy && p.HTTP != nil:
		seen["HTTP request judged: "+s.verdict] = true
	case s.redirect == toEnvoy && p.TLSSNI != "":
		seen["TLS server name judged: "+s.verdict] = true
	case s.redirect == toDNSProxy && p.DNSQuery != "":
		seen["DNS query judged: "+s.verdict] = true
	}
	for f, on := range seen {
		if on {
			c.features[f]++
		}
	}
}

// features names what a rule makes use of.
func (r ruleInfo) features() []string {
	e := r.entry
	kind := kindOf(r.object)
	out := []string{kind + " " + e.Verdict.String()}
	if !e.DefaultDeny && e.Tier == types.Normal {
		out = append(out, "enableDefaultDeny: false")
	}
	if e.Tier != types.Normal {
		tier := "Admin"
		if e.Tier == types.Baseline {
			tier = "Baseline"
		}
		out = append(out, tier+" tier "+e.Verdict.String())
	}
	spec, _ := r.object["spec"].(object)
	if spec == nil {
		out = append(out, "specs")
	}
	for _, sel := range e.L3 {
		switch s := sel.(type) {
		case *types.CIDRSelector:
			key := s.Key()
			switch {
			case strings.Contains(key, "except"):
				out = append(out, "CIDR with except")
			case strings.Contains(strings.ToLower(key), "group"):
				out = append(out, "CIDR group")
			default:
				out = append(out, "CIDR")
			}
		case *types.FQDNSelector:
			out = append(out, "toFQDNs")
		case *types.LabelSelector:
			switch key := s.Key(); {
			case s.IsWildcard():
				out = append(out, "any peer")
			case strings.Contains(key, "reserved"):
				out = append(out, "entity or reserved label")
			case strings.Contains(key, "namespace.labels"):
				out = append(out, "namespace labels")
			default:
				out = append(out, "pod labels")
			}
			for _, op := range []string{"NotIn", "DoesNotExist", "Exists", " In "} {
				if strings.Contains(s.Key(), op) {
					out = append(out, "operator "+strings.TrimSpace(op))
				}
			}
		}
	}
	if len(e.L3) == 0 && len(e.L4) > 0 {
		out = append(out, "any peer")
	}
	for _, rule := range e.L4 {
		switch {
		case len(rule.ServerNames) > 0:
			out = append(out, "server names")
		case rule.Rules == nil:
		case len(rule.Rules.HTTP) > 0:
			out = append(out, "HTTP rules")
		case len(rule.Rules.DNS) > 0:
			out = append(out, "DNS rules")
		}
		for _, p := range rule.Ports {
			switch {
			case p.Protocol == api.ProtoICMP || p.Protocol == api.ProtoICMPv6:
				out = append(out, "icmps")
			case iana.IsSvcName(p.Port):
				out = append(out, "named port")
			case p.EndPort > 0:
				out = append(out, "endPort")
			case p.Port == "0" || p.Port == "":
				out = append(out, "all ports of a protocol")
			default:
				out = append(out, "port")
			}
			if p.Protocol.IsAny() {
				out = append(out, "protocol ANY")
			}
		}
	}
	if len(e.L4) == 0 {
		out = append(out, "no ports")
	}
	if strings.Contains(mustText(r.object), "toServices") {
		out = append(out, "policy with toServices")
	}
	return out
}

func mustText(obj object) string {
	text, err := documents([]object{obj})
	if err != nil {
		return ""
	}
	return string(text)
}

// write prints the totals.
func (c *coverage) write(out io.Writer) {
	fmt.Fprintf(out, "%d cases, %d probes; %d cases refused by both, %d not modelled by labctl\n",
		c.cases, c.probes, c.refused, c.unmodelled)
	for _, v := range slices.Sorted(maps.Keys(c.verdicts)) {
		fmt.Fprintf(out, "  %-12s %5.1f %%\n", v, 100*float64(c.verdicts[v])/float64(max(1, c.probes)))
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "how a side was decided\tsides")
	for _, d := range slices.Sorted(maps.Keys(c.decisions)) {
		fmt.Fprintf(w, "  %s\t%d\n", d, c.decisions[d])
	}
	fmt.Fprintln(w, "sides that a rule with the feature decided\tsides")
	for _, f := range slices.Sorted(maps.Keys(c.features)) {
		fmt.Fprintf(w, "  %s\t%d\n", f, c.features[f])
	}
	w.Flush()
}
