package live

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
)

// TestExplained: what the DNS proxy refuses is a policy's doing; words that only sound like it are not.
func TestExplained(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		result probe.Result
		want   bool
	}{
		{probe.Result{Verdict: verdict.DNSFailed, DNSStatus: "REFUSED", Detail: "whatever"}, true},
		{probe.Result{Verdict: verdict.DNSFailed, Detail: "the name server answered REFUSED"}, false},
		{probe.Result{Verdict: verdict.DNSFailed, DNSStatus: "SERVFAIL", Detail: "SERVFAIL, was REFUSED"}, false},
		{probe.Result{Verdict: verdict.Rejected}, true},
		{probe.Result{Verdict: verdict.Dropped, Detail: " REFUSED"}, false},
	} {
		if got := explained(tc.result); got != tc.want {
			t.Errorf("%+v: %v", tc.result, got)
		}
	}
}

// TestNamespaced: which kinds are in namespaces is a fact of the kind, not of how its name begins.
func TestNamespaced(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{
		"NetworkPolicy": true, "CiliumNetworkPolicy": true, "Deployment": true, "Pod": true, "Service": true, "CiliumConfig": true, "ClusterIsland": true,
		"CiliumClusterwideNetworkPolicy": false, "CiliumCIDRGroup": false, "ClusterNetworkPolicy": false, "Namespace": false, "Node": false,
	} {
		if got := manifest.Namespaced(kind); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
