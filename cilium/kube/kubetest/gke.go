package kubetest

import _ "embed"

// GKE are the objects that a new Standard cluster of Google Kubernetes Engine comes with, as far as labctl looks at
// them: nodes, workloads of the system, and webhooks. Names and addresses are those that listings of such clusters show.
//
//go:embed gke.yaml
var GKE string
