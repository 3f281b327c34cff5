package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDiffers(t *testing.T) {
	t.Parallel()
	const deployed = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: a}]}}}}`
	for _, tc := range []struct{ name, live, want string }{
		{"as deployed, with defaults", `spec: {replicas: 1, paused: false, template: {metadata: {labels: {app: web}}, spec: {dnsPolicy: x, containers: [{name: web, image: a, tty: true}]}}}`, ""},
		{"scaled", `spec: {replicas: 0, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: a}]}}}`, "spec.replicas"},
		{"a label more", `spec: {replicas: 1, template: {metadata: {labels: {app: web, x: y}}, spec: {containers: [{name: web, image: a}]}}}`, "spec.template.metadata.labels"},
		{"another image", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: b}]}}}`, "spec.template.spec.containers[0].image"},
		{"a container more", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: a}, {name: evil}]}}}`, "spec.template.spec.containers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _ := Differs(object(t, deployed), object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, "+tc.live+"}"))
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// object is the only one in a manifest.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	objs, err := Decode("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objs[0]
}
