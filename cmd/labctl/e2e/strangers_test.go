//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
)

// strangersLab is a lab whose submissions may have policies for the whole cluster, and label a namespace of everybody's; its
// verbs are its name, the kubeconfig, the context and the namespace.
const strangersLab = `
lab %q {
  title = "A lab in a cluster that others use"
}
cluster "existing" {
  kubeconfig = %q
  context    = %q
}
namespace %[4]q {
  labels = { of = "the-lab" }
}
app "web" {
  namespace = %[4]q
  labels    = { app = "web" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "client" {
  namespace = %[4]q
  labels    = { app = "client" }
}
submission {
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup"]
  may_label = ["kube-system"]
  layout    = "either"
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

// strangersNamespace is somebody else's.
const strangersNamespace = "e2e-theirs"

// strangersObjects are somebody else's; NAME is part of every name.
const strangersObjects = `
{apiVersion: v1, kind: Namespace, metadata: {name: e2e-theirs-NAME, labels: {a: b}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: NAME, namespace: e2e-theirs}, stringData: {a: b}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME, namespace: e2e-theirs}, spec: {podSelector: {}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: NAME, namespace: e2e-theirs, labels: {app: web}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: "IMAGE", args: [pause]}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: NAME}, webhooks: [{name: a.example.com, admissionReviewVersions: [v1], sideEffects: None, failurePolicy: Ignore, timeoutSeconds: 1, clientConfig: {url: "https://192.0.2.1/"}, rules: [{apiGroups: [example.com], apiVersions: ["*"], operations: [CREATE], resources: ["*"]}]}]}
`

// strangersPolicies are those of Cilium's kinds.
const strangersPolicies = `
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: NAME, namespace: e2e-theirs}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NAME}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": e2e-theirs}}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: NAME}, spec: {externalCIDRs: [192.0.2.0/24]}}
`

// strangersSubmissions are what is graded beside somebody else's policies; NS is the lab's namespace.
var strangersSubmissions = map[string]string{
	"solution": `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: close, namespace: NS}, spec: {podSelector: {matchLabels: {app: web}}}}`,
	"clusterwide": `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NS}, spec: {endpointSelector: {matchLabels: {app: web, "k8s:io.kubernetes.pod.namespace": NS}}, ingress: [{fromCIDRSet: [{cidrGroupRef: NS}]}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: NS}, spec: {externalCIDRs: [198.51.100.0/24]}}
`,
	"label": `{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, labels: {graded-in-NS: "yes"}}}`,
	"wrong": `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: open, namespace: NS}, spec: {endpointSelector: {}, ingress: [{fromEntities: [all]}]}}`,
}

// stranger is somebody else who uses a cluster.
type stranger struct {
	b    *bareCluster
	objs []*unstructured.Unstructured
	was  map[string]string // each object as JSON, by name
}

// creates creates the manifests under a name.
func (o *stranger) creates(t *testing.T, name, manifests string) {
	t.Helper()
	manifests = strings.NewReplacer("NAME", name, "IMAGE", o.b.image).Replace(manifests)
	o.b.kubectl(t, "create", "-f", o.b.s.file(t, manifests))
	objs, err := kube.Decode("manifests", []byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	o.objs = append(o.objs, objs...)
}

// rests waits until Kubernetes and Cilium have written their words on the objects, and notes what these are.
func (o *stranger) rests(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, 100*time.Millisecond, func() error {
		o.was = map[string]string{}
		all := o.b.objects(t)
		for _, obj := range o.objs {
			ref := kube.Ref(obj)
			if why := unsettled(all[ref]); why != "" {
				return fmt.Errorf("%s: %s", ref, why)
			}
			o.was[ref] = toJSON(t, all[ref])
		}
		return nil
	})
	o.was["labels of kube-system"] = o.labels(t)
}

// untouched fails the test if an object is not what it was, to the byte.
func (o *stranger) untouched(t *testing.T, after string) {
	t.Helper()
	all := o.b.objects(t)
	now := map[string]string{"labels of kube-system": o.labels(t)}
	for ref, obj := range all {
		now[ref] = toJSON(t, obj)
	}
	for _, ref := range slices.Sorted(maps.Keys(o.was)) {
		if now[ref] != o.was[ref] {
			t.Errorf("after %s, %s was\n%s\nand is\n%s", after, ref, o.was[ref], now[ref])
		}
	}
}

// leaves deletes all.
func (o *stranger) leaves(t *testing.T) {
	t.Helper()
	args := []string{"delete", "--ignore-not-found"}
	for _, obj := range o.objs {
		if obj.GetNamespace() == "" { // the others go with the namespace
			args = append(args, strings.ToLower(obj.GetKind())+"/"+obj.GetName())
		}
	}
	o.b.kubectl(t, append(args, "namespace/"+strangersNamespace)...)
}

func (o *stranger) labels(t *testing.T) string {
	t.Helper()
	return o.b.kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.labels}")
}

// objects are all objects of the kinds that strangers have, by name.
func (b *bareCluster) objects(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	const kinds = "namespaces,secrets,networkpolicies,pods,mutatingwebhookconfigurations,cnp,ccnp,ciliumcidrgroups"
	list := new(unstructured.UnstructuredList)
	if err := json.Unmarshal([]byte(b.kubectl(t, "get", kinds, "-A", "--show-managed-fields", "-o", "json")), list); err != nil {
		t.Fatal(err)
	}
	all := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		all[kube.Ref(&list.Items[i])] = &list.Items[i]
	}
	return all
}

// unsettled says what Kubernetes or Cilium has yet to say of an object; empty: nothing.
func unsettled(obj *unstructured.Unstructured) string {
	if obj == nil {
		return "it is not there"
	}
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	node, _, _ := unstructured.NestedString(obj.Object, "spec", "nodeName")
	switch kind := obj.GetKind(); {
	case strings.HasPrefix(kind, "Cilium") && strings.HasSuffix(kind, "Policy") && conditions == nil:
		return "the operator has not looked at it"
	case kind == "Pod" && node == "":
		return "it has no node yet"
	}
	return ""
}

// toJSON is an object as JSON. What becomes of a pod is the kubelet's word, and no part of it.
func toJSON(t *testing.T, obj *unstructured.Unstructured) string {
	t.Helper()
	if obj.GetKind() == "Pod" {
		obj = obj.DeepCopy()
		delete(obj.Object, "status")
		obj.SetResourceVersion("")
		obj.SetManagedFields(nil)
	}
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (s *suite) file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
