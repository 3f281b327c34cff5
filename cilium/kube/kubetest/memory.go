package kubetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/labctl/labctl/cilium/kube"
)

// Cluster makes a client on client-go's fakes, for tests of what labctl reads: unlike Server, it takes typed
// objects with their status, and commands in pods.
type Cluster struct {
	// Objects are typed objects of Kubernetes, or unstructured ones of other kinds.
	Objects []runtime.Object
	// Exec runs commands in pods. Nil: every command fails.
	Exec kube.Executor
}

// otherKinds are the kinds in addition to Kubernetes' own that a Cluster knows.
func otherKinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return scheme.Scheme.Recognizes(k.GroupVersionKind) })
}

// resource names the resource of a kind.
func (k *Kind) resource() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.Resource)
}

// Client makes a client, and the fake behind its typed part, which records requests and can fail them.
func (c Cluster) Client(t *testing.T) (*kube.Client, *fake.Clientset) {
	t.Helper()
	var typed, dynamic []runtime.Object
	for _, obj := range c.Objects {
		dynamic = append(dynamic, obj)
		if _, ok := obj.(*unstructured.Unstructured); !ok {
			typed = append(typed, obj)
		}
	}
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range otherKinds() {
		lists[k.resource()] = k.Kind + "List"
	}
	exec := c.Exec
	if exec == nil {
		exec = func(context.Context, kube.Pod, io.Reader, io.Writer, io.Writer, ...string) (int, error) {
			return 0, errors.New("no commands run in this test")
		}
	}
	client := fake.NewClientset(typed...)
	known := runtime.NewScheme() // the fake adds to it, and tests run side by side
	if err := scheme.AddToScheme(known); err != nil {
		t.Fatal(err)
	}
	dyn := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(known, lists, dynamic...)
	return kube.NewWith(client, dyn, mapper{testrestmapper.TestOnlyStaticRESTMapper(scheme.Scheme)}, exec), client
}

type mapper struct{ meta.RESTMapper }

func (mapper) Reset() {}

func (m mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	for _, k := range otherKinds() {
		if k.GroupKind() == gk {
			scope := meta.RESTScopeRoot
			if k.Namespaced {
				scope = meta.RESTScopeNamespace
			}
			return &meta.RESTMapping{Resource: k.resource(), GroupVersionKind: k.GroupVersionKind, Scope: scope}, nil
		}
	}
	return m.RESTMapper.RESTMapping(gk, versions...)
}
