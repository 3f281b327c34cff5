package cluster

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// lifecycle is what a pod's status says about it as far as traffic goes.
type lifecycle struct {
	// gone is why the pod has no network: it has finished, or has not been started. Empty otherwise.
	gone        string
	ready       bool
	terminating bool
}

// lifecycleOf reads a pod's status as the endpoint slice controller does. A pod without a status, or whose
// status says nothing of readiness, is one that somebody wrote down: it runs and is ready.
func lifecycleOf(v *corev1.Pod) lifecycle {
	l := lifecycle{ready: isReady(v), terminating: v.DeletionTimestamp != nil}
	switch phase := v.Status.Phase; {
	case phase == corev1.PodSucceeded || phase == corev1.PodFailed:
		l.gone = fmt.Sprintf("has finished (phase %s): it has no address any more", phase)
	case phase == corev1.PodPending && v.Status.PodIP == "" && len(v.Status.PodIPs) == 0:
		l.gone = "is Pending: it has no address yet"
	}
	return l
}

func isReady(v *corev1.Pod) bool {
	condition := func(name corev1.PodConditionType) *corev1.PodCondition {
		if i := slices.IndexFunc(v.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == name
		}); i >= 0 {
			return &v.Status.Conditions[i]
		}
		return nil
	}
	if c := condition(corev1.PodReady); c != nil {
		return c.Status == corev1.ConditionTrue
	}
	if c := condition(corev1.ContainersReady); c != nil && c.Status != corev1.ConditionTrue {
		return false
	}
	if len(v.Status.Conditions) > 0 {
		// The kubelet takes a gate whose condition is missing for one that is closed.
		for _, gate := range v.Spec.ReadinessGates {
			if c := condition(gate.ConditionType); c == nil || c.Status != corev1.ConditionTrue {
				return false
			}
		}
	}
	return v.Status.Phase != corev1.PodPending && v.Status.Phase != corev1.PodUnknown
}

// bringAddresses notes the addresses that a pod's status has, and says so if two pods claim the same.
func (b *builder) bringAddresses(o *manifest.Object, v *corev1.Pod) {
	if v.Spec.HostNetwork || lifecycleOf(v).gone != "" {
		return
	}
	ref := o.Namespace + "/" + o.Name
	for i, s := range podAddresses(v.Status.PodIPs, v.Status.PodIP) {
		field := "status.podIP"
		if len(v.Status.PodIPs) > 0 {
			field = fmt.Sprintf("status.podIPs[%d].ip", i)
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			b.problem(o, field, "%q is not an IP address", s)
			continue
		}
		addr = addr.Unmap()
		switch w := b.c.Owners[addr]; {
		case w.Pod != nil && w.Pod.Ref == ref:
			// The same pod twice is said elsewhere.
		case w.Pod != nil:
			b.problem(o, field, "the pods %s and %s both have the address %s", w.Pod.Ref, ref, addr)
		case w.Node != nil:
			b.problem(o, field, "the address %s is that of node %s: a pod in the host's network has hostNetwork: true",
				addr, w.Node.Name)
		default:
			b.c.Owners[addr] = Owner{Pod: &Pod{Ref: ref}} // replaced when the pod is added
		}
	}
}

func podAddresses(ips []corev1.PodIP, ip string) []string {
	if len(ips) == 0 {
		if ip == "" {
			return nil
		}
		return []string{ip}
	}
	all := make([]string, len(ips))
	for i := range ips {
		all[i] = ips[i].IP
	}
	return all
}

// noteHost learns a node's addresses from a pod on it, for a dump of pods without nodes.
func (b *builder) noteHost(v *corev1.Pod) {
	if v.Spec.NodeName == "" || lifecycleOf(v).gone != "" {
		return
	}
	ips := []string{v.Status.HostIP}
	for _, ip := range v.Status.HostIPs {
		ips = append(ips, ip.IP)
	}
	if v.Spec.HostNetwork {
		ips = append(ips, podAddresses(v.Status.PodIPs, v.Status.PodIP)...)
	}
	for _, s := range ips {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			continue
		}
		addr = addr.Unmap()
		if list := b.hostIPs[v.Spec.NodeName]; !slices.Contains(list, addr) {
			b.hostIPs[v.Spec.NodeName] = append(list, addr)
		}
	}
}
