// Package internal holds copies of packages of Hubble: what prints flows, and what filters them. They are not
// imported, because on Linux Cilium's packages need all of the agent, and with it other versions of k8s.io. The
// files are Cilium's own, under the Apache License, Version 2.0; only the paths of imports differ. TestCopies
// compares them with the module, and -update copies them again.
package internal
