package cilium

import "testing"

func TestCheckCompatibility(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, cilium, kubernetes, why string }{
		{"both known", "1.20.2", "v1.36.1", ""},
		{"labctl's own tests", "1.20.2", "v1.37.2", ""},
		{"a v before Cilium's", "v1.19.6", "1.32.0", ""},
		{"an older Kubernetes", "1.20.2", "v1.32.9", "Cilium 1.20.2 is not tested with Kubernetes v1.32.9 (tested: 1.33, 1.34, 1.35, 1.36, 1.37)"},
		{"a newer Kubernetes", "1.18.12", "v1.34.0", "Cilium 1.18.12 is not tested with Kubernetes v1.34.0 (tested: 1.30, 1.31, 1.32, 1.33)"},
		{"an unknown Cilium", "1.17.1", "v1.33.0", "labctl does not know Cilium 1.17.1"},
		{"no version", "latest", "v1.33.0", "labctl does not know Cilium latest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ok, why := CheckCompatibility(tc.cilium, tc.kubernetes)
			if why != tc.why || ok != (tc.why == "") {
				t.Errorf("got %v, %q; want %q", ok, why, tc.why)
			}
		})
	}
}
