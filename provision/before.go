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
	return r.save(func(st *State) { st.Before = before })
}
