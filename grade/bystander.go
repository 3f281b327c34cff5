package grade

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// bystanders are the policies of a task that may not apply to a connection. A student who looks for the reason of a miss
// looks at what was just written, so the account says of such a policy why it does not matter.
type bystanders struct {
	selector engine.Selector
	policies []*manifest.Object
	selects  map[*manifest.Object]policy.Selection
}

// bystandersShown is how many policies of a task an account tells of, and subjectsShown how many pods that each selects.
const (
	bystandersShown = 3
	subjectsShown   = 3
)

// newBystanders are the policies that were applied in a task, as far as can be known.
func (g *Grader) newBystanders(task int, state *engine.State, prober engine.Prober) *bystanders {
	b := &bystanders{selects: map[*manifest.Object]policy.Selection{}}
	b.selector, _ = prober.(engine.Selector)
	for _, o := range state.Policies {
		if state.AppliedIn[o] == g.lab.Tasks[task].Name || state.Flat && len(g.lab.Tasks) == 1 {
			b.policies = append(b.policies, o)
		}
	}
	return b
}

// tell adds to an account what it does not say of the task's policies.
func (b *bystanders) tell(w *Why, want verdict.Verdict) {
	if b.selector == nil || w.Detail == nil {
		return
	}
	decided, at := deciding(w.Detail, want, 1)
	var sides []decidingSide
	for _, s := range []decidingSide{{decided.Egress, "egress"}, {decided.Ingress, "ingress"}} {
		if s.Side != nil && (decided.Verdict == verdict.Allowed || s.Verdict != verdict.Allowed) {
			sides = append(sides, s)
		}
	}
	if len(sides) == 0 {
		return
	}
	if want != verdict.Allowed {
		b.omitOpenSide(w, decided)
	}
	if decided.Verdict == verdict.Allowed {
		at = len(w.Text)
	}
	var told []string
	for _, o := range b.policies {
		if len(told) == bystandersShown {
			break
		}
		if says := b.sentence(o, sides); says != "" && !mentions(w.Text, o.Ref().String()) {
			told = append(told, says)
		}
	}
	w.Text = slices.Insert(w.Text, min(at, len(w.Text)), told...)
}

// omitOpenSide takes out of an account that a side is open which the task is not about: its policies select the pod at the other end only,
// where a rule lets the connection through.
func (b *bystanders) omitOpenSide(w *Why, r *policy.Result) {
	if r.Verdict != verdict.Allowed || r.Egress == nil || r.Ingress == nil {
		return
	}
	out, in := decidingSide{r.Egress, "egress"}, decidingSide{r.Ingress, "ingress"}
	for _, s := range [][2]decidingSide{{out, in}, {in, out}} {
		open, ruled := s[0], s[1]
		if open.Decision != policy.ByDefault || open.HostNetwork || ruled.Decision != policy.ByAllow || !b.isAbout(ruled) || b.selected(open.Endpoint) {
			continue
		}
		at := "Egress from"
		if open.direction == "ingress" {
			at = "Ingress to"
		}
		says := permitted(open.Side, open.direction, at)
		w.Text = slices.DeleteFunc(slices.Clone(w.Text), func(text string) bool { return text == says })
	}
}

// isAbout reports whether a policy of the task isolates a side.
func (b *bystanders) isAbout(side decidingSide) bool {
	return slices.ContainsFunc(b.policies, func(o *manifest.Object) bool {
		s, _ := b.selection(o)
		return slices.Contains(s.of(side.direction), side.Endpoint)
	})
}

// selected reports whether a policy of the task selects an endpoint, in whatever direction.
func (b *bystanders) selected(endpoint string) bool {
	return slices.ContainsFunc(b.policies, func(o *manifest.Object) bool {
		s, _ := b.selection(o)
		return slices.Contains(s.Ingress, endpoint) || slices.Contains(s.Egress, endpoint)
	})
}

// selection is what a policy selects, if that is known.
func (b *bystanders) selection(o *manifest.Object) (selection, bool) {
	s, known := b.selects[o]
	if !known {
		if s, known = b.selector.Selects(o); known {
			b.selects[o] = s
		}
	}
	return selection{s}, known
}

// selection is the pods that a policy isolates.
type selection struct{ policy.Selection }

// of are those in a direction.
func (s selection) of(direction string) []string {
	if direction == "ingress" {
		return s.Ingress
	}
	return s.Egress
}

// decidingSide is a side that decided about a connection.
type decidingSide struct {
	*policy.Side
	direction string
}

// deciding is the part of a result that account explains, and how many sentences come first.
func deciding(r *policy.Result, want verdict.Verdict, sentences int) (*policy.Result, int) {
	if lookUpDecides(r, want) {
		return deciding(r.DNS, "", sentences+1)
	}
	for i := range r.Backends {
		if b := &r.Backends[i]; b.Verdict == r.Verdict && r.Egress == nil && r.Ingress == nil {
			return deciding(b, want, sentences+1)
		}
	}
	if r.Reason != "" {
		sentences++
	}
	return r, sentences
}

// sentence says why a policy does not apply to a connection, or why it closes nothing.
func (b *bystanders) sentence(o *manifest.Object, sides []decidingSide) string {
	s, known := b.selection(o)
	if !known {
		return ""
	}
	name := ruleName(&policy.RuleRef{Policy: o.Ref(), File: o.File, Line: o.Line})
	others := make([]string, 0, len(sides))
	for _, side := range sides {
		if !slices.Contains(s.of(side.direction), side.Endpoint) {
			others = append(others, fmt.Sprintf("the %s of %s", side.direction, side.Endpoint))
			continue
		}
		if side.Decision == policy.ByAllow {
			return fmt.Sprintf("%s selects %s, too, but policies only add: it takes nothing away from what another one allows.", name, side.Endpoint)
		}
		return ""
	}
	subjects := subjectsOf(&s.Selection)
	switch {
	case subjects != "":
		return fmt.Sprintf("%s does not apply here: it is about %s, not about %s.", name, subjects, strings.Join(others, " or "))
	case s.Nodes:
		return fmt.Sprintf("%s does not apply here: it is about nodes, not about pods.", name)
	case len(s.HostNetwork) > 0:
		return fmt.Sprintf("%s does not apply here: it selects only pods on the host network (%s), which policies for pods do not govern.",
			name, someOf(s.HostNetwork))
	}
	return name + " does not apply here: it selects no pod."
}

// subjectsOf puts what a policy is about into words: "the ingress and egress of default/backend".
func subjectsOf(s *policy.Selection) string {
	switch {
	case len(s.Ingress) > 0 && slices.Equal(s.Ingress, s.Egress):
		return "the ingress and egress of " + someOf(s.Ingress)
	case len(s.Ingress) > 0 && len(s.Egress) > 0:
		return fmt.Sprintf("the ingress of %s and the egress of %s", someOf(s.Ingress), someOf(s.Egress))
	case len(s.Ingress) > 0:
		return "the ingress of " + someOf(s.Ingress)
	case len(s.Egress) > 0:
		return "the egress of " + someOf(s.Egress)
	}
	return ""
}

// someOf lists names, of many only the first.
func someOf(names []string) string {
	if more := len(names) - subjectsShown; more > 1 {
		names = append(slices.Clone(names[:subjectsShown]), fmt.Sprintf("%d others", more))
	}
	return list(names)
}

// mentions reports whether one of the sentences names a policy.
func mentions(sentences []string, ref string) bool {
	named := regexp.MustCompile(regexp.QuoteMeta(ref) + `([^a-z0-9.-]|$)`)
	return slices.ContainsFunc(sentences, named.MatchString)
}
