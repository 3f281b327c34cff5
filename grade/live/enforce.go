package live

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
)

// fieldManager is the name that the grader applies objects under, so that what it made can be told from what
// the student and the lab made.
const fieldManager = "labctl-grade"

// CanaryNamespace is where the grader proves enforcement; what is in it is no part of the lab.
const CanaryNamespace = "labctl-canary"

// policyKinds are the kinds of policy, with what Cilium must know before the policies that refer to it first.
var policyKinds = []schema.GroupVersionResource{
	{Group: "cilium.io", Version: "v2", Resource: "ciliumcidrgroups"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"},
	{Group: "cilium.io", Version: "v2", Resource: "ciliumclusterwidenetworkpolicies"},
	{Group: "policy.networking.k8s.io", Version: "v1alpha2", Resource: "clusternetworkpolicies"},
}

// listPolicies lists the policies in the cluster that are the student's or the grader's.
func (e *Engine) listPolicies(ctx context.Context) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	for _, kind := range policyKinds {
		list, err := e.cfg.Client.Dynamic.Resource(kind).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		for i := range list.Items {
			p := &list.Items[i]
			if !slices.Contains(e.cfg.Instance.Keep, string(p.GetUID())) && p.GetNamespace() != CanaryNamespace {
				all = append(all, *p)
			}
		}
	}
	return all, nil
}

// enforce makes the cluster what the state says, and returns what the agents have to make of it.
func (e *Engine) enforce(ctx context.Context, state *grade.State) (cilium.Change, error) {
	change := cilium.Change{Policies: map[string]string{}}
	live, err := e.listPolicies(ctx)
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
			case known(p):
				change.Policies[string(p.GetUID())] = kube.Ref(p)
			}
		}
		if err := problems.Err(); err != nil {
			return change, err
		}
		// Somebody may have labelled a namespace a moment ago.
		change.NamespaceLabels, err = e.namespaceLabels(ctx)
		return change, err
	}
	if change.NamespaceLabels, err = e.label(ctx, state.NamespaceLabels); err != nil {
		return change, err
	}
	if err := e.setUp(ctx, state); err != nil {
		return change, err
	}
	if err := e.applyPolicies(ctx, state, live, &change); err != nil {
		return change, err
	}
	if slices.ContainsFunc(state.Policies, looksUpNames) {
		if err := cilium.ForgetNames(ctx, e.cfg.Client); err != nil {
			return change, err
		}
	}
	return change, nil
}

// known says whether the agents show a policy under its UID, which they do not with groups of addresses.
func known(p *unstructured.Unstructured) bool { return p.GetKind() != "CiliumCIDRGroup" }

func notAccepted(file string, line int, ref, why string) manifest.Problem {
	return manifest.Problem{File: file, Line: line, Object: ref, Message: "Cilium does not accept it, so it is not in force: " + why}
}

func looksUpNames(o *manifest.Object) bool { return strings.Contains(string(o.JSON), "toFQDNs") }

// applyPolicies replaces the policies in force by the state's. One whose content changed is made anew, since
// the agents tell policies by their UID.
func (e *Engine) applyPolicies(ctx context.Context, state *grade.State, live []unstructured.Unstructured, change *cilium.Change) error {
	wanted := make(map[string]*manifest.Object, len(state.Policies))
	for _, o := range state.Policies {
		wanted[o.Ref().String()] = o
	}
	there := map[string]*unstructured.Unstructured{}
	for i := range live {
		p := &live[i]
		ref := refOf(p).String()
		if o := wanted[ref]; o != nil && e.inForce[ref] == digest(o) {
			there[ref] = p
			continue
		}
		if err := e.cfg.Client.Delete(ctx, p); err != nil {
			return err
		}
		delete(e.inForce, ref)
		change.Gone = append(change.Gone, string(p.GetUID()))
	}
	var anew []cilium.PolicyName
	for _, o := range state.Policies {
		if there[o.Ref().String()] == nil && ciliumKind(o.Kind) {
			anew = append(anew, cilium.PolicyName(o.Ref()))
		}
	}
	if err := cilium.Forgotten(ctx, e.cfg.Client, anew, e.cfg.Settle); err != nil {
		return err
	}
	var problems manifest.Problems
	for _, o := range inOrder(state.Policies) {
		ref := o.Ref().String()
		p := there[ref]
		if p == nil {
			obj, err := e.objectOf(o)
			if err != nil {
				return err
			}
			applied, err := e.cfg.Client.ApplyAs(ctx, fieldManager, obj)
			if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
				problems = append(problems, manifest.Problem{File: o.File, Line: o.Line, Object: ref, Message: err.Error()})
				continue
			}
			if err != nil {
				return err
			}
			p = applied[0]
			e.inForce[ref] = digest(o)
		}
		if why, err := e.accepted(ctx, p); err != nil {
			return err
		} else if why != "" {
			problems = append(problems, notAccepted(o.File, o.Line, ref, why))
			continue
		}
		if known(p) {
			change.Policies[string(p.GetUID())] = ref
		}
	}
	return problems.Err()
}

func ciliumKind(kind string) bool {
	return kind == "CiliumNetworkPolicy" || kind == "CiliumClusterwideNetworkPolicy"
}

// inOrder puts groups of addresses before the policies that refer to them.
func inOrder(policies []*manifest.Object) []*manifest.Object {
	sorted := slices.Clone(policies)
	slices.SortStableFunc(sorted, func(a, b *manifest.Object) int {
		rank := func(o *manifest.Object) int {
			if o.Kind == "CiliumCIDRGroup" {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return sorted
}

// accepted waits for Cilium's word on a policy of its own kinds; empty: it takes it.
func (e *Engine) accepted(ctx context.Context, p *unstructured.Unstructured) (string, error) {
	if !ciliumKind(p.GetKind()) {
		return "", nil
	}
	// The operator says so within moments; without an operator the agents decide alone.
	deadline := time.Now().Add(3 * time.Second)
	for {
		if conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions"); len(conditions) > 0 || time.Now().After(deadline) {
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
func (e *Engine) setUp(ctx context.Context, state *grade.State) error {
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
		if _, err := e.cfg.Client.ApplyAs(ctx, fieldManager, obj); err != nil {
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
			checks = append(checks, kube.Check{Object: kube.Ref(obj), Look: func(ctx context.Context) (kube.Look, error) {
				live, err := e.cfg.Client.Get(ctx, obj)
				return kube.Look{Ready: live == nil && err == nil, Why: "it is being deleted"}, err
			}})
		}
	}
	return kube.Waiting{Timeout: time.Minute}.Wait(ctx, checks...)
}

// Begin does what the setup of tasks says, and leaves everything else in the cluster as it is.
func (e *Engine) Begin(ctx context.Context, state *grade.State) error {
	if err := e.setUp(ctx, state); err != nil {
		return err
	}
	for _, o := range state.Policies { // of the setup: the student's are not in this state
		obj, err := e.objectOf(o)
		if err != nil {
			return err
		}
		if _, err := e.cfg.Client.ApplyAs(ctx, fieldManager, obj); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state.NamespaceLabels)) {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": state.NamespaceLabels[name]}})
		if err != nil {
			return err
		}
		if _, err := e.cfg.Client.Typed.CoreV1().Namespaces().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("label namespace %s: %w", name, err)
		}
	}
	return nil
}

// label gives the lab's namespaces the labels that they began with and the state's on top. It returns the
// labels of those whose labels it changed.
func (e *Engine) label(ctx context.Context, added map[string]map[string]string) (map[string]map[string]string, error) {
	changed := map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(e.cfg.Instance.NamespaceLabels)) {
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
		if _, err := e.cfg.Client.Typed.CoreV1().Namespaces().Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return nil, fmt.Errorf("label namespace %s: %w", name, err)
		}
		changed[name] = want
	}
	return changed, nil
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
	if ns == "" && o.GetKind() != "Namespace" && !strings.HasPrefix(o.GetKind(), "Cluster") && !strings.HasPrefix(o.GetKind(), "CiliumC") {
		ns = "default"
	}
	return manifest.Ref{Kind: o.GetKind(), Namespace: ns, Name: o.GetName()}
}

func digest(o *manifest.Object) string {
	sum := sha256.Sum256(o.JSON)
	return string(sum[:])
}
