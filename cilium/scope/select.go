package scope

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/labctl/labctl/cilium/kube"
)

// Labels that Cilium gives every pod (pkg/k8s/apis/cilium.io and pkg/k8s/utils).
const (
	namespaceKey       = "io.kubernetes.pod.namespace"
	serviceAccountKey  = "io.cilium.k8s.policy.serviceaccount"
	namespaceLabelsKey = "io.cilium.k8s.namespace.labels."
)

// DisturbedError reports that foreign policies apply to what is graded, so that a grade would not be the student's.
type DisturbedError struct {
	Policies []string
}

const namedPolicies = 5

func (e *DisturbedError) Error() string {
	named, more := e.Policies, ""
	if len(named) > namedPolicies {
		named, more = named[:namedPolicies], fmt.Sprintf(" and %d more", len(named)-namedPolicies)
	}
	return fmt.Sprintf("policies that are not the lab's apply to its pods and would falsify the grade: %s%s. In a cluster that others use, labctl does not change objects that it did not create: "+
		"delete them if they are yours, or ask their owner to exclude the lab's namespaces",
		strings.Join(named, ", "), more)
}

// Undisturbed returns a *DisturbedError if policies that are neither the lab's nor the student's apply to the lab's
// pods, or, if they came after the lab, to the cluster's DNS. observe counts as the student's what Counts says,
// otherwise only what Resets says.
func (s *Scope) Undisturbed(ctx context.Context, client *kube.Client, policies []unstructured.Unstructured,
	observe bool) error {
	if s.Exclusive {
		return nil
	}
	var foreign []*unstructured.Unstructured
	for i := range policies {
		p := &policies[i]
		if s.Resets(p) || observe && s.Counts(p) {
			continue
		}
		foreign = append(foreign, p)
	}
	if len(foreign) == 0 {
		return nil
	}
	pods, dns, err := s.pods(ctx, client)
	if err != nil {
		return err
	}
	var names []string
	for _, p := range foreign {
		if slices.ContainsFunc(pods, selectedBy(p)) || !s.existedBefore(p) && slices.ContainsFunc(dns, selectedBy(p)) {
			names = append(names, kube.Ref(p))
		}
	}
	if len(names) > 0 {
		return &DisturbedError{names}
	}
	return nil
}

// pod is what policies select a pod by.
type pod struct {
	namespace       string
	labels          map[string]string // its own
	namespaceLabels map[string]string
	serviceAccount  string
}

// identity are the labels that Cilium's selectors see.
func (p *pod) identity() labels.Set {
	all := labels.Set{namespaceKey: p.namespace, serviceAccountKey: p.serviceAccount}
	for k, v := range p.namespaceLabels {
		all[namespaceLabelsKey+k] = v
	}
	for k, v := range p.labels {
		all[k] = v
	}
	return all
}

// pods are the lab's pods as they run, an app without any by the labels that it would have, and the pods of the
// cluster's DNS.
func (s *Scope) pods(ctx context.Context, client *kube.Client) (lab, dns []pod, err error) {
	namespaces := map[string]map[string]string{}
	find := func(app App) ([]pod, error) {
		if _, ok := namespaces[app.Namespace]; !ok {
			ns, err := client.Typed.CoreV1().Namespaces().Get(ctx, app.Namespace, metav1.GetOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("read namespace %s: %w", app.Namespace, err)
			}
			namespaces[app.Namespace] = ns.Labels
		}
		list, err := client.Typed.CoreV1().Pods(app.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the pods of namespace %s: %w", app.Namespace, err)
		}
		var found []pod
		for i := range list.Items {
			p := &list.Items[i]
			if !app.Owns(p.Name, p.Labels) {
				continue
			}
			found = append(found, pod{p.Namespace, p.Labels, namespaces[p.Namespace], p.Spec.ServiceAccountName})
		}
		return found, nil
	}
	for _, app := range s.Apps {
		found, err := find(app)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			found = []pod{{app.Namespace, app.Labels, namespaces[app.Namespace], "default"}}
		}
		lab = append(lab, found...)
	}
	dns, err = find(App{Namespace: metav1.NamespaceSystem, Owns: func(_ string, labels map[string]string) bool {
		return labels["k8s-app"] == "kube-dns"
	}})
	return lab, dns, err
}

// selectedBy returns what says whether a policy applies to a pod. A selector that cannot be read is taken to select
// everything.
func selectedBy(p *unstructured.Unstructured) func(pod) bool {
	spec, _, _ := unstructured.NestedMap(p.Object, "spec")
	switch p.GroupVersionKind().Group {
	case "networking.k8s.io":
		matches := selector(spec["podSelector"])
		return func(pod pod) bool { return pod.namespace == p.GetNamespace() && matches(pod.labels) }
	case "policy.networking.k8s.io":
		subject, _, _ := unstructured.NestedMap(spec, "subject")
		if of, ok := subject["pods"].(map[string]any); ok {
			namespaces, pods := selector(of["namespaceSelector"]), selector(of["podSelector"])
			return func(pod pod) bool { return namespaces(pod.namespaceLabels) && pods(pod.labels) }
		}
		namespaces := selector(subject["namespaces"])
		return func(pod pod) bool { return subject["namespaces"] != nil && namespaces(pod.namespaceLabels) }
	}
	var matches []func(labels.Set) bool
	for _, sel := range endpointSelectors(p) {
		matches = append(matches, selector(sel))
	}
	return func(pod pod) bool {
		if p.GetNamespace() != "" && p.GetNamespace() != pod.namespace {
			return false
		}
		return slices.ContainsFunc(matches, func(m func(labels.Set) bool) bool { return m(pod.identity()) })
	}
}

// endpointSelectors are the selectors of a Cilium policy that select pods. Those of nodes are left out.
func endpointSelectors(p *unstructured.Unstructured) []any {
	specs, _ := p.Object["specs"].([]any)
	var all []any
	for _, spec := range append(slices.Clone(specs), p.Object["spec"]) {
		if m, ok := spec.(map[string]any); ok && m["endpointSelector"] != nil {
			all = append(all, m["endpointSelector"])
		}
	}
	return all
}

// selector compiles a label selector as written in a policy; in Cilium's the keys begin with the labels' source.
func selector(raw any) func(labels.Set) bool {
	sel, ok := parseSelector(raw)
	if !ok {
		return func(labels.Set) bool { return true }
	}
	compiled, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		return func(labels.Set) bool { return true }
	}
	return func(set labels.Set) bool { return compiled.Matches(set) }
}

// parseSelector reads a selector, and takes the labels' source from its keys. Keys of other sources than Kubernetes
// ("reserved:host") become some that no pod has.
func parseSelector(raw any) (*metav1.LabelSelector, bool) {
	if raw == nil {
		return &metav1.LabelSelector{}, true
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return nil, false
	}
	var read metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &read); err != nil {
		return nil, false
	}
	sel := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for k, v := range read.MatchLabels {
		sel.MatchLabels[plainKey(k)] = v
	}
	for _, r := range read.MatchExpressions {
		r.Key = plainKey(r.Key)
		sel.MatchExpressions = append(sel.MatchExpressions, r)
	}
	return sel, true
}

func plainKey(key string) string {
	for _, source := range []string{"k8s:", "any:"} {
		if plain, ok := strings.CutPrefix(key, source); ok {
			return plain
		}
	}
	return strings.ReplaceAll(key, ":", ".")
}

// confined says whether a cluster-wide policy can select nothing but pods in the namespaces.
func confined(p *unstructured.Unstructured, namespaces []string) bool {
	switch p.GroupVersionKind().Group {
	case "policy.networking.k8s.io":
		subject, _, _ := unstructured.NestedMap(p.Object, "spec", "subject")
		sel := subject["namespaces"]
		if of, ok := subject["pods"].(map[string]any); ok {
			sel = of["namespaceSelector"]
		}
		return requires(sel, corev1.LabelMetadataName, namespaces)
	case "cilium.io":
		specs, _ := p.Object["specs"].([]any)
		all := slices.DeleteFunc(append(slices.Clone(specs), p.Object["spec"]), func(spec any) bool {
			return spec == nil
		})
		return len(all) > 0 && !slices.ContainsFunc(all, func(spec any) bool {
			m, _ := spec.(map[string]any)
			return !requires(m["endpointSelector"], namespaceKey, namespaces) &&
				!requires(m["endpointSelector"], namespaceLabelsKey+corev1.LabelMetadataName, namespaces)
		})
	}
	return false
}

// requires says whether a selector matches only what has one of the values under a key.
func requires(raw any, key string, values []string) bool {
	sel, ok := parseSelector(raw)
	if !ok {
		return false
	}
	if v, ok := sel.MatchLabels[key]; ok {
		return slices.Contains(values, v)
	}
	return slices.ContainsFunc(sel.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
		return r.Key == key && r.Operator == metav1.LabelSelectorOpIn && len(r.Values) > 0 &&
			!slices.ContainsFunc(r.Values, func(v string) bool { return !slices.Contains(values, v) })
	})
}
