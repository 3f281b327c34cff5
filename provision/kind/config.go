package kind

import (
	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/labctl/labctl/labs/schema"
)

// config is the configuration of the kind cluster.
func (p *Provider) config(name string) *v1alpha4.Cluster {
	s := &p.settings
	c := &v1alpha4.Cluster{
		Name: name,
		Networking: v1alpha4.Networking{
			DisableDefaultCNI: true,
			IPFamily:          v1alpha4.ClusterIPFamily(s.IPFamily),
			PodSubnet:         s.PodSubnet,
			ServiceSubnet:     s.ServiceSubnet,
			KubeProxyMode:     v1alpha4.ProxyMode(s.KubeProxy),
			APIServerPort:     int32(s.APIPort),
		},
	}
	for range s.ControlPlanes {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole, Image: p.image()})
	}
	for range s.Workers {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: p.image()})
	}
	for _, m := range s.PortMappings {
		c.Nodes[0].ExtraPortMappings = append(c.Nodes[0].ExtraPortMappings, v1alpha4.PortMapping{
			ContainerPort: int32(m.ContainerPort), HostPort: int32(m.HostPort),
			ListenAddress: m.ListenAddress, Protocol: v1alpha4.PortMappingProtocol(m.Protocol),
		})
	}
	if p.ownRegistries() {
		c.ContainerdConfigPatches = mirrorPatches
	}
	v1alpha4.SetDefaultsCluster(c)
	return c
}

// mirrorPatches let a node's containerd look for mirrors where mirrors puts them; newer node images do without. kind
// takes the patch for the version that the node's configuration has.
var mirrorPatches = []string{
	"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
	"version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
}

// image is the nodes' image: the lab's, the site's, or kind's default.
func (p *Provider) image() string {
	switch {
	case p.settings.NodeImage != "":
		return p.settings.NodeImage
	case p.site.NodeImage != "":
		return p.site.NodeImage
	case p.settings.KubernetesVersion != "":
		return "kindest/node:v" + trimV(p.settings.KubernetesVersion)
	}
	return defaults.Image
}

func trimV(version string) string {
	if len(version) > 0 && version[0] == 'v' {
		return version[1:]
	}
	return version
}

// nodeNames are the names of the containers that kind creates, the control plane first.
func (s *settings) nodeNames(cluster string) []string {
	names := (*schema.Kind)(s).NodeNames()
	for i := range names {
		names[i] = cluster + "-" + names[i]
	}
	return names
}

// loadBalancer is the container in front of several control planes; empty if there is one.
func (s *settings) loadBalancer(cluster string) string {
	if s.ControlPlanes < 2 {
		return ""
	}
	return cluster + "-external-load-balancer"
}

// apiHost is where nodes reach the API server.
func (s *settings) apiHost(cluster string) string {
	if lb := s.loadBalancer(cluster); lb != "" {
		return lb
	}
	return cluster + "-control-plane"
}
