package kind

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/provision"
)

// Pause implements provision.Pauser.
func (p *Provider) Pause(ctx context.Context, c provision.Cluster) error {
	list, err := p.members(ctx, c.Name)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, con := range list {
		group.Go(func() error {
			_, err := p.engine.run(ctx, "stop", con.name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("stop the nodes of kind cluster %s: %w", c.Name, err)
	}
	return nil
}

// members are the cluster's containers and, last, its stand-in.
func (p *Provider) members(ctx context.Context, cluster string) ([]container, error) {
	list, err := p.containers(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if standIn, err := p.hasStandIn(ctx, cluster); err != nil {
		return nil, err
	} else if standIn {
		list = append(list, container{name: standInName(cluster)})
	}
	return list, nil
}

// Resume implements provision.Pauser. A node must get the address that it had: its kubelet, etcd and the other
// nodes' agents know it by that. The engine gives whoever starts the lowest address that is free, so they start
// one after the other in the order of their addresses, and what is free below is taken for the while.
func (p *Provider) Resume(ctx context.Context, c provision.Cluster) (err error) {
	list, err := p.members(ctx, c.Name)
	if err != nil {
		return err
	}
	old := map[string]netip.Addr{}
	for _, con := range list {
		if addr, ok := p.oldAddress(ctx, con.name); ok {
			old[con.name] = addr
		}
	}
	// Those that nobody knows by an address come last: the stand-in and the load balancer.
	slices.SortStableFunc(list, func(a, b container) int {
		x, y := old[a.name], old[b.name]
		if !x.IsValid() || !y.IsValid() {
			return y.Compare(x) // an address that is not valid is the lowest of all
		}
		return x.Compare(y)
	})
	var fillers []string
	defer func() {
		if len(fillers) > 0 {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			_, rmErr := p.engine.run(ctx, append([]string{"rm", "-f"}, fillers...)...)
			err = errors.Join(err, rmErr)
		}
	}()
	for _, con := range list {
		if con.running {
			continue
		}
		if want, known := old[con.name]; known {
			more, err := p.fillBelow(ctx, con.name, want)
			fillers = append(fillers, more...)
			if err != nil {
				return err
			}
		}
		if _, err := p.engine.run(ctx, "start", con.name); err != nil {
			return fmt.Errorf("start the nodes of kind cluster %s: %w", c.Name, err)
		}
		if err := p.sameAddress(ctx, con.name, old[con.name]); err != nil {
			return err
		}
	}
	return nil
}

// oldAddress is the address that a node had when it last started, which its image notes in a file.
func (p *Provider) oldAddress(ctx context.Context, name string) (netip.Addr, bool) {
	var archive bytes.Buffer
	if err := p.engine.stream(ctx, nil, &archive, "cp", name+":/kind/old-ipv4", "-"); err != nil {
		return netip.Addr{}, false
	}
	r := tar.NewReader(&archive)
	if _, err := r.Next(); err != nil {
		return netip.Addr{}, false
	}
	text, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	return addr, err == nil
}

// mostFillers is how many free addresses are taken for the while, before it is given up.
const mostFillers = 32

// fillBelow takes the addresses that are free below the one that a node is to have, and returns the containers
// that do so.
func (p *Provider) fillBelow(ctx context.Context, node string, want netip.Addr) ([]string, error) {
	space, err := p.addressSpace(ctx, network())
	if err != nil {
		return nil, err
	}
	if holder := space.taken[want]; holder != "" {
		return nil, fmt.Errorf("%s has the address %s now, which %s had when it was stopped: stop it and try again, or make the lab anew",
			holder, want, node)
	}
	n := space.below(want)
	if n > mostFillers {
		return nil, fmt.Errorf("%s cannot get its address %s again: %d below it are free, and %s gives the lowest; make the lab anew", node, want, n, p.engine.name)
	}
	var fillers []string
	for range n {
		id, err := p.engine.run(ctx, "run", "-d", "--rm", "--network", network(), "--entrypoint", "sleep", p.image(), "300")
		if err != nil {
			return fillers, fmt.Errorf("take the addresses below the one of %s: %w", node, err)
		}
		fillers = append(fillers, id)
	}
	return fillers, nil
}

// sameAddress makes sure that a node has the address that it had.
func (p *Provider) sameAddress(ctx context.Context, name string, want netip.Addr) error {
	if !want.IsValid() {
		return nil
	}
	got, err := p.engine.run(ctx, "inspect", "--format", `{{(index .NetworkSettings.Networks "`+network()+`").IPAddress}}`, name)
	if err != nil {
		return fmt.Errorf("look at the address of %s: %w", name, err)
	}
	if got != want.String() {
		return fmt.Errorf("%s has got the address %s, and had %s, by which the cluster knows it: make the lab anew (labctl down, labctl up)", name, got, want)
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
