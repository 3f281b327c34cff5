// Package cilium installs Cilium with Hubble in a cluster, waits until it is ready, and reads its status. It knows
// nothing of labs and of who created the cluster.
package cilium

// The namespace and Helm release of Cilium, as Cilium's own tools expect them.
const (
	Namespace = "kube-system"
	Release   = "cilium"
)
