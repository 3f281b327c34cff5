// Package kubetest is an API server in memory, for tests of what labctl does to the objects of a cluster. It knows the
// kinds of Kinds, keeps account of who set which field as a real one does, and runs nothing: no controller, no pod. But
// Deployments and pods say at once that they are ready, and Cilium's policies that they are valid.
package kubetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Kind is a kind of object that the server knows.
type Kind struct {
	schema.GroupVersionKind
	Resource   string
	Namespaced bool
}

// Kinds are what the server knows.
func Kinds() []Kind {
	kind := func(group, version, kind, resource string, namespaced bool) Kind {
		return Kind{schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, resource, namespaced}
	}
	all := []Kind{
		kind("", "v1", "Namespace", "namespaces", false),
		kind("", "v1", "Node", "nodes", false),
		kind("", "v1", "Pod", "pods", true),
		kind("", "v1", "Service", "services", true),
		kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
		kind("", "v1", "ConfigMap", "configmaps", true),
		kind("", "v1", "Secret", "secrets", true),
		kind("apps", "v1", "Deployment", "deployments", true),
		kind("apps", "v1", "DaemonSet", "daemonsets", true),
		kind("apps", "v1", "ReplicaSet", "replicasets", true),
		kind("apps", "v1", "StatefulSet", "statefulsets", true),
		kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
		kind("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration",
			"mutatingwebhookconfigurations", false),
		kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration",
			"validatingwebhookconfigurations", false),
		kind("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", false),
		kind("cilium.io", "v2", "CiliumEndpoint", "ciliumendpoints", true),
	}
	for _, p := range manifest.PolicyKinds() {
		gvr := p.GVR()
		all = append(all, kind(gvr.Group, gvr.Version, p.Name, gvr.Resource, p.Namespaced))
	}
	return all
}

// Server is the API server. Add what is to be there; Client talks to it.
type Server struct {
	Client     *kube.Client
	Kubeconfig []byte
	// Intercept gets every request that changes something, before it does. An error is the answer. Set it before the
	// requests that it is for.
	Intercept func(method, path string) error
	// Exec runs commands in pods. Nil: every command fails. Set it before the commands that it is for.
	Exec kube.Executor

	t    testing.TB
	mu   sync.Mutex
	objs map[string]*unstructured.Unstructured
	next int
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, objs: map[string]*unstructured.Unstructured{}}
	api := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(api.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: api.URL}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	var err error
	if s.Kubeconfig, err = clientcmd.Write(*config); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Parse(s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s.Client = client.WithExec(func(ctx context.Context, pod kube.Pod, in io.Reader, out, errs io.Writer,
		command ...string) (int, error) {
		if s.Exec == nil {
			return 0, errors.New("no commands run in this test")
		}
		return s.Exec(ctx, pod, in, out, errs, command...)
	})
	return s
}

// Add creates the objects of manifests as kubectl does.
func (s *Server) Add(manifests string) {
	s.t.Helper()
	objs, err := kube.Decode("test", []byte(manifests))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, obj := range objs {
		k, ok := kindOf(func(k Kind) bool { return k.GroupVersionKind == obj.GroupVersionKind() })
		if !ok {
			s.t.Fatalf("the server does not know %s", obj.GroupVersionKind())
		}
		if k.Namespaced && obj.GetNamespace() == "" {
			obj.SetNamespace(metav1.NamespaceDefault)
		}
		s.mu.Lock()
		_, err := s.put(k, nil, obj, "kubectl")
		s.mu.Unlock()
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// Objects are all objects as JSON, by kind, namespace and name.
func (s *Server) Objects() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for _, obj := range s.objs {
		data, err := json.Marshal(obj)
		if err != nil {
			s.t.Fatal(err)
		}
		all[kube.Ref(obj)] = string(data)
	}
	return all
}

func kindOf(is func(Kind) bool) (Kind, bool) {
	kinds := Kinds()
	if i := slices.IndexFunc(kinds, is); i >= 0 {
		return kinds[i], true
	}
	return Kind{}, false
}

func key(k Kind, namespace, name string) string {
	return k.Group + "/" + k.Resource + "/" + namespace + "/" + name
}

// put stores an object in the place of old, which is nil for a new one.
func (s *Server) put(k Kind, old, obj *unstructured.Unstructured, manager string) (*unstructured.Unstructured, error) {
	s.next++
	if obj.SetGroupVersionKind(k.GroupVersionKind); k.Kind == "Namespace" {
		all := obj.GetLabels()
		if all == nil {
			all = map[string]string{}
		}
		all["kubernetes.io/metadata.name"] = obj.GetName()
		obj.SetLabels(all)
	}
	before := old
	if before == nil {
		before = &unstructured.Unstructured{Object: map[string]any{}}
		before.SetGroupVersionKind(k.GroupVersionKind)
		obj.SetUID(types.UID(fmt.Sprintf("uid-%d", s.next)))
	} else {
		obj.SetUID(old.GetUID())
	}
	fields, err := fieldManager(k)
	if err != nil {
		return nil, err
	}
	updated, err := fields.Update(before, obj, manager)
	if err != nil {
		return nil, err
	}
	return s.store(k, old, updated.(*unstructured.Unstructured)), nil
}

// runningPod is the status of a pod that runs.
func runningPod(pod *unstructured.Unstructured, addr string) map[string]any {
	containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	var states []any
	for _, c := range containers {
		name := c.(map[string]any)["name"]
		states = append(states, map[string]any{"name": name, "ready": true, "state": map[string]any{"running": map[string]any{}}})
	}
	return map[string]any{
		"phase": "Running", "podIP": addr, "containerStatuses": states,
		"conditions": []any{map[string]any{"type": "Ready", "status": "True"}},
	}
}

// store gives an object a new version, unless nothing in it has changed. Deployments, DaemonSets and pods are ready at
// once.
func (s *Server) store(k Kind, old, obj *unstructured.Unstructured) *unstructured.Unstructured {
	if k.Kind == "Deployment" {
		n, ok, _ := unstructured.NestedInt64(obj.Object, "spec", "replicas")
		if !ok {
			n = 1
		}
		obj.Object["status"] = map[string]any{"replicas": n, "updatedReplicas": n, "availableReplicas": n}
	}
	if k.Kind == "DaemonSet" {
		n := int64(1)
		obj.Object["status"] = map[string]any{"desiredNumberScheduled": n, "updatedNumberScheduled": n, "numberAvailable": n}
	}
	if p, ok := manifest.PolicyKindOf(k.Kind); ok && p.ReportsValidity() && obj.Object["status"] == nil {
		obj.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Valid", "status": "True"}}}
	}
	if phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase"); k.Kind == "Pod" && phase == "" {
		obj.Object["status"] = runningPod(obj, fmt.Sprintf("10.0.0.%d", s.next%250+1))
	}
	if old != nil {
		obj.SetResourceVersion(old.GetResourceVersion())
		if same, err := equal(old, obj); err == nil && same {
			return old
		}
	}
	obj.SetResourceVersion(strconv.Itoa(s.next))
	s.objs[key(k, obj.GetNamespace(), obj.GetName())] = obj
	return obj
}

func equal(a, b *unstructured.Unstructured) (bool, error) {
	bare := func(obj *unstructured.Unstructured) ([]byte, error) {
		obj = obj.DeepCopy()
		entries := obj.GetManagedFields()
		for i := range entries {
			entries[i].Time = nil
		}
		obj.SetManagedFields(entries)
		return json.Marshal(obj)
	}
	one, err := bare(a)
	if err != nil {
		return false, err
	}
	two, err := bare(b)
	return string(one) == string(two), err
}

func fieldManager(k Kind) (*managedfields.FieldManager, error) {
	kinds := runtime.NewScheme()
	return managedfields.NewDefaultFieldManager(managedfields.NewDeducedTypeConverter(), plain{}, kinds, plain{},
		k.GroupVersionKind, k.GroupVersion(), "", nil)
}

// plain converts and creates objects of one version.
type plain struct{}

func (plain) Convert(in, out, _ any) error { return fmt.Errorf("convert %T to %T: not here", in, out) }
func (plain) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}
func (plain) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
func (plain) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	obj.SetGroupVersionKind(kind)
	return obj, nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer any
	var err error
	if s.Intercept != nil && r.Method != http.MethodGet {
		err = s.Intercept(r.Method, r.URL.Path)
	}
	if err == nil {
		answer, err = s.answer(r)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status, ok := err.(apierrors.APIStatus)
		if !ok {
			status = apierrors.NewInternalError(err)
		}
		failed := status.Status()
		failed.Kind, failed.APIVersion = "Status", "v1"
		w.WriteHeader(int(failed.Code))
		answer = failed
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Errorf("answer %s: %v", r.URL, err)
	}
}

func (s *Server) answer(r *http.Request) (any, error) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/readyz":
		return "ok", nil
	case r.URL.Path == "/api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}, nil
	case r.URL.Path == "/apis":
		return groups(), nil
	case len(path) == 2 && path[0] == "api":
		return resources("", path[1]), nil
	case len(path) == 3 && path[0] == "apis":
		return resources(path[1], path[2]), nil
	}
	group, rest := "", path[1:]
	if path[0] == "apis" {
		group, rest = path[1], path[2:]
	}
	namespace := ""
	if rest = rest[1:]; len(rest) > 2 && rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	k, ok := kindOf(func(k Kind) bool { return k.Group == group && k.Resource == rest[0] })
	if !ok || len(rest) > 2 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: group, Resource: rest[0]}, r.URL.Path)
	}
	if len(rest) == 1 {
		return s.collection(r, k, namespace)
	}
	return s.one(r, k, namespace, rest[1])
}

func groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, k := range Kinds() {
		if k.Group != "" && !slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool {
			return g.Name == k.Group
		}) {
			version := metav1.GroupVersionForDiscovery{GroupVersion: k.GroupVersion().String(), Version: k.Version}
			list.Groups = append(list.Groups,
				metav1.APIGroup{
					Name: k.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
				})
		}
	}
	return list
}

func resources(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: schema.GroupVersion{Group: group, Version: version}.String(),
	}
	for _, k := range Kinds() {
		if k.Group == group && k.Version == version {
			list.APIResources = append(list.APIResources,
				metav1.APIResource{
					Name: k.Resource, Kind: k.Kind, Namespaced: k.Namespaced,
					Verbs: metav1.Verbs{"get", "list", "create", "update", "patch", "delete", "watch"},
				})
		}
	}
	return list
}

func (s *Server) collection(r *http.Request, k Kind, namespace string) (any, error) {
	switch r.Method {
	case http.MethodPost:
		obj, err := read(r)
		if err != nil {
			return nil, err
		}
		if obj.GetName() == "" {
			obj.SetName(obj.GetGenerateName() + strconv.Itoa(s.next))
		}
		return s.put(k, nil, obj, r.URL.Query().Get("fieldManager"))
	case http.MethodGet:
		selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		list := &unstructured.UnstructuredList{Object: map[string]any{"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.next)}}}
		list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
		for _, obj := range s.objs {
			if obj.GroupVersionKind() == k.GroupVersionKind && (namespace == "" || obj.GetNamespace() == namespace) &&
				selector.Matches(labels.Set(obj.GetLabels())) {
				list.Items = append(list.Items, *obj)
			}
		}
		slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int {
			return strings.Compare(kube.Ref(&a), kube.Ref(&b))
		})
		return list.UnstructuredContent(), nil
	}
	return nil, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: k.Resource}, r.Method)
}

func (s *Server) one(r *http.Request, k Kind, namespace, name string) (any, error) {
	old := s.objs[key(k, namespace, name)]
	resource := schema.GroupResource{Group: k.Group, Resource: k.Resource}
	if old == nil && (r.Method != http.MethodPatch || r.Header.Get("Content-Type") != string(types.ApplyPatchType)) {
		return nil, apierrors.NewNotFound(resource, name)
	}
	switch r.Method {
	case http.MethodGet:
		return old, nil
	case http.MethodPut:
		obj, err := read(r)
		if err != nil {
			return nil, err
		}
		return s.put(k, old, obj, r.URL.Query().Get("fieldManager"))
	case http.MethodPatch:
		return s.patch(r, k, old, namespace, name)
	case http.MethodDelete:
		opts, err := read(r)
		if err != nil {
			return nil, err
		}
		if uid, ok, _ := unstructured.NestedString(opts.Object, "preconditions", "uid"); ok &&
			uid != string(old.GetUID()) {
			return nil, apierrors.NewConflict(resource, name, fmt.Errorf("the UID is another one"))
		}
		s.delete(k, namespace, name)
		kind := metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return metav1.Status{TypeMeta: kind, Status: metav1.StatusSuccess}, nil
	}
	return nil, apierrors.NewMethodNotSupported(resource, r.Method)
}

// delete deletes an object, and with a namespace what is in it.
func (s *Server) delete(k Kind, namespace, name string) {
	delete(s.objs, key(k, namespace, name))
	if k.Kind != "Namespace" {
		return
	}
	for key, obj := range s.objs {
		if obj.GetNamespace() == name {
			delete(s.objs, key)
		}
	}
}

func (s *Server) patch(r *http.Request, k Kind, old *unstructured.Unstructured, namespace, name string) (any, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	if r.Header.Get("Content-Type") == string(types.ApplyPatchType) {
		return s.apply(k, old, namespace, name, data, query.Get("fieldManager"), query.Get("force") == "true")
	}
	was, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	var now []byte
	switch types.PatchType(r.Header.Get("Content-Type")) {
	case types.JSONPatchType:
		patch, err := jsonpatch.DecodePatch(data)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		now, err = patch.Apply(was)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	default:
		if now, err = jsonpatch.MergePatch(was, data); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(now); err != nil {
		return nil, err
	}
	return s.put(k, old, obj, query.Get("fieldManager"))
}

func (s *Server) apply(k Kind, old *unstructured.Unstructured, namespace, name string, data []byte, manager string,
	force bool) (any, error) {
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &obj.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	fields, err := fieldManager(k)
	if err != nil {
		return nil, err
	}
	s.next++
	live := old
	if live == nil {
		live = &unstructured.Unstructured{Object: map[string]any{}}
		live.SetGroupVersionKind(k.GroupVersionKind)
		live.SetName(name)
		live.SetNamespace(namespace)
		live.SetUID(types.UID(fmt.Sprintf("uid-%d", s.next)))
		if k.Kind == "Namespace" {
			live.SetLabels(map[string]string{"kubernetes.io/metadata.name": name})
		}
	}
	merged, err := fields.Apply(live.DeepCopy(), obj, manager, force)
	if err != nil {
		return nil, err
	}
	result := merged.(*unstructured.Unstructured)
	result.SetUID(live.GetUID())
	return s.store(k, old, result), nil
}

// read reads what was sent, which client-go encodes as JSON, or for the kinds that it knows as protobuf.
func read(r *http.Request) (*unstructured.Unstructured, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	if len(data) == 0 {
		return obj, nil
	}
	if r.Header.Get("Content-Type") == runtime.ContentTypeProtobuf {
		typed, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		obj.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
		return obj, err
	}
	if err := json.Unmarshal(data, &obj.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}
