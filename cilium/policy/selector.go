package policy

import (
	"slices"

	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// keyOf returns a selector's key without the label's source: "app" for "k8s:app" or "any:app".
func keyOf(key string) string {
	return labels.ParseSelectLabel(key).Key
}

// selectorMatches matches a selector with plain keys against the labels of an object that is no endpoint.
func selectorMatches(s *slimv1.LabelSelector, have map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		got, ok := have[r.Key]
		switch r.Operator {
		case slimv1.LabelSelectorOpIn:
			ok = ok && slices.Contains(r.Values, got)
		case slimv1.LabelSelectorOpNotIn:
			ok = !ok || !slices.Contains(r.Values, got)
		case slimv1.LabelSelectorOpDoesNotExist:
			ok = !ok
		}
		if !ok {
			return false
		}
	}
	return true
}

// serviceSelected reports whether a toServices item names the service. An item without a namespace means
// every namespace, not the policy's.
func serviceSelected(want *api.Service, s *cluster.Service) bool {
	if by := want.K8sServiceSelector; by != nil {
		sel := api.EndpointSelector(by.Selector).LabelSelector
		return sel != nil && (by.Namespace == s.Namespace || by.Namespace == "") &&
			selectorMatches(plainKeys(sel), s.Labels)
	}
	by := want.K8sService
	return by != nil && (by.Namespace == s.Namespace || by.Namespace == "") && by.ServiceName == s.Name
}
