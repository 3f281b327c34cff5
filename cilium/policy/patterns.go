package policy

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"

	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Limits of the patterns (regular expressions for requests, matchPattern and matchName for names) of policies. A short
// pattern may compile to a program of gigabytes, so its size is known from its parsed form before it is compiled.
const (
	// MaxPatternBytes is how long one pattern may be.
	MaxPatternBytes = 4 << 10
	// MaxPatternSize bounds what the patterns of one policy, or of several that are checked together, compile to:
	// instructions of the program, where a set of characters counts by its ranges. 10,000 take some 1 MB.
	MaxPatternSize = 100_000
)

// CheckPatterns returns what is wrong with the size of the patterns of policies, all together.
func CheckPatterns(objs []*manifest.Object) manifest.Problems {
	var m patternMeter
	for _, o := range objs {
		if v, ok := o.Value.(*manifest.CiliumNetworkPolicy); ok && !m.policy(v) {
			return manifest.Problems{m.problem(o)}
		}
	}
	return nil
}

// patternMeter adds up what patterns compile to. The methods report whether the limits allow it.
type patternMeter struct {
	bytes int // the longest pattern that is too long
	size  int
}

func (m *patternMeter) problem(o *manifest.Object) manifest.Problem {
	p := manifest.Problem{File: o.File, Line: o.Line, Object: o.Ref().String()}
	if m.bytes > 0 {
		p.Message = fmt.Sprintf("a pattern has %d bytes, more than the limit of %d (the limit on the bytes of a pattern)", m.bytes, MaxPatternBytes)
	} else {
		p.Message = fmt.Sprintf("the patterns of requests and names, in this policy and those before it, compile to more than %d instructions (the limit on the size of patterns)", MaxPatternSize)
	}
	p.Hint = "shorten them: counted repetitions such as {300} and sets such as \\pL make a pattern large"
	return p
}

func (m *patternMeter) policy(v *manifest.CiliumNetworkPolicy) bool {
	if v.Spec != nil && !m.rule(v.Spec) {
		return false
	}
	for _, r := range v.Specs {
		if r != nil && !m.rule(r) {
			return false
		}
	}
	return true
}

func (m *patternMeter) rule(r *api.Rule) bool {
	for i := range r.Ingress {
		if !m.ports(r.Ingress[i].ToPorts) {
			return false
		}
	}
	for i := range r.Egress {
		e := &r.Egress[i]
		if !m.ports(e.ToPorts) {
			return false
		}
		for j := range e.ToFQDNs {
			if !m.name(e.ToFQDNs[j]) {
				return false
			}
		}
	}
	return true
}

func (m *patternMeter) ports(rules api.PortRules) bool {
	for i := range rules {
		r := &rules[i]
		for _, name := range r.ServerNames {
			if !m.dnsPattern(string(name)) {
				return false
			}
		}
		if r.Rules == nil {
			continue
		}
		for j := range r.Rules.HTTP {
			h := &r.Rules.HTTP[j]
			if !m.expression(h.Method) || !m.expression(h.Path) || !m.expression(h.Host) {
				return false
			}
		}
		for j := range r.Rules.DNS {
			if !m.name(api.FQDNSelector(r.Rules.DNS[j])) {
				return false
			}
		}
	}
	return true
}

func (m *patternMeter) name(s api.FQDNSelector) bool {
	return m.dnsPattern(s.MatchName) && m.dnsPattern(s.MatchPattern)
}

// dnsPattern is a name in which "*" stands for characters.
func (m *patternMeter) dnsPattern(s string) bool {
	if !m.short(s) {
		return false
	}
	return m.expression(matchpattern.ToAnchoredRegexp(matchpattern.Sanitize(s)))
}

func (m *patternMeter) short(s string) bool {
	if len(s) > MaxPatternBytes {
		m.bytes = len(s)
		return false
	}
	return true
}

// expression counts a regular expression. Cilium compiles it when it checks a policy, and so do we.
func (m *patternMeter) expression(s string) bool {
	if s == "" {
		return true
	}
	if !m.short(s) {
		return false
	}
	m.size += patternSize(s)
	return m.size <= MaxPatternSize
}

// patternSize is how many instructions a regular expression compiles to; one that is not valid compiles to nothing, and
// is refused where it is compiled.
func patternSize(s string) int {
	cost := parseCost(s)
	if cost > MaxPatternSize {
		return cost
	}
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return len(s)
	}
	return 1 + max(cost, programSize(re))
}

// parseCost bounds what it takes to parse a pattern, where that may be more than its program is worth: tables of
// Unicode classes are copied, and each character of a range is folded where case does not count.
func parseCost(s string) int {
	const table, folded = 300, 2000
	cost := table * (strings.Count(s, `\p`) + strings.Count(s, `\P`))
	beyondASCII := strings.Contains(s, `\x{`) || strings.IndexFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII
	}) >= 0
	if beyondASCII && strings.Contains(s, "(?") {
		cost += folded * strings.Count(s, "-")
	}
	return cost
}

// programSize follows what regexp/syntax makes of a parsed expression: counted repetitions are written out.
func programSize(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return 1 + len(re.Rune)
	case syntax.OpCharClass:
		return 1 + len(re.Rune)/rangesOfInstruction
	case syntax.OpRepeat:
		times := re.Max
		if times < 0 {
			times = re.Min + 1
		}
		return 1 + saturate(max(times, 1)*(2+programSize(re.Sub[0])))
	}
	size := 2
	for _, sub := range re.Sub {
		size = saturate(size + programSize(sub))
	}
	return size
}

// rangesOfInstruction is how many ends of ranges of characters take as much memory as an instruction.
const rangesOfInstruction = 4

func saturate(n int) int { return min(n, 2*MaxPatternSize) }
