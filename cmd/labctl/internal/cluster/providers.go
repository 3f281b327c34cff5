package cluster

import (
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/existing"
	"github.com/labctl/labctl/provision/gke"
	"github.com/labctl/labctl/provision/kind"
	"github.com/labctl/labctl/provision/minikube"
)

// providers are the kinds of cluster that this labctl can make, by the name of the lab's cluster block.
func providers() map[string]provision.NewProvider {
	return map[string]provision.NewProvider{
		kind.Name:     kind.New,
		gke.Name:      gke.New,
		existing.Name: existing.New,
		minikube.Name: minikube.New,
	}
}
