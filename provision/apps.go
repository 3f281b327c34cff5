package provision

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

// instanceAnnotation marks what labctl made; its value is the instance. It is not a label, since policies
// select by labels, and those are the lab's alone.
const instanceAnnotation = "labctl/instance"

// mark says on an object which instance it is of.
func mark(obj *unstructured.Unstructured, instance string) {
	annotations := maps.Clone(obj.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[instanceAnnotation] = instance
	obj.SetAnnotations(annotations)
}

// marked says whether the instance made an object.
func marked(obj *unstructured.Unstructured, instance string) bool {
	return obj.GetAnnotations()[instanceAnnotation] == instance
}

// objects are the lab's namespaces, apps and manifests as they are to be in the cluster, namespaces first.
func objects(lab *labs.Lab, instance, appImage string) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, ns := range lab.Namespaces {
		objs = append(objs, kube.NewObject("v1", "Namespace", "", ns.Name, map[string]any{}))
		setLabels(objs[len(objs)-1], ns.Labels)
	}
	for i := range lab.Apps {
		app := &lab.Apps[i]
		if len(app.Manifests) == 0 {
			objs = append(objs, deployment(app, appImage))
			if svc := service(app); svc != nil {
				objs = append(objs, svc)
			}
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
				replaceImages(obj, appImage)
				if !slices.ContainsFunc(objs, func(o *unstructured.Unstructured) bool { return sameObject(o, obj) }) {
					objs = append(objs, obj)
				}
			}
		}
	}
	for _, obj := range objs {
		mark(obj, instance)
	}
	// Namespaces before what is in them, otherwise the author's order.
	slices.SortStableFunc(objs, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(strconv.FormatBool(a.GetKind() != "Namespace"), strconv.FormatBool(b.GetKind() != "Namespace"))
	})
	return objs, nil
}

func setLabels(obj *unstructured.Unstructured, labels map[string]string) {
	if len(labels) > 0 {
		obj.SetLabels(labels)
	}
}

func sameObject(a, b *unstructured.Unstructured) bool {
	return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

// deployment is an app block's Deployment: the demo image, one container a TCP port, listening on it.
func deployment(app *labs.App, appImage string) *unstructured.Unstructured {
	image := app.Image
	if image == "" {
		image = appImage
	}
	template := map[string]any{
		"metadata": map[string]any{"labels": stringMap(app.PodLabels())},
		"spec": map[string]any{
			"containers": containers(app, image),
			// Nothing of the demo apps is worth waiting for when they are deleted.
			"terminationGracePeriodSeconds": int64(1),
		},
	}
	if app.Node != "" {
		template["spec"].(map[string]any)["nodeName"] = app.Node
	}
	obj := kube.NewObject("apps/v1", "Deployment", app.Namespace, app.Name, map[string]any{
		"replicas": int64(max(app.Replicas, 1)),
		"selector": map[string]any{"matchLabels": stringMap(app.PodLabels())},
		"template": template,
	})
	setLabels(obj, maps.Clone(app.PodLabels()))
	return obj
}

func containers(app *labs.App, image string) []any {
	base := func(name string) map[string]any {
		c := map[string]any{"name": name, "image": image, "imagePullPolicy": string(corev1.PullIfNotPresent)}
		if len(app.Env) > 0 {
			var env []any
			for _, key := range slices.Sorted(maps.Keys(app.Env)) {
				env = append(env, map[string]any{"name": key, "value": app.Env[key]})
			}
			c["env"] = env
		}
		return c
	}
	if app.Image != "" || len(app.Command) > 0 || len(app.Args) > 0 {
		c := base(app.Name)
		if len(app.Command) > 0 {
			c["command"] = anyList(app.Command)
		}
		if len(app.Args) > 0 {
			c["args"] = anyList(app.Args)
		}
		var ports []any
		for _, p := range app.Ports {
			ports = append(ports, containerPort(p))
		}
		if len(ports) > 0 {
			c["ports"] = ports
		}
		return []any{c}
	}
	var out []any
	for _, p := range app.Ports {
		name := app.Name
		if len(out) > 0 {
			name += "-" + strconv.Itoa(p.TargetPort)
		}
		args := []any{"netexec"}
		// netexec always has an HTTP port; for another protocol it is one beside the range of real ports.
		http, udp, sctp := 20000+len(out), -1, -1
		switch p.Protocol {
		case "UDP":
			udp = p.TargetPort
		case "SCTP":
			sctp = p.TargetPort
		default:
			http = p.TargetPort
		}
		args = append(args, "--http-port="+strconv.Itoa(http), "--udp-port="+strconv.Itoa(udp))
		if sctp > 0 {
			args = append(args, "--sctp-port="+strconv.Itoa(sctp))
		}
		c := base(name)
		c["args"] = args
		c["ports"] = []any{containerPort(p)}
		if p.Protocol == "" || p.Protocol == "TCP" {
			// The kubelet may always reach the pods of its node, whatever the policies. netexec's own /readyz
			// waits for its UDP server, which is off.
			c["readinessProbe"] = map[string]any{
				"tcpSocket":     map[string]any{"port": int64(p.TargetPort)},
				"periodSeconds": int64(1),
			}
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		c := base(app.Name)
		c["args"] = []any{"pause"}
		out = append(out, c)
	}
	return out
}

func containerPort(p labs.Port) map[string]any {
	out := map[string]any{"containerPort": int64(p.TargetPort), "protocol": protocol(p)}
	if p.Name != "" {
		out["name"] = p.Name
	}
	return out
}

func protocol(p labs.Port) string {
	if p.Protocol == "" {
		return "TCP"
	}
	return p.Protocol
}

// service is an app block's Service; nil for an app without ports.
func service(app *labs.App) *unstructured.Unstructured {
	if len(app.Ports) == 0 || app.Service == "" {
		return nil
	}
	var ports []any
	for _, p := range app.Ports {
		name := p.Name
		if name == "" {
			name = strings.ToLower(protocol(p)) + "-" + strconv.Itoa(p.Port)
		}
		ports = append(ports, map[string]any{
			"name": name, "port": int64(p.Port), "targetPort": int64(p.TargetPort), "protocol": protocol(p),
		})
	}
	obj := kube.NewObject("v1", "Service", app.Namespace, app.Service, map[string]any{
		"selector": stringMap(app.PodLabels()), "ports": ports,
	})
	setLabels(obj, maps.Clone(app.PodLabels()))
	return obj
}

func stringMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// replaceImages puts the site's demo image in the place of the public one, whatever its version, wherever a
// manifest names it.
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

func (r *run) lookApps(ctx context.Context) (Action, error) {
	objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
	if err != nil {
		return Action{}, err
	}
	plain := make([]any, len(objs))
	for i, obj := range objs {
		plain[i] = obj.Object
	}
	act := r.action(phaseApps, fmt.Sprintf("%s, %s", plural(len(r.lab.Apps), "app"), plural(len(r.lab.Namespaces), "namespace")),
		plain)
	if act.Kind != Keep {
		return act, nil
	}
	client, err := r.kube()
	if err != nil {
		return act, err
	}
	if why := notReady(ctx, workloadChecks(client, objs)); why != "" {
		act.Kind, act.Detail = Redo, act.Detail+" ("+why+")"
	}
	return act, nil
}

func (r *run) deployApps(ctx context.Context, p *progress) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	if err := r.recordBefore(ctx, client); err != nil {
		return err
	}
	objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
	if err != nil {
		return err
	}
	if !r.provider.Ephemeral() && !r.state().Cluster.Adopted {
		if err := refuseForeign(ctx, client, objs, r.opts.Name); err != nil {
			return err
		}
	}
	p.stepf("applying %s", plural(len(objs), "object"))
	if _, err := client.Apply(ctx, objs...); err != nil {
		return err
	}
	wait := kube.Waiting{Timeout: r.m.Settings.Timeouts.Cilium + r.m.Settings.Timeouts.Apps, Progress: p.step}
	return wait.Wait(ctx, workloadChecks(client, objs)...)
}

// refuseForeign says which of the objects are there already and are not this instance's.
func refuseForeign(ctx context.Context, client *kube.Client, objs []*unstructured.Unstructured, instance string) error {
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return err
		}
		if live != nil && !marked(live, instance) {
			return fmt.Errorf("%s is in the cluster already, and this lab did not make it: remove it, or let labctl change it with --adopt", kube.Ref(obj))
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
			continue // as the author has it
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
