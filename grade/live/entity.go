package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// apiServers are the cluster's API servers as its Service knows them.
type apiServers struct {
	service   string // its address
	endpoints []apiEndpoint
}

type apiEndpoint struct {
	addr string
	port int
}

func readAPIServers(ctx context.Context, cfg Config) (apiServers, error) {
	svc, err := cfg.Client.Typed.CoreV1().Services(labs.APIServiceNamespace).
		Get(ctx, labs.APIServiceName, metav1.GetOptions{})
	if err != nil {
		return apiServers{}, fmt.Errorf("find the Service of the API server: %w", err)
	}
	list, err := cfg.Client.Typed.DiscoveryV1().EndpointSlices(labs.APIServiceNamespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + labs.APIServiceName})
	if err != nil {
		return apiServers{}, fmt.Errorf("find the addresses of the API server: %w", err)
	}
	found := apiServers{service: svc.Spec.ClusterIP}
	for i := range list.Items {
		s := &list.Items[i]
		if s.AddressType == discoveryv1.AddressTypeFQDN || len(s.Ports) == 0 || s.Ports[0].Port == nil {
			continue
		}
		for _, e := range s.Endpoints {
			for _, addr := range e.Addresses {
				found.endpoints = append(found.endpoints, apiEndpoint{addr, int(*s.Ports[0].Port)})
			}
		}
	}
	return found, nil
}

// entityTargets are every node or API server that an entity is to a source, or the API server's Service.
func (t *topology) entityTargets(to labs.Target, p probe.Probe, from source) ([]connection, error) {
	if to.Entity == labs.EntityAPIServer {
		return t.apiTargets(to, p)
	}
	nodes, err := t.entityNodes(to.Entity, from.pod)
	if err != nil {
		return nil, err
	}
	all := make([]connection, len(nodes))
	for i, n := range nodes {
		if p.Host = addressOfNode(n); p.Host == "" {
			return nil, fmt.Errorf("node %s has no address", n.Name)
		}
		all[i] = connection{to: p, at: "node " + n.Name}
	}
	return all, nil
}

// apiTargets are every API server, or their Service.
func (t *topology) apiTargets(to labs.Target, p probe.Probe) ([]connection, error) {
	if to.Via == labs.ViaService {
		p.Host = labs.APIServiceName + "." + labs.APIServiceNamespace + ".svc.cluster.local."
		return []connection{{to: p}}, nil
	}
	api, err := t.api()
	if err != nil {
		return nil, err
	}
	if to.Via == labs.ViaCluster {
		p.Host = api.service
		return []connection{{to: p}}, nil
	}
	if len(api.endpoints) == 0 {
		return nil, fmt.Errorf("the Service of the API server has no address of one")
	}
	all := make([]connection, len(api.endpoints))
	for i, e := range api.endpoints {
		at := p
		if at.Host = e.addr; p.Protocol != "ICMP" {
			at.Port = cmp.Or(p.Port, e.port)
		}
		all[i] = connection{to: at, at: e.addr}
	}
	return all, nil
}

// fromEntity are the connections to the pods of an app, from every node that an entity is to each.
func (t *topology) fromEntity(p engine.Probe) ([]connection, error) {
	a, err := t.app(p.To.App)
	if err != nil {
		return nil, err
	}
	to, err := t.targets(p.To, source{})
	if err != nil {
		return nil, err
	}
	var all []connection
	for i, c := range to { // one for each pod, in their order
		nodes, err := t.entityNodes(p.From.Entity, &a.pods[i])
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			c.from, c.at = source{name: p.From.String(), node: n.Name}, "node "+n.Name
			c.apps = []string{p.To.App}
			all = append(all, c)
		}
	}
	return all, nil
}

// entityNodes are the nodes that an entity is to a pod.
func (t *topology) entityNodes(entity labs.Entity, pod *corev1.Pod) ([]*corev1.Node, error) {
	var api apiServers
	if entity == labs.EntityAPIServer {
		var err error
		if api, err = t.api(); err != nil {
			return nil, err
		}
	}
	var nodes []*corev1.Node
	for i := range t.nodes {
		if n := &t.nodes[i]; entity.IsNode(n.Name == pod.Spec.NodeName, api.runOn(n)) {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("the cluster has no node that is the entity %s to %s/%s", entity, pod.Namespace, pod.Name)
	}
	return nodes, nil
}

// runOn reports whether a node is an API server's.
func (s *apiServers) runOn(n *corev1.Node) bool {
	return slices.ContainsFunc(s.endpoints, func(e apiEndpoint) bool {
		return slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Address == e.addr })
	})
}

// addressOfNode is the address of a node inside the cluster; empty: it has none.
func addressOfNode(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}
