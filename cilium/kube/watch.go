package kube

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// Watch calls changed whenever an object of the kinds is created, deleted, or changed in its labels, spec or status
// conditions. It returns when it has seen the existing objects, for which changed is not called, and watches until
// ctx ends, over broken connections. Kinds that the cluster does not know are skipped. changed may be called
// concurrently, and must not block.
func (c *Client) Watch(ctx context.Context, kinds []schema.GroupVersionResource,
	changed func(*unstructured.Unstructured)) error {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(c.Dynamic, 0)
	for _, kind := range kinds {
		if _, err := c.mapper.ResourceFor(kind); meta.IsNoMatchError(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("watch %s: %w", kind.Resource, err)
		}
		tell := func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if u, ok := obj.(*unstructured.Unstructured); ok {
				changed(u)
			}
		}
		_, err := factory.ForResource(kind).Informer().AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
			AddFunc: func(obj any, there bool) {
				if !there {
					tell(obj)
				}
			},
			UpdateFunc: func(before, now any) {
				if !same(before.(*unstructured.Unstructured), now.(*unstructured.Unstructured)) {
					tell(now)
				}
			},
			DeleteFunc: tell,
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", kind.Resource, err)
		}
	}
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("watch %s: %w", kind.Resource, context.Cause(ctx))
		}
	}
	return nil
}

// same reports whether an object has not changed in what matters for policies and pods.
func same(before, now *unstructured.Unstructured) bool {
	part := func(obj *unstructured.Unstructured) []any {
		conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
		var states []string
		for _, c := range conditions {
			if m, ok := c.(map[string]any); ok {
				states = append(states, fmt.Sprint(m["type"], m["status"]))
			}
		}
		addr, _, _ := unstructured.NestedString(obj.Object, "status", "podIP")
		return []any{obj.GetUID(), obj.GetLabels(), obj.GetDeletionTimestamp() == nil, obj.Object["spec"], states, addr}
	}
	return reflect.DeepEqual(part(before), part(now))
}
