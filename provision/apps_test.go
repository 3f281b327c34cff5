package provision

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

const shopLab = `
lab "shop" {
  title = "Shop"
}
namespace "team" {
  labels = { type = "team" }
}
app "web" {
  namespace = namespace.team.name
  labels    = { app = "web" }
  replicas  = 2
  port "http" {
    port        = 80
    target_port = 8080
  }
  port "dns" {
    port     = 53
    protocol = "UDP"
  }
}
app "client" {
  labels = { app = "client" }
}
app "old" {
  manifests = ["manifests/old.yaml"]
}
task "close" {
  title        = "Close"
  instructions = "Close it."
  objective "closed" {
    points = 1
    expect "denied" {
      from = app.client
      to   = app.web.port.http
    }
  }
}
`

const oldManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: old}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: old, namespace: old}
spec:
  selector: {matchLabels: {app: old}}
  template:
    metadata: {labels: {app: old}}
    spec:
      initContainers: [{name: init, image: "registry.k8s.io/e2e-test-images/agnhost@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]
      containers:
      - {name: old, image: "registry.k8s.io/e2e-test-images/agnhost:2.39", ports: [{containerPort: 80}]}
      - {name: other, image: "registry.k8s.io/e2e-test-images/agnhost-other:2.39"}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: old}
spec: {selector: {app: old}, ports: [{port: 80}]}
`

// at is a field of an object, by path.
func at(t *testing.T, obj *unstructured.Unstructured, path ...any) any {
	t.Helper()
	var v any = obj.Object
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

func TestObjects(t *testing.T) {
	t.Parallel()
	lab := loadLab(t, shopLab, "manifests/old.yaml", oldManifest)
	objs, err := objects(lab, rendering{instance: "my-shop", appImage: "agnhost:mine"})
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	byRef := map[string]*unstructured.Unstructured{}
	for _, obj := range objs {
		refs = append(refs, kube.Ref(obj))
		byRef[kube.Ref(obj)] = obj
		if !ownedBy(obj, "my-shop") || ownedBy(obj, "shop") {
			t.Errorf("%s is marked as of %v", kube.Ref(obj), obj.GetAnnotations())
		}
		// Policies select by labels: labctl adds none.
		for key := range obj.GetLabels() {
			if strings.Contains(key, "labctl") {
				t.Errorf("%s has the label %s", kube.Ref(obj), key)
			}
		}
	}
	want := "Namespace team, Namespace old, Deployment team/web, Service team/web, Deployment default/client, Deployment old/old, Service old/old"
	if got := strings.Join(refs, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	web := byRef["Deployment team/web"]
	for _, field := range []struct {
		want any
		path []any
	}{
		{int64(2), []any{"spec", "replicas"}},
		{"agnhost:mine", []any{"spec", "template", "spec", "containers", 0, "image"}},
		{"--http-port=8080", []any{"spec", "template", "spec", "containers", 0, "args", 1}},
		{int64(8080), []any{"spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"}},
		{"http", []any{"spec", "template", "spec", "containers", 0, "ports", 0, "name"}},
		{"--udp-port=53", []any{"spec", "template", "spec", "containers", 1, "args", 2}},
		{"UDP", []any{"spec", "template", "spec", "containers", 1, "ports", 0, "protocol"}},
		{"web", []any{"spec", "template", "metadata", "labels", "app"}},
	} {
		if got := at(t, web, field.path...); got != field.want {
			t.Errorf("%v: got %v, want %v", field.path, got, field.want)
		}
	}
	if _, probed := at(t, web, "spec", "template", "spec", "containers", 1).(map[string]any)["readinessProbe"]; probed {
		t.Error("a UDP server is probed by TCP")
	}
	svc := byRef["Service team/web"]
	if got := at(t, svc, "spec", "ports", 0, "targetPort"); got != int64(8080) {
		t.Errorf("the service goes to %v", got)
	}
	if got := at(t, byRef["Deployment default/client"], "spec", "template", "spec", "containers", 0, "args", 0); got != "pause" {
		t.Errorf("an app without ports runs %v", got)
	}
	old := byRef["Deployment old/old"]
	for _, field := range []struct {
		want any
		path []any
	}{
		{"agnhost:mine", []any{"spec", "template", "spec", "initContainers", 0, "image"}},
		{"agnhost:mine", []any{"spec", "template", "spec", "containers", 0, "image"}},
		{"registry.k8s.io/e2e-test-images/agnhost-other:2.39", []any{"spec", "template", "spec", "containers", 1, "image"}},
	} {
		if got := at(t, old, field.path...); got != field.want {
			t.Errorf("%v: got %v, want %v", field.path, got, field.want)
		}
	}
	// The same lab gives the same objects: an up with nothing to do goes by them.
	again, err := objects(lab, rendering{instance: "my-shop", appImage: "agnhost:mine"})
	if err != nil || digestOf([]any{objs}) != digestOf([]any{again}) {
		t.Errorf("other objects the second time (%v)", err)
	}
}

func TestObjectsErrors(t *testing.T) {
	t.Parallel()
	lab := loadLab(t, shopLab, "manifests/old.yaml", oldManifest)
	lab.Apps[2].Manifests = []string{"manifests/none.yaml"}
	_, err := objects(lab, rendering{instance: "shop", appImage: "agnhost"})
	wantError(t, err, `app "old"`, true)
}

func TestRepository(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nginx":                      "nginx",
		"nginx:1.2":                  "nginx",
		"host:5000/nginx":            "host:5000/nginx",
		"host:5000/nginx:1.2":        "host:5000/nginx",
		"nginx@sha256:00":            "nginx",
		"host:5000/a/b:1.2@sha256:0": "host:5000/a/b",
		DefaultAppImage:              "registry.k8s.io/e2e-test-images/agnhost",
	} {
		if got := repository(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestMarkKeepsAnnotations(t *testing.T) {
	t.Parallel()
	obj := kube.NewObject("v1", "Service", "a", "b", nil)
	shared := map[string]string{"x": "y"}
	obj.SetAnnotations(shared)
	setOwner(obj, "shop")
	if got := obj.GetAnnotations(); got["x"] != "y" || got[scope.DeployedAnnotation] != "shop" {
		t.Errorf("annotations %v", got)
	}
	if len(shared) != 1 {
		t.Error("somebody else's map was changed")
	}
}

func TestNetworkFirst(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                string
		images, first, rest string
	}{
		{"none", "", "", ""},
		{"none of Cilium's", "agnhost:1 nginx", "agnhost:1 nginx", ""},
		{"mixed", "agnhost:1 quay.io/cilium/cilium:v1 quay.io/cilium/hubble-relay:v1 host:5000/operator-generic:v1 cilium-envoy",
			"quay.io/cilium/cilium:v1 host:5000/operator-generic:v1 cilium-envoy", "agnhost:1 quay.io/cilium/hubble-relay:v1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			first, rest := networkFirst(strings.Fields(tc.images))
			if got := strings.Join(first, " "); got != tc.first {
				t.Errorf("first %q, want %q", got, tc.first)
			}
			if got := strings.Join(rest, " "); got != tc.rest {
				t.Errorf("rest %q, want %q", got, tc.rest)
			}
		})
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		managers string
		want     bool
	}{
		{"labctl alone", `{manager: labctl, operation: Apply}`, false},
		{"controllers, and status", `{manager: labctl}, {manager: kube-controller-manager}, {manager: other, subresource: status}`, false},
		{"kubectl edit", `{manager: labctl}, {manager: kubectl-edit}`, true},
		{"a namespace's labels", `{manager: kubectl-label}`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			objs, err := kube.Decode("test", []byte("{apiVersion: v1, kind: Service, metadata: {name: a, managedFields: ["+tc.managers+"]}}"))
			if err != nil {
				t.Fatal(err)
			}
			if got := touched(objs[0]); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAsDeployed(t *testing.T) {
	t.Parallel()
	made, err := appObjects(&labs.App{Name: "web", Namespace: "default", Labels: map[string]string{"app": "web"}, Replicas: 2, Workload: "Deployment/web"},
		rendering{appImage: "agnhost:1"})
	if err != nil {
		t.Fatal(err)
	}
	obj := made[0]
	live := obj.DeepCopy()
	live.SetAnnotations(map[string]string{"deployment.kubernetes.io/revision": "1"})
	if !asDeployed(obj, live) {
		t.Error("what the cluster adds counts")
	}
	live.Object["spec"].(map[string]any)["replicas"] = int64(0)
	if asDeployed(obj, live) {
		t.Error("scaling to nothing does not count")
	}
}

func TestDiffLabels(t *testing.T) {
	t.Parallel()
	type m = map[string]string
	for _, tc := range []struct {
		name    string
		was, is m
		want    []NamespaceDiff
	}{
		{"the same", m{"a": "1"}, m{"a": "1"}, nil},
		{"the system's own", nil, m{"kubernetes.io/metadata.name": "x", "pod-security.kubernetes.io/enforce": "baseline"}, nil},
		{"added", nil, m{"type": "monitoring"}, []NamespaceDiff{{Namespace: "ns", Key: "type", Value: "monitoring"}}},
		{"changed", m{"type": "a"}, m{"type": "b"}, []NamespaceDiff{{Namespace: "ns", Key: "type", Value: "b", Was: "a"}}},
		{"removed", m{"type": "a"}, nil, []NamespaceDiff{{Namespace: "ns", Key: "type", Was: "a", Removed: true}}},
		{"one that looks like the system's", nil, m{"notkubernetes.io/x": "y"}, []NamespaceDiff{{Namespace: "ns", Key: "notkubernetes.io/x", Value: "y"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := diffLabels("ns", tc.was, tc.is)
			if len(got) != len(tc.want) || len(got) > 0 && got[0] != tc.want[0] {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestLabelsOfState(t *testing.T) {
	t.Parallel()
	lab := loadLab(t, shopLab, "manifests/old.yaml", oldManifest)
	st := &State{Before: &Snapshot{NamespaceLabels: map[string]map[string]string{
		"default": {"kubernetes.io/metadata.name": "default"}, "team": {"owner": "x"}, "theirs": {"a": "b"},
	}}}
	got := st.Labels(lab, &scope.Scope{Exclusive: true})
	if got["team"]["owner"] != "x" || got["team"]["type"] != "team" || got["theirs"]["a"] != "b" || got["default"]["kubernetes.io/metadata.name"] != "default" {
		t.Errorf("got %v", got)
	}
	if len(st.Before.NamespaceLabels["team"]) != 1 {
		t.Error("the state was changed")
	}
	if got := (&State{}).Labels(lab, &scope.Scope{})["team"]["kubernetes.io/metadata.name"]; got != "team" {
		t.Errorf("without a record: %q", got)
	}
}
