package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Files are manifests of what the student has in force: policies, and namespaces with the labels that the lab
// did not give them. They are named after the objects, and read as kubectl would show them.
func (e *Engine) Files(ctx context.Context) ([]manifest.File, error) {
	policies, _, err := e.policies(ctx)
	if err != nil {
		return nil, err
	}
	var files []manifest.File
	add := func(obj *unstructured.Unstructured) error {
		data, err := yaml.Marshal(stripServerFields(obj).Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", refOf(obj), err)
		}
		name := strings.ToLower(obj.GetKind()) + "." + obj.GetName() + ".yaml"
		if obj.GetNamespace() != "" {
			name = obj.GetNamespace() + "." + name
		}
		files = append(files, manifest.File{Name: name, Data: data})
		return nil
	}
	for i := range policies {
		if err := add(&policies[i]); err != nil {
			return nil, err
		}
	}
	namespaces, err := e.cfg.Client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		base, known := e.cfg.Instance.NamespaceLabels[ns.Name]
		if !known {
			continue
		}
		given := map[string]string{}
		for key, value := range ns.Labels {
			if base[key] != value {
				given[key] = value
			}
		}
		if len(given) == 0 {
			continue
		}
		obj := kube.NewObject("v1", "Namespace", "", ns.Name, nil)
		obj.SetLabels(given)
		if err := add(obj); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b manifest.File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// stripServerFields returns an object without the fields that the server added.
func stripServerFields(obj *unstructured.Unstructured) *unstructured.Unstructured {
	meta := map[string]any{"name": obj.GetName()}
	if obj.GetNamespace() != "" {
		meta["namespace"] = obj.GetNamespace()
	}
	if labels, ok, _ := unstructured.NestedMap(obj.Object, "metadata", "labels"); ok && len(labels) > 0 {
		meta["labels"] = labels
	}
	out := &unstructured.Unstructured{Object: maps.Clone(obj.Object)}
	out.Object["metadata"] = meta
	delete(out.Object, "status")
	return out
}
