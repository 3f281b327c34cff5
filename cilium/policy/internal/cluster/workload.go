package cluster

import (
	"cmp"
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
	case *corev1.ReplicationController:
		return w.Spec.Template
	case *batchv1.Job:
		return &w.Spec.Template
	case *batchv1.CronJob:
		return &w.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// findOwned notes the workloads whose pods are given as objects, as in a dump of a live cluster: a
// Deployment owns its pods through a ReplicaSet, which may or may not be in the dump.
func (b *builder) findOwned(objs []*manifest.Object) {
	b.owned = map[string]bool{}
	own := func(kind, namespace, name string) { b.owned[kind+" "+namespace+"/"+name] = true }
	given := map[string]bool{} // ReplicaSets and Jobs, which say themselves whose they are
	for _, o := range objs {
		switch o.Value.(type) {
		case *appsv1.ReplicaSet, *batchv1.Job:
			given[o.Kind+" "+o.Namespace+"/"+o.Name] = true
		}
	}
	for _, o := range objs {
		switch v := o.Value.(type) {
		case *corev1.Pod:
			for _, r := range v.OwnerReferences {
				own(r.Kind, o.Namespace, r.Name)
				// A Deployment names its ReplicaSets after itself and the hash of the pods' template, and a CronJob its
				// Jobs after itself and the time.
				maker := map[string]string{"ReplicaSet": "Deployment", "Job": "CronJob"}[r.Kind]
				if cut := strings.LastIndexByte(r.Name, '-'); maker != "" && cut > 0 &&
					!given[r.Kind+" "+o.Namespace+"/"+r.Name] {
					own(maker, o.Namespace, r.Name[:cut])
				}
			}
		case *appsv1.ReplicaSet:
			for _, r := range v.OwnerReferences {
				if r.Kind == "Deployment" {
					own(r.Kind, o.Namespace, r.Name)
				}
			}
		case *batchv1.Job:
			for _, r := range v.OwnerReferences {
				if r.Kind == "CronJob" {
					own(r.Kind, o.Namespace, r.Name)
				}
			}
		}
	}
}

// workload adds the pods of an object that is a pod or makes some.
func (b *builder) workload(o *manifest.Object) {
	if v, ok := o.Value.(*corev1.Pod); ok {
		ref, l := o.Namespace+"/"+o.Name, lifecycleOf(v)
		if l.gone != "" {
			b.c.Gone[ref] = l.gone
			return
		}
		if p := b.pod(o, "", o.Name, v.Labels, &v.Spec); p != nil {
			p.unready, p.terminating = !l.ready, l.terminating
			b.keepAddresses(p, v)
		}
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
		b.pod(o, o.Kind+"/"+o.Name, name, labels, &t.Spec)
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
			add(name, map[string]string{
				"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": strconv.Itoa(i),
			})
		}
	case *appsv1.DaemonSet:
		if len(b.c.Nodes) == 0 {
			add(o.Name, nil)
			return
		}
		spec := t.Spec
		for _, n := range b.c.Nodes {
			if n.Name == "" {
				continue
			}
			spec.NodeName = n.Name
			b.pod(o, o.Kind+"/"+o.Name, o.Name+"-"+n.Name, t.Labels, &spec)
		}
	case *corev1.ReplicationController:
		numbered(w.Spec.Replicas, nil)
	case *batchv1.CronJob:
		if w.Spec.Suspend == nil || !*w.Spec.Suspend { // the pods of the next run
			numbered(atOnce(&w.Spec.JobTemplate.Spec), nil)
		}
	case *batchv1.Job:
		if w.Spec.Suspend != nil && *w.Spec.Suspend || w.Status.CompletionTime != nil {
			return
		}
		numbered(atOnce(&w.Spec), map[string]string{"job-name": o.Name, "batch.kubernetes.io/job-name": o.Name})
	}
}

// atOnce is how many pods a job runs at the same time.
func atOnce(j *batchv1.JobSpec) *int32 {
	if n, c := j.Parallelism, j.Completions; n == nil || c == nil || *n < *c {
		return n
	}
	return j.Completions
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

// keepAddresses gives a pod the addresses that its status has.
func (b *builder) keepAddresses(p *Pod, v *corev1.Pod) {
	if p.HostNetwork {
		return
	}
	for _, s := range podAddresses(v.Status.PodIPs, v.Status.PodIP) {
		if addr, err := netip.ParseAddr(s); err == nil {
			p.IPs = append(p.IPs, addr.Unmap())
			b.c.Owners[addr.Unmap()] = Owner{Pod: p}
		}
	}
}

// pod adds a pod; it returns nil if there is one of that name.
func (b *builder) pod(o *manifest.Object, workload, name string, labels map[string]string, spec *corev1.PodSpec) *Pod {
	p := &Pod{
		Ref: o.Namespace + "/" + name, Namespace: o.Namespace, Name: name, workload: workload,
		Labels: labels, Account: spec.ServiceAccountName, HostNetwork: spec.HostNetwork,
	}
	if p.Account == "" {
		p.Account = spec.DeprecatedServiceAccount
	}
	if p.Account == "" {
		p.Account = "default" // what the API server's admission puts in
	}
	if other := b.c.PodByName[p.Ref]; other != nil {
		b.problem(o, "metadata.name", "there is another pod %s (of %s)", p.Ref, cmp.Or(other.workload, "a Pod"))
		return nil
	}
	p.Node, p.Placed = b.place(spec.NodeName), spec.NodeName != ""
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
			p.Ports = append(p.Ports, PodPort{Name: port.Name, Port: int(port.ContainerPort), Protocol: protocol})
			b.hostPort(p, spec, &port, protocol)
		}
	}
	b.c.PodList = append(b.c.PodList, p)
	b.c.PodByName[p.Ref] = p
	return p
}

// place returns the node of that name. Pods that name none go to the workers in turn, as a scheduler
// would spread them.
func (b *builder) place(name string) *Node {
	if name == "" {
		var workers []*Node
		for _, n := range b.c.Nodes {
			if n.Name != "" && !n.APIServer {
				workers = append(workers, n)
			}
		}
		if len(workers) == 0 {
			for _, n := range b.c.Nodes {
				if n.Name != "" {
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
		n = &Node{Name: name}
		b.nodeByName[name] = n
		b.c.Nodes = append(b.c.Nodes, n)
	}
	return n
}

// NamedPort returns the port of that name and protocol, or 0.
func (p *Pod) NamedPort(name, protocol string) int {
	for i := range p.Ports {
		if strings.EqualFold(p.Ports[i].Name, name) && p.Ports[i].Protocol == protocol {
			return p.Ports[i].Port
		}
	}
	return 0
}
