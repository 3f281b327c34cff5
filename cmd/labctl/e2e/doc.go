// Package e2e tests labctl as users run it: the built binary on real clusters with Cilium. It needs a container engine
// and kubectl. In a closed network, images and charts come from where the variables LABCTL_* say (labctl config). The
// tests have the build tags e2e, e2e_gke and e2e_jobs.
package e2e
