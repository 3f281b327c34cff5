package provision

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
)

// Snapshot is what was in the cluster when the lab came: reset and down leave it as it is.
type Snapshot struct {
	Policies        []string                     `json:"policies"` // UIDs
	Namespaces      []string                     `json:"namespaces"`
	NamespaceLabels map[string]map[string]string `json:"namespace_labels"`
	Mutators        map[string]string            `json:"mutators,omitempty"` // as in scope.Scope
	// Objects are the original versions of the lab's objects that existed before. With --adopt the lab changes
	// them, and down restores them.
	Objects []*unstructured.Unstructured `json:"objects,omitempty"`
}

// object returns what an object of the lab was before; nil: it did not exist.
func (b *Snapshot) object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	for _, was := range b.Objects {
		if sameObject(was, obj) {
			return was
		}
	}
	return nil
}

// unmanaged are the objects that are in the cluster and that the instance did not make, without what the server
// keeps in them.
func unmanaged(ctx context.Context, client *kube.Client, objs []*unstructured.Unstructured,
	instance string) ([]*unstructured.Unstructured, error) {
	var found []*unstructured.Unstructured
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return nil, err
		}
		if live == nil || ownedBy(live, instance) {
			continue
		}
		for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
			unstructured.RemoveNestedField(live.Object, "metadata", field)
		}
		unstructured.RemoveNestedField(live.Object, "status")
		live.SetNamespace(obj.GetNamespace()) // as the lab writes it, which may leave the default out
		found = append(found, live)
	}
	return found, nil
}

// recordBefore notes what is in the cluster, once, before the lab's first object.
func (r *run) recordBefore(ctx context.Context, client *kube.Client) error {
	if r.state().Before != nil {
		return nil
	}
	before := &Snapshot{Policies: []string{}, Namespaces: []string{}, NamespaceLabels: map[string]map[string]string{}}
	found, err := scope.Policies(ctx, client)
	if err != nil {
		return err
	}
	for i := range found {
		before.Policies = append(before.Policies, string(found[i].GetUID()))
	}
	mutators, err := scope.Mutators(ctx, client)
	if err != nil {
		return err
	}
	before.Mutators = map[string]string{}
	for i := range mutators {
		before.Mutators[string(mutators[i].UID)] = mutators[i].Digest
	}
	namespaces, err := client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		before.Namespaces = append(before.Namespaces, ns.Name)
		before.NamespaceLabels[ns.Name] = ns.Labels
	}
	if !r.provider.Ephemeral() {
		objs, err := r.objects()
		if err != nil {
			return err
		}
		if before.Objects, err = unmanaged(ctx, client, objs, r.identity()); err != nil {
			return err
		}
	}
	return r.save(func(st *State) { st.Before = before })
}
