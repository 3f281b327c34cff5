package manifest

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// PolicyKind describes a kind of policy, or of objects that policies refer to.
type PolicyKind struct {
	Name       string
	Resource   string   // as in the paths of the API
	Versions   []string // apiVersions that are read; the first is the one that is read from clusters
	Namespaced bool
	Owner      Owner
	// Isolates: objects of the kind select pods and put them into default deny, or deny by rule. Others are only parts
	// of policies: alone they have no effect, the agents do not list them, and they are applied first.
	Isolates bool
	decode   kind // name, versions and namespaced are left out
}

// Owner is the project that defines a kind of policy and says whether it accepts an object.
type Owner string

const (
	OwnerKubernetes       Owner = "Kubernetes"
	OwnerCilium           Owner = "Cilium"
	OwnerNetworkPolicyAPI Owner = "Network Policy API"
)

// policyKinds is the only list of policy kinds, the most common first. cilium/policy compiles each of them.
var policyKinds = []PolicyKind{
	{
		Name: "NetworkPolicy", Resource: "networkpolicies", Versions: []string{"networking.k8s.io/v1"},
		Namespaced: true, Owner: OwnerKubernetes, Isolates: true,
		decode: kind{new: decodeInto[networkingv1.NetworkPolicy], check: checked(checkNetworkPolicy)},
	},
	{
		Name: "CiliumNetworkPolicy", Resource: "ciliumnetworkpolicies", Versions: []string{"cilium.io/v2"},
		Namespaced: true, Owner: OwnerCilium, Isolates: true,
		decode: kind{
			new: decodeInto[CiliumNetworkPolicy], schema: ciliumPolicySchema, check: checked(defaultCiliumPolicy),
		},
	},
	{
		Name: "CiliumClusterwideNetworkPolicy", Resource: "ciliumclusterwidenetworkpolicies",
		Versions: []string{"cilium.io/v2"}, Owner: OwnerCilium, Isolates: true,
		decode: kind{
			new: decodeInto[CiliumNetworkPolicy], schema: ciliumPolicySchema, check: checked(defaultCiliumPolicy),
		},
	},
	{
		Name: "CiliumCIDRGroup", Resource: "ciliumcidrgroups", Versions: []string{"cilium.io/v2", "cilium.io/v2alpha1"},
		Owner:  OwnerCilium,
		decode: kind{new: decodeInto[CiliumCIDRGroup], schema: cidrGroupSchema},
	},
	{
		Name: "ClusterNetworkPolicy", Resource: "clusternetworkpolicies",
		Versions: []string{"policy.networking.k8s.io/v1alpha2"}, Owner: OwnerNetworkPolicyAPI, Isolates: true,
		decode: kind{new: decodeInto[policyv1alpha2.ClusterNetworkPolicy], schema: clusterPolicySchema},
	},
}

// kindsOfPolicies are the policy kinds as kinds that Parse decodes.
func kindsOfPolicies() []kind {
	kinds := make([]kind, len(policyKinds))
	for i := range policyKinds {
		p := &policyKinds[i]
		kinds[i] = p.decode
		kinds[i].name, kinds[i].versions, kinds[i].namespaced = p.Name, p.Versions, p.Namespaced
	}
	return kinds
}

// PolicyKinds are the kinds of policy that labctl knows.
func PolicyKinds() []PolicyKind { return slices.Clone(policyKinds) }

// PolicyKindOf finds a kind of policy by its name.
func PolicyKindOf(name string) (PolicyKind, bool) {
	if i := slices.IndexFunc(policyKinds, func(k PolicyKind) bool { return k.Name == name }); i >= 0 {
		return policyKinds[i], true
	}
	return PolicyKind{}, false
}

// IsPolicy reports whether a kind is one of PolicyKinds: objects of it are in force, and not part of the cluster.
func IsPolicy(kind string) bool {
	_, ok := PolicyKindOf(kind)
	return ok
}

// MeansPolicy reports whether a kind is one of PolicyKinds, or has the name of one that labctl does not know. Leaving
// such an object out would change verdicts.
func MeansPolicy(kind string) bool { return IsPolicy(kind) || namedPolicy(kind) }

// namedPolicy: most projects call their policies that.
func namedPolicy(kind string) bool { return strings.HasSuffix(kind, "NetworkPolicy") }

// ApplyOrder compares two kinds by which has to be applied first: what Cilium must know before the policies that refer
// to it.
func ApplyOrder(a, b string) int {
	rank := func(kind string) int {
		if k, ok := PolicyKindOf(kind); ok && !k.Isolates {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}

// Isolates reports whether objects of a kind are policies by themselves: see [PolicyKind].
func Isolates(kind string) bool {
	k, _ := PolicyKindOf(kind)
	return k.Isolates
}

// GVR names the resource for a client of Kubernetes' API.
func (k *PolicyKind) GVR() runtimeschema.GroupVersionResource {
	gv, _ := runtimeschema.ParseGroupVersion(k.Versions[0]) // written above
	return gv.WithResource(k.Resource)
}

// ReportsValidity reports whether Cilium says in an object's status whether it accepts it.
func (k *PolicyKind) ReportsValidity() bool { return k.Owner == OwnerCilium && k.Isolates }
