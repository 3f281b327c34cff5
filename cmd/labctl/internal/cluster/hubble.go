package cluster

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

// NewHubbleCommand has the commands about Hubble itself. `labctl observe` shows the flows.
func NewHubbleCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hubble",
		Short: "Show the state of Hubble, and connect your own hubble command to it",
		Long: `Show the state of Hubble in a running lab, and connect your own hubble command to it. "labctl observe" shows the flows
without any other program.`,
		Example: `  labctl hubble status
  labctl hubble port-forward`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use:     "list",
		Short:   "List what Hubble knows",
		Long:    `List what Hubble knows: its nodes.`,
		Example: `  labctl hubble list nodes`,
		Args:    cli.Args(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list.AddCommand(newHubbleNodesCommand(app))
	cmd.AddCommand(newPortForwardCommand(app), newHubbleStatusCommand(app), list)
	return cmd
}

func newPortForwardCommand(app *cli.App) *cobra.Command {
	var (
		site siteFlags
		port int
	)
	cmd := &cobra.Command{
		Use:   "port-forward",
		Short: "Forward a local port to the Hubble relay, for your own hubble command",
		Long: `Forward a local port to the Hubble relay of a running lab until Ctrl-C, and print how to use it with your own hubble
command.`,
		Example: `  labctl hubble port-forward
  labctl hubble port-forward --port 14245`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if port < 0 || port > 65535 {
				return fmt.Errorf("--port %d: use a number from 1 to 65535, or 0 for a free port", port)
			}
			kc, err := clusterOf(app, &site, args)
			if err != nil {
				return err
			}
			return forwardRelay(cmd.Context(), app, kc, port)
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	cmd.Flags().IntVar(&port, "port", 4245, "local `PORT`, 1 to 65535; 0: a free one")
	return cmd
}

// clusterOf connects to the cluster of the instance that a command line means.
func clusterOf(app *cli.App, site *siteFlags, args []string) (*kube.Client, error) {
	m, name, err := managed(app, site, args)
	if err != nil {
		return nil, err
	}
	if _, err := m.Store.Read(name); err != nil {
		return nil, err
	}
	return openCluster(m.Store, name)
}

// openCluster connects to the cluster of an instance.
func openCluster(s *provision.Store, name string) (*kube.Client, error) {
	kc, err := kube.Open(s.Kubeconfig(name), "")
	if err != nil {
		return nil, cli.InfraError{Err: err}
	}
	return kc, nil
}

func forwardRelay(ctx context.Context, app *cli.App, kc *kube.Client, port int) error {
	forward, secure, err := hubble.Forward(ctx, kc, port)
	if err != nil {
		return cli.InfraError{Err: err}
	}
	server := "--server " + forward.Addr
	if secure {
		server = "--server tls://" + forward.Addr + " --tls-allow-insecure"
	}
	fmt.Fprintf(app.Out, "The Hubble relay is at %s until Ctrl-C. In another terminal:\n\n  hubble observe %s\n\n",
		forward.Addr, server)
	err = forward.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return cli.InfraError{Err: errors.Join(errors.New("the connection to the Hubble relay has ended; run the command again"), err)}
}

// withRelay connects to the relay of the instance that a command line means.
func withRelay(ctx context.Context, app *cli.App, site *siteFlags, args []string,
	do func(context.Context, *hubble.Client) error) error {
	kc, err := clusterOf(app, site, args)
	if err != nil {
		return err
	}
	// A relay that hangs must not block the command.
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := hubble.Dial(asking, kc)
	if err == nil {
		defer client.Close()
		err = do(asking, client)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return cli.InfraError{Err: err}
}

func newHubbleStatusCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		output cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the status of the Hubble relay",
		Long: `Show the status of the Hubble relay of a running lab: whether it serves requests, the flows that its nodes keep and see
per second, and the nodes that it is connected to.

Exit code: 0 it serves and is connected to all nodes that it knows; 3 otherwise.`,
		Example: `  labctl hubble status
  labctl hubble status -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRelay(cmd.Context(), app, &site, args, func(ctx context.Context, c *hubble.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if output.Json() {
					if err := app.WriteJSON(st); err != nil {
						return err
					}
					return c.Serving(ctx, 0)
				}
				health := c.Serving(ctx, 0)
				fmt.Fprintf(app.Out, "%s hubble relay %s\n  flows kept: %d of %d\n  flows per second: %.2f\n  nodes connected: %d of %d\n",
					mark(health == nil), st.Version, st.Flows, st.MaxFlows, st.FlowsPerSec, st.Connected, st.Connected+st.Unavailable)
				return health
			})
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	output.Register(cmd)
	return cmd
}

func newHubbleNodesCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		output cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes that the Hubble relay reads flows from",
		Long: `List the nodes that the Hubble relay of a running lab reads flows from: whether it is connected, the age of the node's
agent, the flows that it sees per second, and how many it keeps of how many it can.`,
		Example: `  labctl hubble list nodes
  labctl hubble list nodes -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRelay(cmd.Context(), app, &site, args, func(ctx context.Context, c *hubble.Client) error {
				nodes, err := c.Nodes(ctx)
				if err != nil {
					return err
				}
				if output.Json() {
					return app.WriteJSON(nodes)
				}
				w := tabwriter.NewWriter(app.Out, 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tSTATE\tAGE\tFLOWS/S\tFLOWS KEPT")
				for _, n := range nodes {
					fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%d of %d\n", n.Name, n.State, n.Age.Round(time.Second), n.FlowsPerSec, n.Flows, n.MaxFlows)
				}
				return w.Flush()
			})
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	output.Register(cmd)
	return cmd
}
