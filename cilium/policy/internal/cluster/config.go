package cluster

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy/api"
)

// Semantics says whose reading of a NetworkPolicy or ClusterNetworkPolicy counts where Cilium and Kubernetes'
// text differ.
type Semantics string

const (
	// Cilium is the default: an ipBlock never selects a pod, and ingress rules are enforced whatever
	// policyTypes says.
	Cilium Semantics = "cilium"
	// Kubernetes follows the text of the API: an ipBlock or network selects pods by address, the rules of a
	// direction that policyTypes leaves out are ignored, and a pod that a NetworkPolicy selects never comes to
	// the Baseline tier.
	Kubernetes Semantics = "kubernetes"
)

// Config is what the engine must know about the cluster in addition to its objects. The zero value is the default
// of Cilium's Helm chart: cluster "default", IPv4, no IPv6, L7 proxy on.
type Config struct {
	Semantics   Semantics
	ClusterName string
	IPv6        bool
	// HostFirewall makes policies with a nodeSelector count; Cilium leaves it off.
	HostFirewall bool
}

// DefaultClusterName is the cluster's name where Config gives none: the Helm chart's default.
const DefaultClusterName = "default"

// WithDefaults fills in what is left out.
func (c Config) WithDefaults() Config {
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

// SetUpCilium configures Cilium's packages on the first call. IPv6 and the semantics are not among what
// is process-wide: the engine matches addresses itself.
func SetUpCilium(cfg Config) error {
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
		return fmt.Errorf("cluster name %q: this process already uses %q, and Cilium's rule model has one cluster name per process", cfg.ClusterName, ciliumOnce.clusterName)
	}
	return nil
}
