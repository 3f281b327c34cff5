package student

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

func NewExplainCommand(app *cli.App) *cobra.Command {
	var (
		labFlags             cli.LabFlags
		engineFlags          cli.EngineFlags
		output               cli.OutputFlag
		submission, task     string
		via, protocol        string
		httpMethod, httpPath string
		inspect              inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "explain LAB FROM TO[:PORT]",
		Short: "Explain whether a connection gets through, which rule decides it, and what would change it",
		Long: `Explain whether a connection gets through, which rule decides it, and what would change it.

FROM is an app or external host of the lab, node:NAME, or entity:NAME for host, remote-node or kube-apiserver. TO is
the same, or an IP address, or dns:NAME for a DNS lookup. PORT is a number or the name of an app's port; leave it out
if the app has only one port.

labctl uses the policies at the end of the task that --task names, by default the last. Without --submission it
uses the lab as students receive it, and with --live the running lab.`,
		Example: `  labctl explain networkpolicy frontend backend --submission answers/
  labctl explain networkpolicy frontend backend:8080 --submission answers/ --task frontend-egress-deny --via ip
  labctl explain networkpolicy frontend backend --live
  labctl explain networkpolicy backend internet:443 -o json`,
		Args:              cli.Args(3, 3),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab, completeEndpoint, completeEndpoint),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.Load(args[0])
			if err != nil {
				return err
			}
			probe := engine.Probe{}
			if probe.From, err = flow.ParseSource(lab, args[1]); err != nil {
				return err
			}
			if via != "" && via != string(labs.ViaService) && via != string(labs.ViaIP) &&
				via != string(labs.ViaCluster) {
				return fmt.Errorf("invalid --via %q: use service, ip or cluster_ip", via)
			}
			if probe.To, err = flow.ParseTarget(lab, args[2], labs.Via(via), protocol); err != nil {
				return err
			}
			if httpMethod != "" || httpPath != "" {
				probe.To.HTTP = &labs.HTTP{Method: httpMethod, Path: httpPath, Status: http.StatusOK}
			}
			var explanation *flow.Explanation
			if inspect.live {
				o, err := openInspected(cmd.Context(), app, &inspect, &engineFlags, lab)
				if err != nil {
					return err
				}
				defer o.Close()
				if explanation, err = o.explain(cmd.Context(), probe); err != nil {
					return err
				}
			} else {
				run, err := prepare(app, lab, submission, named(task), &engineFlags)
				if err != nil {
					return err
				}
				state, err := run.state(task)
				if err != nil {
					return err
				}
				if explanation, err = flow.Explain(cmd.Context(), run.engine, state, probe); err != nil {
					return err
				}
			}
			if output.Json() {
				return app.WriteJSON(struct {
					FormatVersion int        `json:"format_version"`
					Lab           labSummary `json:"lab"`
					*flow.Explanation
				}{1, labSummary{lab.Name, lab.Digest}, explanation})
			}
			if submission == "" && !inspect.live {
				explanation.Task += ", with nothing submitted"
			}
			return report.Explanation(app.Out, explanation, app.Style())
		},
	}
	labFlags.Register(cmd)
	engineFlags.RegisterSemantics(cmd)
	output.Register(cmd)
	registerSubmission(cmd, &submission)
	registerTask(cmd, &task)
	inspect.register(app, cmd)
	cmd.Flags().StringVar(&via, "via", "", "address of an app: service (its name, the default), ip or cluster_ip")
	cmd.Flags().StringVar(&protocol, "protocol", "", "TCP, UDP, SCTP or ICMP (default: the port's protocol)")
	cmd.Flags().StringVar(&httpMethod, "method", "", "evaluate an HTTP request with this method")
	cmd.Flags().StringVar(&httpPath, "path", "", "evaluate an HTTP request for this path")
	cli.Complete(cmd, "via", "service", "ip", "cluster_ip")
	cli.Complete(cmd, "protocol", "TCP", "UDP", "SCTP", "ICMP")
	return cmd
}
