package provision

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/render"
)

// rendering is what the lab's objects depend on beside the lab.
type rendering struct {
	instance, appImage string
	provider, cluster  string // names of the cluster's provider and of the cluster
}

// node is the cluster's name for a node of the lab: kind puts the cluster's name before it.
func (r rendering) node(name string) string {
	prefix := r.cluster + "-"
	if name == "" || r.provider != "kind" || r.cluster == "" || strings.HasPrefix(name, prefix) {
		return name
	}
	return prefix + name
}

// objects are the lab's objects as they are to be in the instance's cluster.
func (r *run) objects() ([]*unstructured.Unstructured, error) {
	return objects(r.lab, rendering{r.identity(), r.m.Settings.AppImage, r.provider.Name(), r.cluster.Name})
}

// objects are the lab's namespaces, apps and manifests as they are to be in the cluster, namespaces first.
func objects(lab *labs.Lab, as rendering) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, ns := range lab.Namespaces {
		objs = append(objs, kube.NewObject("v1", "Namespace", "", ns.Name, map[string]any{}))
		setLabels(objs[len(objs)-1], ns.Labels)
	}
	for i := range lab.Apps {
		app := &lab.Apps[i]
		if len(app.Manifests) == 0 {
			made, err := appObjects(app, as)
			if err != nil {
				return nil, fmt.Errorf("app %q: %w", app.Name, err)
			}
			objs = append(objs, made...)
			continue
		}
		for _, path := range app.Manifests {
			data, err := fs.ReadFile(lab.FS, path)
			if err != nil {
				return nil, &UsageError{fmt.Errorf("app %q: %w", app.Name, err)}
			}
			read, err := kube.Decode(path, data)
			if err != nil {
				return nil, &UsageError{fmt.Errorf("app %q: %w", app.Name, err)}
			}
			for _, obj := range read {
				replaceImages(obj, as.appImage)
				if !slices.ContainsFunc(objs, func(o *unstructured.Unstructured) bool { return sameObject(o, obj) }) {
					objs = append(objs, obj)
				}
			}
		}
	}
	for _, obj := range objs {
		setOwner(obj, as.instance)
	}
	// Namespaces before what is in them, otherwise the author's order.
	slices.SortStableFunc(objs, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(strconv.FormatBool(a.GetKind() != "Namespace"),
			strconv.FormatBool(b.GetKind() != "Namespace"))
	})
	return objs, nil
}

func setLabels(obj *unstructured.Unstructured, labels map[string]string) {
	if len(labels) > 0 {
		obj.SetLabels(labels)
	}
}

func sameObject(a, b *unstructured.Unstructured) bool {
	return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() &&
		a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

// appObjects are the objects of an app block without manifests.
func appObjects(app *labs.App, as rendering) ([]*unstructured.Unstructured, error) {
	there := *app
	there.Node = as.node(app.Node)
	workload, err := toObject(render.Workload(&there, as.appImage))
	if err != nil {
		return nil, err
	}
	objs := []*unstructured.Unstructured{workload}
	if service := render.Service(&there); service != nil {
		svc, err := toObject(service)
		if err != nil {
			return nil, err
		}
		objs = append(objs, svc)
	}
	return objs, nil
}

// toObject converts an object to its fields that are set.
func toObject(typed runtime.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", typed, err)
	}
	delete(fields, "status")
	dropEmpty(fields)
	return &unstructured.Unstructured{Object: fields}, nil
}

// dropEmpty removes the fields without a value that the converter writes for those that are not set.
func dropEmpty(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, sub := range v {
			dropEmpty(sub)
			if m, ok := sub.(map[string]any); sub == nil || ok && len(m) == 0 {
				delete(v, key)
			}
		}
	case []any:
		for _, sub := range v {
			dropEmpty(sub)
		}
	}
}

// replaceImages replaces the public demo image, of any version, with the site's wherever a manifest names it.
func replaceImages(obj *unstructured.Unstructured, appImage string) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, sub := range v {
				if text, ok := sub.(string); ok && key == "image" && repository(text) == repository(DefaultAppImage) {
					v[key] = appImage
					continue
				}
				walk(sub)
			}
		case []any:
			for _, sub := range v {
				walk(sub)
			}
		}
	}
	walk(obj.Object["spec"])
}

// repository is an image's name without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// lookApps reads the state of the apps in a cluster; a nil client means that the cluster does not exist yet.
func (r *run) lookApps(ctx context.Context, client *kube.Client) (Action, error) {
	objs, err := r.objects()
	if err != nil {
		return Action{}, err
	}
	plain := map[string]any{} // in any order: moving a block changes nothing
	for _, obj := range objs {
		plain[obj.GetAPIVersion()+" "+kube.Ref(obj)] = obj.Object
	}
	act := r.action(phaseApps, fmt.Sprintf("%s, %s", plural(len(r.lab.Apps), "app"),
		plural(len(r.lab.Namespaces), "namespace")),
		plain)
	if act.Kind != Keep || client == nil {
		return act, nil
	}
	if why := notReady(ctx, workloadChecks(client, objs)); why != "" {
		act.Kind, act.Detail = Redo, act.Detail+" ("+why+")"
	}
	return act, nil
}

func (r *run) deployApps(ctx context.Context, p *progress, client *kube.Client) error {
	if err := r.recordBefore(ctx, client); err != nil {
		return err
	}
	objs, err := r.objects()
	if err != nil {
		return err
	}
	if !r.provider.Ephemeral() && !r.adopts() {
		if err := refuseForeign(ctx, client, objs, r.identity()); err != nil {
			return err
		}
	}
	p.stepf("applying %s", plural(len(objs), "object"))
	if _, err := client.Apply(ctx, objs...); err != nil {
		return err
	}
	wait := kube.Waiter{Timeout: r.m.Settings.Timeouts.Cilium + r.m.Settings.Timeouts.Apps, Progress: p.step}
	return wait.Wait(ctx, workloadChecks(client, objs)...)
}

// refuseForeign fails if one of the objects exists and does not belong to the instance.
func refuseForeign(ctx context.Context, client *kube.Client, objs []*unstructured.Unstructured, instance string) error {
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return err
		}
		if live != nil && !ownedBy(live, instance) {
			return &OptionError{OptionAdopt, fmt.Errorf(
				"%s already exists and was not created by this lab; delete it, or allow changes to it", kube.Ref(obj))}
		}
	}
	return nil
}

// workloadChecks wait for the workloads among the objects.
func workloadChecks(client *kube.Client, objs []*unstructured.Unstructured) []kube.Check {
	var checks []kube.Check
	for _, obj := range objs {
		ns := obj.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		if replicas, ok, _ := unstructured.NestedInt64(obj.Object, "spec", "replicas"); ok && replicas == 0 {
			continue // the author wants it so
		}
		switch obj.GetKind() {
		case "Deployment":
			checks = append(checks, client.Deployment(ns, obj.GetName()))
		case "DaemonSet":
			checks = append(checks, client.DaemonSet(ns, obj.GetName()))
		case "StatefulSet":
			checks = append(checks, client.StatefulSet(ns, obj.GetName()))
		case "Pod":
			checks = append(checks, client.Pod(ns, obj.GetName()))
		}
	}
	return checks
}
