package manifest

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// kind is a kind that this package decodes.
type kind struct {
	name       string
	versions   []string // apiVersions, the one to recommend first
	namespaced bool
	new        func() any                      // an empty value to decode into
	schema     func() *schema                  // of a custom resource; nil for built-in kinds
	checkName  apivalidation.ValidateNameFunc  // the rule for metadata.name
	check      func(value any) field.ErrorList // checks beside metadata, and applies defaults; may be nil
}

// lookupKind finds a kind that Parse decodes.
func lookupKind(name string) (kind, bool) {
	subdomain, label := apivalidation.NameIsDNSSubdomain, apivalidation.NameIsDNSLabel
	k := kind{name: name, namespaced: true, checkName: subdomain}
	switch name {
	case "NetworkPolicy":
		k.versions = []string{"networking.k8s.io/v1"}
		k.new = func() any { return new(networkingv1.NetworkPolicy) }
		k.check = func(v any) field.ErrorList { return checkNetworkPolicy(v.(*networkingv1.NetworkPolicy)) }
	case "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy":
		k.versions = []string{"cilium.io/v2"}
		k.namespaced = name == "CiliumNetworkPolicy"
		k.new = func() any { return new(CiliumNetworkPolicy) }
		k.schema = ciliumPolicySchema
		k.check = func(v any) field.ErrorList { defaultCiliumPolicy(v.(*CiliumNetworkPolicy)); return nil }
	case "CiliumCIDRGroup":
		k.versions = []string{"cilium.io/v2", "cilium.io/v2alpha1"}
		k.namespaced = false
		k.new = func() any { return new(CiliumCIDRGroup) }
		k.schema = cidrGroupSchema
	case "ClusterNetworkPolicy":
		k.versions = []string{"policy.networking.k8s.io/v1alpha2"}
		k.namespaced = false
		k.new = func() any { return new(policyv1alpha2.ClusterNetworkPolicy) }
		k.schema = clusterPolicySchema
	case "Pod":
		k.versions = []string{"v1"}
		k.new = func() any { return new(corev1.Pod) }
		k.check = func(v any) field.ErrorList { return checkPod(v.(*corev1.Pod)) }
	case "Namespace":
		k.versions = []string{"v1"}
		k.namespaced = false
		k.checkName = label
		k.new = func() any { return new(corev1.Namespace) }
	case "Service":
		k.versions = []string{"v1"}
		k.checkName = label
		k.new = func() any { return new(corev1.Service) }
		k.check = func(v any) field.ErrorList { return checkService(v.(*corev1.Service)) }
	case "Node":
		k.versions = []string{"v1"}
		k.namespaced = false
		k.new = func() any { return new(corev1.Node) }
		k.check = func(v any) field.ErrorList { return checkNode(v.(*corev1.Node)) }
	case "EndpointSlice":
		k.versions = []string{"discovery.k8s.io/v1"}
		k.new = func() any { return new(discoveryv1.EndpointSlice) }
		k.check = func(v any) field.ErrorList { return checkEndpointSlice(v.(*discoveryv1.EndpointSlice)) }
	case "Deployment":
		k.versions = []string{"apps/v1"}
		k.new = func() any { return new(appsv1.Deployment) }
		k.check = func(v any) field.ErrorList {
			d := v.(*appsv1.Deployment)
			return checkWorkload(d.Spec.Selector, &d.Spec.Template, d.Spec.Replicas)
		}
	case "StatefulSet":
		k.versions = []string{"apps/v1"}
		k.new = func() any { return new(appsv1.StatefulSet) }
		k.check = func(v any) field.ErrorList {
			s := v.(*appsv1.StatefulSet)
			return checkWorkload(s.Spec.Selector, &s.Spec.Template, s.Spec.Replicas)
		}
	case "DaemonSet":
		k.versions = []string{"apps/v1"}
		k.new = func() any { return new(appsv1.DaemonSet) }
		k.check = func(v any) field.ErrorList {
			d := v.(*appsv1.DaemonSet)
			return checkWorkload(d.Spec.Selector, &d.Spec.Template, nil)
		}
	case "ReplicaSet":
		k.versions = []string{"apps/v1"}
		k.new = func() any { return new(appsv1.ReplicaSet) }
		k.check = func(v any) field.ErrorList {
			r := v.(*appsv1.ReplicaSet)
			return checkWorkload(r.Spec.Selector, &r.Spec.Template, r.Spec.Replicas)
		}
	case "Job":
		k.versions = []string{"batch/v1"}
		k.new = func() any { return new(batchv1.Job) }
		k.check = func(v any) field.ErrorList { return checkJob(v.(*batchv1.Job)) }
	default:
		return kind{}, false
	}
	return k, true
}

// knownKinds are the names that lookupKind knows.
func knownKinds() []string {
	return []string{
		"NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup", "ClusterNetworkPolicy",
		"Pod", "Namespace", "Service", "Node", "EndpointSlice",
		"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job",
	}
}

// Known reports whether Parse decodes objects of the kind.
func Known(kind string) bool { return slices.Contains(knownKinds(), kind) }

// otherProject reports whether the apiVersion belongs to another project's kind of the same name, such as
// Knative's Service. A policy is never that: who writes one means it to be in force.
func (k kind) otherProject(apiVersion string) bool {
	if strings.HasSuffix(k.name, "NetworkPolicy") || k.name == "CiliumCIDRGroup" {
		return false
	}
	group, _, found := strings.Cut(apiVersion, "/")
	return found && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}
