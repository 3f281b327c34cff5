package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewStatusCommand(app *cli.App) *cobra.Command {
	var (
		site    siteFlags
		output  cli.OutputFlag
		wait    bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the status of a lab instance",
		Long: `Show the status of a lab instance: its nodes, Cilium's agents, operator and relay, Hubble, the lab's apps, the policies
in force, the namespace labels that differ from the deployed ones, and the current task.

Exit code: 0 everything is ready; 3 something is not, and the last lines name it.`,
		Example: `  labctl status
  labctl status --instance networkpolicy --wait
  labctl status -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			st, err := readStatus(cmd.Context(), m, name, wait, timeout)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.Json() {
				err = app.WriteJSON(st)
			} else {
				err = writeStatus(app.Out, st)
			}
			if err == nil && !st.Ready {
				return cli.Reported{Err: cli.InfraError{Err: errors.New("the lab is not ready")}}
			}
			return err
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	output.Register(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until everything is ready")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "time limit for --wait")
	return cmd
}

// readStatus reads the status, again and again when it is to wait. What is still missing when the time is up
// is in the status.
func readStatus(ctx context.Context, m *provision.Manager, name string, wait bool,
	timeout time.Duration) (*provision.Status, error) {
	deadline := time.Now().Add(timeout)
	for {
		st, err := m.Status(ctx, name)
		if err != nil || st.Ready || !wait || time.Now().After(deadline) {
			return st, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func mark(ok bool) string {
	if ok {
		return "✓"
	}
	return "✗"
}

func writeStatus(out io.Writer, st *provision.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "%s · lab %s · %s cluster %s\n\n", st.Instance, st.Lab, st.Cluster.Provider, st.Cluster.Name)
	for _, n := range st.Nodes {
		fmt.Fprintf(w, "%s node\t%s\tKubernetes %s\n", mark(n.Ready), n.Name, n.Version)
	}
	if c := st.Cilium; c != nil {
		for _, part := range []struct {
			name    string
			ready   bool
			desired int
			is      int
			version string
		}{
			{"cilium agents", c.Agents.Healthy(), c.Agents.Desired, c.Agents.Ready, c.Agents.Version},
			{"cilium operator", c.Operator.Healthy(), c.Operator.Desired, c.Operator.Ready, c.Operator.Version},
			{"hubble relay", c.Relay.Healthy(), c.Relay.Desired, c.Relay.Ready, c.Relay.Version},
		} {
			if part.desired > 0 || part.name != "hubble relay" && !c.Bundled() {
				fmt.Fprintf(w, "%s %s\t%d of %d ready\t%s\n", mark(part.ready), part.name, part.is, part.desired,
					part.version)
			}
		}
	}
	if h := st.Hubble; h != nil {
		fmt.Fprintf(w, "%s hubble\t%d nodes connected\t%.1f flows/s\n", mark(h.Serving), h.Connected, h.FlowsPerSec)
	}
	for _, a := range st.Apps {
		fmt.Fprintf(w, "%s app\t%s/%s\t%d of %d ready\n", mark(a.Ready >= a.Desired), a.Namespace, a.Name,
			a.Ready, a.Desired)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	writeWarnings(out, st)
	fmt.Fprintf(out, "\nPolicies in force: %s\n", orNone(len(st.Policies)))
	for _, p := range st.Policies {
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + p.Name
		}
		line := fmt.Sprintf("  %s %s %s", mark(p.Valid), p.Kind, name)
		if !p.Valid {
			line += ": Cilium rejected it, so it has no effect: " + p.Reason
		}
		fmt.Fprintln(out, line)
	}
	if len(st.Labels) > 0 {
		fmt.Fprintln(out, "Namespace labels that differ from the lab:")
	}
	for _, l := range st.Labels {
		switch {
		case l.Removed:
			fmt.Fprintf(out, "  %s: %s=%s was removed\n", l.Namespace, l.Key, l.Was)
		case l.Was != "":
			fmt.Fprintf(out, "  %s: %s=%s (was %s)\n", l.Namespace, l.Key, l.Value, l.Was)
		default:
			fmt.Fprintf(out, "  %s: %s=%s\n", l.Namespace, l.Key, l.Value)
		}
	}
	if t := st.Task; t != nil {
		fmt.Fprintf(out, "Task %d of %d: %s (%s)\n", t.Number, t.Of, t.Title, t.Name)
	}
	if st.Ready {
		_, err := fmt.Fprintln(out, "\nEverything is ready.")
		return err
	}
	_, err := fmt.Fprintf(out, "\nNot ready:\n  %s\n", strings.Join(st.NotReady, "\n  "))
	return err
}

// writeWarnings lists what the agents warn about. Their errors are among the reasons why the lab is not ready.
func writeWarnings(out io.Writer, st *provision.Status) {
	if st.Cilium == nil {
		return
	}
	for _, agent := range st.Cilium.Nodes {
		for _, warning := range agent.Warnings {
			fmt.Fprintf(out, "! cilium agent on %s: %s\n", agent.Node, warning)
		}
	}
}

func orNone(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}
