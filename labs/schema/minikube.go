package schema

// Minikube are the settings of a cluster "minikube" block.
type Minikube struct {
	Profile           string `mapstructure:"profile"` // empty: the cluster's name
	Driver            string `mapstructure:"driver"`  // empty: minikube's
	Nodes             int    `mapstructure:"nodes"`
	Memory            string `mapstructure:"memory"` // of a node: "4096" is MB, or "4g"; empty: minikube's
	CPUs              int    `mapstructure:"cpus"`   // of a node
	KubernetesVersion string `mapstructure:"kubernetes_version"`
}

func minikube() *Block {
	return provider("minikube", []Attribute{
		{Name: "profile", Type: String, DefaultDoc: "`labctl-` and the instance's name", Doc: "minikube profile"},
		{Name: "driver", Type: String, DefaultDoc: "minikube's", Format: driver, Doc: "driver, such as `\"docker\"`"},
		{Name: "nodes", Type: Whole, Default: 1, Min: 1, Max: 20, Doc: "number of nodes"},
		{Name: "memory", Type: String, DefaultDoc: "minikube's", Format: memory,
			Doc: "memory of a node: megabytes, or a size such as `\"4g\"`"},
		{Name: "cpus", Type: Whole, Default: 2, Min: 1, Max: 256, Doc: "processors of a node"},
		{Name: "kubernetes_version", Type: String, DefaultDoc: "minikube's", Format: versionNumber,
			Doc: "version of Kubernetes, such as `\"1.34.2\"`"},
	})
}
