package main

import (
	"fmt"
	"regexp"
	"strings"
)

// difference is one disagreement between Cilium and labctl.
type difference struct {
	probe  *Probe // nil: about the acceptance of a policy
	cilium string
	labctl string
	// by says which rules Cilium decided by.
	by []ruleInfo
}

func (d difference) String() string {
	var b strings.Builder
	if d.probe != nil {
		fmt.Fprintf(&b, "probe   %s\n", d.probe)
	}
	fmt.Fprintf(&b, "cilium  %s\nlabctl  %s", d.cilium, d.labctl)
	for _, r := range d.by {
		fmt.Fprintf(&b, "\ncilium's rule is of %s %s", kindOf(r.object), nameOf(r.object))
	}
	return b.String()
}

// like says whether d could be the same difference as e in a smaller case.
func (d difference) like(e difference) bool {
	if (d.probe == nil) != (e.probe == nil) {
		return false
	}
	if d.probe != nil {
		return outline(d.cilium) == outline(e.cilium) && outline(d.labctl) == outline(e.labctl)
	}
	return complaint(d.labctl) == complaint(e.labctl)
}

// outline is the verdicts of an answer without the reason.
func outline(text string) string {
	text, _, _ = strings.Cut(text, ": ")
	text, _, _ = strings.Cut(text, "   [")
	return text
}

// complaint is the first line of a refusal without what depends on the case: places, values and numbers.
func complaint(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	parts := strings.SplitN(line, ": ", 5)
	return variable.ReplaceAllString(parts[len(parts)-1], "")
}

var variable = regexp.MustCompile(`"[^"]*"|[0-9]+`)

func sideText(name string, s *side) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf(" %s %s (%s)", name, s.verdict, s.decision)
}

func (e expected) String() string {
	return e.verdict + sideText("egress", e.egress) + sideText("ingress", e.ingress)
}

func (r result) String() string {
	text := r.Verdict
	for _, s := range []struct {
		name string
		side *answerSide
	}{{"egress", r.Egress}, {"ingress", r.Ingress}} {
		if s.side != nil {
			text += fmt.Sprintf(" %s %s (%s)", s.name, s.side.Verdict, s.side.Decision)
		}
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// compare tells whether labctl agrees with Cilium on a probe. Where a name has several addresses, or a
// service several backends, each of them must agree.
func compare(p *Probe, want expected, got result) *difference {
	if d := compareOne(want, got); d != "" {
		return &difference{probe: p, cilium: want.String() + d, labctl: got.String(), by: want.rules()}
	}
	if len(want.backends) > 1 {
		if len(got.Backends) != len(want.backends) {
			return &difference{
				probe: p, cilium: fmt.Sprintf("%d destinations", len(want.backends)),
				labctl: fmt.Sprintf("%d destinations", len(got.Backends)),
			}
		}
		for i := range want.backends {
			if d := compareOne(want.backends[i], got.Backends[i]); d != "" {
				return &difference{
					probe: p, cilium: want.backends[i].String() + d,
					labctl: got.Backends[i].To + " " + got.Backends[i].String(), by: want.backends[i].rules(),
				}
			}
		}
	}
	return nil
}

func (e expected) rules() []ruleInfo {
	var out []ruleInfo
	for _, s := range []*side{e.egress, e.ingress} {
		if s != nil {
			out = append(out, s.rules...)
		}
	}
	return out
}

func compareOne(want expected, got result) string {
	if want.verdict != got.Verdict {
		return "   [verdict]"
	}
	if d := compareSide(want.egress, got.Egress); d != "" && len(want.backends) == 0 {
		return "   [egress: " + d + "]"
	}
	if d := compareSide(want.ingress, got.Ingress); d != "" && len(want.backends) == 0 {
		return "   [ingress: " + d + "]"
	}
	return ""
}

// compareSide compares one side: its verdict, and whether a rule, the lack of one, or a proxy dropped it.
func compareSide(want *side, got *answerSide) string {
	if want == nil || got == nil {
		// No policy applies: nothing can have been dropped.
		if want != nil && want.verdict != allowed || got != nil && got.Verdict != allowed {
			return "only one has a verdict"
		}
		return ""
	}
	if want.verdict != got.Verdict {
		return "verdict"
	}
	// Which rule made a proxy refuse a request is a matter of view.
	if want.verdict == dropped && want.decision != got.Decision {
		return "decision"
	}
	return ""
}
