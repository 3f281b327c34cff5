package schema

// Existing are the settings of a cluster "existing" block.
type Existing struct {
	Kubeconfig string `mapstructure:"kubeconfig"` // empty: as kubectl finds it
	Context    string `mapstructure:"context"`    // empty: the current one
}

func existing() *Block {
	return provider("existing", []Attribute{
		{Name: "kubeconfig", Type: String, DefaultDoc: "the one that kubectl uses", Doc: "path of the kubeconfig"},
		{Name: "context", Type: String, DefaultDoc: "the current one", Doc: "context of the kubeconfig"},
	})
}
