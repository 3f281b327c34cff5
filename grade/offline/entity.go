package offline

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// apiServerPort is the port that the API servers of kubeadm's clusters listen on, kind's and minikube's among them.
const apiServerPort = 6443

// node is a node of the lab's cluster.
type node struct {
	name      string
	apiServer bool
}

func nodesOf(objs []*manifest.Object) []node {
	var all []node
	for _, o := range objs {
		if n, ok := o.Value.(*corev1.Node); ok {
			_, runs := n.Labels[controlPlane]
			all = append(all, node{o.Name, runs})
		}
	}
	return all
}

// entityTargets are the API server's Service, or an entity that placed replaces by nodes.
func (t *topology) entityTargets(to labs.Target, p policy.Probe) ([]policy.Probe, error) {
	service := labs.APIServiceNamespace + "/" + labs.APIServiceName
	switch to.Via {
	case labs.ViaService:
		p.To = "svc:" + service
	case labs.ViaCluster:
		s := t.cluster.Services[service]
		if s == nil || len(s.IPs) == 0 {
			return nil, fmt.Errorf("the address of the Service %s is not known", service)
		}
		p.To = "ip:" + s.IPs[0].String()
	default:
		p.To = "entity:" + string(to.Entity)
		if to.Entity == labs.EntityAPIServer && !strings.HasPrefix(p.Protocol, "ICMP") {
			p.Port = cmp.Or(p.Port, apiServerPort)
		}
	}
	return []policy.Probe{p}, nil
}

// placed replaces an entity at one end of a connection by each of the nodes that it is to the pod at the other end.
func (t *topology) placed(p policy.Probe) ([]policy.Probe, error) {
	var probes []policy.Probe
	if entity, ok := strings.CutPrefix(p.From, "entity:"); ok {
		nodes, err := t.nodesFor(labs.Entity(entity), p.To)
		for _, n := range nodes {
			p.From = "node:" + n
			probes = append(probes, p)
		}
		return probes, err
	}
	if entity, ok := strings.CutPrefix(p.To, "entity:"); ok {
		nodes, err := t.nodesFor(labs.Entity(entity), p.From)
		return dialling(p, prefixed("node:", nodes)), err
	}
	return []policy.Probe{p}, nil
}

// nodesFor are the nodes that an entity is to the other end of a connection.
func (t *topology) nodesFor(entity labs.Entity, other string) ([]string, error) {
	own := t.nodeOf(other)
	var names []string
	for _, n := range t.nodes {
		if entity.IsNode(n.name == own, n.apiServer) {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the cluster has no node that is the entity %s to %s", entity, other)
	}
	return names, nil
}

// nodeOf is the node of a pod, by the pod's namespace and name; empty for what is no pod.
func (t *topology) nodeOf(pod string) string {
	if p := t.cluster.PodByName[pod]; p != nil {
		return p.Node.Name
	}
	return ""
}
