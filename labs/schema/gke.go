package schema

import (
	"fmt"
	"time"
)

// GKE are the settings of a cluster "gke" block.
type GKE struct {
	Project        string `mapstructure:"project"` // empty: that of the environment or of the credentials
	Location       string `mapstructure:"location"`
	MachineType    string `mapstructure:"machine_type"`
	Nodes          int    `mapstructure:"nodes"` // in a region: in each of its zones
	ReleaseChannel string `mapstructure:"release_channel"`
	Version        string `mapstructure:"version"` // empty: the channel's
	Spot           bool   `mapstructure:"spot"`
	DiskGB         int    `mapstructure:"disk_gb"`
	Network        string `mapstructure:"network"`    // empty: the project's network "default"
	Subnetwork     string `mapstructure:"subnetwork"` // empty: the network's in the region
	PrivateNodes   bool   `mapstructure:"private_nodes"`
	Endpoint       string `mapstructure:"endpoint"`
	// AuthorizedNetworks may connect to the control plane's addresses; empty: any may.
	AuthorizedNetworks []string          `mapstructure:"authorized_networks"`
	WorkloadIdentity   bool              `mapstructure:"workload_identity"`
	Labels             map[string]string `mapstructure:"labels"`
	ServiceAccount     string            `mapstructure:"service_account"` // empty: Compute Engine's
	Dataplane          string            `mapstructure:"dataplane"`
	TTL                time.Duration     `mapstructure:"ttl"`
}

// The defaults are the smallest cluster that runs a lab, where machines are cheapest.
func gke() *Block {
	block := provider("gke", []Attribute{
		{Name: "project", Type: String, DefaultDoc: "that of your credentials", Doc: "Google Cloud project"},
		{Name: "location", Type: String, Default: "us-central1-a",
			Doc: "zone; or region, with nodes in each of its zones"},
		{Name: "machine_type", Type: String, Default: "e2-standard-2", Doc: "machine type of the nodes"},
		{Name: "nodes", Type: Whole, Default: 2, Min: 1, Max: 100, Doc: "number of nodes"},
		{Name: "release_channel", Type: String, Default: "regular", Doc: "release channel",
			Choices: oneOf("rapid", "regular", "stable", "extended", "none")},
		{Name: "version", Type: String, DefaultDoc: "the channel's", Format: versionNumber,
			Doc: "version of Kubernetes"},
		{Name: "spot", Type: Bool, Default: false,
			Doc: "whether to use spot machines: cheaper, but Google may stop them"},
		{Name: "disk_gb", Type: Whole, Default: 50, Min: 10, Max: 65536, Doc: "disk of a node, in GB"},
		{Name: "network", Type: String, DefaultDoc: "`\"default\"`", Doc: "VPC network"},
		{Name: "subnetwork", Type: String, DefaultDoc: "the network's", Doc: "subnetwork of the network"},
		{Name: "private_nodes", Type: Bool, Default: false, Doc: "whether the nodes have no public addresses"},
		{Name: "endpoint", Type: String, Default: "public", Doc: "how the control plane is reached", Choices: []Choice{
			{"public", "at a public address"},
			{"dns", "by a name that Google resolves, where an account needs the permission `container.clusters.connect`; there is no public address"},
			{"private", "only at an address in the VPC network, which this machine must reach"},
		}},
		{Name: "authorized_networks", Type: StringList, Format: network, DefaultDoc: "all",
			Doc: "address ranges that may connect to the control plane's addresses, public or private; this machine's must be among them unless `endpoint` is `\"dns\"`"},
		{Name: "workload_identity", Type: Bool, Default: false,
			Doc: "whether pods get tokens of their own service accounts, by Workload Identity, and none of their node's"},
		{Name: "labels", Type: StringMap, Format: googleLabels,
			Doc: "labels of the cluster's resources, by Google's rules for labels"},
		{Name: "service_account", Type: String, DefaultDoc: "Compute Engine's", Doc: "service account of the nodes"},
		{Name: "dataplane", Type: String, Default: "v1", Doc: "dataplane of the cluster", Choices: []Choice{
			{"v1", "labctl installs Cilium"}, {"v2", "Google's own Cilium"},
		}},
		{Name: "ttl", Type: String, Default: "24h", Format: duration(time.Hour, 30*24*time.Hour),
			Doc: "age at which `labctl gc` deletes the cluster: a duration from 1h to 30d"},
	})
	const autopilot = "labctl does not support Autopilot: it admits no privileged pods, which Cilium's agent is, and its nodes cannot be chosen. Remove %s for a Standard cluster; dataplane = \"v2\" uses Google's own Cilium."
	block.Refused = map[string]string{
		"autopilot":        fmt.Sprintf(autopilot, "autopilot"),
		"enable_autopilot": fmt.Sprintf(autopilot, "enable_autopilot"),
	}
	return block
}
