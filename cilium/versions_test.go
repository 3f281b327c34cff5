package cilium

import "testing"

func TestTested(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, cilium, kubernetes, why string }{
		{"both known", "1.20.2", "v1.36.1", ""},
		{"labctl's own tests", "1.20.2", "v1.37.2", ""},
		{"a v before Cilium's", "v1.19.6", "1.32.0", ""},
		{"an older Kubernetes", "1.20.2", "v1.32.9", "Cilium 1.20.2 is tested with Kubernetes 1.33, 1.34, 1.35, 1.36, 1.37, not with v1.32.9"},
		{"a newer Kubernetes", "1.18.12", "v1.34.0", "Cilium 1.18.12 is tested with Kubernetes 1.30, 1.31, 1.32, 1.33, not with v1.34.0"},
		{"an unknown Cilium", "1.17.1", "v1.33.0", "Cilium 1.17.1 is not among the versions that labctl knows"},
		{"no version", "latest", "v1.33.0", "Cilium latest is not among the versions that labctl knows"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ok, why := Tested(tc.cilium, tc.kubernetes)
			if why != tc.why || ok != (tc.why == "") {
				t.Errorf("got %v, %q; want %q", ok, why, tc.why)
			}
		})
	}
}
