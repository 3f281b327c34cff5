package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/labctl/labctl/cilium/canary"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
)

// canary is the canary in the lab's cluster.
func (cfg *Config) canary() *canary.Canary {
	return &canary.Canary{
		Client: cfg.Client, Scope: &cfg.Instance.Scope, Image: cfg.Instance.AppImage, FieldManager: fieldManager,
		Timeout: time.Minute,
	}
}

// Canary proves that a deny drops and an allow passes in this cluster. An error means that nothing can be graded.
// If Hubble does not see the drop, drops are recognized by time-outs alone from then on.
func (e *Engine) Canary(ctx context.Context) error {
	denied, open, err := e.probeCanary(ctx)
	if err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	switch {
	case denied.Verdict != verdict.Dropped:
		return fmt.Errorf("canary: a connection that a policy denies was %s (%s): this cluster does not enforce policies",
			denied.Verdict, denied.Detail)
	case open.Verdict != verdict.Allowed:
		if clusterwide, err := e.clusterwide(ctx); err == nil && clusterwide != "" {
			e.cfg.Log.Warn("the canary cannot tell whether policies are enforced: a cluster-wide policy may affect it",
				"policy", clusterwide)
			break
		}
		return fmt.Errorf("canary: a connection that a policy allows was %s (%s): the cluster's network does not work",
			open.Verdict, open.Detail)
	}
	if denied.Drop == nil && e.unseen == nil {
		if e.unseen = e.drops.Complete(); e.unseen == nil {
			e.unseen = errors.New("the flows of Hubble do not include the canary's drop")
		}
		e.cfg.Log.Warn("drops cannot be observed, so drops are recognized by time-outs alone", "reason", e.unseen)
	}
	return nil
}

// probeCanary tries the connections to the canary's servers, again if a server has only just begun to listen.
func (e *Engine) probeCanary(ctx context.Context) (denied, open probe.Result, err error) {
	pods, err := e.cfg.canary().ForGrading(ctx, e.cfg.Settle)
	if err != nil {
		return denied, open, err
	}
	// An agent may be about to be restarted; without it, the canary decides that drops cannot be seen.
	if err := e.drops.AwaitComplete(ctx, awaitDrops); err != nil && ctx.Err() != nil {
		return denied, open, err
	}
	from := probe.Source{Pod: execIn(pods.Client)}
	from.Addr, _ = netip.ParseAddr(pods.Client.Status.PodIP)
	probes := []probe.Probe{
		{Host: pods.Denied.Status.PodIP, Port: canary.Port, Echo: true},
		{Host: pods.Open.Status.PodIP, Port: canary.Port, Echo: true},
	}
	for range 3 {
		got, err := e.runner.Run(ctx, from, probes)
		if err != nil {
			return denied, open, err
		}
		if denied, open = got[0], got[1]; denied.Verdict == verdict.Dropped && open.Verdict == verdict.Allowed {
			break
		}
	}
	return denied, open, nil
}

// clusterwide names a policy that reaches every namespace; empty: there is none.
func (e *Engine) clusterwide(ctx context.Context) (string, error) {
	policies, _, err := e.policies(ctx)
	for i := range policies {
		if policies[i].GetNamespace() == "" && manifest.Isolates(policies[i].GetKind()) {
			return kube.Ref(&policies[i]), nil
		}
	}
	return "", err
}
