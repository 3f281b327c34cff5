package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/internal/wording"
)

// Explanation writes the path to a verdict: the look-up, both directions, and what would change it.
func Explanation(w io.Writer, e *flow.Explanation, style Style) error {
	p := &page{Style: style}
	at := ""
	if e.Task != "" {
		at = p.dim(" · at the end of " + e.Task)
	}
	p.line("", p.bold(e.From+" → "+e.To)+": "+p.verdict(e.Verdict)+at)
	if e.Probed != nil {
		seen := e.Probed.Seen
		if e.Probed.Flow != nil {
			seen = e.Probed.Flow.String()
		}
		p.line("", "Probed: "+p.verdict(e.Probed.Verdict)+". "+seen)
		if e.Probed.Verdict != e.Verdict {
			p.line("", p.bold("The cluster and the rule model disagree; what follows is the rule model's account."))
		}
	}
	if e.Detail != nil {
		p.blank()
		p.result(e.Detail)
	}
	if len(e.Needs) > 0 || len(e.Flips) > 0 {
		p.blank()
		p.line("", p.bold("What would change it"))
	}
	for _, line := range needs(e) {
		p.line("  - ", line)
	}
	for _, f := range e.Flips {
		p.line("  - ", flip(f)+": "+p.verdict(f.Verdict))
	}
	if len(e.Needs) == 0 && len(e.Flips) == 0 && e.Policies > 0 {
		p.blank()
		p.line("", "Taking away any one policy changes nothing.")
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// result writes what happened on the way, step by step.
func (p *page) result(r *policy.Result) {
	// A look-up that nothing stops is not worth a line.
	if r.DNS != nil && (r.DNS.Verdict != verdict.Allowed || governed(r.DNS)) {
		p.line("", p.verdictMark(r.DNS.Verdict)+" look-up of the name")
		for _, text := range grade.Account(r.DNS) {
			p.line("    ", text)
		}
	}
	if r.Reason != "" {
		p.line("", r.Reason)
	}
	p.side("egress", r.Egress, func(s *policy.Side) *policy.Result {
		return &policy.Result{Verdict: s.Verdict, Egress: s}
	})
	p.side("ingress", r.Ingress, func(s *policy.Side) *policy.Result {
		return &policy.Result{Verdict: s.Verdict, Ingress: s}
	})
	for i := range r.Backends {
		b := &r.Backends[i]
		p.line("", fmt.Sprintf("%s %s: %s", p.verdictMark(b.Verdict), b.To, b.Verdict))
		if r.Egress == nil && r.Ingress == nil {
			for _, text := range grade.Account(b) {
				p.line("    ", text)
			}
		}
	}
}

// governed reports whether policies decided about a connection, on either side.
func governed(r *policy.Result) bool {
	decided := func(s *policy.Side) bool { return s != nil && s.Decision != policy.ByDefault }
	return decided(r.Egress) || decided(r.Ingress)
}

func (p *page) side(direction string, s *policy.Side, alone func(*policy.Side) *policy.Result) {
	if s == nil {
		return
	}
	p.line("", p.verdictMark(s.Verdict)+" "+direction+" "+p.dim(s.Endpoint))
	for _, text := range grade.Account(alone(s)) {
		p.line("    ", text)
	}
}

// needs puts into words what some policy would have to allow, in a line for all peers for which it is the same.
func needs(e *flow.Explanation) []string {
	var lines []string
	var peers [][]string
	for _, n := range e.Needs {
		what := need(&n)
		at := slices.Index(lines, what)
		if at < 0 {
			at = len(lines)
			lines, peers = append(lines, what), append(peers, nil)
		}
		if peer := peerOf(e, &n); !slices.Contains(peers[at], peer) {
			peers[at] = append(peers[at], peer)
		}
	}
	for i := range lines {
		lines[i] += " " + wording.And(peers[i])
	}
	return lines
}

// need is a need without its peer.
func need(n *flow.Need) string {
	port := n.Protocol
	if n.Port != 0 {
		port = fmt.Sprintf("%s %d", n.Protocol, n.Port)
	}
	preposition := "to"
	if n.Direction == "ingress" {
		preposition = "from"
	}
	what := "a policy that allows " + port
	if n.Request != "" {
		what = "a rule that lets " + n.Request + " through"
	}
	return fmt.Sprintf("%s: %s of %s %s", what, n.Direction, n.Endpoint, preposition)
}

func peerOf(e *flow.Explanation, n *flow.Need) string {
	if entity, ok := strings.CutPrefix(n.Peer, "entity:"); ok {
		return "the entity " + entity + ", which no rule selects by labels"
	}
	if strings.HasPrefix(n.Peer, "ip:") && n.Direction == "egress" {
		// The address stands for those that the host has: it is of no use in a rule.
		if host, ok := strings.CutPrefix(e.To, "external "); ok {
			host, _, _ = strings.Cut(host, ":")
			return "external " + host + ", which is outside the cluster"
		}
	}
	return n.Peer
}

func flip(f flow.Flip) string {
	if f.Without == nil {
		return fmt.Sprintf("without the labels that the submission puts on the namespace %s", f.Unlabelled)
	}
	text := "without " + f.Without.String()
	if f.File != "" {
		text += " (" + grade.Place(f.File, f.Line) + ")"
	}
	return text
}

func (p *page) verdict(v verdict.Verdict) string { return p.markedAs(v, word(v)) }

func (p *page) verdictMark(v verdict.Verdict) string {
	if v == verdict.Allowed {
		return p.markedAs(v, "✓")
	}
	return p.markedAs(v, "✗")
}
