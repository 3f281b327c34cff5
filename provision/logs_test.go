package provision

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/kube/kubetest"
)

// sharedCluster has a lab in namespace default beside others' objects, whose names all contain "stranger".
func sharedCluster() []runtime.Object {
	logged := func(pod *corev1.Pod) *corev1.Pod {
		pod.Spec.Containers = []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: "MODE", Value: "env-secret"}}}}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main"}}
		pod.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "applied-secret"}
		return pod
	}
	event := func(namespace, about, message string) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: about},
			InvolvedObject: corev1.ObjectReference{Namespace: namespace, Name: about}, Message: message,
		}
	}
	return append(readyCluster(),
		&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "node-1", Annotations: map[string]string{"of": "stranger-1"}},
			Status:     corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"stranger-2"}}}},
		},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stranger-3"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "stranger-4"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Annotations: map[string]string{"labctl/instance": "shop.id"}}},
		logged(podOf("default", "web-2", map[string]string{"app": "web"}, corev1.PodRunning, true)),
		logged(podOf("default", "stranger-5", map[string]string{"app": "other"}, corev1.PodRunning, true)),
		logged(podOf("stranger-3", "stranger-6", map[string]string{"app": "web"}, corev1.PodRunning, true)),
		event("default", "web-2", "pulled from https://me:url-secret@registry.school/web, Authorization: Bearer token-secret"),
		event("default", "stranger-5", "stranger-7"), event("stranger-3", "stranger-6", "stranger-8"),
		policyOf("default", "mine", "True", ""), policyOf("stranger-3", "stranger-9", "True", ""),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "object-secret"}, StringData: map[string]string{"a": "object-secret"}},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium-config"},
			Data:       map[string]string{"proxy": "http://me:url-secret@proxy.school", "greeting": "hello variable-secret, file-secret-1"},
		},
	)
}

// filesOf adds what add adds to a bundle of the instance, and returns the files by name.
func filesOf(t *testing.T, ref *LabRef, add func(*bundle) error) map[string]string {
	t.Helper()
	var archive bytes.Buffer
	b := &bundle{root: "x", redactor: newRedactor(ref.values()), tar: tar.NewWriter(&archive)}
	if err := errors.Join(add(b), b.err, b.tar.Close()); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(&archive); ; {
		head, err := in.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(head.Name, "x/")] = string(content)
	}
}

// TestBundleIsDiscreet: a support bundle has what is the lab's, and nothing that is planted beside it.
func TestBundleIsDiscreet(t *testing.T) {
	t.Parallel()
	varFile := filepath.Join(t.TempDir(), "vars.hcl")
	if err := os.WriteFile(varFile, []byte("keys = [\"file-secret-1\", { a = \"file-secret-2\" }]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	st := &State{
		Name: "shop", ID: "id", Lab: LabRef{Name: "shop", Vars: map[string]string{"token": "variable-secret", "pin": "12"}, VarFiles: []string{varFile}},
		Cilium: CiliumState{Chart: "https://me:url-secret@charts.school 1.20.2"},
		Before: &Snapshot{Objects: []*unstructured.Unstructured{kube.NewObject("v1", "Secret", "default", "theirs", map[string]any{"key": "object-secret"})}},
	}
	st.Before.Objects[0].Object["data"] = map[string]any{"key": "object-secret"}
	owns, err := scopeOf(st, statusLab(), &fakeProvider{stays: true}, DefaultAppImage)
	if err != nil {
		t.Fatal(err)
	}
	client, _ := kubetest.Cluster{Objects: sharedCluster()}.Client(t)
	files := filesOf(t, &st.Lab, func(b *bundle) error {
		b.yaml("state.yaml", st.public())
		return b.cluster(context.Background(), client, owns, "")
	})
	var all strings.Builder
	for name, content := range files {
		all.WriteString(name + "\n" + content + "\n")
	}
	for _, planted := range []string{"stranger", "secret", "\"12\""} {
		for line := range strings.Lines(all.String()) {
			if strings.Contains(line, planted) && !strings.HasPrefix(strings.TrimSpace(line), "- secret") {
				t.Errorf("the bundle has %q: %s", planted, line)
			}
		}
	}
	// What stands beside the plants is there, so that they were looked at.
	for file, wanted := range map[string][]string{
		"state.yaml":                  {"token: '***'", "pin: '***'", "://***@charts.school", "kind: Secret", "name: theirs"},
		"cilium/config.yaml":          {"hello ***, ***", "http://***@proxy.school"},
		"kubernetes/nodes.yaml":       {"node-1"},
		"kubernetes/namespaces.yaml":  {"name: default"},
		"kubernetes/services.yaml":    {"name: web"},
		"kubernetes/pods.yaml":        {"name: web-2", "name: MODE", "value: '***'"},
		"kubernetes/events.yaml":      {"https://***@registry.school/web", "Bearer ***"},
		"kubernetes/policies.yaml":    {"name: mine"},
		"logs/default/web-2/main.log": {"fake logs"},
	} {
		for _, text := range wanted {
			if !strings.Contains(files[file], text) {
				t.Errorf("%s does not have %q:\n%s", file, text, files[file])
			}
		}
	}
}

// TestBundleOfOwnCluster: of a cluster that labctl created, everything but Secrets is in the bundle.
func TestBundleOfOwnCluster(t *testing.T) {
	t.Parallel()
	owns := scopeOfStatus(t)
	client, _ := kubetest.Cluster{Objects: sharedCluster()}.Client(t)
	files := filesOf(t, &LabRef{}, func(b *bundle) error { return b.cluster(context.Background(), client, owns, "") })
	for file, wanted := range map[string]string{
		"kubernetes/pods.yaml": "stranger-6", "kubernetes/services.yaml": "stranger-4", "kubernetes/events.yaml": "stranger-8",
		"kubernetes/policies.yaml": "stranger-9", "kubernetes/namespaces.yaml": "stranger-3", "kubernetes/nodes.yaml": "stranger-2",
		"logs/stranger-3/stranger-6/main.log": "fake logs",
	} {
		if !strings.Contains(files[file], wanted) {
			t.Errorf("%s does not have %q", file, wanted)
		}
		for _, secret := range []string{"url-secret", "token-secret", "env-secret", "object-secret"} {
			if strings.Contains(files[file], secret) {
				t.Errorf("%s has %s", file, secret)
			}
		}
	}
}
