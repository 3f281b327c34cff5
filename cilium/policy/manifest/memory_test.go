package manifest

import (
	"reflect"
	"strings"
	"testing"
)

// What a memory has met changes nothing in what comes next, problems and lines included.
func TestMemoryChangesNothing(t *testing.T) {
	t.Parallel()
	const good = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, labels: {app: a}}
spec: {podSelector: {}, policyTypes: [Ingress]}
`
	const list = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- metadata: {name: a}\n  spec: {podSelector: {}}\n"
	const cilium = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: a}
spec:
  endpointSelector: {}
  ingress: [{fromEndpoints: [{}]}]
`
	memory := NewMemory(16)
	for _, tc := range []struct{ name, text string }{
		{"an object", good},
		{"the same again", good},
		{"lower down", "# mine\n\n" + good},
		{"written otherwise", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, labels: {app: a}}, spec: {podSelector: {}, policyTypes: [Ingress]}}\n"},
		{"with a key twice", good + "spec: {podSelector: 7}\n"},
		{"of a list", list},
		{"of a list again", "# mine\n" + list},
		{"what its list does not say", "metadata: {name: a}\nspec: {podSelector: {}}\n"},
		{"with a problem", strings.Replace(good, "Ingress", "Inside", 1)},
		{"with a problem again", strings.Replace(good, "Ingress", "Inside", 1)},
		{"of Cilium", cilium},
		{"of Cilium with a key twice", cilium + "  ingress: [{fromEndpoint: [{}]}]\n"},
		{"of Cilium with a spec twice", cilium + "spec: {endpointSelector: 7, ingress: {}}\n"},
		{"of Cilium again", cilium},
		{"too large to be kept", strings.Replace(good, "app: a", "app: a, "+strings.Repeat("x", mostRemembered)+": a", 1)},
	} {
		files := []File{{Name: tc.name + ".yaml", Data: []byte(tc.text)}}
		want, problems := Parse(files, Limits{})
		got, told := memory.Parser(Limits{}).Parse(files)
		if !reflect.DeepEqual(told, problems) {
			t.Errorf("%s: the problems are\n%v\nwant\n%v", tc.name, told, problems)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, want)
		}
	}
	if memory.objects.Len() != 3 {
		t.Errorf("%d objects are kept, want one of each kind of text that has no problem", memory.objects.Len())
	}
}
