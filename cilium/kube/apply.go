package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
)

// FieldManager is the name that labctl applies objects under.
const FieldManager = "labctl"

// Decode reads the objects of YAML or JSON documents, and the items of lists. name is for messages.
func Decode(name string, data []byte) ([]*unstructured.Unstructured, error) {
	dec := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objs []*unstructured.Unstructured
	for n := 1; ; n++ {
		var raw map[string]any
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return objs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
		if len(raw) == 0 {
			continue
		}
		obj := &unstructured.Unstructured{Object: raw}
		if obj.IsList() {
			err := obj.EachListItem(func(item runtime.Object) error {
				objs = append(objs, item.(*unstructured.Unstructured))
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", name, n, err)
			}
			continue
		}
		if obj.GetKind() == "" || obj.GetAPIVersion() == "" || obj.GetName() == "" {
			return nil, fmt.Errorf("%s: document %d: an object needs apiVersion, kind and metadata.name", name, n)
		}
		objs = append(objs, obj)
	}
}

// NewObject makes an object. A cluster-scoped one has no namespace, and some kinds have no spec.
func NewObject(apiVersion, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	obj.SetAPIVersion(apiVersion)
	obj.SetKind(kind)
	obj.SetName(name)
	if namespace != "" {
		obj.SetNamespace(namespace)
	}
	if len(spec) > 0 {
		obj.Object["spec"] = spec
	}
	return obj
}

// Ref names an object in messages: "Deployment default/web".
func Ref(obj *unstructured.Unstructured) string {
	if obj.GetNamespace() == "" {
		return obj.GetKind() + " " + obj.GetName()
	}
	return obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
}

// Apply applies the objects in order, server-side, as FieldManager, and takes over fields that others set. It
// returns the objects as the server has them. Objects of namespaced kinds without a namespace go to "default".
func (c *Client) Apply(ctx context.Context, objs ...*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	return c.ApplyAs(ctx, FieldManager, objs...)
}

// ApplyAs is Apply with another field manager.
func (c *Client) ApplyAs(ctx context.Context, manager string,
	objs ...*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	force := true
	opts := metav1.PatchOptions{FieldManager: manager, Force: &force}
	applied := make([]*unstructured.Unstructured, 0, len(objs))
	for _, obj := range objs {
		res, obj, err := c.resource(obj)
		if err != nil {
			return applied, fmt.Errorf("apply %s: %w", Ref(obj), err)
		}
		data, err := json.Marshal(obj)
		if err != nil {
			return applied, fmt.Errorf("apply %s: %w", Ref(obj), err)
		}
		got, err := res.Patch(ctx, obj.GetName(), types.ApplyPatchType, data, opts)
		if err != nil {
			return applied, fmt.Errorf("apply %s: %w", Ref(obj), err)
		}
		applied = append(applied, got)
	}
	return applied, nil
}

// CreateAs creates an object as a field manager, by server-side apply or by a plain request. If the object exists, it
// returns an AlreadyExists error.
func (c *Client) CreateAs(ctx context.Context, manager string, apply bool, obj *unstructured.Unstructured) error {
	live, err := c.Get(ctx, obj)
	if err != nil {
		return err
	}
	res, obj, err := c.resource(obj)
	if err != nil {
		return fmt.Errorf("create %s: %w", Ref(obj), err)
	}
	if live != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: obj.GetKind()}, obj.GetName())
	}
	if apply {
		_, err := c.ApplyAs(ctx, manager, obj)
		return err
	}
	if _, err = res.Create(ctx, obj, metav1.CreateOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("create %s: %w", Ref(obj), err)
	}
	return nil
}

// Delete deletes the objects. One that does not exist is not an error. An object with a UID, as read from the
// cluster, is deleted only if it still has that UID.
func (c *Client) Delete(ctx context.Context, objs ...*unstructured.Unstructured) error {
	background := metav1.DeletePropagationBackground
	for _, obj := range objs {
		res, obj, err := c.resource(obj)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete %s: %w", Ref(obj), err)
		}
		opts := metav1.DeleteOptions{PropagationPolicy: &background}
		if uid := obj.GetUID(); uid != "" {
			opts.Preconditions = &metav1.Preconditions{UID: &uid}
		}
		err = res.Delete(ctx, obj.GetName(), opts)
		if apierrors.IsConflict(err) && opts.Preconditions != nil {
			continue // another one of its name is there
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s: %w", Ref(obj), err)
		}
	}
	return nil
}

// Get returns the object as it is in the cluster; nil if it does not exist.
func (c *Client) Get(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	res, obj, err := c.resource(obj)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Ref(obj), err)
	}
	got, err := res.Get(ctx, obj.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Ref(obj), err)
	}
	return got, nil
}

// resource is the API resource of the object's kind. The object is returned with its namespace filled in.
func (c *Client) resource(
	obj *unstructured.Unstructured) (dynamic.ResourceInterface, *unstructured.Unstructured, error) {
	mapping, err := c.mapping(obj.GroupVersionKind())
	if err != nil {
		return nil, obj, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.Dynamic.Resource(mapping.Resource), obj, nil
	}
	if obj.GetNamespace() == "" {
		obj = obj.DeepCopy()
		obj.SetNamespace(metav1.NamespaceDefault)
	}
	return c.Dynamic.Resource(mapping.Resource).Namespace(obj.GetNamespace()), obj, nil
}

// mapping finds the resource of a kind. An unknown kind is looked up again, since CRDs may have been added.
func (c *Client) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if !meta.IsNoMatchError(err) {
		return mapping, err
	}
	c.mapper.Reset()
	return c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

// Replace replaces a live object, with all fields that others set. What only the server sets, such as a service's
// address, stays.
func (c *Client) Replace(ctx context.Context, obj *unstructured.Unstructured) error {
	res, obj, err := c.resource(obj)
	if err != nil {
		return fmt.Errorf("replace %s: %w", Ref(obj), err)
	}
	obj = obj.DeepCopy()
	// A controller may change its status at the same time.
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		live, err := res.Get(ctx, obj.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		obj.SetResourceVersion(live.GetResourceVersion())
		_, err = res.Update(ctx, obj, metav1.UpdateOptions{FieldManager: FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("replace %s: %w", Ref(obj), err)
	}
	return nil
}
