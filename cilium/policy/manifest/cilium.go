package manifest

import (
	"github.com/cilium/cilium/pkg/policy/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CiliumNetworkPolicy is a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy without its status.
// (Cilium's own type is in a package that pulls in most of the agent.)
type CiliumNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec  *api.Rule `json:"spec,omitempty"`
	Specs api.Rules `json:"specs,omitempty"`
}

// CiliumCIDRGroup is a list of address ranges that policies refer to by name or label.
type CiliumCIDRGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec CiliumCIDRGroupSpec `json:"spec"`
}

// CiliumCIDRGroupSpec is what a CiliumCIDRGroup holds.
type CiliumCIDRGroupSpec struct {
	ExternalCIDRs []api.CIDR `json:"externalCIDRs"`
}

// defaultCiliumPolicy fills in the one default of the CRD: the family of an ICMP field.
func defaultCiliumPolicy(p *CiliumNetworkPolicy) field.ErrorList {
	rules := p.Specs
	if p.Spec != nil {
		rules = append(api.Rules{p.Spec}, rules...)
	}
	for _, r := range rules {
		if r == nil {
			continue
		}
		for i := range r.Ingress {
			defaultICMP(r.Ingress[i].ICMPs)
		}
		for i := range r.IngressDeny {
			defaultICMP(r.IngressDeny[i].ICMPs)
		}
		for i := range r.Egress {
			defaultICMP(r.Egress[i].ICMPs)
		}
		for i := range r.EgressDeny {
			defaultICMP(r.EgressDeny[i].ICMPs)
		}
	}
	return nil
}

func defaultICMP(rules api.ICMPRules) {
	for _, r := range rules {
		for i := range r.Fields {
			if r.Fields[i].Family == "" {
				r.Fields[i].Family = api.IPv4Family
			}
		}
	}
}
