// Package scope says which objects of a cluster belong to a lab instance: what reset, down and live grading may change
// or delete, what counts as the student's work, and what falsifies a grade although it has to be left alone.
//
// A cluster that labctl created is the instance's alone, and so is everything in it that came after the lab. On any
// other cluster only two kinds of object are ever changed: those in the lab's namespaces, and those that carry the
// instance's mark. Whatever existed before the lab is never changed.
package scope

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Annotations on what labctl creates; their value is Scope.Instance. They are not labels, since policies select by
// labels.
const (
	DeployedAnnotation  = "labctl/instance"   // on the lab's own objects
	submittedAnnotation = "labctl/submission" // on what a grading put into the cluster
)

// Scope is what belongs to one lab instance.
type Scope struct {
	// Instance identifies the instance among all that share the cluster.
	Instance string
	// Exclusive says that labctl created the cluster for this instance.
	Exclusive bool
	// Namespaces are those that the lab is about.
	Namespaces []string
	// Created are the namespaces that labctl created or adopted.
	Created []string
	// Before are the UIDs of the policies that were in the cluster before the lab.
	Before []string
	// Mutators are the digests of the Mutators that were in the cluster before the lab, by UID.
	Mutators map[string]string
	// Managed says that the control plane is a cloud's, where no user of the cluster can run anything.
	Managed bool
	// Canary is the namespace in which enforcement is proved.
	Canary string
	// Apps are the lab's pods, whose connections are graded.
	Apps []App
}

// App is a set of pods of the lab: those in a namespace that Owns takes for its own.
type App struct {
	Namespace string
	Owns      func(podName string, podLabels map[string]string) bool
	// Labels are what its pods have; none where only the cluster gives them labels.
	Labels map[string]string
}

// CanaryNamespace is the namespace in which an instance proves enforcement; id distinguishes it from those of other
// instances in a shared cluster.
func CanaryNamespace(exclusive bool, id string) string {
	if exclusive || id == "" {
		return "labctl-canary"
	}
	return "labctl-canary-" + id
}

// MarkDeployed marks an object as one of the lab's own.
func (s *Scope) MarkDeployed(obj *unstructured.Unstructured) {
	annotate(obj, DeployedAnnotation, s.Instance)
}

// MarkSubmitted marks an object as put into the cluster by a grading.
func (s *Scope) MarkSubmitted(obj *unstructured.Unstructured) {
	annotate(obj, submittedAnnotation, s.Instance)
}

// Marked says whether this instance created the object, be it for the lab or for a grading.
func (s *Scope) Marked(obj *unstructured.Unstructured) bool {
	return s.Deployed(obj) || obj.GetAnnotations()[submittedAnnotation] == s.Instance
}

// Deployed says whether the object is one of the lab's own.
func (s *Scope) Deployed(obj *unstructured.Unstructured) bool {
	return obj.GetAnnotations()[DeployedAnnotation] == s.Instance
}

// othersMark says whether another instance created the object.
func (s *Scope) othersMark(obj *unstructured.Unstructured) bool {
	marks := obj.GetAnnotations()
	return !s.Marked(obj) && (marks[DeployedAnnotation] != "" || marks[submittedAnnotation] != "")
}

// Others names the other instances that have a lab in the cluster.
func (s *Scope) Others(ctx context.Context, client *kube.Client) ([]string, error) {
	var found []string
	for _, kind := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "namespaces"}, {Version: "v1", Resource: "pods"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "apps", Version: "v1", Resource: "statefulsets"},
	} {
		list, err := client.Dynamic.Resource(kind).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		for i := range list.Items {
			if by := list.Items[i].GetAnnotations()[DeployedAnnotation]; by != "" && by != s.Instance {
				found = append(found, by)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Concerns says whether traffic between two namespaces, which are empty outside the cluster, has to do with the lab.
// That of the canary has not.
func (s *Scope) Concerns(from, to string) bool {
	if s.Canary != "" && (from == s.Canary || to == s.Canary) {
		return false
	}
	return s.Exclusive || slices.Contains(s.Namespaces, from) || slices.Contains(s.Namespaces, to)
}

func annotate(obj *unstructured.Unstructured, key, value string) {
	annotations := maps.Clone(obj.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	obj.SetAnnotations(annotations)
}

// MayReplace says whether labctl may put an object of its own in the place of one that is there.
func (s *Scope) MayReplace(live *unstructured.Unstructured) bool {
	if IsPolicy(live) {
		return s.Resets(live)
	}
	return s.Exclusive || s.Marked(live) || slices.Contains(s.Created, live.GetNamespace()) && !s.existedBefore(live)
}

// OwnsNamespace says whether everything in a namespace is the lab's, its labels too.
func (s *Scope) OwnsNamespace(name string) bool {
	return s.Exclusive || slices.Contains(s.Created, name)
}

// OwnsPod says whether a pod is in a namespace that is the lab's, or has the labels of one of its apps.
func (s *Scope) OwnsPod(pod *corev1.Pod) bool {
	return s.OwnsNamespace(pod.Namespace) || slices.ContainsFunc(s.Apps, func(app App) bool {
		return app.Namespace == pod.Namespace && app.Owns(pod.Name, pod.Labels)
	})
}

// Settles are the namespaces whose endpoints have to realize a change of the lab's policies; nil: those of the whole
// cluster. On a cluster that others use, too, their pods come and go, and no policy of the lab selects them.
func (s *Scope) Settles() []string {
	if s.Exclusive {
		return nil
	}
	return s.Namespaces
}

// Resets says whether reset, down and live grading may delete a policy: what a grading put into the cluster, and what
// the student created in the lab. A lab itself has no policies, so the mark of its objects protects none.
func (s *Scope) Resets(p *unstructured.Unstructured) bool {
	switch {
	case s.existedBefore(p), s.Canary != "" && p.GetNamespace() == s.Canary:
		return false
	case s.Exclusive, s.Marked(p):
		return true
	case s.othersMark(p):
		return false
	}
	return p.GetNamespace() != "" && slices.Contains(s.Namespaces, p.GetNamespace())
}

// Counts says whether a policy is part of what the student has in force. On a cluster that others use, too, that
// includes a cluster-wide policy that came after the lab and can select nothing but pods in the lab's namespaces.
// It is not deleted all the same, since nothing says who created it.
func (s *Scope) Counts(p *unstructured.Unstructured) bool {
	return s.Resets(p) || p.GetNamespace() == "" && !s.existedBefore(p) && !s.othersMark(p) && confined(p, s.Namespaces)
}

func (s *Scope) existedBefore(obj *unstructured.Unstructured) bool {
	return slices.Contains(s.Before, string(obj.GetUID()))
}

// PolicyKinds are the resources of the kinds of policy that a cluster may hold, in the order in which they have to
// be applied.
func PolicyKinds() []schema.GroupVersionResource {
	kinds := manifest.PolicyKinds()
	slices.SortStableFunc(kinds, func(a, b manifest.PolicyKind) int { return manifest.ApplyOrder(a.Name, b.Name) })
	resources := make([]schema.GroupVersionResource, len(kinds))
	for i := range kinds {
		resources[i] = kinds[i].GVR()
	}
	return resources
}

// IsPolicy says whether an object is of a kind of policy that labctl knows.
func IsPolicy(obj *unstructured.Unstructured) bool {
	kind, ok := manifest.PolicyKindOf(obj.GetKind())
	return ok && kind.GVR().Group == obj.GroupVersionKind().Group
}

// Policies lists all policies of the cluster, whoever owns them. Kinds that the cluster does not have are omitted.
func Policies(ctx context.Context, client *kube.Client) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	for _, kind := range PolicyKinds() {
		list, err := client.Dynamic.Resource(kind).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		all = append(all, list.Items...)
	}
	return all, nil
}
