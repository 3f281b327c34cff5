package grade

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// nearShown is how many rules that nearly matched an account names; programs find all in Why.Detail.
const nearShown = 3

// isolatingShown is how many policies that isolate an account names.
const isolatingShown = 5

// why accounts for a verdict.
func why(o *engine.Observation) *Why {
	w := &Why{Text: []string{}, Detail: o.Detail}
	if o.Detail != nil {
		w.Text = account(o.Detail, o.Probe.Want)
	}
	if o.At != "" {
		w.Text = append([]string{fmt.Sprintf("The connection with %s is %s.", o.At, o.Verdict)}, w.Text...)
	}
	if o.Flow != nil {
		w.Flow = o.Flow
		w.Text = append(w.Text, o.Flow.String())
	} else if o.Seen != "" {
		w.Text = append(w.Text, "The probe saw: "+o.Seen+".")
	}
	if len(o.Verdicts) > 1 {
		all := "replicas"
		if o.At != "" {
			all = "of them"
		}
		w.Text = append(w.Text, fmt.Sprintf("Not all %s agree: %s.", all, joinVerdicts(o.Verdicts)))
	}
	return w
}

func joinVerdicts(verdicts []verdict.Verdict) string {
	words := make([]string, len(verdicts))
	for i, v := range verdicts {
		words[i] = string(v)
	}
	return list(words)
}

// Account tells in sentences how a verdict came about, the side that decided first.
func Account(r *policy.Result) []string { return account(r, "") }

// lookUpDecides reports whether it is the look-up that an account has to explain.
func lookUpDecides(r *policy.Result, want verdict.Verdict) bool {
	return r.DNS != nil && (r.DNS.Verdict != verdict.Allowed || want == verdict.DNSFailed)
}

// account is Account where another verdict was wanted.
func account(r *policy.Result, want verdict.Verdict) []string {
	if lookUpDecides(r, want) {
		if r.DNS.Verdict == verdict.Allowed {
			text := []string{fmt.Sprintf("The name is looked up first, and the look-up at %s gets through.", connection(r.DNS.Probe))}
			return append(text, Account(r.DNS)...)
		}
		text := []string{fmt.Sprintf("The name is looked up first, and the look-up at %s fails (%s).", connection(r.DNS.Probe), r.DNS.Verdict)}
		return append(text, Account(r.DNS)...)
	}
	for i := range r.Backends {
		// The verdict of several addresses is the worst one's; that one is to be explained.
		if b := &r.Backends[i]; b.Verdict == r.Verdict && r.Egress == nil && r.Ingress == nil {
			return append([]string{fmt.Sprintf("Of the %d addresses behind %s, %s is %s.", len(r.Backends), r.To, b.To, b.Verdict)}, Account(b)...)
		}
	}
	var text []string
	if r.Reason != "" {
		text = append(text, sentence(r.Reason))
	}
	if r.Verdict == verdict.Allowed {
		if r.Egress != nil {
			text = append(text, permitted(r.Egress, "egress", "Egress from"))
		}
		if r.Ingress != nil {
			text = append(text, permitted(r.Ingress, "ingress", "Ingress to"))
		}
		return text
	}
	if r.Egress != nil && r.Egress.Verdict != verdict.Allowed {
		text = append(text, refused(r.Egress, "egress", "Egress from")...)
	}
	if r.Ingress != nil && r.Ingress.Verdict != verdict.Allowed {
		text = append(text, refused(r.Ingress, "ingress", "Ingress to")...)
	}
	return text
}

// permitted says why a side lets a connection through.
func permitted(s *policy.Side, direction, at string) string {
	switch s.Decision {
	case policy.ByDefault:
		if s.HostNetwork {
			return fmt.Sprintf("%s %s is open: a pod on the host network is its node to policies (entity host or remote-node), so no policy for pods selects it, whatever its labels.",
				at, s.Endpoint)
		}
		return fmt.Sprintf("%s %s is open: no policy in force selects it for %s.", at, s.Endpoint, direction)
	case policy.ByHost:
		return fmt.Sprintf("%s %s is open to its own node, whatever policies say.", at, s.Endpoint)
	}
	if s.Rule == nil {
		return fmt.Sprintf("%s %s is allowed.", at, s.Endpoint)
	}
	return fmt.Sprintf("%s %s is allowed by %s.", at, s.Endpoint, ruleName(s.Rule))
}

// refused says why a side lets nothing through, and which rules came near.
func refused(s *policy.Side, direction, at string) []string {
	switch s.Decision {
	case policy.ByDeny:
		if s.Rule != nil {
			return []string{fmt.Sprintf("%s %s is denied by %s.", at, s.Endpoint, ruleName(s.Rule))}
		}
	case policy.ByL7:
		if s.Rule != nil {
			text := []string{fmt.Sprintf("%s %s passes, but the request itself matches no rule of %s.", at, s.Endpoint, ruleName(s.Rule))}
			return append(text, unmatchedRequests(s)...)
		}
	case policy.ByDefaultDeny:
		names := make([]string, len(s.Isolating))
		for i := range s.Isolating {
			names[i] = ruleName(&s.Isolating[i])
		}
		if shown := min(len(names), isolatingShown); shown < len(s.Isolating)+s.MoreIsolating {
			names = append(names[:shown], fmt.Sprintf("%d more", len(s.Isolating)+s.MoreIsolating-shown))
		}
		selects := "selects"
		if len(names) > 1 {
			selects = "select"
		}
		text := []string{fmt.Sprintf("%s %s is dropped by default deny: %s %s it for %s, and no rule allows this connection.",
			at, s.Endpoint, orPolicy(names), selects, direction)}
		named := 0
		for i := range s.Near {
			near := &s.Near[i]
			switch {
			case named == nearShown:
				return text
			case near.Rule == "" && near.Mismatch == policy.MismatchNoPeer:
				continue // the policy has no rule: it is one of those that isolate, and named already
			case near.Rule == "":
				text = append(text, sentence(near.Why))
			default:
				text = append(text, fmt.Sprintf("%s does not match: %s.", ruleName(&near.RuleRef), strings.TrimRight(near.Why, ".")))
			}
			named++
		}
		return text
	}
	return []string{fmt.Sprintf("%s %s is %s.", at, s.Endpoint, s.Verdict)}
}

// unmatchedRequests says which requests rules let through instead.
func unmatchedRequests(s *policy.Side) []string {
	var text []string
	for i := range s.Near {
		if near := &s.Near[i]; near.Mismatch == policy.MismatchL7 && len(text) < nearShown {
			text = append(text, sentence(near.Why))
		}
	}
	return text
}

func orPolicy(names []string) string {
	if len(names) == 0 {
		return "a policy"
	}
	return list(names)
}

// ruleName is "spec.ingress[0] of NetworkPolicy default/deny (deny.yaml:7)".
func ruleName(r *policy.RuleRef) string {
	name := r.Policy.String()
	if r.Rule != "" {
		name = r.Rule + " of " + name
	}
	if r.File == "" {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, Place(r.File, r.Line))
}

// Place is "file:line", or the file alone where there is no line.
func Place(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

// connection names where a probe of the rule model goes: "default/backend:8080", "ip:10.0.0.1:53/UDP".
func connection(p policy.Probe) string {
	s := p.To
	if p.Port != 0 {
		s += ":" + strconv.Itoa(p.Port)
	}
	if proto := strings.ToUpper(p.Protocol); proto != "" && proto != "TCP" {
		s += "/" + proto
	}
	return s
}

func sentence(s string) string { return capital(strings.TrimRight(strings.TrimSpace(s), ".")) + "." }

func capital(s string) string {
	// A path of fields keeps its case.
	if s == "" || strings.HasPrefix(s, "spec") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
