package policy

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy/api"
)

// DefaultClusterName is the cluster's name where Config gives none: the Helm chart's default.
const DefaultClusterName = "default"

func (c Config) withDefaults() Config {
	if c.Semantics == "" {
		c.Semantics = Cilium
	}
	if c.ClusterName == "" {
		c.ClusterName = DefaultClusterName
	}
	return c
}

// ciliumOnce guards what Cilium keeps in package variables: its options, the entities' selectors and the
// label filter. Like an agent, a process has one cluster name.
var ciliumOnce struct {
	sync.Once
	clusterName string
	err         error
}

// setUpCilium configures Cilium's packages on the first call. IPv6 and the semantics are not among what
// is process-wide: the engine matches addresses itself.
func setUpCilium(cfg Config) error {
	ciliumOnce.Do(func() {
		ciliumOnce.clusterName = cfg.ClusterName
		option.Config.EnableIPv4 = true
		option.Config.EnableIPv6 = true
		option.Config.EnableL7Proxy = true
		option.Config.EnableICMPRules = true
		option.Config.ClusterName = cfg.ClusterName
		api.InitEntities(cfg.ClusterName)
		ciliumOnce.err = labelsfilter.ParseLabelPrefixCfg(slog.New(slog.DiscardHandler), nil, nil, "")
	})
	if ciliumOnce.err != nil {
		return fmt.Errorf("set up Cilium's label filter: %w", ciliumOnce.err)
	}
	if cfg.ClusterName != ciliumOnce.clusterName {
		return fmt.Errorf("cluster name %q: this process already uses %q, and Cilium's rule model has one cluster name a process", cfg.ClusterName, ciliumOnce.clusterName)
	}
	return nil
}
