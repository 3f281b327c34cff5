package kube

import (
	"fmt"
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
		{"moved into the node's network", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {hostNetwork: true, containers: [{name: web, image: a}]}}}`, "spec.template.spec.hostNetwork"},
		{"names that resolve otherwise", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {hostAliases: [{ip: 192.0.2.1}], containers: [{name: web, image: a}]}}}`, "spec.template.spec.hostAliases"},
		{"a readiness probe more", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: a, readinessProbe: {tcpSocket: {port: 1}}}]}}}`, "spec.template.spec.containers[0].readinessProbe"},
		{"another command", `spec: {replicas: 1, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: a, command: [sleep]}]}}}`, "spec.template.spec.containers[0].command"},
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

// TestServiceDiffers: what labctl leaves to the API server counts where somebody chose it.
func TestServiceDiffers(t *testing.T) {
	t.Parallel()
	const service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]%s}}"
	for _, tc := range []struct{ name, want, live, field string }{
		{"defaults", "", ", type: ClusterIP, clusterIP: 10.96.0.7", ""},
		{"a node port that the cluster chose", ", type: NodePort", ", type: NodePort, clusterIP: 10.96.0.7", ""},
		{"a port of the nodes", "", ", type: NodePort, clusterIP: 10.96.0.7", "spec.type"},
		{"no address", "", ", type: ClusterIP, clusterIP: None", "spec.clusterIP"},
		{"headless, as it is to be", ", clusterIP: None", ", type: ClusterIP, clusterIP: None", ""},
		{"an address where there is to be none", ", clusterIP: None", ", type: ClusterIP, clusterIP: 10.96.0.7", "spec.clusterIP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want, live := object(t, fmt.Sprintf(service, tc.want)), object(t, fmt.Sprintf(service, tc.live))
			if got, _ := Differs(want, live); got != tc.field {
				t.Errorf("got %q, want %q", got, tc.field)
			}
		})
	}
}

func TestPodDiffers(t *testing.T) {
	t.Parallel()
	const template = `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {tolerations: [{operator: Exists}], containers: [{name: web, image: a, readinessProbe: {tcpSocket: {port: 1}}}]}}`
	for _, tc := range []struct{ name, spec, want string }{
		{"as made, with what the cluster adds", `nodeName: n1, tolerations: [{operator: Exists}, {key: a}], volumes: [{name: token}], containers: [{name: web, image: a, volumeMounts: [{name: token}], readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 10}}]`, ""},
		{"another probe", `containers: [{name: web, image: a, readinessProbe: {tcpSocket: {port: 2}}}]`, "spec.containers[0].readinessProbe.tcpSocket.port"},
		{"no probe", `containers: [{name: web, image: a}]`, "spec.containers[0].readinessProbe"},
		{"in the node's network", `hostNetwork: true, containers: [{name: web, image: a, readinessProbe: {tcpSocket: {port: 1}}}]`, "spec.hostNetwork"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			spec := func(obj *unstructured.Unstructured) map[string]any { return obj.Object["spec"].(map[string]any) }
			live := object(t, "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {"+tc.spec+"}}")
			if got, _ := PodDiffers(spec(object(t, template)), spec(live)); got != tc.want {
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
