package live

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
)

// Watch calls changed with the name of whatever changes in the lab's cluster that its grade may depend on:
// policies, namespaces, and the workloads, pods and services where the lab's apps are. It returns once it
// watches, and continues until ctx ends. changed must not wait.
func (e *Engine) Watch(ctx context.Context, changed func(ref string)) error {
	kinds := append(scope.PolicyKinds(),
		schema.GroupVersionResource{Version: "v1", Resource: "namespaces"},
		schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		schema.GroupVersionResource{Version: "v1", Resource: "services"},
		schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
	)
	return e.cfg.Client.Watch(ctx, kinds, func(obj *unstructured.Unstructured) {
		if e.concerns(obj) {
			changed(kube.Ref(obj))
		}
	})
}

// concerns says whether an object has to do with the lab.
func (e *Engine) concerns(obj *unstructured.Unstructured) bool {
	switch obj.GetKind() {
	case "Namespace":
		_, ok := e.cfg.Instance.NamespaceLabels[obj.GetName()]
		return ok
	case "Pod", "Service", "Deployment":
		if e.methods.own()[obj.GetUID()] {
			return false
		}
		for i := range e.cfg.Lab.Apps {
			if e.cfg.Lab.Apps[i].Namespace == obj.GetNamespace() {
				return true
			}
		}
		return false
	}
	// A policy: a foreign one may begin to apply to the lab, which ends its grading.
	s := &e.cfg.Instance.Scope
	return obj.GetNamespace() != s.Canary && (obj.GetNamespace() == "" || s.Exclusive ||
		slices.Contains(s.Namespaces, obj.GetNamespace()) || obj.GetNamespace() == metav1.NamespaceSystem) &&
		!slices.Contains(s.Before, string(obj.GetUID()))
}

// Drops calls fn with every packet that a policy drops between the lab's pods and anybody, until cancel is called.
// fn must not wait.
func (e *Engine) Drops(fn func(hubble.Drop)) (cancel func()) {
	return e.drops.SubscribeAll(func(d hubble.Drop) {
		if e.cfg.Instance.Scope.Concerns(d.Flow.GetSource().GetNamespace(), d.Flow.GetDestination().GetNamespace()) {
			fn(d)
		}
	})
}
