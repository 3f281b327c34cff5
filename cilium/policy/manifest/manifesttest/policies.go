// Package manifesttest holds manifests for tests of other packages.
package manifesttest

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// policies is an object of each kind of policy. Those that isolate select every pod of the namespace app and let
// nothing in.
var policies = map[string]string{
	"NetworkPolicy": `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: app}, spec: {podSelector: {}}}`,
	"CiliumNetworkPolicy": `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x, namespace: app},
  spec: {endpointSelector: {}, ingress: [{}]}}`,
	"CiliumClusterwideNetworkPolicy": `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x},
  spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": app}}, ingress: [{}]}}`,
	"CiliumCIDRGroup": `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: x}, spec: {externalCIDRs: [192.0.2.0/24]}}`,
	"ClusterNetworkPolicy": `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: x},
  spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: app}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}}`,
}

// Policies is an object of each of manifest.PolicyKinds, by kind. Those that isolate select every pod of the namespace
// app, and no others, and let nothing in.
func Policies(t testing.TB) map[string]string {
	t.Helper()
	for _, kind := range manifest.PolicyKinds() {
		if policies[kind.Name] == "" {
			t.Fatalf("manifesttest has no %s: add one to policies", kind.Name)
		}
	}
	return policies
}

// UnknownPolicies are kinds of policy that labctl does not know, in manifests that the API server of some cluster
// accepts.
func UnknownPolicies() []string {
	return []string{
		`{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: x}, spec: {priority: 1, subject: {namespaces: {}}}}`,
		`{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: default}, spec: {subject: {namespaces: {}}}}`,
		`{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: x}, spec: {selector: all()}}`,
		`{apiVersion: example.org/v1, kind: FutureNetworkPolicy, metadata: {name: x, namespace: app}, spec: {}}`,
	}
}
