package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// kindNetwork is the network of all kind clusters, including those of other tools.
const kindNetwork = "kind"

// networkLabel marks a network that labctl created. It names no instance, so that the last instance to be deleted
// deletes the network.
const networkLabel = "labctl.network"

// network is the name of the nodes' network.
func network() string {
	if name := os.Getenv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); name != "" {
		return name
	}
	return kindNetwork
}

// makeNetwork creates the nodes' network as kind would, with labctl's label. If that fails, or with another engine,
// kind creates it, and labctl does not delete it.
func (p *Provider) makeNetwork(ctx context.Context) {
	name, err := p.engine.find(ctx)
	if err != nil || name != "docker" || network() != kindNetwork {
		return
	}
	if found, err := p.engine.run(ctx, "network", "ls", "-q", "--filter", "name=^"+kindNetwork+"$"); err != nil ||
		found != "" {
		return
	}
	args := []string{"network", "create", "-d=bridge", "-o", "com.docker.network.bridge.enable_ip_masquerade=true"}
	if mtu, err := p.engine.run(ctx, "network", "inspect", "bridge", "-f",
		`{{ index .Options "com.docker.network.driver.mtu" }}`); err == nil && mtu != "" {
		args = append(args, "-o", "com.docker.network.driver.mtu="+mtu)
	}
	// The result of kind's generateULASubnetFromName for the name.
	args = append(args, "--ipv6", "--subnet", "fc00:f853:ccd:e793::/64", "--label", networkLabel+"=true", kindNetwork)
	if _, err := p.engine.run(ctx, args...); err != nil {
		p.log.Debug("create the nodes' network", "error", err)
	}
}

// removeNetwork deletes the nodes' network if labctl created it and no container uses it, not even a stopped one.
func (p *Provider) removeNetwork(ctx context.Context) error {
	id, err := p.engine.run(ctx, "network", "ls", "-q", "--filter", "name=^"+kindNetwork+"$",
		"--filter", "label="+networkLabel)
	if err != nil || id == "" {
		return err
	}
	inUse := func() bool {
		users, err := p.engine.run(ctx, "ps", "-aq", "--filter", "network="+id)
		return err != nil || users != ""
	}
	if inUse() {
		return nil
	}
	if _, err := p.engine.run(ctx, "network", "rm", id); err != nil && !inUse() {
		return fmt.Errorf("delete the nodes' network: %w", err)
	}
	return nil
}

// addressSpace is a network's addresses and their owners.
type addressSpace struct {
	subnet netip.Prefix
	taken  map[netip.Addr]string // address → container
}

func (p *Provider) addressSpace(ctx context.Context, name string) (*addressSpace, error) {
	text, err := p.engine.run(ctx, "network", "inspect", name)
	if err != nil {
		return nil, err
	}
	return parseAddresses(text)
}

// parseAddresses reads what `docker network inspect` prints.
func parseAddresses(text string) (*addressSpace, error) {
	var list []struct {
		IPAM struct {
			Config []struct{ Subnet, Gateway string }
		}
		Containers map[string]struct{ Name, IPv4Address string }
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read the addresses of the nodes' network: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("the nodes' network is gone; recreate the lab (labctl down, labctl up)")
	}
	space := &addressSpace{taken: map[netip.Addr]string{}}
	for _, c := range list[0].IPAM.Config {
		subnet, err := netip.ParsePrefix(c.Subnet)
		if err != nil || !subnet.Addr().Is4() {
			continue
		}
		space.subnet = subnet.Masked()
		if gateway, err := netip.ParseAddr(strings.SplitN(c.Gateway, "/", 2)[0]); err == nil {
			space.taken[gateway] = "the gateway"
		}
	}
	for _, c := range list[0].Containers {
		if addr, err := netip.ParsePrefix(c.IPv4Address); err == nil {
			space.taken[addr.Addr()] = c.Name
		}
	}
	return space, nil
}

// below counts the free addresses below one. Engines assign the lowest.
func (s *addressSpace) below(addr netip.Addr) int {
	n := 0
	if !s.subnet.Contains(addr) {
		return 0
	}
	for a := s.subnet.Addr().Next(); a.Less(addr); a = a.Next() {
		if s.taken[a] == "" {
			n++
		}
	}
	return n
}
