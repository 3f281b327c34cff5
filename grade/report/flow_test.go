package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/flow"
)

func sampleTable() *flow.Table {
	return &flow.Table{
		Task: "frontend", Title: `Let the "frontend" in & nobody else`,
		Cells: []flow.Cell{
			{From: "frontend", To: "backend:8080", Verdict: verdict.Allowed},
			{From: "frontend", To: "external internet:443", Verdict: verdict.DNSFailed},
			{From: "monitoring", To: "backend:8080", Verdict: verdict.Dropped},
			{From: "monitoring", To: "external internet:443", Verdict: verdict.Allowed},
			{From: "external internet", To: "backend:8080", Verdict: verdict.Rejected},
		},
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]Style{
		"terminal": {Width: 80, Color: true},
		"pipe":     {Width: 100},
		"narrow":   {Width: 40}, // the columns are numbered
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Table(&out, sampleTable(), style); err != nil {
				t.Fatal(err)
			}
			golden(t, "table-"+name+".golden", out.Bytes())
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
		"tables.dot": TablesDOT,
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
