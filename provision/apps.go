package provision

import (
	"cmp"
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/labs"
)

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
			made, err := appObjects(app, appImage)
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
				replaceImages(obj, appImage)
				if !slices.ContainsFunc(objs, func(o *unstructured.Unstructured) bool { return sameObject(o, obj) }) {
					objs = append(objs, obj)
				}
			}
		}
	}
	for _, obj := range objs {
		setOwner(obj, instance)
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
func appObjects(app *labs.App, appImage string) ([]*unstructured.Unstructured, error) {
	workload, err := deployment(app, appImage)
	if err != nil {
		return nil, err
	}
	svc, err := service(app)
	if err != nil || svc == nil {
		return []*unstructured.Unstructured{workload}, err
	}
	return []*unstructured.Unstructured{workload, svc}, nil
}

// deployment is an app block's Deployment: the demo image, with one container per port that listens on it.
func deployment(app *labs.App, appImage string) (*unstructured.Unstructured, error) {
	pod := corev1ac.PodSpec().
		WithContainers(containers(app, cmp.Or(app.Image, appImage))...).
		WithTerminationGracePeriodSeconds(1) // nothing in the demo apps is worth waiting for
	if app.Node != "" {
		pod.WithNodeName(app.Node)
	}
	return toObject(appsv1ac.Deployment(app.Name, app.Namespace).WithLabels(app.Labels).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(int32(app.Replicas)).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(app.Labels)).
			WithTemplate(corev1ac.PodTemplateSpec().WithLabels(app.Labels).WithSpec(pod))))
}

// service is an app block's Service; nil for an app without ports.
func service(app *labs.App) (*unstructured.Unstructured, error) {
	if len(app.Ports) == 0 || app.Service == "" {
		return nil, nil
	}
	spec := corev1ac.ServiceSpec().WithSelector(app.Labels)
	for _, p := range app.Ports {
		spec.WithPorts(corev1ac.ServicePort().
			WithName(cmp.Or(p.Name, strings.ToLower(p.Protocol)+"-"+strconv.Itoa(p.Port))).
			WithPort(int32(p.Port)).
			WithTargetPort(intstr.FromInt32(int32(p.TargetPort))).
			WithProtocol(corev1.Protocol(p.Protocol)))
	}
	return toObject(corev1ac.Service(app.Service, app.Namespace).WithLabels(app.Labels).WithSpec(spec))
}

// toObject converts an apply configuration, which has only the fields that were set.
func toObject(config any) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(config)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", config, err)
	}
	obj := &unstructured.Unstructured{Object: fields}
	if obj.GetNamespace() == "" {
		unstructured.RemoveNestedField(obj.Object, "metadata", "namespace")
	}
	return obj, nil
}

// containers are what the block says, or one server of the demo image per port.
func containers(app *labs.App, image string) []*corev1ac.ContainerApplyConfiguration {
	if app.Image != "" || len(app.Command) > 0 || len(app.Args) > 0 {
		c := container(app, app.Name, image).WithCommand(app.Command...).WithArgs(app.Args...)
		for _, p := range app.Ports {
			c.WithPorts(containerPort(p))
		}
		return []*corev1ac.ContainerApplyConfiguration{c}
	}
	if len(app.Ports) == 0 {
		return []*corev1ac.ContainerApplyConfiguration{container(app, app.Name, image).WithArgs("pause")}
	}
	var out []*corev1ac.ContainerApplyConfiguration
	for i, p := range app.Ports {
		name := app.Name
		if i > 0 {
			name += "-" + strconv.Itoa(p.TargetPort)
		}
		out = append(out, serve(container(app, name, image), p, i))
	}
	return out
}

// container is a container without command and ports.
func container(app *labs.App, name, image string) *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().WithName(name).WithImage(image).WithImagePullPolicy(corev1.PullIfNotPresent)
	for _, key := range slices.Sorted(maps.Keys(app.Env)) {
		c.WithEnv(corev1ac.EnvVar().WithName(key).WithValue(app.Env[key]))
	}
	return c
}

// serve lets the demo image listen on a port, the pod's number-th.
func serve(c *corev1ac.ContainerApplyConfiguration, p labs.Port, number int) *corev1ac.ContainerApplyConfiguration {
	// netexec always has an HTTP port; for another protocol it is one outside the usual range.
	http, udp, sctp := 20000+number, -1, -1
	switch p.Protocol {
	case "UDP":
		udp = p.TargetPort
	case "SCTP":
		sctp = p.TargetPort
	default:
		http = p.TargetPort
	}
	c.WithArgs("netexec", "--http-port="+strconv.Itoa(http), "--udp-port="+strconv.Itoa(udp)).
		WithPorts(containerPort(p))
	if sctp > 0 {
		c.WithArgs("--sctp-port=" + strconv.Itoa(sctp))
	}
	if p.Protocol == "TCP" {
		// The kubelet may always reach the pods of its node, whatever the policies. netexec's own /readyz waits for
		// its UDP server, which is off.
		c.WithReadinessProbe(corev1ac.Probe().WithPeriodSeconds(1).
			WithTCPSocket(corev1ac.TCPSocketAction().WithPort(intstr.FromInt32(int32(p.TargetPort)))))
	}
	return c
}

func containerPort(p labs.Port) *corev1ac.ContainerPortApplyConfiguration {
	port := corev1ac.ContainerPort().WithContainerPort(int32(p.TargetPort)).WithProtocol(corev1.Protocol(p.Protocol))
	if p.Name != "" {
		port.WithName(p.Name)
	}
	return port
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
	objs, err := objects(r.lab, r.identity(), r.m.Settings.AppImage)
	if err != nil {
		return Action{}, err
	}
	plain := make([]any, len(objs))
	for i, obj := range objs {
		plain[i] = obj.Object
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
	objs, err := objects(r.lab, r.identity(), r.m.Settings.AppImage)
	if err != nil {
		return err
	}
	if !r.provider.Ephemeral() && !r.state().Cluster.Adopted {
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
