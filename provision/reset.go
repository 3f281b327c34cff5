package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/labs"
)

// Reset is what a reset did.
type Reset struct {
	Instance string   `json:"instance"`
	Deleted  []string `json:"deleted"`  // policies
	Labels   []string `json:"labels"`   // namespaces whose labels were restored
	Restored []string `json:"restored"` // objects of the apps that were not as deployed
}

// Reset takes away what the student made: policies and namespace labels; and restores the apps where they are
// not as deployed. hard deploys all apps anew.
func (m *Manager) Reset(ctx context.Context, lab *labs.Lab, name string, hard bool) (*Reset, error) {
	r, err := m.reopen(ctx, lab, name, "labctl reset")
	if err != nil {
		return nil, err
	}
	defer r.inst.Close()
	client, err := r.kube()
	if err != nil {
		return nil, err
	}
	st := r.state()
	if st.Before == nil {
		return nil, fmt.Errorf("the lab instance %q is not complete: finish it with: labctl up %s", name, st.Lab.Source)
	}
	result := &Reset{Instance: name, Deleted: []string{}, Labels: []string{}, Restored: []string{}}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { result.Deleted, err = r.deletePolicies(gctx, client, st.Before); return err })
	group.Go(func() (err error) {
		result.Labels, err = r.restoreLabels(gctx, client, r.labelsOfLab(st.Before))
		return err
	})
	group.Go(func() (err error) { result.Restored, err = r.restoreApps(gctx, client, hard); return err })
	// Of a grading that was killed.
	group.Go(func() error { return probe.RemoveHelpers(gctx, client, r.namespaces(), nil) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return result, nil
}

// Recall takes over the settings that an instance was made with. Only up changes them.
func (m *Manager) Recall(st *State) {
	if st.AppImage != "" {
		m.Settings.AppImage = st.AppImage
	}
}

// reopen makes a run of an instance that was brought up before.
func (m *Manager) reopen(ctx context.Context, lab *labs.Lab, name, command string) (*run, error) {
	inst, err := m.Store.Open(ctx, name, command)
	if err != nil {
		return nil, err
	}
	st := inst.State
	m.Recall(st)
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		inst.Close()
		return nil, err
	}
	return &run{
		m: m, opts: UpOptions{Lab: lab, Ref: st.Lab, Name: name}, lab: lab, provider: provider, inst: inst,
		cluster: m.cluster(st.Cluster.Name, name, st.Lab.Name),
	}, nil
}

func (r *run) deletePolicies(ctx context.Context, client *kube.Client, before *Before) ([]string, error) {
	deleted := []string{}
	list, err := policies(ctx, client)
	if err != nil {
		return deleted, err
	}
	for i := range list {
		p := &list[i]
		if slices.Contains(before.Policies, string(p.GetUID())) || marked(p, r.opts.Name) || p.GetNamespace() == canaryNamespace {
			continue
		}
		if !r.provider.Ephemeral() && p.GetNamespace() != "" && !slices.Contains(r.namespaces(), p.GetNamespace()) {
			continue // somebody else's, in a cluster that the lab shares
		}
		if err := client.Delete(ctx, p); err != nil {
			return deleted, err
		}
		deleted = append(deleted, kube.Ref(p))
	}
	return deleted, nil
}

// namespaces are those that the lab is about.
func (r *run) namespaces() []string {
	var out []string
	for _, ns := range r.lab.Namespaces {
		out = append(out, ns.Name)
	}
	for i := range r.lab.Apps {
		out = append(out, r.lab.Apps[i].Namespace)
	}
	out = append(out, r.lab.Submission.Namespaces...)
	slices.Sort(out)
	return slices.Compact(out)
}

// labelsBefore are the labels that the namespaces had before the lab: of all in a cluster of labctl's own, else of
// those that the lab is about.
func (r *run) labelsBefore(before *Before) map[string]map[string]string {
	want := map[string]map[string]string{}
	for name, labels := range before.NamespaceLabels {
		if r.provider.Ephemeral() || slices.Contains(r.namespaces(), name) || slices.Contains(r.lab.Submission.MayLabel, name) {
			want[name] = labels
		}
	}
	return want
}

// labelsOfLab are the labels that the lab, or the cluster before it, gave the namespaces.
func (r *run) labelsOfLab(before *Before) map[string]map[string]string {
	want := r.labelsBefore(before)
	for _, ns := range r.lab.Namespaces {
		labels := map[string]string{}
		maps.Copy(labels, want[ns.Name])
		maps.Copy(labels, ns.Labels)
		labels[corev1.LabelMetadataName] = ns.Name
		want[ns.Name] = labels
	}
	return want
}

// restoreLabels gives namespaces the labels that they are to have.
func (r *run) restoreLabels(ctx context.Context, client *kube.Client, want map[string]map[string]string) ([]string, error) {
	restored := []string{}
	list, err := client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return restored, fmt.Errorf("list namespaces: %w", err)
	}
	for i := range list.Items {
		ns := &list.Items[i]
		labels, known := want[ns.Name]
		if !known || maps.Equal(labels, ns.Labels) {
			continue
		}
		patch := []byte(`[{"op":"replace","path":"/metadata/labels","value":` + jsonOf(labels) + `}]`)
		if len(ns.Labels) == 0 {
			patch = []byte(`[{"op":"add","path":"/metadata/labels","value":` + jsonOf(labels) + `}]`)
		}
		if _, err := client.Typed.CoreV1().Namespaces().Patch(ctx, ns.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: kube.FieldManager}); err != nil {
			return restored, fmt.Errorf("restore the labels of namespace %s: %w", ns.Name, err)
		}
		restored = append(restored, ns.Name)
	}
	return restored, nil
}

// restoreApps makes the apps' objects what the lab deployed. An object in which somebody else set fields is
// replaced, since applying would leave those fields.
func (r *run) restoreApps(ctx context.Context, client *kube.Client, hard bool) ([]string, error) {
	restored := []string{}
	objs, err := objects(r.lab, r.opts.Name, r.m.Settings.AppImage)
	if err != nil {
		return restored, err
	}
	var workloads []*unstructured.Unstructured
	for _, obj := range objs {
		live, err := client.Get(ctx, obj)
		if err != nil {
			return restored, err
		}
		workload := isWorkload(obj)
		switch {
		case live == nil:
		case hard && workload:
			if err := remove(ctx, client, obj); err != nil {
				return restored, err
			}
		case obj.GetKind() == "Namespace":
			continue // its labels are restoreLabels'
		case !touched(live) && asDeployed(obj, live):
			if workload {
				workloads = append(workloads, obj)
			}
			continue
		default:
			err := client.Replace(ctx, obj)
			if apierrors.IsInvalid(err) { // a field that cannot be changed: a pod's, a service's address
				err = remove(ctx, client, obj)
			}
			if err != nil {
				return restored, err
			}
		}
		if _, err := client.Apply(ctx, obj); err != nil {
			return restored, err
		}
		restored = append(restored, kube.Ref(obj))
		if workload {
			workloads = append(workloads, obj)
		}
	}
	strayed, err := r.deleteRelabelled(ctx, client, objs)
	if err != nil {
		return restored, err
	}
	orphans, err := r.deleteOrphans(ctx, client)
	if err != nil {
		return restored, err
	}
	restored = slices.Concat(restored, strayed, orphans)
	if len(restored) == 0 {
		return restored, nil
	}
	return restored, kube.Waiting{Timeout: r.m.Settings.Timeouts.Apps}.Wait(ctx, workloadChecks(client, workloads)...)
}

// remove deletes an object and waits until it is gone.
func remove(ctx context.Context, client *kube.Client, obj *unstructured.Unstructured) error {
	if err := client.Delete(ctx, obj); err != nil {
		return err
	}
	return waitGone(ctx, client, obj, time.Minute)
}

func isWorkload(obj *unstructured.Unstructured) bool {
	return slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet", "Pod", "ReplicaSet"}, obj.GetKind())
}

// asDeployed says whether an object is what was applied. Scaling, for one, leaves no trace of who did it.
func asDeployed(obj, live *unstructured.Unstructured) bool {
	field, _ := kube.Differs(obj, live)
	return field == ""
}

// touched says whether somebody other than labctl and the cluster's controllers has set fields of an object.
func touched(live *unstructured.Unstructured) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager != kube.FieldManager && f.Subresource != "status" && !strings.HasPrefix(f.Manager, "kube-")
	})
}

// deleteOrphans deletes pods of the apps that somebody took from their Deployment by changing their labels. A
// new pod has taken their place, and they would answer beside it. Only controllers give a pod a template hash.
func (r *run) deleteOrphans(ctx context.Context, client *kube.Client) ([]string, error) {
	var deleted []string
	for _, ns := range r.namespaces() {
		list, err := client.Typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: appsv1.DefaultDeploymentUniqueLabelKey})
		if err != nil {
			return deleted, fmt.Errorf("list pods: %w", err)
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if metav1.GetControllerOf(pod) != nil || pod.DeletionTimestamp != nil {
				continue
			}
			if err := deletePod(ctx, client, pod); err != nil {
				return deleted, err
			}
			deleted = append(deleted, "Pod "+ns+"/"+pod.Name)
		}
	}
	return deleted, nil
}

// deleteRelabelled deletes pods of the apps that have other labels than their template, so that policies would
// select them wrongly. A new pod takes their place.
func (r *run) deleteRelabelled(ctx context.Context, client *kube.Client, objs []*unstructured.Unstructured) ([]string, error) {
	var deleted []string
	for _, obj := range objs {
		if obj.GetKind() != "Deployment" {
			continue
		}
		want, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "template", "metadata", "labels")
		selector, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "selector", "matchLabels")
		ns := obj.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		list, err := client.Typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
		if err != nil {
			return deleted, fmt.Errorf("list pods: %w", err)
		}
		for i := range list.Items {
			pod := &list.Items[i]
			got := maps.Clone(pod.Labels)
			delete(got, "pod-template-hash")
			if maps.Equal(got, want) || pod.DeletionTimestamp != nil {
				continue
			}
			if err := deletePod(ctx, client, pod); err != nil {
				return deleted, err
			}
			deleted = append(deleted, "Pod "+ns+"/"+pod.Name)
		}
	}
	return deleted, nil
}

// deletePod deletes a pod at once. One that is gone is fine.
func deletePod(ctx context.Context, client *kube.Client, pod *corev1.Pod) error {
	now := int64(0)
	err := client.Typed.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
