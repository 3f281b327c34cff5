package scope

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// SetLabels adds labels to a namespace that others also use, replacing those that the instance added before;
// without labels it removes those. A label that somebody else set is never changed or removed: the API server
// records the owner of each one (server-side apply). It returns all labels that the namespace now has, nil if the
// namespace does not exist.
func (s *Scope) SetLabels(ctx context.Context, client *kube.Client, namespace string,
	labels map[string]string) (now map[string]string, changed bool, err error) {
	api := client.Typed.CoreV1().Namespaces()
	live, err := api.Get(ctx, namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	manager := "labctl-grade/" + s.Instance
	added := slices.ContainsFunc(live.ManagedFields, func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == manager
	})
	if len(labels) == 0 && !added {
		return live.Labels, false, nil
	}
	applied, err := api.Apply(ctx, applycorev1.Namespace(namespace).WithLabels(labels),
		metav1.ApplyOptions{FieldManager: manager})
	if apierrors.IsConflict(err) {
		return nil, false, fmt.Errorf("label namespace %s: it already has other values for these labels, and labctl does not change them in a cluster that others use: %w", namespace, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("label namespace %s: %w", namespace, err)
	}
	return applied.Labels, !maps.Equal(live.Labels, applied.Labels), nil
}
