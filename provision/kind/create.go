package kind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/provision"
)

// Create implements provision.Provider. kind's own Create takes no context and reports no progress. So the
// milestones are watched concurrently, and when the context ends its containers are deleted until it fails.
func (p *Provider) Create(ctx context.Context, c provision.Cluster, progress provision.CreateProgress) error {
	if err := p.pull(ctx, p.image()); err != nil {
		return fmt.Errorf("node image: %w", err)
	}
	kp, err := p.kind(ctx)
	if err != nil {
		return err
	}
	p.makeNetwork(ctx)
	watch, stop := context.WithCancel(ctx)
	defer stop()
	created := make(chan error, 1)
	go func() {
		created <- kp.Create(c.Name,
			cluster.CreateWithV1Alpha4Config(p.config(c.Name)),
			cluster.CreateWithRetain(true),
			cluster.CreateWithKubeconfigPath(c.Kubeconfig),
			cluster.CreateWithWaitForReady(0),
			cluster.CreateWithDisplayUsage(false),
			cluster.CreateWithDisplaySalutation(false),
		)
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(watch, kp, c, progress.Milestone)
	}()
	select {
	case err = <-created:
	case <-ctx.Done():
		err = p.abandon(c, created)
	}
	if err == nil {
		// Everything is created, so the remaining milestones follow at once.
		select {
		case <-watched:
			return nil
		case <-ctx.Done():
		}
	}
	stop()
	<-watched
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("create kind cluster %s: %w", c.Name, reason(err))
}

// abandon deletes the containers of a Create that still runs, until it fails.
func (p *Provider) abandon(c provision.Cluster, created <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if err := p.removeNodes(ctx, c); err != nil {
			p.log.Debug("abandon the cluster", "error", err)
		}
		select {
		case err := <-created:
			return errors.Join(err, p.Delete(ctx, c))
		case <-ctx.Done():
			return fmt.Errorf("creating kind cluster %s did not end after the interruption", c.Name)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// watch calls reached at each milestone. It returns after the last, or when its context ends.
func (p *Provider) watch(ctx context.Context, kp *cluster.Provider, c provision.Cluster,
	reached func(provision.Milestone)) {
	for _, node := range p.settings.nodeNames(c.Name) {
		ok := poll(ctx, 250*time.Millisecond, func() bool {
			_, err := p.engine.exec(ctx, node, "ctr", "version")
			return err == nil
		})
		if !ok {
			return
		}
		if err := p.configureRegistries(ctx, node); err != nil {
			p.log.Warn("tell the node about the site's registries", "node", node, "error", err)
		}
	}
	// With a configuration of registries, kind restarts containerd before it calls kubeadm. No image must be loaded until
	// then.
	restarts := p.ownRegistries()
	if !restarts {
		reached(provision.NodesUp)
	}
	ok := poll(ctx, 400*time.Millisecond, func() bool {
		text, err := kp.KubeConfig(c.Name, false)
		if err != nil {
			return false
		}
		client, err := kube.Parse([]byte(text))
		if err != nil {
			return false
		}
		// kubeadm binds the administrator's role after the API is up; only an administrator may read this.
		_, err = client.UID(ctx)
		return err == nil
	})
	if !ok {
		return
	}
	if restarts {
		reached(provision.NodesUp)
	}
	reached(provision.APIUp)
}

// poll calls done until it returns true; it returns false if the context ends before.
func poll(ctx context.Context, every time.Duration, done func() bool) bool {
	for {
		if done() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(every):
		}
	}
}
