package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/xml"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/labs"
)

func sampleTable() *flow.Table {
	backend := labs.Target{App: "backend", Port: 8080}
	byIP := labs.Target{App: "backend", Port: 8080, Via: labs.ViaIP}
	internet := labs.Target{External: "internet", Port: 443}
	lookUp := labs.Target{DNS: "example.org", Port: 53, Protocol: "UDP"}
	t := &flow.Table{
		Task: "frontend", Title: `Let the "frontend" in & nobody else`,
		Subject: `answers/, at the end of task 2, Let the "frontend" in & nobody else`,
	}
	for _, c := range []struct {
		from labs.Source
		to   labs.Target
		got  verdict.Verdict
	}{
		{labs.Source{App: "frontend"}, backend, verdict.Allowed},
		{labs.Source{App: "frontend"}, byIP, verdict.Allowed},
		{labs.Source{App: "frontend"}, internet, verdict.DNSFailed},
		{labs.Source{App: "frontend"}, lookUp, verdict.Dropped},
		{labs.Source{App: "monitoring"}, backend, verdict.Dropped},
		{labs.Source{App: "monitoring"}, byIP, verdict.Dropped},
		{labs.Source{App: "monitoring"}, internet, verdict.Allowed},
		{labs.Source{App: "monitoring"}, lookUp, verdict.Allowed},
		{labs.Source{External: "internet"}, backend, verdict.Rejected},
	} {
		t.Cells = append(t.Cells, flow.Cell{
			From: c.from.String(), To: engine.TargetName(c.to), Verdict: c.got, Probe: engine.Probe{From: c.from, To: c.to},
		})
	}
	return t
}

// sampleLab says in which namespaces the apps of sampleTable are.
func sampleLab() *labs.Lab {
	return &labs.Lab{Apps: []labs.App{
		{Name: "backend", Namespace: "shop"}, {Name: "frontend", Namespace: "shop"}, {Name: "monitoring", Namespace: `a "b"`},
	}}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]Style{
		"terminal": {Width: 80, Color: true},
		"pipe":     {Width: 100},
		"narrow":   {Width: 50}, // the names of the columns stand below each other
		"tiny":     {Width: 30}, // the table is in parts
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Table(&out, sampleTable(), style); err != nil {
				t.Fatal(err)
			}
			golden(t, "table-"+name+".golden", out.Bytes())
			for line := range strings.Lines(out.String()) {
				if n := ansi.StringWidth(strings.TrimRight(line, "\n")); n > style.Width && name != "tiny" {
					t.Errorf("a line of %d columns: %q", n, line)
				}
			}
		})
	}
}

func TestTablesForPrograms(t *testing.T) {
	t.Parallel()
	second := sampleTable()
	second.Task = `"last" \ one`
	tables := []*flow.Table{sampleTable(), second}
	for name, write := range map[string]func(io.Writer, []*flow.Table) error{
		"tables.csv": TablesCSV,
		"tables.svg": TablesSVG,
		"tables.dot": func(w io.Writer, tables []*flow.Table) error { return TablesDOT(w, tables, sampleLab()) },
		"table.dot":  func(w io.Writer, tables []*flow.Table) error { return TablesDOT(w, tables[:1], sampleLab()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := write(&out, tables); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden", out.Bytes())
		})
	}
}

func TestTablesCSVIsReadBack(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := TablesCSV(&out, []*flow.Table{sampleTable()}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + len(sampleTable().Cells); len(rows) != want {
		t.Errorf("%d rows, want %d", len(rows), want)
	}
}

func TestTablesSVGIsWellFormed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := TablesSVG(&out, []*flow.Table{sampleTable()}); err != nil {
		t.Fatal(err)
	}
	cells := strings.Count(out.String(), "<title>")
	if want := len(sampleTable().From()) * len(sampleTable().To()); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
	for _, m := range verdictMarks {
		if legend := strings.Contains(out.String(), ">"+m.name+"</text>"); legend != usedVerdicts(sampleTable())[m.verdict] {
			t.Errorf("the legend has %q: %v", m.name, legend)
		}
	}
	dec := xml.NewDecoder(&out)
	for {
		if _, err := dec.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestExplanation(t *testing.T) {
	t.Parallel()
	deny := manifest.Ref{Kind: "NetworkPolicy", Namespace: "default", Name: "deny"}
	for name, e := range map[string]*flow.Explanation{
		"dropped": {
			Task: "frontend", From: "frontend", To: "backend:8080", Verdict: verdict.Dropped,
			Detail: &policy.Result{
				Probe: policy.Probe{From: "default/frontend", To: "svc:default/backend", Port: 8080}, Verdict: verdict.Dropped,
				Egress: &policy.Side{Verdict: verdict.Allowed, Endpoint: "default/frontend", Decision: policy.ByDefault},
				Ingress: &policy.Side{
					Verdict: verdict.Dropped, Endpoint: "default/backend", Decision: policy.ByDefaultDeny,
					Isolating: []policy.RuleRef{{Policy: deny, File: "deny.yaml", Line: 3}},
				},
			},
			Needs: []flow.Need{{Direction: "ingress", Endpoint: "default/backend", Peer: "default/frontend", Port: 8080, Protocol: "TCP"}},
			Flips: []flow.Flip{{Without: &deny, File: "deny.yaml", Line: 3, Verdict: verdict.Allowed}},
		},
		"dns": {
			From: "frontend", To: "backend:8080", Verdict: verdict.DNSFailed,
			Detail: &policy.Result{
				Verdict: verdict.DNSFailed,
				DNS: &policy.Result{
					Probe: policy.Probe{From: "default/frontend", To: "svc:kube-system/kube-dns", Port: 53, Protocol: "UDP"}, Verdict: verdict.Dropped,
					Egress: &policy.Side{Verdict: verdict.Dropped, Endpoint: "default/frontend", Decision: policy.ByDefaultDeny, Isolating: []policy.RuleRef{{Policy: deny}}},
				},
			},
			Needs: []flow.Need{{Direction: "egress", Endpoint: "default/frontend", Peer: "svc:kube-system/kube-dns", Port: 53, Protocol: "UDP"}},
			Flips: []flow.Flip{{Unlabelled: "kube-system", Verdict: verdict.Dropped}},
		},
		"allowed": {From: "a", To: "b:1", Verdict: verdict.Allowed, Policies: 1},
		"look-up": {
			From: "frontend", To: "backend:8080", Verdict: verdict.Allowed, Policies: 1,
			Detail: &policy.Result{Verdict: verdict.Allowed, DNS: &policy.Result{
				Verdict: verdict.Allowed,
				Egress:  &policy.Side{Verdict: verdict.Allowed, Endpoint: "default/frontend", Decision: policy.ByAllow, Rule: &policy.RuleRef{Policy: deny, Rule: "spec.egress[0]"}},
			}},
		},
		"look-up-open": {
			From: "frontend", To: "backend:8080", Verdict: verdict.Allowed, Policies: 1,
			Detail: &policy.Result{Verdict: verdict.Allowed, DNS: &policy.Result{
				Verdict: verdict.Allowed,
				Egress:  &policy.Side{Verdict: verdict.Allowed, Endpoint: "default/frontend", Decision: policy.ByDefault},
			}},
		},
		"peers": {
			From: "frontend", To: "external internet:443", Verdict: verdict.Dropped,
			Needs: []flow.Need{
				{Direction: "egress", Endpoint: "default/frontend", Peer: "kube-system/coredns-1", Port: 53, Protocol: "UDP"},
				{Direction: "egress", Endpoint: "default/frontend", Peer: "kube-system/coredns-2", Port: 53, Protocol: "UDP"},
				{Direction: "egress", Endpoint: "default/frontend", Peer: "ip:203.0.113.1", Port: 443, Protocol: "TCP"},
				{Direction: "egress", Endpoint: "default/frontend", Peer: "ip:203.0.113.2", Port: 443, Protocol: "TCP"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Explanation(&out, e, Style{Width: 100}); err != nil {
				t.Fatal(err)
			}
			golden(t, "explain-"+name+".golden", out.Bytes())
		})
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	for name, diffs := range map[string][]flow.Difference{
		"none": nil,
		"some": {
			{Task: "one", From: "a", To: "b:1", A: verdict.Allowed, B: verdict.Dropped},
			{Task: "two", From: "a", To: "b:1", A: verdict.Allowed, B: verdict.DNSFailed},
			{Task: "two", From: "c", To: "b:1", A: verdict.Rejected, B: verdict.Allowed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Differences(&out, "mine/", "theirs/", "at every checkpoint", diffs, Style{Width: 80}); err != nil {
				t.Fatal(err)
			}
			golden(t, "diff-"+name+".golden", out.Bytes())
		})
	}
}

// TestRedIsWrong holds that what nobody asked for is neither green nor red, which reports and pages keep for what is as
// asked and what is not.
func TestRedIsWrong(t *testing.T) {
	t.Parallel()
	p := &page{Style: Style{Color: true}}
	for _, m := range verdictMarks {
		if got := p.cell(m.verdict) + p.verdict(m.verdict) + p.verdictMark(m.verdict); strings.Contains(got, "\x1b[31m") || strings.Contains(got, "\x1b[32m") {
			t.Errorf("%q is %q", m.verdict, got)
		}
		class := "." + cmp.Or(string(m.verdict), "none") + " rect"
		if !strings.Contains(svgStyle, class) {
			t.Errorf("the picture has no colour for %s", class)
		}
	}
	for _, fill := range regexp.MustCompile(`#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})`).FindAllStringSubmatch(svgStyle, -1) {
		var rgb [3]int64
		for i := range rgb {
			rgb[i], _ = strconv.ParseInt(fill[i+1], 16, 64)
		}
		if red := rgb[0] > 2*rgb[1] && rgb[0] > 2*rgb[2]; red || rgb[1] > 3*rgb[0]/2 && rgb[1] > rgb[2] {
			t.Errorf("%s is red or green", fill[0])
		}
	}
}

// TestDOTHasANodeForEachApp holds that an app is one node, in the box of its namespace.
func TestDOTHasANodeForEachApp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := TablesDOT(&out, []*flow.Table{sampleTable()}, sampleLab()); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{`[label="backend"]`, `[label="frontend"]`, `[label="monitoring"]`, `[label="DNS"]`, `[label="external internet" shape=ellipse]`,
		"label=\"shop\"\n", "label=\"kube-system\"\n", `[label="8080\n8080 by pod IP"]`} {
		if n := strings.Count(out.String(), label); n != 1 {
			t.Errorf("%s occurs %d times in\n%s", label, n, &out)
		}
	}
}
