package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

func newExplainCommand(app *app) *cobra.Command {
	var (
		labFlags             labFlags
		engine               engineFlags
		output               outputFlag
		submission, task     string
		via, protocol        string
		httpMethod, httpPath string
		inspect              inspectFlags
	)
	cmd := &cobra.Command{
		Use:   "explain LAB FROM TO[:PORT]",
		Short: "Say what becomes of one connection, which rule decides it, and what would change it",
		Long: `Say what becomes of one connection, which rule decides it, and what would change it.

FROM is an app or external of the lab, or node:NAME. TO is one of them too, or an address, or dns:NAME for
a look-up; PORT is a number or the name of an app's port, and may be left out where there is only one. The
state is the one at the end of the task that --task names, by default the last; without --submission it is
the lab as it is handed out.`,
		Example: `  labctl explain networkpolicy frontend backend --submission answers/
  labctl explain networkpolicy frontend backend:8080 --submission answers/ --task frontend-egress-deny --via ip
  labctl explain networkpolicy frontend backend --live
  labctl explain networkpolicy backend internet:443 -o json`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: completeArgs(completeLab, completeEndpoint, completeEndpoint),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := labFlags.load(args[0])
			if err != nil {
				return err
			}
			probe := grade.Probe{}
			if probe.From, err = flow.ParseSource(lab, args[1]); err != nil {
				return err
			}
			if via != "" && via != string(labs.ViaService) && via != string(labs.ViaIP) && via != string(labs.ViaCluster) {
				return fmt.Errorf("--via %s: want service, ip or cluster_ip", via)
			}
			if probe.To, err = flow.ParseTarget(lab, args[2], labs.Via(via), protocol); err != nil {
				return err
			}
			if httpMethod != "" || httpPath != "" {
				probe.To.HTTP = &labs.HTTP{Method: httpMethod, Path: httpPath}
			}
			var explanation *flow.Explanation
			if inspect.live {
				o, err := app.inspect(cmd.Context(), &inspect, &engine, lab)
				if err != nil {
					return err
				}
				defer o.Close()
				if explanation, err = o.explain(cmd.Context(), probe); err != nil {
					return err
				}
			} else {
				run, err := app.prepare(lab, submission, &engine)
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
			if output.json() {
				return app.writeJSON(struct {
					FormatVersion int        `json:"format_version"`
					Lab           labSummary `json:"lab"`
					*flow.Explanation
				}{1, labSummary{lab.Name, lab.Digest}, explanation})
			}
			return report.Explanation(app.out, explanation, app.style())
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	output.register(cmd)
	registerSubmission(cmd, &submission)
	registerTask(cmd, &task)
	inspect.register(cmd)
	cmd.Flags().StringVar(&via, "via", "", "how an app is addressed: service (by name, the default), ip or cluster_ip")
	cmd.Flags().StringVar(&protocol, "protocol", "", "TCP, UDP, SCTP or ICMP; default the port's")
	cmd.Flags().StringVar(&httpMethod, "method", "", "judge an HTTP request with this method")
	cmd.Flags().StringVar(&httpPath, "path", "", "judge an HTTP request for this path")
	complete(cmd, "via", "service", "ip", "cluster_ip")
	complete(cmd, "protocol", "TCP", "UDP", "SCTP", "ICMP")
	return cmd
}
