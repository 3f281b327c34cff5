package class

import (
	"fmt"
	"io"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
)

// writeProbeText writes a paragraph a probe, for people, and the warnings.
func writeProbeText(w io.Writer, probes []policy.Probe, judge func(policy.Probe) (policy.Result, error),
	warnings []policy.Warning) error {
	for _, p := range probes {
		r, err := judge(p)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%-10s %s\n", r.Verdict, describeProbe(&r.Probe))
		describeResult(&b, &r)
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	for i := range warnings {
		if _, err := fmt.Fprintf(w, "warning: %s\n", &warnings[i]); err != nil {
			return err
		}
	}
	return nil
}

func describeProbe(p *policy.Probe) string {
	s := p.From + " → " + p.To
	protocol := p.Protocol
	if protocol == "" {
		protocol = "TCP"
	}
	switch {
	case p.ICMPType != nil:
		s += fmt.Sprintf(" %s type %d", protocol, *p.ICMPType)
	case p.Port != 0:
		s += fmt.Sprintf(" %d/%s", p.Port, protocol)
	default:
		s += " " + protocol
	}
	if p.HTTP != nil {
		s += " " + strings.TrimSpace(p.HTTP.Method+" "+p.HTTP.Host+p.HTTP.Path)
	}
	if p.DNSQuery != "" {
		s += " query " + p.DNSQuery
	}
	return s
}

const probeIndent = "           "

func describeResult(b *strings.Builder, r *policy.Result) {
	if r.Reason != "" {
		fmt.Fprintf(b, "%s%s\n", probeIndent, r.Reason)
	}
	if r.DNS != nil {
		fmt.Fprintf(b, "%sDNS lookup: %s %s\n", probeIndent, r.DNS.Verdict, describeProbe(&r.DNS.Probe))
		describeResult(b, r.DNS)
	}
	describeSide(b, "egress of", r.Egress)
	describeSide(b, "ingress of", r.Ingress)
	for i := range r.Backends {
		backend := &r.Backends[i]
		fmt.Fprintf(b, "%sbackend %s %s\n", probeIndent, backend.Verdict, describeProbe(&backend.Probe))
		describeResult(b, backend)
	}
}

func describeSide(b *strings.Builder, what string, s *policy.Side) {
	if s == nil {
		return
	}
	fmt.Fprintf(b, "%s%s %s: ", probeIndent, what, s.Endpoint)
	switch s.Decision {
	case policy.ByAllow:
		fmt.Fprintf(b, "allowed by %s", describeRule(s.Rule))
	case policy.ByDeny:
		fmt.Fprintf(b, "denied by %s", describeRule(s.Rule))
	case policy.ByL7:
		fmt.Fprintf(b, "%s by the proxy of %s", s.Verdict, describeRule(s.Rule))
	case policy.ByDefaultDeny:
		isolating := make([]string, len(s.Isolating))
		for i := range s.Isolating {
			isolating[i] = describeRule(&s.Isolating[i])
		}
		if s.MoreIsolating > 0 {
			isolating = append(isolating, fmt.Sprintf("and %d more", s.MoreIsolating))
		}
		fmt.Fprintf(b, "no rule allows it; isolated by %s", strings.Join(isolating, ", "))
	case policy.ByDefault:
		b.WriteString("allowed, no policy applies")
	case policy.ByHost:
		b.WriteString("allowed, a pod's own node always has access")
	default:
		fmt.Fprintf(b, "%s (%s)", s.Verdict, s.Decision)
	}
	b.WriteByte('\n')
	for _, n := range s.Near {
		fmt.Fprintf(b, "%s  near: %s: %s\n", probeIndent, describeRule(&n.RuleRef), n.Why)
	}
	if s.MoreNear > 0 {
		fmt.Fprintf(b, "%s  and %d more rules that do not match\n", probeIndent, s.MoreNear)
	}
}

func describeRule(r *policy.RuleRef) string {
	if r == nil {
		return "a rule"
	}
	s := r.Policy.String()
	if r.Rule != "" {
		s += " " + r.Rule
	}
	if r.File != "" {
		s += fmt.Sprintf(" (%s:%d)", r.File, r.Line)
	}
	return s
}
