package kind

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/provision"
)

func standInName(cluster string) string { return cluster + "-outside" }

// standInLabel marks the stand-in container; its value is the cluster.
const standInLabel = "labctl.stand-in"

func (p *Provider) hasStandIn(ctx context.Context, cluster string) (bool, error) {
	out, err := p.engine.run(ctx, "ps", "-a", "--filter", "label="+standInLabel+"="+cluster, "--format", "{{.Names}}")
	return out != "", err
}

// StandIn implements provision.StandInProvider with a container on the nodes' network, which Cilium treats as the
// world. It has the addresses on its loopback interface, and the nodes route them to it. They are not the
// container's own address, so that a policy that excludes private ranges treats them as internet addresses.
func (p *Provider) StandIn(ctx context.Context, c provision.Cluster, image string,
	endpoints []provision.Endpoint) error {
	name := standInName(c.Name)
	if err := p.pull(ctx, image); err != nil {
		return fmt.Errorf("image of the stand-in: %w", err)
	}
	nodes := p.settings.nodeNames(c.Name)
	network, err := p.engine.run(ctx, "inspect",
		"--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", nodes[0])
	if err != nil {
		return fmt.Errorf("find the nodes' network: %w", err)
	}
	network, _, _ = strings.Cut(network, " ")
	addr, err := p.startStandIn(ctx, c.Name, image, network, endpoints)
	if err != nil {
		return err
	}
	// The node image has the command ip; the image of the demo apps need not have it.
	for _, a := range addresses(endpoints) {
		if _, err := p.engine.run(ctx, "run", "--rm", "--network", "container:"+name, "--cap-add", "NET_ADMIN",
			"--entrypoint", "ip", p.image(), "addr", "replace", a+"/32", "dev", "lo"); err != nil {
			return fmt.Errorf("add the address %s to the stand-in: %w", a, err)
		}
		for _, node := range nodes {
			if _, err := p.engine.exec(ctx, node, "ip", "route", "replace", a+"/32", "via", addr); err != nil {
				return fmt.Errorf("route %s to the stand-in: %w", a, err)
			}
		}
	}
	return nil
}

// startStandIn starts the container, unless one for the same endpoints runs, and returns its address.
func (p *Provider) startStandIn(ctx context.Context, cluster, image, network string,
	endpoints []provision.Endpoint) (addr string, err error) {
	name, spec := standInName(cluster), specOf(image, endpoints)
	running, err := p.engine.run(ctx, "ps", "--filter", "label="+standInLabel+"="+cluster,
		"--format", "{{.Label \"labctl.spec\"}}")
	if err != nil {
		return "", err
	}
	if running != spec {
		if exists, err := p.hasStandIn(ctx, cluster); err != nil {
			return "", err
		} else if exists {
			if _, err := p.engine.run(ctx, "rm", "-f", "-v", name); err != nil {
				return "", err
			}
		}
		cert, key, err := certificate(addresses(endpoints))
		if err != nil {
			return "", err
		}
		args := []string{
			"run", "-d", "--name", name, "--hostname", name, "--network", network, "--restart", "on-failure",
			"-e", "CERT=" + cert, "-e", "KEY=" + key,
			"--label", standInLabel + "=" + cluster, "--label", "labctl.spec=" + spec,
			"--entrypoint", "/bin/sh", image, "-c", script(endpoints),
		}
		if _, err := p.engine.run(ctx, args...); err != nil {
			return "", fmt.Errorf("start the stand-in: %w", err)
		}
	}
	addr, err = p.engine.run(ctx, "inspect",
		"--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", name)
	if err != nil {
		return "", err
	}
	addr, _, _ = strings.Cut(addr, " ")
	if addr == "" {
		return "", fmt.Errorf("the stand-in has stopped; see %s logs %s", p.engine.name, name)
	}
	return addr, nil
}

func addresses(endpoints []provision.Endpoint) []string {
	var out []string
	for _, e := range endpoints {
		if !slices.Contains(out, e.Addr) {
			out = append(out, e.Addr)
		}
	}
	return out
}

// script starts a server of the demo image for each port of the endpoints.
func script(endpoints []provision.Endpoint) string {
	var tcp, udp []int
	for _, e := range endpoints {
		if e.Protocol == "UDP" && !slices.Contains(udp, e.Port) {
			udp = append(udp, e.Port)
		}
		if e.Protocol != "UDP" && !slices.Contains(tcp, e.Port) {
			tcp = append(tcp, e.Port)
		}
	}
	var b strings.Builder
	b.WriteString(`printf '%s' "$CERT" > /tmp/cert; printf '%s' "$KEY" > /tmp/key; `)
	for i := range max(len(tcp), len(udp)) {
		args := ""
		if i < len(tcp) {
			args += " --http-port=" + strconv.Itoa(tcp[i])
			if tcp[i] == 443 {
				args += " --tls-cert-file=/tmp/cert --tls-private-key-file=/tmp/key"
			}
		} else {
			// It always has an HTTP port: here, an unused one.
			args += " --http-port=" + strconv.Itoa(18080+i)
		}
		if i < len(udp) {
			args += " --udp-port=" + strconv.Itoa(udp[i])
		} else {
			args += " --udp-port=-1"
		}
		fmt.Fprintf(&b, "/agnhost netexec%s & ", args)
	}
	b.WriteString("trap 'exit 0' TERM; wait")
	return b.String()
}

func specOf(image string, endpoints []provision.Endpoint) string {
	var b strings.Builder
	b.WriteString(image)
	for _, e := range endpoints {
		fmt.Fprintf(&b, " %s/%s:%d", e.Protocol, e.Addr, e.Port)
	}
	return b.String()
}
