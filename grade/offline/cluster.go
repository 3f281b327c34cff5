package offline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/render"
	"github.com/labctl/labctl/labs/schema"
)

// controlPlane is the label of nodes that run an API server.
const controlPlane = "node-role.kubernetes.io/control-plane"

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

// nodes are those of the lab's default cluster. Where only the cluster knows their names, they are a control plane and
// workers, and every node that the lab names.
func nodes(lab *labs.Lab) []*manifest.Object {
	names := lab.NodeNames()
	if names == nil {
		names = (&schema.Kind{ControlPlanes: 1, Workers: lab.Workers()}).NodeNames()
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
		if strings.Contains(name, "control-plane") {
			labels[controlPlane] = ""
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

// appObjects are the workload and the Service of an app block, which gets an address.
func appObjects(app *labs.App, index int) []*manifest.Object {
	workload := render.Workload(app, "")
	objs := []*manifest.Object{object(workload.GetObjectKind().GroupVersionKind().GroupVersion().String(), app.Kind(),
		app.Namespace, app.Name, workload)}
	svc := render.Service(app)
	if svc == nil {
		return objs
	}
	if app.ServiceType != labs.ServiceHeadless {
		svc.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", 1+index/200, 1+index%200)
	}
	return append(objs, object("v1", "Service", app.Namespace, app.Service, svc))
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
