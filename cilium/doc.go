// Package cilium installs Cilium with Hubble into a cluster, waits until it works, and says how it is. It
// knows nothing of labs and of who made the cluster.
package cilium

// Where Cilium is installed, and as what. They are what Cilium's own tools expect.
const (
	Namespace = "kube-system"
	Release   = "cilium"
)
