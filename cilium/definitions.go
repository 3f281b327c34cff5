package cilium

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	crdsv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	crdsv2alpha1 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/labctl/labctl/cilium/kube"
)

// definitionsOf is the version of Cilium whose resource definitions are built in: that of the module in go.mod.
const definitionsOf = "1.20"

var definitionResource = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

// Define creates Cilium's missing resource definitions, if those of the version are built in. Cilium's operator
// would create them itself, one per second, and no agent starts before the last exists. It keeps those that it
// finds, and upgrades older ones.
func Define(ctx context.Context, client *kube.Client, version string) error {
	if minor(version) != definitionsOf {
		return nil
	}
	for _, files := range []embed.FS{crdsv2.EmbedFS, crdsv2alpha1.EmbedFS} {
		paths, err := fs.Glob(files, "*.yaml")
		if err != nil {
			return fmt.Errorf("read Cilium's resource definitions: %w", err)
		}
		for _, path := range paths {
			data, err := files.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read Cilium's resource definitions: %w", err)
			}
			objs, err := kube.Decode(path, data)
			if err != nil {
				return fmt.Errorf("read Cilium's resource definitions: %w", err)
			}
			for _, obj := range objs {
				// By this label the operator recognizes definitions older than its own.
				obj.SetLabels(map[string]string{ciliumio.CustomResourceDefinitionSchemaVersionKey: ciliumio.CustomResourceDefinitionSchemaVersion})
				_, err := client.Dynamic.Resource(definitionResource).
					Create(ctx, obj, metav1.CreateOptions{FieldManager: kube.FieldManager})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					return fmt.Errorf("create %s: %w", kube.Ref(obj), err)
				}
			}
		}
	}
	return nil
}

// Defined lists the resource definitions of Cilium's group in a cluster.
func Defined(ctx context.Context, client *kube.Client) ([]string, error) {
	list, err := client.Dynamic.Resource(definitionResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list resource definitions: %w", err)
	}
	names := []string{}
	for i := range list.Items {
		if strings.HasSuffix(list.Items[i].GetName(), "."+ciliumio.CustomResourceDefinitionGroup) {
			names = append(names, list.Items[i].GetName())
		}
	}
	return names, nil
}

// Undefine deletes resource definitions, and with them all objects of their kinds.
func Undefine(ctx context.Context, client *kube.Client, names []string) error {
	for _, name := range names {
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(schema.GroupVersionKind{
			Group: definitionResource.Group, Version: definitionResource.Version, Kind: "CustomResourceDefinition",
		})
		obj.SetName(name)
		if err := client.Delete(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}
