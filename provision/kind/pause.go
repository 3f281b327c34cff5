package kind

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/provision"
)

// Pause implements provision.Pauser.
func (p *Provider) Pause(ctx context.Context, c provision.Cluster) error {
	return p.all(ctx, c, "stop")
}

// Resume implements provision.Pauser.
func (p *Provider) Resume(ctx context.Context, c provision.Cluster) error {
	return p.all(ctx, c, "start")
}

func (p *Provider) all(ctx context.Context, c provision.Cluster, verb string) error {
	list, err := p.containers(ctx, c.Name)
	if err != nil {
		return err
	}
	standIn, err := p.hasStandIn(ctx, c.Name)
	if err != nil {
		return err
	}
	if standIn {
		list = append(list, container{name: standInName(c.Name)})
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, con := range list {
		group.Go(func() error {
			_, err := p.engine.run(ctx, verb, con.name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s the nodes of kind cluster %s: %w", verb, c.Name, err)
	}
	return nil
}

// CollectLogs implements provision.LogCollector.
func (p *Provider) CollectLogs(ctx context.Context, c provision.Cluster, dir string) error {
	kp, err := p.kind(ctx)
	if err != nil {
		return err
	}
	if err := kp.CollectLogs(c.Name, dir); err != nil {
		return fmt.Errorf("collect the logs of kind cluster %s: %w", c.Name, reason(err))
	}
	return nil
}
