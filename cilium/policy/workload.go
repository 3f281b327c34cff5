package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// maxReplicas bounds the pods that one workload becomes: manifests are untrusted.
const maxReplicas = 1000

// template returns the pod template of a workload, or nil for anything else.
func template(v any) *corev1.PodTemplateSpec {
	switch w := v.(type) {
	case *appsv1.Deployment:
		return &w.Spec.Template
	case *appsv1.StatefulSet:
		return &w.Spec.Template
	case *appsv1.DaemonSet:
		return &w.Spec.Template
	case *appsv1.ReplicaSet:
		return &w.Spec.Template
	case *batchv1.Job:
		return &w.Spec.Template
	}
	return nil
}

// findOwned notes the workloads whose pods are given as objects, as in a dump of a live cluster: a
// Deployment owns its pods through a ReplicaSet, which may or may not be in the dump.
func (b *builder) findOwned(objs []*manifest.Object) {
	b.owned = map[string]bool{}
	own := func(kind, namespace, name string) {
		b.owned[kind+" "+namespace+"/"+name] = true
		if kind == "ReplicaSet" {
			if cut := strings.LastIndexByte(name, '-'); cut > 0 {
				b.owned["Deployment "+namespace+"/"+name[:cut]] = true
			}
		}
	}
	for _, o := range objs {
		switch v := o.Value.(type) {
		case *corev1.Pod:
			for _, r := range v.OwnerReferences {
				own(r.Kind, o.Namespace, r.Name)
			}
		case *appsv1.ReplicaSet:
			for _, r := range v.OwnerReferences {
				if r.Kind == "Deployment" {
					own(r.Kind, o.Namespace, r.Name)
				}
			}
		}
	}
}

// workload adds the pods of an object that is a pod or makes some.
func (b *builder) workload(o *manifest.Object) {
	if p, ok := o.Value.(*corev1.Pod); ok {
		b.pod(o, "", o.Name, p.Labels, &p.Spec, p.Status.PodIPs, p.Status.PodIP)
		return
	}
	t := template(o.Value)
	if t == nil || b.owned[o.Kind+" "+o.Namespace+"/"+o.Name] {
		return
	}
	add := func(name string, extra map[string]string) {
		labels := t.Labels
		if len(extra) > 0 {
			labels = maps.Clone(t.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			maps.Copy(labels, extra)
		}
		b.pod(o, o.Kind+"/"+o.Name, name, labels, &t.Spec, nil, "")
	}
	numbered := func(replicas *int32, extra map[string]string) {
		n := b.replicas(o, replicas)
		if n == 1 {
			add(o.Name, extra)
			return
		}
		for i := range n {
			add(o.Name+"-"+strconv.Itoa(i+1), extra)
		}
	}
	switch w := o.Value.(type) {
	case *appsv1.Deployment:
		numbered(w.Spec.Replicas, nil)
	case *appsv1.ReplicaSet:
		numbered(w.Spec.Replicas, nil)
	case *appsv1.StatefulSet:
		for i := range b.replicas(o, w.Spec.Replicas) {
			name := o.Name + "-" + strconv.Itoa(i)
			add(name, map[string]string{"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": strconv.Itoa(i)})
		}
	case *appsv1.DaemonSet:
		if len(b.c.nodes) == 0 {
			add(o.Name, nil)
			return
		}
		spec := t.Spec
		for _, n := range b.c.nodes {
			if n.name == "" {
				continue
			}
			spec.NodeName = n.name
			b.pod(o, o.Kind+"/"+o.Name, o.Name+"-"+n.name, t.Labels, &spec, nil, "")
		}
	case *batchv1.Job:
		n := w.Spec.Parallelism
		if c := w.Spec.Completions; c != nil && (n == nil || *c < *n) && n != nil {
			n = c
		}
		numbered(n, map[string]string{"job-name": o.Name, "batch.kubernetes.io/job-name": o.Name})
	}
}

func (b *builder) replicas(o *manifest.Object, n *int32) int {
	switch {
	case n == nil:
		return 1
	case *n > maxReplicas:
		b.problem(o, "spec.replicas", "%d pods are too many for one workload here; at most %d", *n, maxReplicas)
		return 0
	case *n < 0:
		b.problem(o, "spec.replicas", "must not be negative")
		return 0
	}
	return int(*n)
}

// bringAddresses notes the addresses that a pod's status has, and says so if two pods claim the same.
func (b *builder) bringAddresses(o *manifest.Object, v *corev1.Pod) {
	if v.Spec.HostNetwork {
		return
	}
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
		if _, taken := b.c.owners[addr]; taken {
			b.problem(o, field, "the address %s belongs to another pod, too", addr)
			continue
		}
		b.c.owners[addr] = owner{pod: &pod{}} // replaced when the pod is added
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

func (b *builder) pod(o *manifest.Object, workload, name string, labels map[string]string, spec *corev1.PodSpec, ips []corev1.PodIP, ip string) {
	p := &pod{
		ref: o.Namespace + "/" + name, namespace: o.Namespace, name: name, workload: workload,
		labels: labels, account: spec.ServiceAccountName, hostNetwork: spec.HostNetwork,
	}
	if p.account == "" {
		p.account = spec.DeprecatedServiceAccount
	}
	if p.account == "" {
		p.account = "default" // what the API server's admission puts in
	}
	if other := b.c.podByName[p.ref]; other != nil {
		b.problem(o, "metadata.name", "there is another pod %s (of %s)", p.ref, cmpOr(other.workload, "a Pod"))
		return
	}
	for _, s := range podAddresses(ips, ip) {
		if addr, err := netip.ParseAddr(s); err == nil && !p.hostNetwork {
			p.ips = append(p.ips, addr.Unmap())
			b.c.owners[addr.Unmap()] = owner{pod: p}
		}
	}
	containers := spec.Containers
	for _, c := range spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers[:len(containers):len(containers)], c) // a sidecar
		}
	}
	for _, c := range containers {
		for _, port := range c.Ports {
			protocol := string(port.Protocol)
			if protocol == "" {
				protocol = "TCP"
			}
			p.ports = append(p.ports, PodPort{Name: port.Name, Port: int(port.ContainerPort), Protocol: protocol})
		}
	}
	p.node = b.place(spec.NodeName)
	b.c.pods = append(b.c.pods, p)
	b.c.podByName[p.ref] = p
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// place returns the node of that name. Pods that name none go to the workers in turn, as a scheduler
// would spread them.
func (b *builder) place(name string) *node {
	if name == "" {
		var workers []*node
		for _, n := range b.c.nodes {
			if n.name != "" && !n.apiServer {
				workers = append(workers, n)
			}
		}
		if len(workers) == 0 {
			for _, n := range b.c.nodes {
				if n.name != "" {
					workers = append(workers, n)
				}
			}
		}
		if len(workers) > 0 {
			n := workers[b.nextNode%len(workers)]
			b.nextNode++
			return n
		}
	}
	n := b.nodeByName[name]
	if n == nil {
		n = &node{name: name}
		b.nodeByName[name] = n
		b.c.nodes = append(b.c.nodes, n)
	}
	return n
}

// namedPort returns the port of that name and protocol, or 0.
func (p *pod) namedPort(name, protocol string) int {
	for i := range p.ports {
		if strings.EqualFold(p.ports[i].Name, name) && p.ports[i].Protocol == protocol {
			return p.ports[i].Port
		}
	}
	return 0
}
