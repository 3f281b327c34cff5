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

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewStatusCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		output cli.OutputFlag
		wait   waitFlags
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the status of a lab instance",
		Long: `Show the status of a lab instance: its nodes, Cilium's agents, operator, Envoy, relay and cluster mesh, how many pods
Cilium manages, Hubble, the lab's apps, the policies in force, the namespace labels that differ from the deployed
ones, and the current task. -o summary leaves out what is the lab's own.

Failing controllers of an agent are errors. What an agent warns about, pods that Cilium does not manage and endpoints
that are not ready are warnings: they do not change the exit code, but --wait waits until there are none, unless
--ignore-warnings is given.

Exit code: 0 everything is ready; 3 something is not, and the last lines name it.`,
		Example: `  labctl status
  labctl status --instance networkpolicy --wait --wait-duration 2m
  labctl status -o summary
  labctl status -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			st, err := readStatus(cmd.Context(), m, name, wait)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			switch output.Value {
			case "json":
				err = app.WriteJSON(st)
			case "summary":
				err = writeSummary(app.Out, st)
			default:
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
	output.Register(cmd, "summary")
	f := cmd.Flags()
	f.BoolVar(&wait.wait, "wait", false, "wait until everything is ready and nothing warns")
	f.DurationVar(&wait.limit, "wait-duration", 5*time.Minute, "how long --wait waits at most: 90s, 5m")
	f.BoolVar(&wait.ignoreWarnings, "ignore-warnings", false, "do not wait for warnings to go away")
	f.DurationVar(&wait.limit, "timeout", 5*time.Minute, "the former name of --wait-duration")
	// The only error is a flag that does not exist.
	_ = f.MarkHidden("timeout")
	return cmd
}

// waitFlags say what `labctl status` waits for.
type waitFlags struct {
	wait, ignoreWarnings bool
	limit                time.Duration
}

// over reports whether there is nothing more to wait for.
func (w waitFlags) over(st *provision.Status) bool {
	return !w.wait || st.Ready && (w.ignoreWarnings || len(st.Warnings) == 0)
}

// readStatus reads the status, again and again when it is to wait. What is still missing when the time is up
// is in the status.
func readStatus(ctx context.Context, m *provision.Manager, name string, wait waitFlags) (*provision.Status, error) {
	deadline := time.Now().Add(wait.limit)
	for {
		st, err := m.Status(ctx, name)
		if err != nil || wait.over(st) || time.Now().After(deadline) {
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

// writeCluster writes what the lab runs on, a line each.
func writeCluster(w io.Writer, st *provision.Status) {
	for _, n := range st.Nodes {
		fmt.Fprintf(w, "%s node\t%s\tKubernetes %s\n", mark(n.Ready), n.Name, n.Version)
	}
	if c := st.Cilium; c != nil {
		for _, part := range []struct {
			name   string
			is     *cilium.Component
			missed bool // where it is not
		}{
			{"cilium agents", &c.Agents, !c.Bundled()}, {"cilium operator", &c.Operator, !c.Bundled()},
			{"cilium envoy", &c.Envoy, false}, {"hubble relay", &c.Relay, false}, {"cluster mesh", &c.ClusterMesh, false},
		} {
			if part.is.Desired > 0 || part.missed {
				fmt.Fprintf(w, "%s %s\t%d of %d ready\t%s\n", mark(part.is.Healthy()), part.name, part.is.Ready, part.is.Desired,
					part.is.Version)
			}
		}
		if p := c.Pods; p != nil {
			sign := "!" // it warns
			if p.Managed == p.All {
				sign = mark(true)
			}
			fmt.Fprintf(w, "%s pods\t%d of %d managed by Cilium\n", sign, p.Managed, p.All)
		}
	}
	if h := st.Hubble; h != nil {
		fmt.Fprintf(w, "%s hubble\t%d nodes connected\t%.1f flows/s\n", mark(h.Serving), h.Connected, h.FlowsPerSec)
	}
}

// writeSummary is what `cilium status` would show.
func writeSummary(out io.Writer, st *provision.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	writeCluster(w, st)
	if err := w.Flush(); err != nil {
		return err
	}
	writeWarnings(out, st)
	return writeReady(out, st)
}

func writeStatus(out io.Writer, st *provision.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "%s · lab %s · %s cluster %s\n\n", st.Instance, st.Lab, st.Cluster.Provider, st.Cluster.Name)
	writeCluster(w, st)
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
	return writeReady(out, st)
}

func writeReady(out io.Writer, st *provision.Status) error {
	if st.Ready {
		_, err := fmt.Fprintln(out, "\nEverything is ready.")
		return err
	}
	_, err := fmt.Fprintf(out, "\nNot ready:\n  %s\n", strings.Join(st.NotReady, "\n  "))
	return err
}

// writeWarnings lists what may be wrong. Errors are among the reasons why the lab is not ready.
func writeWarnings(out io.Writer, st *provision.Status) {
	for _, warning := range st.Warnings {
		fmt.Fprintf(out, "! %s\n", warning)
	}
}

func orNone(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}
