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
	refs [][]string        // how kubectl gets each of the objects
	was  map[string]string // each object as JSON, once it is settled
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
	for _, obj := range objs {
		ref := []string{obj.GetKind(), obj.GetName()}
		if obj.GetNamespace() != "" {
			ref = append(ref, "-n", obj.GetNamespace())
		}
		o.refs = append(o.refs, ref)
	}
}

// rests waits until Kubernetes and Cilium have written their words on the objects, and notes what these are.
func (o *stranger) rests(t *testing.T) {
	t.Helper()
	o.was = map[string]string{"Namespace kube-system": o.b.labels(t, "kube-system")}
	for _, ref := range o.refs {
		o.was[strings.Join(ref, " ")] = o.b.settled(t, ref...)
	}
}

// untouched fails the test if an object is not what it was, to the byte.
func (o *stranger) untouched(t *testing.T, after string) {
	t.Helper()
	now := map[string]string{"Namespace kube-system": o.b.labels(t, "kube-system")}
	for _, ref := range o.refs {
		now[strings.Join(ref, " ")] = o.b.object(t, ref...)
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
	slices.Reverse(o.refs)
	for _, ref := range o.refs {
		o.b.kubectl(t, append([]string{"delete"}, ref...)...)
	}
}

func (b *bareCluster) labels(t *testing.T, namespace string) string {
	t.Helper()
	return b.kubectl(t, "get", "namespace", namespace, "-o", "jsonpath={.metadata.labels}")
}

// object is an object as JSON. What becomes of a pod is the kubelet's word, and no part of it.
func (b *bareCluster) object(t *testing.T, ref ...string) string {
	t.Helper()
	data := b.kubectl(t, append([]string{"get", "--show-managed-fields", "-o", "json"}, ref...)...)
	if ref[0] != "Pod" {
		return data
	}
	pod := new(unstructured.Unstructured)
	if err := json.Unmarshal([]byte(data), pod); err != nil {
		t.Fatal(err)
	}
	delete(pod.Object, "status")
	pod.SetResourceVersion("")
	pod.SetManagedFields(nil)
	left, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return string(left)
}

// settled is an object as JSON; one of a policy of Cilium's has the operator's word in its status.
func (b *bareCluster) settled(t *testing.T, ref ...string) string {
	t.Helper()
	var data string
	eventually(t, 30*time.Second, 100*time.Millisecond, func() error {
		data = b.object(t, ref...)
		var obj struct {
			Kind   string         `json:"kind"`
			Spec   map[string]any `json:"spec"`
			Status map[string]any `json:"status"`
		}
		if err := json.Unmarshal([]byte(data), &obj); err != nil {
			t.Fatal(err)
		}
		switch obj.Kind {
		case "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy":
			if obj.Status["conditions"] == nil {
				return fmt.Errorf("the operator has not looked at %v", ref)
			}
		case "Pod":
			if obj.Spec["nodeName"] == nil {
				return fmt.Errorf("%v has no node yet", ref)
			}
		}
		return nil
	})
	return data
}

func (s *suite) file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
