package live

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/cilium/pkg/policy/api"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/grade/engine"
)

// fieldManager is the name that the grader applies objects under, to distinguish them from the student's and the
// lab's.
const fieldManager = "labctl-grade"

// policies lists the policies that are part of what is graded. If other policies apply to the lab's pods, it
// returns an *engine.ConflictError; all are those of the whole cluster.
func (e *Engine) policies(ctx context.Context) (graded, all []unstructured.Unstructured, err error) {
	if all, err = scope.Policies(ctx, e.cfg.Client); err != nil {
		return nil, nil, err
	}
	s := &e.cfg.Instance.Scope
	err = s.Undisturbed(ctx, e.cfg.Client, all, e.cfg.Observe)
	var disturbed *scope.DisturbedError
	if errors.As(err, &disturbed) {
		return nil, nil, &engine.ConflictError{Err: err}
	}
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if p := &all[i]; s.Resets(p) || e.cfg.Observe && s.Counts(p) {
			graded = append(graded, *p)
		}
	}
	return graded, all, nil
}

// Undisturbed returns an *engine.ConflictError if foreign policies now apply to the lab, which may have falsified
// the grade.
func (e *Engine) Undisturbed(ctx context.Context) error {
	_, _, err := e.policies(ctx)
	return err
}

// enforce makes the cluster what the state says, and returns what the agents have to make of it.
func (e *Engine) enforce(ctx context.Context, state *engine.State) (cilium.Change, error) {
	change := cilium.Change{Policies: map[string]string{}}
	live, all, err := e.policies(ctx)
	if err != nil {
		return change, err
	}
	if e.cfg.Observe {
		var problems manifest.Problems
		for i := range live {
			p := &live[i]
			switch why, err := e.accepted(ctx, p); {
			case err != nil:
				return change, err
			case why != "":
				problems = append(problems, notAccepted("cluster", 0, refOf(p).String(), why))
			case manifest.Isolates(p.GetKind()): // the agents list no others
				change.Policies[string(p.GetUID())] = kube.Ref(p)
			}
		}
		if err := problems.Err(); err != nil {
			return change, err
		}
		// A namespace may just have been labelled.
		change.NamespaceLabels, err = e.namespaceLabels(ctx)
		return change, err
	}
	if err := e.untaken(state.Policies, all); err != nil {
		return change, err
	}
	if change.NamespaceLabels, err = e.label(ctx, state); err != nil {
		return change, err
	}
	if err := e.setUp(ctx, state); err != nil {
		return change, err
	}
	if err := e.applyPolicies(ctx, state, live, &change); err != nil {
		return change, err
	}
	if slices.ContainsFunc(state.Policies, looksUpNames) {
		if err := cilium.FlushFQDNCache(ctx, e.cfg.Client); err != nil {
			return change, err
		}
	}
	return change, nil
}

// untaken returns an error if a policy to be applied has the name of a foreign policy, or of one of the lab's.
func (e *Engine) untaken(wanted []*manifest.Object, all []unstructured.Unstructured) error {
	s := &e.cfg.Instance.Scope
	for i := range all {
		p := &all[i]
		if s.Resets(p) || !slices.ContainsFunc(wanted, func(o *manifest.Object) bool { return o.Ref() == refOf(p) }) {
			continue
		}
		return &engine.ConflictError{Err: fmt.Errorf("the submission contains %s, but the cluster has one of that name that is not this lab's, and labctl does not replace it; delete it",
			kube.Ref(p))}
	}
	return nil
}

func notAccepted(file string, line int, ref, why string) manifest.Problem {
	return manifest.Problem{
		File: file, Line: line, Object: ref, Message: "Cilium rejects it, so it is not in force: " + why,
	}
}

// looksUpNames reports whether a policy has rules by name, for which the agents remember what names resolved to.
func looksUpNames(o *manifest.Object) bool {
	switch v := o.Value.(type) {
	case *manifest.CiliumNetworkPolicy:
		return slices.ContainsFunc(append(api.Rules{v.Spec}, v.Specs...), func(r *api.Rule) bool {
			return r != nil && slices.ContainsFunc(r.Egress, func(e api.EgressRule) bool { return len(e.ToFQDNs) > 0 })
		})
	case *policyv1alpha2.ClusterNetworkPolicy:
		return slices.ContainsFunc(v.Spec.Egress, func(r policyv1alpha2.ClusterNetworkPolicyEgressRule) bool {
			return slices.ContainsFunc(r.To, func(p policyv1alpha2.ClusterNetworkPolicyEgressPeer) bool {
				return len(p.DomainNames) > 0
			})
		})
	}
	return false
}

// applyPolicies replaces the policies in force by the state's. One whose content changed is recreated, since the
// agents identify policies by UID.
func (e *Engine) applyPolicies(ctx context.Context, state *engine.State, live []unstructured.Unstructured,
	change *cilium.Change) error {
	kept, err := e.deleteOthers(ctx, state.Policies, live, change)
	if err != nil {
		return err
	}
	var recreated []cilium.PolicyName
	for _, o := range state.Policies {
		if kept[o.Ref().String()] == nil && reportsValidity(o.Kind) {
			recreated = append(recreated, cilium.PolicyName(o.Ref()))
		}
	}
	if err := cilium.AwaitPolicyRemoval(ctx, e.cfg.Client, recreated, e.cfg.Settle); err != nil {
		return err
	}
	var problems manifest.Problems
	for _, o := range inOrder(state.Policies) {
		ref := o.Ref().String()
		p := kept[ref]
		if p == nil {
			applied, rejected, err := e.applyPolicy(ctx, o)
			if err != nil {
				return err
			}
			if rejected != "" {
				problems = append(problems,
					manifest.Problem{File: o.File, Line: o.Line, Object: ref, Message: rejected})
				continue
			}
			p = applied
		}
		if why, err := e.accepted(ctx, p); err != nil {
			return err
		} else if why != "" {
			problems = append(problems, notAccepted(o.File, o.Line, ref, why))
			continue
		}
		if manifest.Isolates(p.GetKind()) { // the agents list no others
			change.Policies[string(p.GetUID())] = ref
		}
	}
	return problems.Err()
}

// deleteOthers deletes the policies in force that are not wanted as they are. It returns the others by name.
func (e *Engine) deleteOthers(ctx context.Context, policies []*manifest.Object, live []unstructured.Unstructured,
	change *cilium.Change) (map[string]*unstructured.Unstructured, error) {
	wanted := make(map[string]*manifest.Object, len(policies))
	for _, o := range policies {
		wanted[o.Ref().String()] = o
	}
	kept := map[string]*unstructured.Unstructured{}
	for i := range live {
		p := &live[i]
		ref := refOf(p).String()
		if o := wanted[ref]; o != nil && e.inForce[ref] == digest(o) {
			kept[ref] = p
			continue
		}
		if err := e.cfg.Client.Delete(ctx, p); err != nil {
			return nil, err
		}
		delete(e.inForce, ref)
		change.Gone = append(change.Gone, string(p.GetUID()))
	}
	return kept, nil
}

// applyPolicy creates a policy. rejected says why the API server does not take it.
func (e *Engine) applyPolicy(ctx context.Context, o *manifest.Object) (p *unstructured.Unstructured, rejected string,
	err error) {
	obj, err := e.objectOf(o)
	if err != nil {
		return nil, "", err
	}
	e.cfg.Instance.Scope.MarkSubmitted(obj)
	applied, err := e.cfg.Client.ApplyAs(ctx, fieldManager, obj)
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
		return nil, err.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	e.inForce[o.Ref().String()] = digest(o)
	return applied[0], "", nil
}

// reportsValidity says whether Cilium says in the status of a kind's objects whether it accepts them.
func reportsValidity(kind string) bool {
	k, _ := manifest.PolicyKindOf(kind)
	return k.ReportsValidity()
}

// inOrder puts what policies refer to before them.
func inOrder(policies []*manifest.Object) []*manifest.Object {
	sorted := slices.Clone(policies)
	slices.SortStableFunc(sorted, func(a, b *manifest.Object) int { return manifest.ApplyOrder(a.Kind, b.Kind) })
	return sorted
}

// accepted waits for Cilium's word on a policy of its own kinds; empty: it takes it.
func (e *Engine) accepted(ctx context.Context, p *unstructured.Unstructured) (string, error) {
	if !reportsValidity(p.GetKind()) {
		return "", nil
	}
	// The operator reports it within a second; without an operator the agents decide alone.
	deadline := time.Now().Add(3 * time.Second)
	for {
		if conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions"); len(conditions) > 0 ||
			time.Now().After(deadline) {
			return refusal(p), nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		now, err := e.cfg.Client.Get(ctx, p)
		if err != nil {
			return "", err
		}
		if now != nil {
			p = now
		}
	}
}

// refusal is why Cilium does not accept a policy: its condition Valid is False.
func refusal(p *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		if m["type"] == "Valid" && m["status"] == "False" {
			if text, _ := m["message"].(string); text != "" {
				return text
			}
			return "its status is not valid"
		}
	}
	return ""
}

// setUp applies and deletes what the setup of the tasks says.
func (e *Engine) setUp(ctx context.Context, state *engine.State) error {
	var checks []kube.Check
	for _, o := range state.Applied {
		obj, err := e.objectOf(o)
		if err != nil {
			return err
		}
		ref := "setup " + o.Ref().String()
		if e.inForce[ref] == digest(o) {
			continue
		}
		if e.cfg.Instance.Prepare != nil {
			e.cfg.Instance.Prepare(obj)
		}
		if err := e.put(ctx, obj); err != nil {
			return err
		}
		e.inForce[ref] = digest(o)
		switch o.Kind {
		case "Deployment":
			checks = append(checks, e.cfg.Client.Deployment(o.Namespace, o.Name))
		case "StatefulSet":
			checks = append(checks, e.cfg.Client.StatefulSet(o.Namespace, o.Name))
		case "DaemonSet":
			checks = append(checks, e.cfg.Client.DaemonSet(o.Namespace, o.Name))
		case "Pod":
			checks = append(checks, e.cfg.Client.Pod(o.Namespace, o.Name))
		}
	}
	for _, ref := range state.Deleted {
		for _, obj := range e.cfg.Instance.Deployed {
			if refOf(obj) != ref {
				continue
			}
			if err := e.cfg.Client.Delete(ctx, obj); err != nil {
				return err
			}
			checks = append(checks, kube.Check{Object: kube.Ref(obj),
				Observe: func(ctx context.Context) (kube.Status, error) {
					live, err := e.cfg.Client.Get(ctx, obj)
					return kube.Status{Ready: live == nil && err == nil, Why: "it is being deleted"}, err
				}})
		}
	}
	return kube.Waiter{Timeout: time.Minute}.Wait(ctx, checks...)
}

// put applies an object of a setup, unless a foreign object has its name.
func (e *Engine) put(ctx context.Context, obj *unstructured.Unstructured) error {
	s := &e.cfg.Instance.Scope
	live, err := e.cfg.Client.Get(ctx, obj)
	if err != nil {
		return err
	}
	if live != nil && !s.MayReplace(live) {
		return fmt.Errorf("a task's setup applies %s, but the cluster has one of that name that is not this lab's, and labctl does not replace it", kube.Ref(obj))
	}
	s.MarkSubmitted(obj)
	_, err = e.cfg.Client.ApplyAs(ctx, fieldManager, obj)
	return err
}

// Begin runs the setup of tasks, and changes nothing else in the cluster.
func (e *Engine) Begin(ctx context.Context, state *engine.State) error {
	if err := e.setUp(ctx, state); err != nil {
		return err
	}
	for _, o := range state.Policies { // of the setup: the student's are not in this state
		obj, err := e.objectOf(o)
		if err != nil {
			return err
		}
		if err := e.put(ctx, obj); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state.NamespaceLabels)) {
		if !e.cfg.Instance.Scope.OwnsNamespace(name) {
			if _, _, err := e.cfg.Instance.Scope.SetLabels(ctx, e.cfg.Client, name,
				state.NamespaceLabels[name]); err != nil {
				return err
			}
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": state.NamespaceLabels[name]}})
		if err != nil {
			return err
		}
		if _, err := e.cfg.Client.Typed.CoreV1().Namespaces().
			Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("label namespace %s: %w", name, err)
		}
	}
	return nil
}

// label gives the lab's namespaces the labels that they began with and the state's on top; in those that others
// use, too, it only adds the state's. It returns the labels of those whose labels it changed.
func (e *Engine) label(ctx context.Context, state *engine.State) (map[string]map[string]string, error) {
	added := state.NamespaceLabels
	changed := map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(e.cfg.Instance.NamespaceLabels)) {
		if s := &e.cfg.Instance.Scope; !s.OwnsNamespace(name) {
			now, did, err := s.SetLabels(ctx, e.cfg.Client, name, added[name])
			if err != nil {
				return nil, err
			}
			if err := e.unselected(state, name, now); err != nil {
				return nil, err
			}
			if did {
				changed[name] = now
			}
			continue
		}
		want := maps.Clone(e.cfg.Instance.NamespaceLabels[name])
		if want == nil {
			want = map[string]string{}
		}
		maps.Copy(want, added[name])
		ns, err := e.cfg.Client.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", name, err)
		}
		want["kubernetes.io/metadata.name"] = name
		if maps.Equal(ns.Labels, want) {
			continue
		}
		value, err := json.Marshal(want)
		if err != nil {
			return nil, err
		}
		patch := fmt.Appendf(nil, `[{"op":"add","path":"/metadata/labels","value":%s}]`, value)
		if _, err := e.cfg.Client.Typed.CoreV1().Namespaces().
			Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return nil, fmt.Errorf("label namespace %s: %w", name, err)
		}
		changed[name] = want
	}
	return changed, nil
}

// unselected returns an error if a namespace that others use has labels which came after the lab and which a policy
// of the state mentions: its verdicts could be due to labels that are not the submission's.
func (e *Engine) unselected(state *engine.State, namespace string, now map[string]string) error {
	base, added := e.cfg.Instance.NamespaceLabels[namespace], state.NamespaceLabels[namespace]
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, ours := added[key]; ours || base[key] == now[key] {
			continue
		}
		if i := slices.IndexFunc(state.Policies, func(o *manifest.Object) bool {
			return strings.Contains(string(o.JSON), key)
		}); i >= 0 {
			return &engine.ConflictError{Err: fmt.Errorf("somebody added the label %[2]s=%[3]s to namespace %[1]s after the lab was created, and %[4]s selects by that key: it would falsify the grade; "+
				"remove it if it is yours (kubectl label namespace %[1]s %[2]s-)",
				namespace, key, now[key], state.Policies[i].Ref())}
		}
	}
	return nil
}

// namespaceLabels are the labels that the namespaces of the lab's apps have now.
func (e *Engine) namespaceLabels(ctx context.Context) (map[string]map[string]string, error) {
	list, err := e.cfg.Client.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	all := map[string]map[string]string{}
	for i := range list.Items {
		if ns := &list.Items[i]; e.cfg.Instance.NamespaceLabels[ns.Name] != nil {
			all[ns.Name] = ns.Labels
		}
	}
	return all, nil
}

// objectOf is a manifest as the API takes it.
func (e *Engine) objectOf(o *manifest.Object) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(o.JSON, &obj.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Ref(), err)
	}
	if o.Namespace != "" {
		obj.SetNamespace(o.Namespace)
	}
	unstructured.RemoveNestedField(obj.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"} {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	return obj, nil
}

func refOf(o *unstructured.Unstructured) manifest.Ref {
	ns := o.GetNamespace()
	if ns == "" && manifest.Namespaced(o.GetKind()) {
		ns = metav1.NamespaceDefault
	}
	return manifest.Ref{Kind: o.GetKind(), Namespace: ns, Name: o.GetName()}
}

func digest(o *manifest.Object) string {
	sum := sha256.Sum256(o.JSON)
	return string(sum[:])
}
