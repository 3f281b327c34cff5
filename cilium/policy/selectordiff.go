package policy

import (
	"fmt"
	"slices"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// term is one requirement of a selector.
type term struct {
	key    string // as written: "app", or of a namespace's label "type"
	op     slimv1.LabelSelectorOperator
	values []string
	scope  termScope

	holds bool
	got   string // the label's value
	there bool
}

// termScope says whose label a term is about.
type termScope uint8

const (
	ofPod termScope = iota
	ofNamespace
	namespaceName
	ofCluster
)

// selectorDiff is how a selector and the labels of an endpoint differ.
type selectorDiff struct {
	terms  []term
	failed []term
}

// diffSelector compares a selector of Cilium's kind, whose keys say where a label comes from, with labels.
func diffSelector(s *slimv1.LabelSelector, have labels.LabelArray) selectorDiff {
	var d selectorDiff
	if s == nil {
		return d
	}
	add := func(key string, op slimv1.LabelSelectorOperator, values []string) {
		label := labels.ParseSelectLabel(key)
		t := term{key: label.Key, op: op, values: values}
		t.got, t.there = have.LookupLabel(&label)
		switch {
		case label.Key == ciliumio.PodNamespaceLabel:
			t.scope = namespaceName
		case label.Key == ciliumio.PolicyLabelCluster:
			t.scope = ofCluster
		default:
			if l, ok := cluster.NamespaceLabel(label.Key); ok {
				t.key, t.scope = l, ofNamespace
			}
		}
		switch op {
		case slimv1.LabelSelectorOpIn:
			t.holds = t.there && slices.Contains(values, t.got)
		case slimv1.LabelSelectorOpNotIn:
			t.holds = !t.there || !slices.Contains(values, t.got)
		case slimv1.LabelSelectorOpExists:
			t.holds = t.there
		case slimv1.LabelSelectorOpDoesNotExist:
			t.holds = !t.there
		}
		d.terms = append(d.terms, t)
	}
	for k, v := range s.MatchLabels {
		add(k, slimv1.LabelSelectorOpIn, []string{v})
	}
	for _, r := range s.MatchExpressions {
		add(r.Key, r.Operator, r.Values)
	}
	slices.SortStableFunc(d.terms, func(a, b term) int { return strings.Compare(a.key, b.key) })
	for _, t := range d.terms {
		if !t.holds {
			d.failed = append(d.failed, t)
		}
	}
	return d
}

// String writes a term as kubectl takes it: "app=web", "app in (a, b)", "!app".
func (t *term) String() string {
	switch t.op {
	case slimv1.LabelSelectorOpIn:
		if len(t.values) == 1 {
			return t.key + "=" + t.values[0]
		}
		return fmt.Sprintf("%s in (%s)", t.key, listed(t.values, len(t.values), ", "))
	case slimv1.LabelSelectorOpNotIn:
		if len(t.values) == 1 {
			return t.key + "!=" + t.values[0]
		}
		return fmt.Sprintf("%s not in (%s)", t.key, listed(t.values, len(t.values), ", "))
	case slimv1.LabelSelectorOpExists:
		return t.key
	}
	return "!" + t.key
}

// describe says what the selector selects: "pods with app=web in namespace default".
func (d *selectorDiff) describe(noun string) string {
	var pod, namespace []string
	where := ""
	for i := range d.terms {
		t := &d.terms[i]
		switch t.scope {
		case ofPod:
			pod = append(pod, t.String())
		case ofNamespace:
			namespace = append(namespace, t.String())
		case namespaceName:
			switch {
			case t.op == slimv1.LabelSelectorOpExists:
				where = " in any namespace"
			case t.op == slimv1.LabelSelectorOpIn:
				where = " in namespace " + listed(t.values, len(t.values), " or ")
			default:
				where = " outside namespace " + listed(t.values, len(t.values), ", ")
			}
		}
	}
	s := "all " + noun
	if len(pod) > 0 {
		s = noun + " with " + listed(pod, len(pod), ", ")
	}
	if len(namespace) > 0 {
		return s + " in namespaces with " + listed(namespace, len(namespace), ", ")
	}
	return s + where
}

// namespaceFails reports whether a term about the namespace fails.
func (d *selectorDiff) namespaceFails() bool {
	return slices.ContainsFunc(d.failed, func(t term) bool {
		return t.scope == ofNamespace || t.scope == namespaceName
	})
}

// wants lists the terms that fail.
func (d *selectorDiff) wants() string {
	var list []string
	for i := range d.failed {
		t := &d.failed[i]
		if t.scope == namespaceName {
			list = append(list, "namespace "+listed(t.values, len(t.values), " or "))
			continue
		}
		list = append(list, t.String())
	}
	return listed(list, len(list), ", ")
}

// has lists what there is instead.
func (d *selectorDiff) has() string {
	var list []string
	for i := range d.failed {
		switch t := &d.failed[i]; {
		case t.scope == namespaceName:
			list = append(list, "namespace "+t.got)
		case t.there:
			list = append(list, t.key+"="+t.got)
		}
	}
	return listed(list, len(list), ", ")
}

// labelsOf says of each term that fails what the endpoint has: "frontend has app=frontend".
func (x *explanation) labelsOf(d selectorDiff, p *endpoint) string {
	name := p.name
	if p == x.peer {
		name = x.peerName()
	}
	if p.pod == nil {
		return name + " is no pod"
	}
	var list []string
	for i := range d.failed {
		t := &d.failed[i]
		switch t.scope {
		case namespaceName:
			list = append(list, fmt.Sprintf("%s is in namespace %s", name, p.pod.Namespace))
		case ofNamespace:
			switch {
			case t.op == slimv1.LabelSelectorOpDoesNotExist, t.op == slimv1.LabelSelectorOpNotIn:
				list = append(list, fmt.Sprintf("namespace %s has the label %s=%s", p.pod.Namespace, t.key, t.got))
			default:
				list = append(list, fmt.Sprintf("namespace %s does not have label %s (its labels: %s)",
					p.pod.Namespace, t, describeLabels(x.e.c.NamespaceLabels[p.pod.Namespace])))
			}
		case ofPod:
			raw, onPod := p.pod.Labels[t.key]
			switch {
			case t.there:
				list = append(list, fmt.Sprintf("%s has %s=%s", name, t.key, t.got))
			case onPod:
				list = append(list, fmt.Sprintf("%s has %s=%s, but Cilium does not use that label to distinguish pods",
					name, t.key, raw))
			default:
				list = append(list, fmt.Sprintf("%s has no label %s", name, t.key))
			}
		default:
			list = append(list, fmt.Sprintf("the cluster is %q", t.got))
		}
	}
	if len(list) == 0 {
		return name + " matches"
	}
	return listed(list, len(list), ", ")
}
