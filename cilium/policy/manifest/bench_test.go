package manifest

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// cpuTime reports the CPU time of an operation beside the wall time, which depends on what else runs.
func cpuTime(b *testing.B) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	b.Cleanup(func() { b.ReportMetric(float64((used()-start).Nanoseconds())/float64(b.N), "cpu-ns/op") })
}

func benchmarkParse(b *testing.B, data []byte) {
	b.ReportAllocs()
	cpuTime(b)
	for b.Loop() {
		if _, problems := Parse([]File{{Name: "a.yaml", Data: data}}, Limits{}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

// One NetworkPolicy of twenty lines.
func BenchmarkParseNetworkPolicy(b *testing.B) { benchmarkParse(b, []byte(typical)) }

// The same through the YAML library: an anchor is beyond the fast parser.
func BenchmarkParseNetworkPolicyWithAnchor(b *testing.B) {
	benchmarkParse(b, []byte(typical+"    - &other {port: 81}\n"))
}

func BenchmarkParseCiliumPolicies(b *testing.B) {
	data, err := os.ReadFile("testdata/valid-cilium.yaml")
	if err != nil {
		b.Fatal(err)
	}
	benchmarkParse(b, data)
}

// What the first custom resource of a process costs once.
func BenchmarkLoadSchema(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		loadSchema("ciliumnetworkpolicy")
	}
}

// A file with many syntax errors, each of which has to be placed.
func BenchmarkParseSyntaxErrors(b *testing.B) {
	data, err := os.ReadFile("testdata/invalid-yaml.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := Parse([]File{{Name: "a.yaml", Data: data}}, Limits{}); len(problems) == 0 {
			b.Fatal("no problems")
		}
	}
}
