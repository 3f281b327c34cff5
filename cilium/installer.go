package cilium

import (
	"context"
	"time"
)

// Installer puts a chart's release into a cluster. It is all that this module asks of Helm, so that Helm's
// next major version is a change of one file.
type Installer interface {
	// Install makes the release what chart and values say: installs it, upgrades it, or takes over one that
	// an interrupted run left pending. It returns when the objects are applied; it does not wait for pods.
	Install(ctx context.Context, chart *Chart, values map[string]any) (*Installed, error)
	// Uninstall removes the release's objects; none there is no error.
	Uninstall(ctx context.Context) error
	// Status says what is installed; nil: nothing is.
	Status(ctx context.Context) (*Installed, error)
	// Render is what Install would apply, as YAML documents, without asking the cluster.
	Render(ctx context.Context, chart *Chart, values map[string]any, kubernetes string) ([]byte, error)
}

// Installed is a release in a cluster.
type Installed struct {
	ChartVersion string
	AppVersion   string
	Revision     int
	Pending      bool // an operation on it was interrupted
	Failed       bool
	Updated      time.Time
	Values       map[string]any // what it was installed with
	// Owner is the "labctl" label of the release: the instance that installed it; empty: somebody else did.
	Owner string
}
