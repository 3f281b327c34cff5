package hubble

import (
	"bytes"
	"os"
	"testing"
)

// TestPrinterIsHubbles: what is printed is what the hubble CLI of Cilium 1.20.2 prints of the same flows.
func TestPrinterIsHubbles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file string
		opts PrintOptions
	}{
		{"compact", PrintOptions{Format: "compact"}},
		{"dict", PrintOptions{Format: "dict"}},
		{"tab", PrintOptions{Format: "tab"}},
		{"tab", PrintOptions{Format: "table"}},
		{"jsonpb", PrintOptions{Format: "jsonpb"}},
		{"jsonpb", PrintOptions{Format: "json"}},
		{"numeric", PrintOptions{Format: "compact", Numeric: true, NodeName: true, PolicyNames: true}},
	} {
		t.Run(tc.file+" "+tc.opts.Format, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile("testdata/printed." + tc.file + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			flows, err := os.Open("testdata/flows.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			defer flows.Close()
			var out bytes.Buffer
			p, err := NewPrinter(&out, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := ReadFlows(t.Context(), flows, Query{}, p.Print); err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("printed:\n%s\nhubble:\n%s", out.Bytes(), want)
			}
		})
	}
	if _, err := NewPrinter(os.Stdout, PrintOptions{Format: "xml"}); err == nil {
		t.Error("a format that does not exist")
	}
}
