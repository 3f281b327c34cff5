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

// Resume implements provision.Pauser. A node must keep its address, since its kubelet, etcd and the other nodes'
// agents know it by that. The engine assigns the lowest free address, so nodes start one by one in the order of
// their addresses, and placeholder containers occupy the free addresses below.
func (p *Provider) Resume(ctx context.Context, c provision.Cluster, _ func(string)) (err error) {
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
	// Containers whose address does not matter come last: the stand-in and the load balancer.
	slices.SortStableFunc(list, func(a, b container) int {
		x, y := old[a.name], old[b.name]
		if !x.IsValid() || !y.IsValid() {
			return y.Compare(x) // an address that is not valid is the lowest of all
		}
		return x.Compare(y)
	})
	var placeholders []string
	defer func() {
		if len(placeholders) > 0 {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			_, rmErr := p.engine.run(ctx, append([]string{"rm", "-f"}, placeholders...)...)
			err = errors.Join(err, rmErr)
		}
	}()
	for _, con := range list {
		if con.running {
			continue
		}
		if want, known := old[con.name]; known {
			more, err := p.fillBelow(ctx, con.name, want)
			placeholders = append(placeholders, more...)
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

// oldAddress is the address that a node had when it last started, which its image writes to a file.
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

// maxPlaceholders limits how many free addresses are occupied.
const maxPlaceholders = 32

// fillBelow starts placeholder containers that occupy the free addresses below the one that a node must get, and
// returns them.
func (p *Provider) fillBelow(ctx context.Context, node string, want netip.Addr) ([]string, error) {
	space, err := p.addressSpace(ctx, network())
	if err != nil {
		return nil, err
	}
	if holder := space.taken[want]; holder != "" {
		return nil, fmt.Errorf(
			"%s now has the address %s, which %s had when it was stopped; stop it and retry, or recreate the lab",
			holder, want, node)
	}
	n := space.below(want)
	if n > maxPlaceholders {
		return nil, fmt.Errorf("%s cannot get its address %s again: %d addresses below it are free, and %s assigns the lowest; recreate the lab", node, want, n, p.engine.name)
	}
	var placeholders []string
	for range n {
		id, err := p.engine.run(ctx, "run", "-d", "--rm", "--network", network(), "--entrypoint", "sleep",
			p.image(), "300")
		if err != nil {
			return placeholders, fmt.Errorf("occupy the addresses below that of %s: %w", node, err)
		}
		placeholders = append(placeholders, id)
	}
	return placeholders, nil
}

// sameAddress verifies that a node has its old address.
func (p *Provider) sameAddress(ctx context.Context, name string, want netip.Addr) error {
	if !want.IsValid() {
		return nil
	}
	got, err := p.engine.run(ctx, "inspect",
		"--format", `{{(index .NetworkSettings.Networks "`+network()+`").IPAddress}}`, name)
	if err != nil {
		return fmt.Errorf("read the address of %s: %w", name, err)
	}
	if got != want.String() {
		return fmt.Errorf("%s has address %s, but the cluster knows it by %s; recreate the lab (labctl down, labctl up)", name, got, want)
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
