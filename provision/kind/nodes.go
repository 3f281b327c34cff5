package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/labctl/labctl/provision"
)

// clusterLabel is the label that kind puts on the containers of a cluster.
const clusterLabel = "io.x-k8s.kind.cluster"

// container is a container of a cluster as the engine lists it.
type container struct {
	name    string
	running bool
	status  string
}

// containers lists the cluster's containers, sorted by name.
func (p *Provider) containers(ctx context.Context, cluster string) ([]container, error) {
	out, err := p.engine.run(ctx, "ps", "-a", "--filter", "label="+clusterLabel+"="+cluster,
		"--format", "{{.Names}}\t{{.Status}}")
	if err != nil {
		return nil, fmt.Errorf("list the nodes of kind cluster %s: %w", cluster, err)
	}
	var list []container
	for line := range strings.Lines(out) {
		name, status, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != "" {
			list = append(list,
				container{name, strings.HasPrefix(status, "Up") && !strings.Contains(status, "Paused"), status})
		}
	}
	slices.SortFunc(list, func(a, b container) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// Find implements provision.Provider.
func (p *Provider) Find(ctx context.Context, c provision.Cluster) (provision.Found, error) {
	list, err := p.containers(ctx, c.Name)
	if err != nil {
		return provision.Found{}, err
	}
	if len(list) == 0 {
		return provision.Found{State: provision.Absent}, nil
	}
	var found provision.Found
	var stopped []string
	for _, con := range list {
		found.Nodes = append(found.Nodes, con.name)
		if !con.running {
			stopped = append(stopped, con.name)
		}
	}
	expected := p.settings.nodeNames(c.Name)
	if lb := p.settings.loadBalancer(c.Name); lb != "" {
		expected = append(expected, lb)
	}
	for _, name := range expected {
		if !slices.Contains(found.Nodes, name) {
			found.Missing = append(found.Missing, name)
		}
	}
	switch {
	case len(found.Missing) > 0:
		found.State, found.Detail = provision.Broken, "missing: "+strings.Join(found.Missing, ", ")
	case len(stopped) > 0:
		found.State, found.Detail = provision.Stopped, "stopped: "+strings.Join(stopped, ", ")
	default:
		found.State = provision.Running
		found.Started = p.started(ctx, p.settings.nodeNames(c.Name))
	}
	return found, nil
}

// started is when each node was started last; nil if the engine does not say.
func (p *Provider) started(ctx context.Context, nodes []string) map[string]time.Time {
	args := append([]string{"inspect", "--format", "{{.Name}} {{json .State.StartedAt}}"}, nodes...)
	out, err := p.engine.run(ctx, args...)
	if err != nil {
		p.log.Debug("read when the nodes were started", "error", err)
		return nil
	}
	started := map[string]time.Time{}
	for line := range strings.Lines(out) {
		name, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		if t, err := time.Parse(time.RFC3339Nano, strings.Trim(at, `"`)); err == nil {
			started[strings.TrimPrefix(name, "/")] = t.UTC()
		}
	}
	return started
}

// removeTimeout is how long deleting containers is tried anew. The engine refuses while it starts them, which it does
// briefly after an up was killed.
var removeTimeout = time.Minute

// Delete implements provision.Provider.
func (p *Provider) Delete(ctx context.Context, c provision.Cluster) error {
	if err := p.removeNodes(ctx, c); err != nil {
		return err
	}
	return p.removeNetwork(ctx)
}

// removeNodes deletes the cluster's containers, and verifies that they are gone.
func (p *Provider) removeNodes(ctx context.Context, c provision.Cluster) error {
	refused := errors.New("containers still exist")
	for start := time.Now(); ; {
		// Also after the last try, which on a busy machine may have taken all the time.
		list, err := p.members(ctx, c.Name)
		if err != nil || len(list) == 0 {
			return err
		}
		if time.Since(start) > removeTimeout {
			return fmt.Errorf("delete the nodes of kind cluster %s: %w", c.Name, refused)
		}
		args := []string{"rm", "-f", "-v"}
		for _, con := range list {
			args = append(args, con.name)
		}
		// The next round handles what is left. A container that was deleted meanwhile is not an error.
		if _, err := p.engine.run(ctx, args...); err != nil {
			refused = err
			p.log.Debug("remove nodes", "error", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
