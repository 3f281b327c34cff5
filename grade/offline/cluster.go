package offline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// clusterObjects are the objects of the cluster that `labctl up` would build from the lab: its nodes,
// namespaces and apps.
func clusterObjects(lab *labs.Lab) ([]*manifest.Object, error) {
	objs := nodes(lab)
	for _, name := range labs.SystemNamespaces() {
		objs = append(objs, namespace(name, nil))
	}
	for _, ns := range lab.Namespaces {
		objs = append(objs, namespace(ns.Name, ns.Labels))
	}
	read := make(map[string]bool) // manifests; apps may share a file
	for i := range lab.Apps {
		app := &lab.Apps[i]
		if len(app.Manifests) == 0 {
			objs = append(objs, appObjects(app, i)...)
			continue
		}
		for _, name := range app.Manifests {
			if read[name] {
				continue
			}
			read[name] = true
			files, err := manifest.ReadFS(lab.FS, name, manifest.Limits{})
			if err != nil {
				return nil, fmt.Errorf("app %q: %w", app.Name, err)
			}
			parsed, problems := manifest.Parse(files, manifest.Limits{})
			if err := problems.Err(); err != nil {
				return nil, fmt.Errorf("app %q: %w", app.Name, err)
			}
			objs = append(objs, parsed...)
		}
	}
	return objs, nil
}

// nodes are a control plane and the workers of the lab's default cluster, together with every node that
// the lab names.
func nodes(lab *labs.Lab) []*manifest.Object {
	const controlPlane, worker = "control-plane", "worker"
	names := []string{controlPlane}
	for i := range lab.Workers() {
		name := worker
		if i > 0 {
			name += strconv.Itoa(i + 1) // as kind counts: worker, worker2, worker3
		}
		names = append(names, name)
	}
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range lab.Apps {
		add(lab.Apps[i].Node)
	}
	for i := range lab.Tasks {
		for j := range lab.Tasks[i].Objectives {
			for _, c := range lab.Tasks[i].Objectives[j].Checks {
				for _, p := range c.Connections() {
					add(p.From.Node)
					add(p.To.Node)
				}
			}
		}
	}
	objs := make([]*manifest.Object, len(names))
	for i, name := range names {
		labels := map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux"}
		if strings.HasSuffix(name, controlPlane) {
			labels["node-role.kubernetes.io/control-plane"] = ""
		}
		objs[i] = object("v1", "Node", "", name, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.%d.%d", (i+2)>>8, (i+2)&0xff)},
			}},
		})
	}
	return objs
}

// appObjects are the Deployment and the Service of an app block.
func appObjects(app *labs.App, index int) []*manifest.Object {
	replicas := int32(app.Replicas)
	container := corev1.Container{Name: app.Name, Image: app.Image}
	var ports []corev1.ServicePort
	for _, p := range app.Ports {
		proto := corev1.Protocol(p.Protocol)
		container.Ports = append(container.Ports, corev1.ContainerPort{Name: p.Name, ContainerPort: int32(p.TargetPort), Protocol: proto})
		ports = append(ports, corev1.ServicePort{Name: p.Name, Port: int32(p.Port), TargetPort: intstr.FromInt(p.TargetPort), Protocol: proto})
	}
	meta := metav1.ObjectMeta{Name: app.Name, Namespace: app.Namespace, Labels: app.Labels}
	objs := []*manifest.Object{
		object("apps/v1", "Deployment", app.Namespace, app.Name, &appsv1.Deployment{
			ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{
				Replicas: &replicas,
				Selector: &metav1.LabelSelector{MatchLabels: app.Labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: app.Labels},
					Spec:       corev1.PodSpec{NodeName: app.Node, Containers: []corev1.Container{container}},
				},
			},
		}),
	}
	if app.Service == "" || len(ports) == 0 {
		return objs
	}
	return append(objs, object("v1", "Service", app.Namespace, app.Service, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: app.Service, Namespace: app.Namespace, Labels: app.Labels},
		Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", 1+index/200, 1+index%200),
			Selector:  app.Labels,
			Ports:     ports,
		},
	}))
}

func namespace(name string, labels map[string]string) *manifest.Object {
	return object("v1", "Namespace", "", name, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(labels)}})
}

func object(apiVersion, kind, namespace, name string, value any) *manifest.Object {
	if namespace == "" && kind != "Node" && kind != "Namespace" {
		namespace = "default"
	}
	return &manifest.Object{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, Value: value}
}
