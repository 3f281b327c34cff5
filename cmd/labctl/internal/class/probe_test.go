package class

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// The example of docs/probe.md is one that labctl takes.
func TestProbeDocumentation(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../../docs/probe.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "## The probes file\n\n```json\n")
	example, _, _ = strings.Cut(example, "```")
	file, err := parseProbes([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Probes) < 6 || file.DNS["example.com"][0] != "192.0.2.1" {
		t.Errorf("read %+v", file)
	}
}

func FuzzParseProbes(f *testing.F) {
	f.Add([]byte(`{"dns": {"a.example": ["192.0.2.1"]}, "probes": [{"from": "a/b", "to": "ip:192.0.2.1", "port": 1, "icmp_type": 8}]}`))
	f.Add([]byte(`{"format_version": 1, "probes": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := parseProbes(data); (file == nil) == (err == nil) && err == nil {
			t.Fatal("neither probes nor an error")
		}
	})
}

// 140,000 probes, as a course's whole matrix of pods has them.
func BenchmarkProbe(b *testing.B) {
	var cluster strings.Builder
	const pods = 20
	for i := range pods {
		fmt.Fprintf(&cluster, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d, labels: {app: a%d}}\nstatus: {podIP: 10.0.0.%d}\n", i, i%5, i+1)
	}
	objects, problems := manifest.Parse([]manifest.File{{Name: "c.yaml", Data: []byte(cluster.String() + `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec:
  podSelector: {matchLabels: {app: a1}}
  ingress: [{from: [{podSelector: {matchLabels: {app: a2}}}], ports: [{port: 80}]}]
`)}}, manifest.Limits{})
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	eng, err := newProbeEngine(objects, policy.Config{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	probes := make([]policy.Probe, 140_000)
	for i := range probes {
		probes[i] = policy.Probe{From: fmt.Sprintf("default/p%d", i%pods), To: fmt.Sprintf("default/p%d", i/pods%pods), Port: 1 + i%100}
	}
	for b.Loop() {
		if err := checkProbes(context.Background(), probes, eng); err != nil {
			b.Fatal(err)
		}
		if err := writeProbeJSON(context.Background(), io.Discard, probes, eng.Evaluate, eng.Warnings()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(probes)), "ns/probe")
}

func TestDecodeProbeFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field string
		want  string // in the error; empty: the field is not ours
	}{
		{"form", `did you mean "from"?`}, {"ports", `did you mean "port"?`}, {"dnsQuery", `did you mean "dns_query"?`}, {"tls-sni", `did you mean "tls_sni"?`},
		{"proto", `did you mean "protocol"?`}, {"id", ""}, {"name", ""}, {"expected", ""}, {"verdict", ""}, {"comment", ""},
	} {
		p, err := decodeProbe([]byte(`{"from": "a/b", "to": "ip:192.0.2.1", "port": 80, "` + tt.field + `": "x"}`))
		switch {
		case tt.want == "" && (err != nil || p.Port != 80):
			t.Errorf("%s: got %+v, %v", tt.field, p, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %s", tt.field, err, tt.want)
		}
	}
}
