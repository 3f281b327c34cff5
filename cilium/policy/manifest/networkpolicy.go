package manifest

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// checkNetworkPolicy applies the rules of the API server (k8s.io/kubernetes, pkg/apis/networking) for
// Kubernetes 1.37, then its defaults.
func checkNetworkPolicy(np *networkingv1.NetworkPolicy) field.ErrorList {
	spec := field.NewPath("spec")
	errs := checkSelector(&np.Spec.PodSelector, spec.Child("podSelector"))
	for i := range np.Spec.Ingress {
		rule, path := &np.Spec.Ingress[i], spec.Child("ingress").Index(i)
		errs = append(errs, checkPorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, checkPeers(rule.From, path.Child("from"))...)
	}
	for i := range np.Spec.Egress {
		rule, path := &np.Spec.Egress[i], spec.Child("egress").Index(i)
		errs = append(errs, checkPorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, checkPeers(rule.To, path.Child("to"))...)
	}
	errs = append(errs, checkPolicyTypes(np.Spec.PolicyTypes, spec.Child("policyTypes"))...)
	defaultNetworkPolicy(np)
	return errs
}

func checkPolicyTypes(types []networkingv1.PolicyType, path *field.Path) (errs field.ErrorList) {
	if len(types) > 2 {
		return field.ErrorList{field.Invalid(path, types, "may not specify more than two policyTypes")}
	}
	known := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	for i, t := range types {
		if !slices.Contains(known, t) {
			errs = append(errs, field.NotSupported(path.Index(i), t, known))
		}
	}
	return errs
}

func checkSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if s == nil || len(s.MatchExpressions) == 0 && plainLabels(s.MatchLabels) {
		return nil
	}
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

// plainLabels reports whether all labels are obviously valid: the usual case, which spares the regular
// expressions.
func plainLabels(labels map[string]string) bool {
	for k, v := range labels {
		if !plainLabel(k) || !plainLabel(v) {
			return false
		}
	}
	return true
}

func plainLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
			(c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func checkPorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) (errs field.ErrorList) {
	for i := range ports {
		p, path := &ports[i], path.Index(i)
		if p.Protocol != nil && !slices.Contains(protocols, *p.Protocol) {
			errs = append(errs, field.NotSupported(path.Child("protocol"), *p.Protocol,
				[]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
		switch {
		case p.Port == nil:
			if p.EndPort != nil {
				errs = append(errs, field.Invalid(path.Child("endPort"), *p.EndPort,
					"may not be specified when `port` is not specified"))
			}
		case p.Port.Type == intstr.String:
			if p.EndPort != nil {
				errs = append(errs, field.Invalid(path.Child("endPort"), *p.EndPort,
					"may not be specified when `port` is non-numeric"))
			}
			for _, msg := range validation.IsValidPortName(p.Port.StrVal) {
				errs = append(errs, field.Invalid(path.Child("port"), p.Port.StrVal, msg))
			}
		default:
			errs = append(errs, checkPortNumber(p.Port.IntVal, path.Child("port"))...)
			if p.EndPort != nil {
				if *p.EndPort < p.Port.IntVal {
					errs = append(errs, field.Invalid(path.Child("endPort"), *p.EndPort,
						"must be greater than or equal to `port`"))
				}
				errs = append(errs, checkPortNumber(*p.EndPort, path.Child("endPort"))...)
			}
		}
	}
	return errs
}

// protocols are those of a NetworkPolicy's, Service's or container's port.
var protocols = []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}

func checkPortNumber(port int32, path *field.Path) (errs field.ErrorList) {
	for _, msg := range validation.IsValidPortNum(int(port)) {
		errs = append(errs, field.Invalid(path, port, msg))
	}
	return errs
}

func checkPeers(peers []networkingv1.NetworkPolicyPeer, path *field.Path) (errs field.ErrorList) {
	for i := range peers {
		p, path := &peers[i], path.Index(i)
		errs = append(errs, checkSelector(p.PodSelector, path.Child("podSelector"))...)
		errs = append(errs, checkSelector(p.NamespaceSelector, path.Child("namespaceSelector"))...)
		if p.IPBlock != nil {
			errs = append(errs, checkIPBlock(p.IPBlock, path.Child("ipBlock"))...)
		}
		switch selectors := p.PodSelector != nil || p.NamespaceSelector != nil; {
		case !selectors && p.IPBlock == nil:
			errs = append(errs, field.Required(path, "must specify a peer"))
		case selectors && p.IPBlock != nil:
			errs = append(errs, field.Forbidden(path, "may not specify both ipBlock and another peer"))
		}
	}
	return errs
}

func checkIPBlock(b *networkingv1.IPBlock, path *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(path.Child("cidr"), "")}
	}
	// StrictIPCIDRValidation is on by default since 1.36: no host bits, no leading zeros.
	errs := validation.IsValidCIDRForLegacyField(path.Child("cidr"), b.CIDR, true, nil)
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	for i, except := range b.Except {
		path := path.Child("except").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(path, except, true, nil)...)
		_, part, err := netutils.ParseCIDRSloppy(except)
		if err != nil {
			continue
		}
		wholeLen, _ := whole.Mask.Size()
		partLen, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || wholeLen >= partLen {
			errs = append(errs, field.Invalid(path, except, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

func defaultNetworkPolicy(np *networkingv1.NetworkPolicy) {
	if len(np.Spec.PolicyTypes) == 0 {
		np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		if len(np.Spec.Egress) > 0 {
			np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	tcp := corev1.ProtocolTCP
	for i := range np.Spec.Ingress {
		defaultProtocol(np.Spec.Ingress[i].Ports, &tcp)
	}
	for i := range np.Spec.Egress {
		defaultProtocol(np.Spec.Egress[i].Ports, &tcp)
	}
}

func defaultProtocol(ports []networkingv1.NetworkPolicyPort, protocol *corev1.Protocol) {
	for i := range ports {
		if ports[i].Protocol == nil {
			ports[i].Protocol = protocol
		}
	}
}
