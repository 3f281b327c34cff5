package manifest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cilium/cilium/pkg/policy/api"
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
