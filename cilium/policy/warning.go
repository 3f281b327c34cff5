package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Warning is something about the policies in force that no verdict shows.
type Warning struct {
	RuleRef
	Message string `json:"message"`
}

// Warnings returns what is to be said about the policies in force: rules for nodes while Cilium's host firewall
// is off. The list is never nil.
func (e *Engine) Warnings() []Warning {
	list := []Warning{}
	if e.c.Config.HostFirewall {
		return list
	}
	for _, p := range e.policies {
		for _, path := range NodeSelectors(p.object) {
			list = append(list, Warning{RuleRef: *p.refTo(path), Message: NoHostFirewall})
		}
	}
	return list
}

// UnmodelledWorkloads warns of objects of unmodelled kinds that contain a pod template, such as an Argo Rollout,
// if no other object names them as its owner. The list is never nil.
func UnmodelledWorkloads(objects []*manifest.Object) []Warning {
	// no namespace is the default one: labctl does not know the kind's scope
	type key struct{ kind, namespace, name string }
	list, owners := []Warning{}, map[key]bool{}
	makers := map[*manifest.Object]bool{}
	for _, o := range objects {
		var owned struct {
			Metadata struct {
				OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
			} `json:"metadata"`
			Spec any `json:"spec"`
		}
		if json.Unmarshal(o.JSON, &owned) != nil { // metadata of another form, in a kind that nobody knows
			continue
		}
		for _, owner := range owned.Metadata.OwnerReferences {
			owners[key{owner.Kind, cmp.Or(o.Namespace, "default"), owner.Name}] = true
		}
		makers[o] = o.Value == nil && hasContainers(owned.Spec)
	}
	for _, o := range objects {
		if makers[o] && !owners[key{o.Kind, cmp.Or(o.Namespace, "default"), o.Name}] {
			message := "labctl does not know which pods a " + o.Kind +
				" creates, and the manifests contain none of them: add the pods themselves"
			list = append(list, Warning{RuleRef: RuleRef{
				Policy: o.Ref(), Rule: "spec", File: o.File, Line: o.LineOf("spec"),
			}, Message: message})
		}
	}
	return list
}

// hasContainers reports whether there is a list of containers with images somewhere in a value.
func hasContainers(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		if list, ok := v["containers"].([]any); ok && slices.ContainsFunc(list, func(c any) bool {
			fields, ok := c.(map[string]any)
			return ok && fields["image"] != nil
		}) {
			return true
		}
		for _, field := range v {
			if hasContainers(field) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasContainers)
	}
	return false
}

// NoHostFirewall says why a policy with a nodeSelector has no effect.
const NoHostFirewall = "the policy has a nodeSelector, and policies for nodes have no effect while Cilium's host firewall is off (Helm value hostFirewall.enabled)"

// NodeSelectors returns the paths of the nodeSelectors that a policy has.
func NodeSelectors(o *manifest.Object) []string {
	v, ok := o.Value.(*manifest.CiliumNetworkPolicy)
	if !ok {
		return nil
	}
	var paths []string
	if v.Spec != nil && v.Spec.NodeSelector.LabelSelector != nil {
		paths = append(paths, "spec.nodeSelector")
	}
	for i, r := range v.Specs {
		if r != nil && r.NodeSelector.LabelSelector != nil {
			paths = append(paths, index("specs", i)+".nodeSelector")
		}
	}
	return paths
}

// String is the warning with its place, as messages show it.
func (w *Warning) String() string {
	p := manifest.Problem{File: w.File, Line: w.Line, Object: w.Policy.String(), Field: w.Rule, Message: w.Message}
	return strings.TrimPrefix(p.String(), ": ")
}
