package provision

import (
	"context"

	"github.com/labctl/labctl/cilium/canary"
	"github.com/labctl/labctl/cilium/kube"
)

func (r *run) lookCanary(context.Context) (Action, error) {
	st := r.state()
	return r.action(phaseCanary, "policies are enforced", st.Cluster.UID, st.Phases[phaseCilium].Inputs), nil
}

// canary proves that policies are enforced.
func (r *run) canary(ctx context.Context, p *progress, client *kube.Client) error {
	s, err := r.scope()
	if err != nil {
		return err
	}
	c := &canary.Canary{
		Client: client, Scope: s, Image: r.m.Settings.AppImage, FieldManager: kube.FieldManager,
		Timeout: r.m.Settings.Timeouts.Cilium + r.m.Settings.Timeouts.Apps, Progress: p.step,
	}
	return c.Prove(ctx, p.step, func(text string) { p.warnf("%s", text) })
}
