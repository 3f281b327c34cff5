package main

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

func newObserveCommand(app *app) *cobra.Command {
	var (
		site   siteFlags
		flags  observeFlags
		output outputFlag
		name   string
	)
	cmd := &cobra.Command{
		Use:   "observe",
		Short: "Show the network flows of a lab's pods, as Hubble sees them",
		Long: `Show the network flows of a lab's pods, as Hubble sees them: who talked to whom, what became of it, at which
side that was decided, and the policy that allowed or denied it. A drop by default deny names no policy: no rule
decided it, and "labctl explain" says which one came nearest.

Without --last, --since or --follow it shows the last 20 flows. -o json prints what "hubble observe -o json"
prints, one flow a line. Answers are left out of the text unless --replies is given.`,
		Example: `  labctl observe --app backend --verdict dropped
  labctl observe --from frontend --to backend --follow
  labctl observe --since 5m --protocol dns -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := app.manager(&site)
			if err != nil {
				return err
			}
			var args []string
			if name != "" {
				args = []string{name}
			}
			if name, err = instance(m.Store, args); err != nil {
				return err
			}
			query, err := flags.query(m, name, app.now())
			if err != nil {
				return err
			}
			return app.observe(cmd.Context(), m.Store.Kubeconfig(name), query, flags.replies, output.json())
		},
	}
	site.register(cmd)
	output.register(cmd)
	f := cmd.Flags()
	f.StringVar(&name, "instance", "", "the lab `INSTANCE`, when there are several")
	f.StringSliceVar(&flags.apps, "app", nil, "flows with this `APP` at either end; NAMESPACE/POD names pods")
	f.StringSliceVar(&flags.from, "from", nil, "flows from this `APP`")
	f.StringSliceVar(&flags.to, "to", nil, "flows to this `APP`")
	f.StringSliceVar(&flags.verdicts, "verdict", nil, "flows with this `VERDICT`: forwarded, dropped, redirected, error, …")
	f.StringSliceVar(&flags.protocols, "protocol", nil, "flows of this `PROTOCOL`: tcp, udp, icmp, dns, http, …")
	f.IntSliceVar(&flags.ports, "port", nil, "flows to this destination `PORT`")
	f.StringVar(&flags.since, "since", "", "flows since a `TIME`: 5m ago, or 2006-01-02T15:04:05Z")
	f.StringVar(&flags.until, "until", "", "flows until a `TIME`")
	f.IntVar(&flags.last, "last", 0, "the last `N` flows")
	f.BoolVar(&flags.follow, "follow", false, "go on with what comes, until Ctrl-C")
	f.BoolVar(&flags.replies, "replies", false, "show answers too")
	complete(cmd, "verdict", hubble.Verdicts()...)
	return cmd
}

// query is what the flags ask for. Pods of the lab's apps are meant unless something else is named.
func (f *observeFlags) query(m *provision.Manager, name string, now time.Time) (hubble.Query, error) {
	q := hubble.Query{Verdicts: f.verdicts, Protocols: f.protocols, Ports: f.ports, Last: f.last, Follow: f.follow}
	state, err := m.Store.Read(name)
	if err != nil {
		return q, err
	}
	lab, err := state.Lab.Load(release)
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
		return t, fmt.Errorf("%q: want a duration such as 5m, or a time such as 2006-01-02T15:04:05Z", text)
	}
	return t, nil
}

func (a *app) observe(ctx context.Context, kubeconfig string, query hubble.Query, replies, asJSON bool) error {
	kc, err := kube.Open(kubeconfig, "")
	if err != nil {
		return infraError{err}
	}
	client, err := hubble.Dial(ctx, kc)
	if err != nil {
		return infraError{err}
	}
	defer client.Close()
	lines := json.NewEncoder(a.out)
	err = client.Flows(ctx, query, func(res *observerpb.GetFlowsResponse) error {
		switch {
		case asJSON:
			return lines.Encode(res)
		case res.GetFlow() != nil:
			s := hubble.Summarize(res.GetFlow())
			if s.Reply && !replies {
				return nil
			}
			_, err := fmt.Fprintf(a.out, "%s  %s\n", res.GetTime().AsTime().Local().Format("15:04:05.000"), s)
			return err
		case res.GetLostEvents() != nil:
			a.log().Warn("Hubble lost events", "node", res.GetNodeName(), "count", res.GetLostEvents().GetNumEventsLost())
		case res.GetNodeStatus().GetStateChange() == relaypb.NodeState_NODE_UNAVAILABLE:
			a.log().Warn("flows of these nodes are missing: the relay is not connected to them", "nodes", res.GetNodeStatus().GetNodeNames())
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return infraError{err}
	}
	return err
}
