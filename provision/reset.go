package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/labs"
)

// Reset is what a reset did.
type Reset struct {
	Instance string   `json:"instance"`
	Deleted  []string `json:"deleted"`  // policies
	Labels   []string `json:"labels"`   // namespaces whose labels were restored
	Restored []string `json:"restored"` // objects of the apps that were not as deployed
	// Left are policies and namespace labels that came after the lab or apply to it, and that were not changed, since
	// in a cluster that others use nothing says whose they are.
	Left []string `json:"left"`
}

// Reset deletes the student's policies and namespace labels, and restores apps that differ from what was deployed.
// hard redeploys all apps.
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
		return nil, fmt.Errorf("lab instance %q is not complete; finish it with: labctl up %s", name, st.Lab.Source)
	}
	s, err := r.scope()
	if err != nil {
		return nil, err
	}
	result := &Reset{Instance: name, Labels: []string{}, Restored: []string{}}
	var labels []string
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { result.Deleted, result.Left, err = r.deletePolicies(gctx, client); return err })
	group.Go(func() (err error) {
		result.Labels, labels, err = r.resetLabels(gctx, client, s, r.labelsOfLab(st.Before, s))
		return err
	})
	group.Go(func() (err error) { result.Restored, err = r.restoreApps(gctx, client, s, hard); return err })
	// Of a grading that was killed.
	group.Go(func() error {
		return probe.RemoveHelpers(gctx, client, s.Namespaces, func(pod *corev1.Pod) bool { return !s.OwnsPod(pod) })
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, p := range st.Suspended {
		result.Deleted = append(result.Deleted, kube.Ref(p))
	}
	if err := r.save(func(st *State) { st.Suspended = nil }); err != nil {
		return nil, err
	}
	result.Left = append(result.Left, labels...)
	return result, nil
}

// ForInstance is the manager with the settings that an instance was created with, which only up changes.
func (m *Manager) ForInstance(st *State) *Manager {
	own, settings := *m, *m.Settings
	settings.AppImage = cmp.Or(st.AppImage, settings.AppImage)
	own.Settings = &settings
	return &own
}

// reopen makes a run of an instance that was brought up before.
func (m *Manager) reopen(ctx context.Context, lab *labs.Lab, name, command string) (*run, error) {
	inst, err := m.Store.Open(ctx, name, command)
	if err != nil {
		return nil, err
	}
	st := inst.State
	m = m.ForInstance(st)
	provider, err := m.provider(st.Cluster.block())
	if err != nil {
		inst.Close()
		return nil, err
	}
	return &run{
		m: m, opts: UpOptions{Lab: lab, Ref: st.Lab, Name: name}, lab: lab, provider: provider, inst: inst,
		cluster: m.cluster(st),
	}, nil
}

// deletePolicies deletes the policies that a grading or the student put into the lab. left are those that were not
// deleted although they apply to the lab's pods: nothing says that they are the lab's.
func (r *run) deletePolicies(ctx context.Context, client *kube.Client) (deleted, left []string, err error) {
	deleted, left = []string{}, []string{}
	s, err := r.scope()
	if err != nil {
		return deleted, left, err
	}
	list, err := scope.Policies(ctx, client)
	if err != nil {
		return deleted, left, err
	}
	for i := range list {
		p := &list[i]
		if !s.Resets(p) {
			continue
		}
		if err := client.Delete(ctx, p); err != nil {
			return deleted, left, err
		}
		deleted = append(deleted, kube.Ref(p))
	}
	var disturbed *scope.DisturbedError
	if err := s.Undisturbed(ctx, client, list, false); errors.As(err, &disturbed) {
		left = disturbed.Policies
	} else if err != nil {
		return deleted, left, err
	}
	return deleted, left, nil
}

// labelsBefore are the labels that namespaces had before the lab: of all in a cluster of labctl's own, otherwise of
// those that labctl created or adopted.
func labelsBefore(before *Snapshot, s *scope.Scope) map[string]map[string]string {
	want := map[string]map[string]string{}
	for name, labels := range before.NamespaceLabels {
		if s.OwnsNamespace(name) {
			want[name] = labels
		}
	}
	return want
}

// labelsOfLab are the labels that the lab, or the cluster before it, gave the namespaces.
func (r *run) labelsOfLab(before *Snapshot, s *scope.Scope) map[string]map[string]string {
	want := labelsBefore(before, s)
	for _, ns := range r.lab.Namespaces {
		labels := map[string]string{}
		maps.Copy(labels, want[ns.Name])
		maps.Copy(labels, ns.Labels)
		labels[corev1.LabelMetadataName] = ns.Name
		want[ns.Name] = labels
	}
	return want
}

// resetLabels restores the labels of the lab's namespaces, and removes labels that gradings added to others. left
// are labels that were added to other namespaces since, by the student or by anybody else.
func (r *run) resetLabels(ctx context.Context, client *kube.Client, s *scope.Scope,
	want map[string]map[string]string) (restored, left []string, err error) {
	restored, err = r.restoreLabels(ctx, client, want)
	if err != nil || s.Exclusive {
		return restored, nil, err
	}
	before := r.state().Before.NamespaceLabels
	names := slices.Concat(s.Namespaces, r.lab.Submission.MayLabel)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if s.OwnsNamespace(name) {
			continue
		}
		ns, changed, err := s.SetLabels(ctx, client, name, nil)
		if err != nil {
			return restored, left, err
		}
		if changed {
			restored = append(restored, name)
		}
		for _, key := range slices.Sorted(maps.Keys(ns)) {
			if _, was := before[name][key]; !was && !SystemLabel(key) {
				left = append(left, "label "+key+"="+ns[key]+" of Namespace "+name)
			}
		}
	}
	return restored, left, nil
}

// restoreLabels gives namespaces the labels that they are to have.
func (r *run) restoreLabels(ctx context.Context, client *kube.Client,
	want map[string]map[string]string) ([]string, error) {
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
		_, err := client.Typed.CoreV1().Namespaces().
			Patch(ctx, ns.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: kube.FieldManager})
		if err != nil {
			return restored, fmt.Errorf("restore the labels of namespace %s: %w", ns.Name, err)
		}
		restored = append(restored, ns.Name)
	}
	return restored, nil
}

// restoreApps restores the apps' objects to what the lab deployed. An object in which somebody else set fields is
// replaced, since applying would keep those fields.
func (r *run) restoreApps(ctx context.Context, client *kube.Client, s *scope.Scope, hard bool) ([]string, error) {
	restored := []string{}
	objs, err := r.objects()
	if err != nil {
		return restored, err
	}
	var workloads []*unstructured.Unstructured
	for _, obj := range objs {
		changed, err := restoreObject(ctx, client, s, obj, hard)
		if err != nil {
			return restored, err
		}
		if changed {
			restored = append(restored, kube.Ref(obj))
		}
		if isWorkload(obj) {
			workloads = append(workloads, obj)
		}
	}
	strayed, err := deleteRelabelled(ctx, client, s, objs)
	if err != nil {
		return restored, err
	}
	orphans, err := deleteOrphans(ctx, client, s, objs)
	if err != nil {
		return restored, err
	}
	restored = slices.Concat(restored, strayed, orphans)
	if len(restored) == 0 {
		return restored, nil
	}
	return restored, kube.Waiter{Timeout: r.m.Settings.Timeouts.Apps}.Wait(ctx, workloadChecks(client, workloads)...)
}

// restoreObject makes an object of the lab what was deployed, and says whether it was not.
func restoreObject(ctx context.Context, client *kube.Client, s *scope.Scope, obj *unstructured.Unstructured,
	hard bool) (changed bool, err error) {
	live, err := client.Get(ctx, obj)
	if err != nil {
		return false, err
	}
	switch {
	case live == nil:
	case !s.MayReplace(live):
		return false, fmt.Errorf("%s is no longer the lab's: somebody else replaced it, and labctl does not change it; delete it, or use another cluster",
			kube.Ref(live))
	case hard && isWorkload(obj):
		if err := remove(ctx, client, obj); err != nil {
			return false, err
		}
	case obj.GetKind() == "Namespace":
		return false, nil // its labels are restoreLabels'
	case !touched(live) && asDeployed(obj, live):
		return false, nil
	default:
		err := client.Replace(ctx, obj)
		if apierrors.IsInvalid(err) { // a field that cannot be changed: a pod's, a service's address
			err = remove(ctx, client, obj)
		}
		if err != nil {
			return false, err
		}
	}
	_, err = client.Apply(ctx, obj)
	return err == nil, err
}

// remove deletes an object and waits until it is gone.
func remove(ctx context.Context, client *kube.Client, obj *unstructured.Unstructured) error {
	if err := client.Delete(ctx, obj); err != nil {
		return err
	}
	return kube.Waiter{Timeout: time.Minute}.Wait(ctx, client.Gone(obj))
}

func isWorkload(obj *unstructured.Unstructured) bool {
	return slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet", "Pod", "ReplicaSet"}, obj.GetKind())
}

// asDeployed says whether an object is what was applied. Scaling, for one, leaves no trace of who did it.
func asDeployed(obj, live *unstructured.Unstructured) bool {
	field, _ := kube.Differs(obj, live)
	return field == ""
}

// touched reports whether anyone but labctl and the cluster's controllers set fields of an object.
func touched(live *unstructured.Unstructured) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager != kube.FieldManager && f.Subresource != "status" && !strings.HasPrefix(f.Manager, "kube-")
	})
}

// deleteOrphans deletes pods of the apps whose labels no longer match their workload. A new pod has replaced them, or
// waits for their name or port, and they would answer as well.
func deleteOrphans(ctx context.Context, client *kube.Client, s *scope.Scope,
	objs []*unstructured.Unstructured) ([]string, error) {
	var deleted []string
	for _, ns := range s.Namespaces {
		list, err := client.Typed.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return deleted, fmt.Errorf("list pods: %w", err)
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if metav1.GetControllerOf(pod) != nil || !kube.MadeByController(pod.Labels) || pod.DeletionTimestamp != nil ||
				!s.OwnsNamespace(ns) && !ofAny(pod, objs) {
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
func deleteRelabelled(ctx context.Context, client *kube.Client, s *scope.Scope,
	objs []*unstructured.Unstructured) ([]string, error) {
	var deleted []string
	for _, obj := range objs {
		if !makesPods(obj) {
			continue
		}
		want, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "template", "metadata", "labels")
		selector, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "selector", "matchLabels")
		ns := obj.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		list, err := client.Typed.CoreV1().Pods(ns).
			List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
		if err != nil {
			return deleted, fmt.Errorf("list pods: %w", err)
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if maps.Equal(kube.OwnLabels(pod.Labels), want) || pod.DeletionTimestamp != nil ||
				!s.OwnsNamespace(ns) && !of(pod, obj) {
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

// makesPods reports whether an object is a workload that replaces its pods.
func makesPods(obj *unstructured.Unstructured) bool {
	return slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet"}, obj.GetKind())
}

// of says whether a pod was created for a workload, whatever its labels say now: the controller has named it, after the
// workload and, for a Deployment, its replica set's hash.
func of(pod *corev1.Pod, workload *unstructured.Unstructured) bool {
	namespace := cmp.Or(workload.GetNamespace(), metav1.NamespaceDefault)
	rest, ok := strings.CutPrefix(pod.GenerateName, workload.GetName()+"-")
	if !ok || namespace != pod.Namespace || !makesPods(workload) {
		return false
	}
	if workload.GetKind() != "Deployment" {
		return rest == ""
	}
	return strings.Count(rest, "-") == 1 && strings.HasSuffix(rest, "-")
}

func ofAny(pod *corev1.Pod, objs []*unstructured.Unstructured) bool {
	return slices.ContainsFunc(objs, func(obj *unstructured.Unstructured) bool { return of(pod, obj) })
}

// deletePod deletes a pod at once. One that is gone is fine.
func deletePod(ctx context.Context, client *kube.Client, pod *corev1.Pod) error {
	now := int64(0)
	err := client.Typed.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
