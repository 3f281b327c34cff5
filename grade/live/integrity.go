package live

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// Integrity looks whether the lab is what was deployed: a frontend that is gone is not "blocked". A tampered lab is
// a *engine.Refused with everything that was found, unless the lab wants it reported (Tampering); what is only
// worth knowing comes back as notes.
func (e *Engine) Integrity(ctx context.Context) (notes []string, err error) {
	// What an earlier grading left, or what passes itself off as such.
	own := e.methods.own()
	keep := func(pod *corev1.Pod) bool { return own[pod.UID] || !e.cfg.Instance.Scope.OwnsPod(pod) }
	if err := probe.RemoveHelpers(ctx, e.cfg.Client, e.namespaces(), keep); err != nil {
		return nil, err
	}
	var problems manifest.Problems
	add := func(object, format string, args ...any) {
		problems = append(problems, manifest.Problem{
			File: "cluster", Object: object, Message: fmt.Sprintf(format, args...), Hint: e.cfg.RestoreHint,
		})
	}
	for _, want := range e.cfg.Instance.Deployed {
		if want.GetKind() == "Namespace" {
			continue // labels are the submission's business, or namespaces'
		}
		live, err := e.cfg.Client.Get(ctx, want)
		if err != nil {
			return nil, err
		}
		if live == nil {
			add(kube.Ref(want), "it is gone")
			continue
		}
		if field, got := kube.Differs(want, live); field != "" {
			add(kube.Ref(want), "%s differs from what the lab deployed: it is %s", field, got)
		}
		if hasInitContainers(live) && !hasInitContainers(want) {
			add(kube.Ref(want), "init containers were added to it")
		}
	}
	found, err := e.pods(ctx, add)
	if err != nil {
		return nil, err
	}
	notes = append(notes, found...)
	if found, err = e.webhooks(ctx, add); err != nil {
		return nil, err
	}
	notes = append(notes, found...)
	if err := e.removedLabels(ctx, add); err != nil {
		return nil, err
	}
	if e.tampering = problems; len(problems) > 0 && e.cfg.Lab.Tampered != labs.TamperedReport {
		return notes, &engine.Refused{Problems: problems}
	}
	return notes, nil
}

// Tampering is what Integrity found last, where the lab wants it reported.
func (e *Engine) Tampering() []manifest.Problem { return e.tampering }

// pods looks at what runs in the apps' namespaces: the apps' pods as their template says, and no others that
// could be taken for them.
func (e *Engine) pods(ctx context.Context, add func(object, format string, args ...any)) (notes []string, err error) {
	client := e.cfg.Client.Typed
	own := e.methods.own()
	for _, ns := range e.namespaces() {
		pods, err := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the pods of namespace %s: %w", ns, err)
		}
		sets, err := client.AppsV1().ReplicaSets(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the replica sets of namespace %s: %w", ns, err)
		}
		for j := range pods.Items {
			pod := &pods.Items[j]
			if pod.DeletionTimestamp != nil || own[pod.UID] || pod.Status.Phase == corev1.PodSucceeded ||
				pod.Status.Phase == corev1.PodFailed {
				continue
			}
			template := e.templateOf(pod, sets.Items)
			switch {
			case template == nil && orphaned(pod):
				add("Pod "+ns+"/"+pod.Name, "its labels no longer match its workload")
			case template == nil && e.impersonates(pod):
				add("Pod "+ns+"/"+pod.Name, "the lab did not deploy it, but it has the labels of one of the lab's apps")
			case template == nil:
				notes = append(notes, fmt.Sprintf("Pod %s/%s is not the lab's", ns, pod.Name))
			default:
				checkPod(pod, template, add)
			}
		}
	}
	return notes, nil
}

// namespaces are those of the lab's apps.
func (e *Engine) namespaces() []string {
	var all []string
	for i := range e.cfg.Lab.Apps {
		all = append(all, e.cfg.Lab.Apps[i].Namespace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkPod holds a pod against the template that it was made from.
func checkPod(pod *corev1.Pod, template *corev1.PodTemplateSpec, add func(object, format string, args ...any)) {
	ref := "Pod " + pod.Namespace + "/" + pod.Name
	got, want := kube.OwnLabels(pod.Labels), kube.OwnLabels(template.Labels)
	if !maps.Equal(got, want) {
		add(ref, "its labels are %s instead of %s", labels.Set(got), labels.Set(want))
	}
	if len(pod.Spec.Containers) != len(template.Spec.Containers) {
		add(ref, "it has %d containers instead of %d", len(pod.Spec.Containers), len(template.Spec.Containers))
		return
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Image != template.Spec.Containers[i].Image {
			add(ref, "container %s runs the image %s instead of %s",
				pod.Spec.Containers[i].Name, pod.Spec.Containers[i].Image, template.Spec.Containers[i].Image)
		}
	}
	if field, got := podDiffers(&pod.Spec, &template.Spec); field != "" {
		add(ref, "%s differs from what the lab deployed: it is %s", field, got)
	}
}

// podDiffers finds a field in which a pod differs from its template. A workload may be as deployed, and its pods from
// another time.
func podDiffers(got, want *corev1.PodSpec) (field, value string) {
	is, err := runtime.DefaultUnstructuredConverter.ToUnstructured(got)
	if err != nil {
		return "", ""
	}
	meant, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return "", ""
	}
	return kube.PodDiffers(meant, is)
}

// templateOf is what a pod of the lab's own workloads is made from; nil: it is none of them.
func (e *Engine) templateOf(pod *corev1.Pod, sets []appsv1.ReplicaSet) *corev1.PodTemplateSpec {
	owner := metav1.GetControllerOf(pod)
	kind, name := "Pod", pod.Name
	if owner != nil {
		kind, name = owner.Kind, owner.Name
		for i := range sets {
			if above := metav1.GetControllerOf(&sets[i]); sets[i].UID == owner.UID && above != nil {
				kind, name = above.Kind, above.Name
			}
		}
	}
	for _, obj := range e.cfg.Instance.Deployed {
		if ref := refOf(obj); ref.Kind == kind && ref.Name == name && ref.Namespace == pod.Namespace {
			return podTemplate(obj)
		}
	}
	return nil
}

// podTemplate is what a deployed object makes pods from; nil: it makes none. A Pod is its own template.
func podTemplate(obj *unstructured.Unstructured) *corev1.PodTemplateSpec {
	template := obj.Object
	if obj.GetKind() != "Pod" {
		var ok bool
		if template, ok, _ = unstructured.NestedMap(obj.Object, "spec", "template"); !ok {
			return nil
		}
	}
	data, err := json.Marshal(template)
	var out corev1.PodTemplateSpec
	if err != nil || json.Unmarshal(data, &out) != nil {
		return nil
	}
	return &out
}

// orphaned reports whether a pod belonged to a workload: only controllers give a pod a hash of their template.
func orphaned(pod *corev1.Pod) bool {
	return metav1.GetControllerOf(pod) == nil && kube.MadeByController(pod.Labels)
}

// impersonates reports whether a pod has the labels of an app of the lab, so that services and policies select it.
func (e *Engine) impersonates(pod *corev1.Pod) bool {
	return slices.ContainsFunc(e.cfg.Instance.Deployed, func(obj *unstructured.Unstructured) bool {
		template := podTemplate(obj)
		return template != nil && refOf(obj).Namespace == pod.Namespace &&
			labels.SelectorFromSet(template.Labels).Matches(labels.Set(pod.Labels))
	})
}

// webhooks finds what can change objects on their way into the cluster. What cannot falsify a grade, and what belongs to
// others in a cluster that the lab shares, is only reported.
func (e *Engine) webhooks(ctx context.Context,
	add func(object, format string, args ...any)) (notes []string, err error) {
	mutators, err := scope.Mutators(ctx, e.cfg.Client)
	if err != nil {
		return nil, err
	}
	s := &e.cfg.Instance.Scope
	for i := range mutators {
		m := &mutators[i]
		switch falsifies := s.MayFalsify(m); {
		case falsifies && s.Exclusive:
			add(m.Ref, "it can change objects when they are applied, and the lab did not deploy it")
		case falsifies:
			notes = append(notes, m.Ref+" can change what is applied")
		}
	}
	api := e.cfg.Client.Typed.AdmissionregistrationV1()
	validating, err := api.ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	for i := range validating.Items {
		notes = append(notes, "ValidatingWebhookConfiguration "+validating.Items[i].Name+" is not the lab's")
	}
	return notes, nil
}

// removedLabels finds namespaces that lost labels which the lab gave them.
func (e *Engine) removedLabels(ctx context.Context, add func(object, format string, args ...any)) error {
	list, err := e.cfg.Client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	there := map[string]map[string]string{}
	for i := range list.Items {
		there[list.Items[i].Name] = list.Items[i].Labels
	}
	for _, name := range slices.Sorted(maps.Keys(e.cfg.Instance.NamespaceLabels)) {
		if !e.cfg.Instance.Scope.OwnsNamespace(name) {
			continue // others label it, too
		}
		for _, key := range slices.Sorted(maps.Keys(e.cfg.Instance.NamespaceLabels[name])) {
			if _, ok := there[name][key]; !ok {
				add("Namespace "+name, "it lost the label %s=%s", key, e.cfg.Instance.NamespaceLabels[name][key])
			}
		}
	}
	return nil
}

func hasInitContainers(workload *unstructured.Unstructured) bool {
	_, has, _ := unstructured.NestedSlice(workload.Object, "spec", "template", "spec", "initContainers")
	return has
}
