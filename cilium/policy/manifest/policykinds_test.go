package manifest_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/policy/manifest/manifesttest"
)

// Every kind of the table is read as the table says, and only those are policies.
func TestPolicyKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range manifest.PolicyKinds() {
		objs, problems := manifest.Parse([]manifest.File{{Name: "a.yaml", Data: []byte(manifesttest.Policies(t)[kind.Name])}}, manifest.Limits{})
		if err := problems.Err(); err != nil || len(objs) != 1 {
			t.Fatalf("%s: %v, %v", kind.Name, objs, err)
		}
		o := objs[0]
		if o.Kind != kind.Name || o.APIVersion != kind.Versions[0] || o.Value == nil || o.Unmodelled() || (o.Namespace != "") != kind.Namespaced {
			t.Errorf("%+v was read as %+v", kind, o)
		}
		if !manifest.Known(kind.Name) || !manifest.IsPolicy(kind.Name) || !manifest.MeansPolicy(kind.Name) || manifest.Namespaced(kind.Name) != kind.Namespaced {
			t.Errorf("%s is not known as the table says", kind.Name)
		}
		if gvr := kind.GVR(); gvr.GroupVersion().String() != kind.Versions[0] || gvr.Resource == "" {
			t.Errorf("%s: the resource is %v", kind.Name, gvr)
		}
		for _, other := range manifest.PolicyKinds() {
			if !kind.Isolates && other.Isolates && manifest.ApplyOrder(kind.Name, other.Name) >= 0 {
				t.Errorf("%s is not applied before %s", kind.Name, other.Name)
			}
		}
	}
	for _, text := range manifesttest.UnknownPolicies() {
		objs, problems := manifest.Parse([]manifest.File{{Name: "a.yaml", Data: []byte(text)}}, manifest.Limits{})
		if err := problems.Err(); err != nil || len(objs) != 1 {
			t.Fatalf("%s: %v, %v", text, objs, err)
		}
		if o := objs[0]; !o.Unmodelled() || manifest.IsPolicy(o.Kind) || !manifest.MeansPolicy(o.Kind) {
			t.Errorf("%s is taken for a policy that labctl knows", o.Kind)
		}
	}
	for _, kind := range []string{"Pod", "Namespace", "PodDisruptionBudget", ""} {
		if manifest.IsPolicy(kind) || manifest.MeansPolicy(kind) || manifest.Isolates(kind) {
			t.Errorf("%q is taken for a policy", kind)
		}
	}
}
