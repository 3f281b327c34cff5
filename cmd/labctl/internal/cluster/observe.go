package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

// observeFlags are what `labctl observe` filters by.
type observeFlags struct {
	apps, from, to      []string
	verdicts, protocols []string
	ports               []int
	since, until        string
	last                int
	follow, replies     bool
}

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

Without --last, --since or --follow, labctl shows the last 20 flows. -o json prints one flow per line, like
"hubble observe -o json". The text leaves out replies unless --replies is given.`,
		Example: `  labctl observe --app backend --verdict dropped
  labctl observe --from frontend --to backend --follow
  labctl observe --since 5m --protocol dns -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newManager(app, &site)
			if err != nil {
				return err
			}
			name, err := choose(m.Store, site.instance, args)
			if err != nil {
				return err
			}
			query, err := flags.query(m, name, app.Now())
			if err != nil {
				return err
			}
			return showFlows(cmd.Context(), app, m.Store.Kubeconfig(name), query, flags.replies, output.Json())
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	output.Register(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&flags.apps, "app", nil, "flows from or to this `APP`, or NAMESPACE/POD")
	f.StringSliceVar(&flags.from, "from", nil, "flows from this `APP`")
	f.StringSliceVar(&flags.to, "to", nil, "flows to this `APP`")
	f.StringSliceVar(&flags.verdicts, "verdict", nil,
		"flows with this `VERDICT`: forwarded, dropped, redirected, error, …")
	f.StringSliceVar(&flags.protocols, "protocol", nil, "flows of this `PROTOCOL`: tcp, udp, icmp, dns, http, …")
	f.IntSliceVar(&flags.ports, "port", nil, "flows to this destination `PORT`")
	f.StringVar(&flags.since, "since", "", "flows since this `TIME`: 5m (ago), or 2006-01-02T15:04:05Z")
	f.StringVar(&flags.until, "until", "", "flows until this `TIME`")
	f.IntVar(&flags.last, "last", 0, "the last `N` flows")
	f.BoolVar(&flags.follow, "follow", false, "keep printing new flows, until Ctrl-C")
	f.BoolVar(&flags.replies, "replies", false, "show replies too")
	cli.Complete(cmd, "verdict", hubble.Verdicts()...)
	return cmd
}

// query is what the flags ask for. Pods of the lab's apps are meant unless something else is named.
func (f *observeFlags) query(m *provision.Manager, name string, now time.Time) (hubble.Query, error) {
	q := hubble.Query{Verdicts: f.verdicts, Protocols: f.protocols, Ports: f.ports, Last: f.last, Follow: f.follow}
	state, err := m.Store.Read(name)
	if err != nil {
		return q, err
	}
	lab, err := state.Lab.Load(cli.Release)
	if err != nil {
		return q, err
	}
	for _, field := range []struct {
		names []string
		pods  *[]string
	}{{f.apps, &q.Pods}, {f.from, &q.From}, {f.to, &q.To}} {
		if *field.pods, err = appPods(lab, field.names); err != nil {
			return q, err
		}
	}
	if len(q.Pods)+len(q.From)+len(q.To) == 0 {
		for _, app := range lab.Apps {
			q.Pods = append(q.Pods, app.Namespace+"/"+app.Name)
		}
	}
	if q.Since, err = parseTime(f.since, now); err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = parseTime(f.until, now); err != nil {
		return q, fmt.Errorf("--until: %w", err)
	}
	if q.Last == 0 && q.Since.IsZero() && q.Until.IsZero() && !q.Follow {
		q.Last = 20
	}
	return q, nil
}

// parseTime reads a time, or how long ago it was; empty: the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("invalid time %q: use a duration such as 5m, or a time such as 2006-01-02T15:04:05Z", text)
	}
	return t, nil
}

func showFlows(ctx context.Context, a *cli.App, kubeconfig string, query hubble.Query, replies, asJSON bool) error {
	kc, err := kube.Open(kubeconfig, "")
	if err != nil {
		return cli.InfraError{Err: err}
	}
	client, err := hubble.Dial(ctx, kc)
	if err != nil {
		return cli.InfraError{Err: err}
	}
	defer client.Close()
	lines := json.NewEncoder(a.Out)
	err = client.Flows(ctx, query, func(res *observerpb.GetFlowsResponse) error {
		switch {
		case asJSON:
			return lines.Encode(res)
		case res.GetFlow() != nil:
			s := hubble.Summarize(res.GetFlow())
			if s.Reply && !replies {
				return nil
			}
			_, err := fmt.Fprintf(a.Out, "%s  %s\n", res.GetTime().AsTime().Local().Format("15:04:05.000"), s)
			return err
		case res.GetLostEvents() != nil:
			a.Log().Warn("Hubble lost events", "node", res.GetNodeName(), "count",
				res.GetLostEvents().GetNumEventsLost())
		case res.GetNodeStatus().GetStateChange() == relaypb.NodeState_NODE_UNAVAILABLE:
			a.Log().Warn("flows of these nodes are missing: the relay is not connected to them",
				"nodes", res.GetNodeStatus().GetNodeNames())
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return cli.InfraError{Err: err}
	}
	return err
}
