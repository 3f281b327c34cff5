// Package cluster is the state that policies apply to, built from the objects of a cluster: pods and nodes with their
// identities, namespaces, and services with their backends. It knows nothing of policies. Its types are
// not changed once a Cluster is built, so their fields are read directly.
package cluster
