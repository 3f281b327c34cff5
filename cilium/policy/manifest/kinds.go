package manifest

//lint:file-ignore SA1019 Clusters still have Endpoints, and what people write by hand takes effect.

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// kind is a kind that this package decodes.
type kind struct {
	name       string
	versions   []string // apiVersions, the one to recommend first
	namespaced bool
	new        func() any                      // an empty value to decode into
	schema     func() *schema                  // of a custom resource; nil for built-in kinds
	checkName  apivalidation.ValidateNameFunc  // the rule for metadata.name; nil: a DNS subdomain
	check      func(value any) field.ErrorList // checks beside metadata, and applies defaults; may be nil
}

// knownKinds are the kinds that Parse decodes: those of policyKinds, and the objects that clusters are made of.
var knownKinds = append(kindsOfPolicies(), []kind{
	{name: "Pod", versions: []string{"v1"}, namespaced: true, new: decodeInto[corev1.Pod], check: checked(checkPod)},
	{name: "Namespace", versions: []string{"v1"}, checkName: apivalidation.NameIsDNSLabel,
		new: decodeInto[corev1.Namespace]},
	{name: "Service", versions: []string{"v1"}, namespaced: true, checkName: apivalidation.NameIsDNSLabel,
		new: decodeInto[corev1.Service], check: checked(checkService)},
	{name: "Node", versions: []string{"v1"}, new: decodeInto[corev1.Node], check: checked(checkNode)},
	{name: "EndpointSlice", versions: []string{"discovery.k8s.io/v1"}, namespaced: true,
		new: decodeInto[discoveryv1.EndpointSlice], check: checked(checkEndpointSlice)},
	//nolint:staticcheck // deprecated, and still what many clusters and manifests hold
	{name: "Endpoints", versions: []string{"v1"}, namespaced: true, new: decodeInto[corev1.Endpoints],
		check: checked(checkEndpoints)},
	{name: "Deployment", versions: []string{"apps/v1"}, namespaced: true, new: decodeInto[appsv1.Deployment],
		check: checked(func(d *appsv1.Deployment) field.ErrorList {
			return checkWorkload(d.Spec.Selector, &d.Spec.Template, d.Spec.Replicas)
		})},
	{name: "StatefulSet", versions: []string{"apps/v1"}, namespaced: true, new: decodeInto[appsv1.StatefulSet],
		check: checked(func(s *appsv1.StatefulSet) field.ErrorList {
			return checkWorkload(s.Spec.Selector, &s.Spec.Template, s.Spec.Replicas)
		})},
	{name: "DaemonSet", versions: []string{"apps/v1"}, namespaced: true, new: decodeInto[appsv1.DaemonSet],
		check: checked(func(d *appsv1.DaemonSet) field.ErrorList {
			return checkWorkload(d.Spec.Selector, &d.Spec.Template, nil)
		})},
	{name: "ReplicaSet", versions: []string{"apps/v1"}, namespaced: true, new: decodeInto[appsv1.ReplicaSet],
		check: checked(func(r *appsv1.ReplicaSet) field.ErrorList {
			return checkWorkload(r.Spec.Selector, &r.Spec.Template, r.Spec.Replicas)
		})},
	{name: "ReplicationController", versions: []string{"v1"}, namespaced: true,
		new: decodeInto[corev1.ReplicationController], check: checked(checkReplicationController)},
	{name: "CronJob", versions: []string{"batch/v1"}, namespaced: true, new: decodeInto[batchv1.CronJob],
		check: checked(func(c *batchv1.CronJob) field.ErrorList {
			return checkJob(&c.Spec.JobTemplate.Spec, field.NewPath("spec", "jobTemplate", "spec"))
		})},
	{name: "Job", versions: []string{"batch/v1"}, namespaced: true, new: decodeInto[batchv1.Job],
		check: checked(func(j *batchv1.Job) field.ErrorList {
			return checkJob(&j.Spec, field.NewPath("spec"))
		})},
}...)

func decodeInto[T any]() any { return new(T) }

// checked adapts a check of one type.
func checked[T any](check func(*T) field.ErrorList) func(any) field.ErrorList {
	return func(v any) field.ErrorList { return check(v.(*T)) }
}

// lookupKind finds a kind that Parse decodes.
func lookupKind(name string) (kind, bool) {
	for i := range knownKinds {
		if knownKinds[i].name == name {
			return knownKinds[i], true
		}
	}
	return kind{name: name, namespaced: true}, false
}

// Known reports whether Parse decodes objects of the kind.
func Known(kind string) bool {
	_, known := lookupKind(kind)
	return known
}

// Namespaced reports whether objects of a kind are in namespaces. It takes kinds that this package does not know to be,
// as most are.
func Namespaced(kind string) bool {
	k, _ := lookupKind(kind)
	return k.namespaced
}

// otherProject reports whether the apiVersion belongs to another project's kind of the same name, such as
// Knative's Service. A policy is never that: who writes one means it to be in force.
func (k kind) otherProject(apiVersion string) bool {
	if IsPolicy(k.name) {
		return false
	}
	group, _, found := strings.Cut(apiVersion, "/")
	return found && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// trafficKinds are the kinds of other projects that decide which traffic passes, beside those whose names end in
// NetworkPolicy, by their API group.
var trafficKinds = map[string][]string{
	"cilium.io":             {"CiliumLocalRedirectPolicy"},
	"k8s.ovn.org":           {"EgressFirewall"},
	"security.istio.io":     {"AuthorizationPolicy", "PeerAuthentication"},
	"policy.linkerd.io":     {"AuthorizationPolicy", "Server", "ServerAuthorization"},
	"kuma.io":               {"MeshTrafficPermission", "TrafficPermission"},
	"consul.hashicorp.com":  {"ServiceIntentions"},
	"vpcresources.k8s.aws":  {"SecurityGroupPolicy"},
	"kubeovn.io":            {"SecurityGroup"},
	"projectcalico.org":     {"HostEndpoint"},
	"crd.projectcalico.org": {"HostEndpoint"},
}

// Unmodelled reports whether an object decides which traffic passes, and is of a kind that is not Known: leaving it
// out would change verdicts.
func (o *Object) Unmodelled() bool {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	switch {
	case o.Value != nil:
		return false
	case namedPolicy(o.Kind):
		return !strings.HasPrefix(o.Kind, "Staged") // Calico's, which are not in force
	}
	return slices.Contains(trafficKinds[group], o.Kind)
}

// NotModelled is the problem of an object whose kind no engine of labctl evaluates.
func (o *Object) NotModelled() Problem {
	return Problem{
		File: o.File, Line: o.LineOf("kind"), Object: o.Ref().String(), Field: "kind",
		Message: fmt.Sprintf("%s %s is not modelled by the offline engine", o.APIVersion, o.Kind),
	}
}

// otherPolicyProject names the project that has a NetworkPolicy or ClusterNetworkPolicy of its own in a version.
func otherPolicyProject(apiVersion string) string {
	group, _, _ := strings.Cut(apiVersion, "/")
	switch group {
	case "projectcalico.org", "crd.projectcalico.org":
		return "Calico"
	case "crd.antrea.io", "security.antrea.tanzu.vmware.com":
		return "Antrea"
	case "networking.k8s.aws":
		return "Amazon"
	}
	return ""
}
