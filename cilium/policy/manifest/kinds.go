package manifest

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// kind is a kind that this package decodes.
type kind struct {
	apiVersion string
	namespaced bool
	new        func() any                       // an empty value to decode into
	check      func(o *Object, r *objectReport) // what the API server checks beside the metadata
}

// kinds are all that Parse decodes. Everything else is passed on undecoded.
func lookupKind(name string) (kind, bool) {
	switch name {
	case "NetworkPolicy":
		return kind{"networking.k8s.io/v1", true, func() any { return new(networkingv1.NetworkPolicy) }, nil}, true
	case "CiliumNetworkPolicy":
		return kind{"cilium.io/v2", true, func() any { return new(CiliumNetworkPolicy) }, nil}, true
	case "CiliumClusterwideNetworkPolicy":
		return kind{"cilium.io/v2", false, func() any { return new(CiliumNetworkPolicy) }, nil}, true
	case "CiliumCIDRGroup":
		return kind{"cilium.io/v2", false, func() any { return new(CiliumCIDRGroup) }, nil}, true
	case "ClusterNetworkPolicy":
		return kind{"policy.networking.k8s.io/v1alpha2", false, func() any { return new(policyv1alpha2.ClusterNetworkPolicy) }, nil}, true
	case "Pod":
		return kind{"v1", true, func() any { return new(corev1.Pod) }, nil}, true
	case "Namespace":
		return kind{"v1", false, func() any { return new(corev1.Namespace) }, nil}, true
	case "Service":
		return kind{"v1", true, func() any { return new(corev1.Service) }, nil}, true
	case "Node":
		return kind{"v1", false, func() any { return new(corev1.Node) }, nil}, true
	case "EndpointSlice":
		return kind{"discovery.k8s.io/v1", true, func() any { return new(discoveryv1.EndpointSlice) }, nil}, true
	case "Deployment":
		return kind{"apps/v1", true, func() any { return new(appsv1.Deployment) }, nil}, true
	case "StatefulSet":
		return kind{"apps/v1", true, func() any { return new(appsv1.StatefulSet) }, nil}, true
	case "DaemonSet":
		return kind{"apps/v1", true, func() any { return new(appsv1.DaemonSet) }, nil}, true
	case "ReplicaSet":
		return kind{"apps/v1", true, func() any { return new(appsv1.ReplicaSet) }, nil}, true
	case "Job":
		return kind{"batch/v1", true, func() any { return new(batchv1.Job) }, nil}, true
	}
	return kind{}, false
}

// Known reports whether Parse decodes objects of the kind.
func Known(kind string) bool {
	_, ok := lookupKind(kind)
	return ok
}

// groupOf returns the API group of "networking.k8s.io/v1": "" for "v1".
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}
