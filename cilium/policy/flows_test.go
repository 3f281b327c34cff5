package policy_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

// flowCase is a cluster with policies, and what must become of some connections.
type flowCase struct {
	name  string
	cfg   policy.Config
	names map[string][]string
	yaml  string
	// want has a line a connection: "FROM > TO[ PORT[/PROTOCOL]] [GET /path|POST /path|query NAME|sni NAME]: VERDICT [DECISION]".
	// A pod without a namespace is in default. The decision is that of the side that decided. "VERDICT" may be
	// "refused TEXT": the probe cannot be evaluated, and the error contains the text.
	want string
}

// runFlows checks each line of each case.
func runFlows(t *testing.T, base string, cases []flowCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := engine(t, c.cfg, c.names, base, c.yaml)
			lines := 0
			for line := range strings.Lines(c.want) {
				line = strings.TrimSpace(line)
				if line == "" {
					continue
				}
				lines++
				text, want, ok := cut(line)
				if !ok {
					t.Fatalf("not a flow: %q", line)
				}
				p := probe(t, text)
				r, err := e.Explain(p)
				if why, refused := strings.CutPrefix(want, "refused "); refused {
					if err == nil || !strings.Contains(err.Error(), why) {
						t.Errorf("%s: got %s and error %v, want a refusal with %q", text, r.Verdict, err, why)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				got := string(r.Verdict)
				if strings.Contains(want, " ") {
					got += " " + decision(r)
				}
				if got != want {
					t.Errorf("%s: got %s, want %s\n%s", text, got, want, account(r))
				}
			}
			if lines == 0 {
				t.Error("the case expects nothing")
			}
		})
	}
}

// cut splits a line at its last ": ".
func cut(line string) (text, want string, ok bool) {
	i := strings.LastIndex(line, ": ")
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+2:], true
}

func probe(t testing.TB, text string) policy.Probe {
	t.Helper()
	var p policy.Probe
	from, rest, ok := strings.Cut(text, " > ")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		t.Fatalf("not a flow: %q", text)
	}
	full := func(s string) string {
		if strings.ContainsAny(s, ":/") {
			return s
		}
		return "default/" + s
	}
	p.From, p.To = full(from), full(fields[0])
	fields = fields[1:]
	if len(fields) > 0 {
		port, protocol, _ := strings.Cut(fields[0], "/")
		if n, err := strconv.Atoi(port); err == nil {
			p.Port, p.Protocol = n, protocol
			if strings.HasPrefix(protocol, "ICMP") {
				p.Port, p.ICMPType = 0, &n
			}
			fields = fields[1:]
		}
	}
	for len(fields) >= 2 {
		switch fields[0] {
		case "query":
			p.DNSQuery = fields[1]
		case "sni":
			p.TLSSNI = fields[1]
		case "host":
			p.HTTP.Host = fields[1]
		case "header":
			k, v, _ := strings.Cut(fields[1], "=")
			if p.HTTP.Headers == nil {
				p.HTTP.Headers = map[string]string{}
			}
			p.HTTP.Headers[k] = v
		default:
			p.HTTP = &policy.HTTPProbe{Method: fields[0], Path: fields[1]}
		}
		fields = fields[2:]
	}
	if len(fields) > 0 {
		t.Fatalf("not a flow: %q", text)
	}
	return p
}

// decision names the decision of the side that decided, or what stands for one. Of two sides that allow it
// is that of the one that has rules.
func decision(r policy.Result) string {
	found := ""
	for _, s := range []*policy.Side{r.Egress, r.Ingress} {
		if s != nil && s.Verdict == r.Verdict && (found == "" || found == string(policy.ByDefault)) {
			found = string(s.Decision)
		}
	}
	if found != "" {
		return found
	}
	if r.DNS != nil && r.DNS.Verdict != verdict.Allowed {
		return "dns-" + decision(*r.DNS)
	}
	return "reason"
}

// account prints what decided, for a failing test.
func account(r policy.Result) string {
	var b strings.Builder
	if r.Reason != "" {
		fmt.Fprintf(&b, "  %s\n", r.Reason)
	}
	side := func(name string, s *policy.Side) {
		if s == nil {
			return
		}
		fmt.Fprintf(&b, "  %s of %s: %s by %s", name, s.Endpoint, s.Verdict, s.Decision)
		if s.Rule != nil {
			fmt.Fprintf(&b, ", %s %s at line %d", s.Rule.Policy, s.Rule.Rule, s.Rule.Line)
		}
		b.WriteByte('\n')
		for _, n := range s.Near {
			fmt.Fprintf(&b, "    not %s %s (%s): %s\n", n.Policy, n.Rule, n.Mismatch, n.Why)
		}
	}
	side("egress", r.Egress)
	side("ingress", r.Ingress)
	if r.DNS != nil {
		b.WriteString("  look-up:\n" + account(*r.DNS))
	}
	return b.String()
}
