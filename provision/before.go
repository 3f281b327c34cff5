package provision

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/kube"
)

// Before is what was in the cluster when the lab came: reset and down leave it as it is.
type Before struct {
	Policies        []string                     `json:"policies"` // UIDs
	Namespaces      []string                     `json:"namespaces"`
	NamespaceLabels map[string]map[string]string `json:"namespace_labels"`
	// Objects are those of the lab's that somebody else had made, as they were. With --adopt the lab changes them,
	// and down changes them back.
	Objects []*unstructured.Unstructured `json:"objects,omitempty"`
}

// object is what an object of the lab was before; nil: it was not there.
func (b *Before) object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	for _, was := range b.Objects {
		if sameObject(was, obj) {
			return was
		}
	}
	return nil
}

// foreign are the objects that are in the cluster and that the instance did not make, without what the server
// keeps in them.
func foreign(ctx context.Context, client *kube.Client, objs []*unstructured.Unstructured, instance string) ([]*unstructured.Unstructured, error) {
	var found []*unstructured.Unstructured
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return nil, err
		}
		if live == nil || marked(live, instance) {
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

// policyKinds are the kinds of policy that a student can make.
var policyKinds = []schema.GroupVersionResource{
	{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"},
	{Group: "cilium.io", Version: "v2", Resource: "ciliumclusterwidenetworkpolicies"},
	{Group: "cilium.io", Version: "v2", Resource: "ciliumcidrgroups"},
	{Group: "policy.networking.k8s.io", Version: "v1alpha2", Resource: "clusternetworkpolicies"},
}

// policies lists all policies in a cluster; kinds that it does not have are left out.
func policies(ctx context.Context, client *kube.Client) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	for _, kind := range policyKinds {
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

// recordBefore notes what is in the cluster, once, before the lab's first object.
func (r *run) recordBefore(ctx context.Context, client *kube.Client) error {
	if r.state().Before != nil {
		return nil
	}
	before := &Before{Policies: []string{}, Namespaces: []string{}, NamespaceLabels: map[string]map[string]string{}}
	found, err := policies(ctx, client)
	if err != nil {
		return err
	}
	for i := range found {
		before.Policies = append(before.Policies, string(found[i].GetUID()))
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
		objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
		if err != nil {
			return err
		}
		if before.Objects, err = foreign(ctx, client, objs, r.opts.Name); err != nil {
			return err
		}
	}
	return r.save(func(st *State) { st.Before = before })
}
