// Package provision creates and deletes lab instances: the cluster, Cilium with Hubble, and the demo apps. It
// proves that the cluster enforces policies, and that every connection of the lab works without any.
//
// A Manager has one method per command. It creates clusters through the interface Provider, which the packages
// below this one implement, and installs Cilium through package cilium. Its progress is saved in an Instance, one
// folder each, after every phase, so that the next run can resume after any interruption. It knows nothing of
// grading.
package provision
