package schema

import "strconv"

// Kind are the settings of a cluster "kind" block.
type Kind struct {
	ControlPlanes     int               `mapstructure:"control_planes"`
	Workers           int               `mapstructure:"workers"`
	KubernetesVersion string            `mapstructure:"kubernetes_version"` // empty: kind's
	NodeImage         string            `mapstructure:"node_image"`         // empty: kind's
	KubeProxy         string            `mapstructure:"kube_proxy"`
	IPFamily          string            `mapstructure:"ip_family"`
	PodSubnet         string            `mapstructure:"pod_subnet"`     // empty: kind's
	ServiceSubnet     string            `mapstructure:"service_subnet"` // empty: kind's
	APIPort           int               `mapstructure:"api_port"`       // 0: a free one
	PortMappings      []KindPortMapping `mapstructure:"port_mappings"`
}

// KindPortMapping are the settings of a port_mapping block.
type KindPortMapping struct {
	ContainerPort int    `mapstructure:"container_port"`
	HostPort      int    `mapstructure:"host_port"`      // 0: a free one
	ListenAddress string `mapstructure:"listen_address"` // empty: all addresses
	Protocol      string `mapstructure:"protocol"`
}

// NodeNames are the names of the cluster's nodes without the cluster's name before them, the control plane first.
func (k *Kind) NodeNames() []string {
	var names []string
	add := func(role string, count int) {
		for i := range count {
			name := role
			if i > 0 {
				name += strconv.Itoa(i + 1)
			}
			names = append(names, name)
		}
	}
	add("control-plane", k.ControlPlanes)
	add("worker", k.Workers)
	return names
}

func kind() *Block {
	return provider("kind", []Attribute{
		{Name: "control_planes", Type: Whole, Default: 1, Min: 1, Max: 9, Format: odd,
			Doc: "number of control-plane nodes, an odd one"},
		{Name: "workers", Type: Whole, Default: 1, Max: 50, Doc: "number of worker nodes"},
		{Name: "kubernetes_version", Type: String, DefaultDoc: "kind's", Format: versionNumber, Excludes: "node_image",
			Doc: "version of Kubernetes, such as `\"1.34.2\"`"},
		{Name: "node_image", Type: String, DefaultDoc: "kind's", Doc: "image of the nodes"},
		{Name: "kube_proxy", Type: String, Default: "iptables", Doc: "mode of kube-proxy", Choices: []Choice{
			{Value: "iptables"}, {Value: "ipvs"}, {Value: "nftables"}, {"none", "Cilium replaces kube-proxy"},
		}},
		{Name: "ip_family", Type: String, Default: "ipv4", Doc: "address family",
			Choices: oneOf("ipv4", "dual"), Refused: []Choice{{
				"ipv6", "Probes of DNS, stand-ins for externals and addresses of externals are IPv4 only; use \"dual\".",
			}}},
		{Name: "pod_subnet", Type: String, DefaultDoc: "kind's", Format: subnets,
			Doc: "address range of the pods; two, separated by a comma, for both families"},
		{Name: "service_subnet", Type: String, DefaultDoc: "kind's", Format: subnets,
			Doc: "address range of the services; two, separated by a comma, for both families"},
		{Name: "api_port", Type: Whole, DefaultDoc: "a free one", Min: 1, Max: maxPort,
			Doc: "port on 127.0.0.1 of the machine that the Kubernetes API listens on"},
	}, &Block{Type: "port_mapping", Attributes: []Attribute{
		{Name: "container_port", Type: Whole, Required: true, Min: 1, Max: maxPort, Doc: "port of the node"},
		{Name: "host_port", Type: Whole, Required: true, Max: maxPort, Doc: "port of the machine; 0 picks a free one"},
		{Name: "listen_address", Type: String, Default: "", DefaultDoc: "all", Format: address,
			Doc: "address of the machine"},
		transportProtocol("protocol of the port"),
	}})
}
