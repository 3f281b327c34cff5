package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// Expectation is an expect block: the connection from every source to every target must have the verdict.
type Expectation struct {
	Verdict verdict.Verdict
	From    []Source
	To      []Target
	Because string // the author's sentence, shown when the expectation is not met
	Range   hcl.Range
}

// Type implements Check.
func (e *Expectation) Type() string { return "expect" }

// At implements Check.
func (e *Expectation) At() hcl.Range { return e.Range }

// Connections implements Check.
func (e *Expectation) Connections() []Pair { return pairs(e.From, e.To) }

// commonVerdicts are words that other tools use.
var commonVerdicts = map[string]verdict.Verdict{
	"deny": verdict.Denied, "block": verdict.Denied, "blocked": verdict.Denied, "fail": verdict.Denied,
	"open": verdict.Allowed, "pass": verdict.Allowed, "ok": verdict.Allowed, "accept": verdict.Allowed,
	"timeout": verdict.Dropped, "refused": verdict.Rejected, "reset": verdict.Rejected,
	"forwarded": verdict.Allowed, "nxdomain": verdict.DNSFailed,
}

func (s *scope) expect(n *node) Check {
	e := &Expectation{Verdict: verdict.Verdict(n.block.Labels[0]), Because: n.str("because"), Range: n.block.DefRange}
	verdicts := schema.Values(n.spec.LabelOneOf)
	if !slices.Contains(verdicts, string(e.Verdict)) {
		meant, why := wording.DidYouMean(string(e.Verdict), verdicts), ""
		if other, ok := commonVerdicts[strings.ToLower(string(e.Verdict))]; ok {
			meant = fmt.Sprintf(" Did you mean %q?", other)
		}
		if e.Verdict == verdict.ProbeError {
			why = " probe_error means that the probe failed, so it cannot be expected."
		}
		s.errorf(n.labelRange(), "Unknown verdict", "The verdict must be %s, not %q.%s%s", anyOf(verdicts), e.Verdict,
			meant, why)
	}
	e.From = s.sources(n, "from")
	how := s.addressing(n)
	if n.given("to") {
		if n.given("dns") {
			s.errorf(n.rng("dns"), "Target given twice", "dns is a query for a name and takes no \"to\". To connect by name, leave out dns: an app is reached by its service's name anyway.")
		} else {
			e.To = s.targets(n, "to", how)
		}
	} else if n.given("dns") {
		if n.has("dns") {
			name := n.str("dns")
			if problem := checkDNSName(name); problem != "" {
				s.errorf(n.rng("dns"), "Invalid name", "%q is not a DNS name: %s.", name, problem)
			} else if t, ok := s.target(dnsItem(name, n.rng("dns")), how); ok {
				e.To = []Target{t}
			}
		}
	} else if !n.bad { // else "to" may have been misspelt
		s.errorf(n.block.DefRange, "No target",
			"Where does the connection go? Add to = app.NAME, or dns = \"NAME\" for a query.")
	}
	s.countConnections(n, len(e.From)*len(e.To))
	s.checkEntityEnds(n, e.From, e.To)
	if how.http != nil {
		switch e.Verdict {
		case verdict.Dropped, verdict.Rejected, verdict.Denied, verdict.DNSFailed:
			if how.http.Status != 0 && n.httpStatusGiven() {
				s.errorf(n.block.DefRange, "No answer to check",
					"A connection that is %s has no HTTP status.", e.Verdict)
			}
		}
	}
	return e
}

func (n *node) httpStatusGiven() bool {
	for _, b := range n.kids {
		if b.Type == "http" {
			attrs, _ := b.Body.JustAttributes()
			return attrs["status"] != nil
		}
	}
	return false
}

// countConnections bounds what a lab asks for.
func (s *scope) countConnections(n *node, pairs int) {
	before := s.connections
	s.connections += pairs
	if before <= maxConnections && s.connections > maxConnections {
		s.errorf(n.block.DefRange, "Too many connections",
			"With this block the lab asks for %d connections; the maximum is %d.", s.connections, maxConnections)
	}
}
