// Package cilium installs Cilium with Hubble in a cluster, waits until it is ready, and reads its status. It knows
// nothing of labs and of who created the cluster.
package cilium

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The namespace and Helm release of Cilium, as Cilium's own tools expect them.
const (
	Namespace = "kube-system"
	Release   = "cilium"
)

// OfRelease reports whether an object is in the release, by what Helm writes on each. It stays so when the release is lost.
func OfRelease(obj metav1.Object) bool {
	by := obj.GetAnnotations()
	return by["meta.helm.sh/release-name"] == Release && by["meta.helm.sh/release-namespace"] == Namespace
}
