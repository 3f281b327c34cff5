// Package provision builds lab instances and takes them away again: the cluster, Cilium and Hubble, the demo
// apps, the proof that policies are enforced there and that every connection of the lab worked before any.
//
// A Manager does it, one method a command. It knows clusters through the interface Provider, whose
// implementations are the packages below this one, and Cilium through the package of that name. What it has
// done is kept in an Instance, a folder each, written after every phase, so that whatever interrupts it the
// next run takes over. It knows nothing of grading.
package provision
