package manifest

//lint:file-ignore SA1019 Clusters still have Endpoints, and what people write by hand takes effect.

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The checks of this file are those of the API server that concern what the engine reads: names,
// labels, addresses, ports and selectors. What a pod runs is not looked at beyond strict fields: a
// cluster written down for the engine needs neither images nor restart policies.

func checkPod(p *corev1.Pod) field.ErrorList {
	errs := checkPodSpec(&p.Spec, field.NewPath("spec"))
	status := field.NewPath("status")
	errs = append(errs, checkIP(p.Status.PodIP, status.Child("podIP"))...)
	for i, ip := range p.Status.PodIPs {
		errs = append(errs, checkIP(ip.IP, status.Child("podIPs").Index(i).Child("ip"))...)
	}
	errs = append(errs, checkIP(p.Status.HostIP, status.Child("hostIP"))...)
	for i, ip := range p.Status.HostIPs {
		errs = append(errs, checkIP(ip.IP, status.Child("hostIPs").Index(i).Child("ip"))...)
	}
	return errs
}

func checkPodSpec(spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	names := map[string]bool{}
	check := func(list string, containers []corev1.Container) {
		for i := range containers {
			c, path := &containers[i], path.Child(list).Index(i)
			if c.Name != "" {
				for _, msg := range validation.IsDNS1123Label(c.Name) {
					errs = append(errs, field.Invalid(path.Child("name"), c.Name, msg))
				}
				if names[c.Name] {
					errs = append(errs, field.Duplicate(path.Child("name"), c.Name))
				}
				names[c.Name] = true
			}
			errs = append(errs, checkContainerPorts(c.Ports, path.Child("ports"))...)
		}
	}
	check("initContainers", spec.InitContainers)
	check("containers", spec.Containers)
	return errs
}

func checkContainerPorts(ports []corev1.ContainerPort, path *field.Path) (errs field.ErrorList) {
	names := map[string]bool{}
	for i := range ports {
		p, path := &ports[i], path.Index(i)
		if p.Name != "" {
			msgs := validation.IsValidPortName(p.Name)
			for _, msg := range msgs {
				errs = append(errs, field.Invalid(path.Child("name"), p.Name, msg))
			}
			if len(msgs) == 0 && names[p.Name] {
				errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
			}
			names[p.Name] = true
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(path.Child("containerPort"), ""))
		} else {
			errs = append(errs, checkPortNumber(p.ContainerPort, path.Child("containerPort"))...)
		}
		if p.HostPort != 0 {
			errs = append(errs, checkPortNumber(p.HostPort, path.Child("hostPort"))...)
		}
		p.Protocol = orTCP(p.Protocol)
		if !slices.Contains(protocols, p.Protocol) {
			errs = append(errs, field.NotSupported(path.Child("protocol"), p.Protocol, protocols))
		}
	}
	return errs
}

// orTCP is the default for a protocol that is not given.
func orTCP(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func checkWorkload(selector *metav1.LabelSelector, template *corev1.PodTemplateSpec,
	replicas *int32) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if replicas != nil && *replicas < 0 {
		errs = append(errs, field.Invalid(spec.Child("replicas"), *replicas, "must be greater than or equal to 0"))
	}
	path := spec.Child("selector")
	if selector == nil {
		errs = append(errs, field.Required(path, ""))
	} else {
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(path, selector, "empty selector is invalid"))
		}
		selectorErrs := checkSelector(selector, path)
		errs = append(errs, selectorErrs...)
		if s, err := metav1.LabelSelectorAsSelector(selector); err == nil && len(selectorErrs) == 0 && !s.Empty() &&
			!s.Matches(labels.Set(template.Labels)) {
			errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), template.Labels,
				"`selector` does not match template `labels`"))
		}
	}
	return append(errs, checkTemplate(template, spec.Child("template"))...)
}

func checkTemplate(t *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, path.Child("metadata", "labels"))
	return append(errs, checkPodSpec(&t.Spec, path.Child("spec"))...)
}

func checkReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	spec := field.NewPath("spec")
	t := rc.Spec.Template
	if t == nil {
		return field.ErrorList{field.Required(spec.Child("template"), "")}
	}
	if len(rc.Spec.Selector) == 0 {
		rc.Spec.Selector = t.Labels
	}
	errs := metavalidation.ValidateLabels(rc.Spec.Selector, spec.Child("selector"))
	switch s := labels.Set(rc.Spec.Selector).AsSelectorPreValidated(); {
	case rc.Spec.Replicas != nil && *rc.Spec.Replicas < 0:
		errs = append(errs, field.Invalid(spec.Child("replicas"), *rc.Spec.Replicas,
			"must be greater than or equal to 0"))
	case s.Empty():
		errs = append(errs, field.Required(spec.Child("selector"), ""))
	case !s.Matches(labels.Set(t.Labels)):
		errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), t.Labels,
			"`selector` does not match template `labels`"))
	}
	return append(errs, checkTemplate(t, spec.Child("template"))...)
}

func checkJob(j *batchv1.JobSpec, spec *field.Path) (errs field.ErrorList) {
	for _, n := range []struct {
		name  string
		value *int32
	}{{"parallelism", j.Parallelism}, {"completions", j.Completions}} {
		if n.value != nil && *n.value < 0 {
			errs = append(errs, field.Invalid(spec.Child(n.name), *n.value, "must be greater than or equal to 0"))
		}
	}
	return append(errs, checkTemplate(&j.Template, spec.Child("template"))...)
}

func checkService(s *corev1.Service) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	switch s.Spec.Type {
	case "":
		s.Spec.Type = corev1.ServiceTypeClusterIP
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer,
		corev1.ServiceTypeExternalName:
	default:
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Spec.Type, []corev1.ServiceType{
			corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer,
			corev1.ServiceTypeNodePort,
		}))
	}
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		if s.Spec.ExternalName == "" {
			errs = append(errs, field.Required(spec.Child("externalName"), ""))
		}
	} else if len(s.Spec.Ports) == 0 && !headless {
		errs = append(errs, field.Required(spec.Child("ports"), ""))
	}
	if !headless {
		errs = append(errs, checkIP(s.Spec.ClusterIP, spec.Child("clusterIP"))...)
		for i, ip := range s.Spec.ClusterIPs {
			errs = append(errs, checkIP(ip, spec.Child("clusterIPs").Index(i))...)
		}
	}
	for i, ip := range s.Spec.ExternalIPs {
		errs = append(errs, checkIP(ip, spec.Child("externalIPs").Index(i))...)
	}
	for i, in := range s.Status.LoadBalancer.Ingress {
		errs = append(errs, checkIP(in.IP, field.NewPath("status", "loadBalancer", "ingress").Index(i).Child("ip"))...)
	}
	errs = append(errs, metavalidation.ValidateLabels(s.Spec.Selector, spec.Child("selector"))...)
	return append(errs, checkServicePorts(s.Spec.Ports, spec.Child("ports"))...)
}

func checkServicePorts(ports []corev1.ServicePort, path *field.Path) (errs field.ErrorList) {
	names := map[string]bool{}
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	numbers := map[number]bool{}
	for i := range ports {
		p, path := &ports[i], path.Index(i)
		switch {
		case p.Name == "" && len(ports) > 1:
			errs = append(errs, field.Required(path.Child("name"), ""))
		case p.Name != "":
			for _, msg := range validation.IsDNS1123Label(p.Name) {
				errs = append(errs, field.Invalid(path.Child("name"), p.Name, msg))
			}
			if names[p.Name] {
				errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
			}
			names[p.Name] = true
		}
		errs = append(errs, checkPortNumber(p.Port, path.Child("port"))...)
		if p.NodePort != 0 {
			errs = append(errs, checkPortNumber(p.NodePort, path.Child("nodePort"))...)
		}
		p.Protocol = orTCP(p.Protocol)
		if !slices.Contains(protocols, p.Protocol) {
			errs = append(errs, field.NotSupported(path.Child("protocol"), p.Protocol, protocols))
		}
		if n := (number{p.Protocol, p.Port}); numbers[n] {
			errs = append(errs, field.Duplicate(path, corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}))
		} else {
			numbers[n] = true
		}
		switch {
		case p.TargetPort == (intstr.IntOrString{}) || p.TargetPort == intstr.FromString(""):
			p.TargetPort = intstr.FromInt32(p.Port)
		case p.TargetPort.Type == intstr.Int:
			errs = append(errs, checkPortNumber(p.TargetPort.IntVal, path.Child("targetPort"))...)
		default:
			for _, msg := range validation.IsValidPortName(p.TargetPort.StrVal) {
				errs = append(errs, field.Invalid(path.Child("targetPort"), p.TargetPort, msg))
			}
		}
	}
	return errs
}

func checkNode(n *corev1.Node) (errs field.ErrorList) {
	for i, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			errs = append(errs, checkIP(a.Address, field.NewPath("status", "addresses").Index(i).Child("address"))...)
		}
	}
	cidrs := field.NewPath("spec", "podCIDRs")
	for i, cidr := range n.Spec.PodCIDRs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(cidrs.Index(i), cidr, true, nil)...)
	}
	return errs
}

func checkEndpointSlice(s *discoveryv1.EndpointSlice) (errs field.ErrorList) {
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	case "":
		errs = append(errs, field.Required(field.NewPath("addressType"), ""))
	default:
		errs = append(errs, field.NotSupported(field.NewPath("addressType"), s.AddressType,
			[]discoveryv1.AddressType{
				discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6,
			}))
	}
	for i, e := range s.Endpoints {
		path := field.NewPath("endpoints").Index(i).Child("addresses")
		if len(e.Addresses) == 0 {
			errs = append(errs, field.Required(path, "must contain at least 1 address"))
		}
		for j, a := range e.Addresses {
			if s.AddressType == discoveryv1.AddressTypeFQDN {
				continue
			}
			path := path.Index(j)
			bad := checkIP(a, path)
			errs = append(errs, bad...)
			if six := strings.Contains(a, ":"); len(bad) == 0 && six != (s.AddressType == discoveryv1.AddressTypeIPv6) {
				errs = append(errs, field.Invalid(path, a, "must be an "+string(s.AddressType)+" address"))
			}
		}
	}
	tcp, unnamed := corev1.ProtocolTCP, ""
	for i := range s.Ports {
		p, path := &s.Ports[i], field.NewPath("ports").Index(i)
		if p.Name == nil {
			p.Name = &unnamed
		}
		if p.Protocol == nil {
			p.Protocol = &tcp
		}
		if !slices.Contains(protocols, *p.Protocol) {
			errs = append(errs, field.NotSupported(path.Child("protocol"), *p.Protocol, protocols))
		}
		if p.Port != nil {
			errs = append(errs, checkPortNumber(*p.Port, path.Child("port"))...)
		}
	}
	return errs
}

// checkEndpoints checks addresses and ports, and fills in the protocol.
//
//nolint:staticcheck // deprecated, and still what many clusters and manifests hold
func checkEndpoints(e *corev1.Endpoints) (errs field.ErrorList) {
	addresses := func(list []corev1.EndpointAddress, path *field.Path) {
		for i, a := range list {
			if a.IP == "" {
				errs = append(errs, field.Required(path.Index(i).Child("ip"), ""))
			}
			errs = append(errs, checkIP(a.IP, path.Index(i).Child("ip"))...)
		}
	}
	for i := range e.Subsets {
		s, path := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		addresses(s.Addresses, path.Child("addresses"))
		addresses(s.NotReadyAddresses, path.Child("notReadyAddresses"))
		for j := range s.Ports {
			p, path := &s.Ports[j], path.Child("ports").Index(j)
			p.Protocol = orTCP(p.Protocol)
			if !slices.Contains(protocols, p.Protocol) {
				errs = append(errs, field.NotSupported(path.Child("protocol"), p.Protocol, protocols))
			}
			errs = append(errs, checkPortNumber(p.Port, path.Child("port"))...)
		}
	}
	return errs
}

// checkIP accepts an address as the API server does since 1.36: no leading zeros, no IPv4-mapped IPv6.
// An empty one is no address.
func checkIP(ip string, path *field.Path) field.ErrorList {
	if ip == "" {
		return nil
	}
	return validation.IsValidIPForLegacyField(path, ip, true, nil)
}
