package policy

import (
	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Cluster is the state that policies apply to: namespaces, pods, services and nodes. It is immutable and
// may be shared by goroutines.
type Cluster = cluster.Cluster

// PodInfo describes a pod of a Cluster.
type PodInfo = cluster.PodInfo

// PodPort is a port that a container declares.
type PodPort = cluster.PodPort

// Config is what the engine must know about the cluster in addition to its objects.
type Config = cluster.Config

// Semantics says whose reading of a NetworkPolicy or ClusterNetworkPolicy counts where Cilium and Kubernetes'
// text differ.
type Semantics = cluster.Semantics

const (
	Cilium     = cluster.Cilium
	Kubernetes = cluster.Kubernetes
)

// DefaultClusterName is the cluster's name where Config gives none: the Helm chart's default.
const DefaultClusterName = cluster.DefaultClusterName

// NewCluster builds a cluster from its objects; objects of other kinds (policies among them) are ignored. What
// it cannot take as it stands is returned as problems, and then the Cluster is nil.
//
// A Deployment, ReplicaSet or Job with one replica becomes a pod of its name, with more pods "name-1",
// "name-2", …; a StatefulSet "name-0", …; a DaemonSet one pod a node. A workload whose pods (by owner
// reference) are among the objects adds none.
func NewCluster(objs []*manifest.Object, cfg Config) (*Cluster, manifest.Problems) {
	return cluster.New(objs, cfg)
}
