package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewObserveCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		flags  observeFlags
		output cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "observe",
		Short: "Show the network flows of a lab's pods",
		Long: `Show the network flows of a lab's pods, as Hubble sees them: source, destination, verdict, the side that decided, and
the policy that allowed or denied the flow. A drop by default deny names no policy, since no rule decided it;
"labctl explain" names the rules that nearly matched.

Without --last, --first, --all, --since, --until or --follow, labctl shows the last 20 flows. Without a filter of an
end of flows, such as --app or --namespace, it shows those of the lab's pods; -A shows those of all pods. The text
leaves out replies unless --replies, --reply or --not-reply is given.

The filters and the other formats are those of "hubble observe". Values of one flag are alternatives, different flags
must all match, and --not leaves out what the next filter matches.`,
		Example: `  labctl observe --app backend --verdict dropped
  labctl observe --from frontend --to backend --follow
  labctl observe --since 5m --protocol dns -o json
  labctl observe -n default --not --to-port 53 -o compact`,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.format = output.Value
			return observe(cmd.Context(), app, &site, &flags, args)
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	output.Register(cmd, "compact", "dict", "tab", "table", "jsonpb")
	flags.register(cmd)
	return cmd
}

func observe(ctx context.Context, app *cli.App, site *siteFlags, flags *observeFlags, args []string) error {
	// A file of flows, and the filters themselves, need no lab unless a filter names its apps.
	name := ""
	if flags.input == "" && !flags.raw || flags.filters.IsSet("app", "from", "to") {
		m, instance, err := managed(app, site, args)
		if err != nil {
			return err
		}
		if err := flags.useApps(m.Store, instance); err != nil {
			return err
		}
		name = instance
	}
	query, err := flags.query(app.Now())
	if err != nil {
		return err
	}
	if err := query.Check(ctx); err != nil {
		return err
	}
	if flags.raw {
		text, err := query.RawFilters()
		if err == nil {
			_, err = app.Out.Write(text)
		}
		return err
	}
	print, done, err := flags.printer(app)
	if err != nil {
		return err
	}
	if flags.input != "" {
		err = readFlows(ctx, app, flags.input, *query, print)
	} else {
		err = showFlows(ctx, name, *query, print)
	}
	return errors.Join(err, done())
}

// useApps lets filters name the apps of an instance's lab. All of them are meant unless a filter says whose flows.
func (f *observeFlags) useApps(s *provision.Store, instance string) error {
	lab, err := labOf(s, instance)
	if err != nil {
		return err
	}
	f.filters.Apps = func(name string) ([]hubble.Pods, error) { return appPods(lab, name) }
	if !f.filters.HasEnd() && len(f.allow) == 0 && f.input == "" {
		f.lab = lab
	}
	return nil
}

func readFlows(ctx context.Context, app *cli.App, path string, query hubble.Query,
	print func(*observerpb.GetFlowsResponse) error) error {
	var in io.Reader = app.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	if err := hubble.ReadFlows(ctx, in, query, print); err != nil {
		return fmt.Errorf("--input-file %s: %w", path, err)
	}
	return nil
}

func showFlows(ctx context.Context, instance string, query hubble.Query,
	print func(*observerpb.GetFlowsResponse) error) error {
	kc, err := openCluster(store(), instance)
	if err != nil {
		return err
	}
	client, err := hubble.Dial(ctx, kc)
	if err != nil {
		return cli.InfraError{Err: err}
	}
	defer client.Close()
	err = client.Flows(ctx, query, print)
	if err != nil && ctx.Err() == nil {
		return cli.InfraError{Err: err}
	}
	return err
}

// printer prints what the relay sends, in the format that was asked for. done must be called at the end.
func (f *observeFlags) printer(app *cli.App) (print func(*observerpb.GetFlowsResponse) error, done func() error, err error) {
	if f.format == "text" {
		replies := f.replies || f.filters.IsSet("reply", "not-reply")
		return func(res *observerpb.GetFlowsResponse) error {
			if res.GetFlow() == nil {
				warnOf(app, res)
				return nil
			}
			s := hubble.Summarize(res.GetFlow())
			if s.Reply && !replies {
				return nil
			}
			_, err := fmt.Fprintf(app.Out, "%s  %s\n", res.GetTime().AsTime().Local().Format("15:04:05.000"), s)
			return err
		}, func() error { return nil }, nil
	}
	p, err := hubble.NewPrinter(app.Out, hubble.PrintOptions{
		Format: f.format, Color: app.Terminal.Color, Numeric: f.numeric, NodeName: f.nodeName, PolicyNames: f.policyNames,
	})
	if err != nil {
		return nil, nil, err
	}
	return func(res *observerpb.GetFlowsResponse) error {
		if res.GetFlow() == nil && f.format != "json" && f.format != "jsonpb" {
			warnOf(app, res)
			return nil
		}
		return p.Print(res)
	}, p.Close, nil
}

// warnOf logs what the relay reports besides flows.
func warnOf(app *cli.App, res *observerpb.GetFlowsResponse) {
	switch {
	case res.GetLostEvents() != nil:
		app.Log().Warn("Hubble lost events", "node", res.GetNodeName(), "count", res.GetLostEvents().GetNumEventsLost())
	case res.GetNodeStatus().GetStateChange() == relaypb.NodeState_NODE_UNAVAILABLE:
		app.Log().Warn("flows of these nodes are missing: the relay is not connected to them",
			"nodes", res.GetNodeStatus().GetNodeNames())
	}
}
