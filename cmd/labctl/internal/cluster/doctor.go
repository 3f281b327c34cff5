package cluster

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

func NewDoctorCommand(app *cli.App) *cobra.Command {
	var (
		lab    cli.LabFlags
		site   siteFlags
		output cli.OutputFlag
		on     string
	)
	cmd := &cobra.Command{
		Use:   "doctor [LAB]",
		Short: "Check whether this machine can run labs, and suggest fixes",
		Long: `Check whether this machine can run labs, and suggest fixes. labctl checks the container engine, memory, disk space,
kernel limits, ports, the site's settings and Cilium's chart.

Exit code: 0 this machine can run labs, perhaps with warnings; 3 it cannot.`,
		Example: `  labctl doctor
  labctl doctor networkpolicy -o json`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newManager(app, &site)
			if err != nil {
				return err
			}
			var l *labs.Lab
			if len(args) > 0 {
				if l, err = lab.Load(args[0]); err != nil {
					return err
				}
			}
			findings, err := m.Doctor(cmd.Context(), l, on)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			bad := slices.ContainsFunc(findings, func(f provision.Finding) bool {
				return f.Severity == provision.Failure
			})
			if output.Json() {
				err = app.WriteJSON(struct {
					FormatVersion int                 `json:"format_version"`
					OK            bool                `json:"ok"`
					Findings      []provision.Finding `json:"findings"`
				}{1, !bad, findings})
			} else {
				err = showFindings(app, findings)
			}
			if err == nil && bad {
				return cli.Reported{Err: cli.InfraError{Err: errors.New("this machine cannot run labs")}}
			}
			return err
		},
	}
	lab.Register(cmd)
	site.register(cmd)
	site.registerSettings(cmd)
	output.Register(cmd)
	cmd.Flags().StringVar(&on, "on", "", "`PROVIDER` of the cluster block to check for (default: the lab's first)")
	return cmd
}

func showFindings(a *cli.App, findings []provision.Finding) error {
	marks := map[provision.Severity]string{provision.OK: "✓", provision.Warning: "!", provision.Failure: "✗"}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		mark := marks[f.Severity]
		if a.Terminal.Color {
			mark = markColors[mark] + mark + "\x1b[0m"
		}
		text := a.Hang(fmt.Sprintf("%s %-*s  ", mark, width, f.Check), f.Message)
		if f.Fix != "" {
			text += a.Hang(fmt.Sprintf("  %*s  → ", width, ""), f.Fix)
		}
		if _, err := fmt.Fprint(a.Out, text); err != nil {
			return err
		}
	}
	return nil
}

func NewLogsCommand(app *cli.App) *cobra.Command {
	var (
		site siteFlags
		to   string
	)
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Collect diagnostics of a lab instance into an archive",
		Long: `Collect diagnostics of a lab instance into one archive, for example to ask for help with a lab that fails.

The archive holds the instance's state, the cluster's objects and events, the logs of pods and nodes, and Cilium's
status. It holds no Secrets, no kubeconfig, no values of variables and no passwords in URLs, and of a cluster that
others use, too, only what is the lab's. labctl prints the name of the file.`,
		Example: `  labctl logs
  labctl logs --instance networkpolicy --to logs.tar.gz
  labctl logs --to - | tar -tz`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			if to == "-" {
				return infra(cmd.Context(), m.Logs(cmd.Context(), name, app.Out))
			}
			if to == "" {
				to = "labctl-" + name + ".tar.gz"
			}
			f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				return cli.InfraError{Err: err}
			}
			err = m.Logs(cmd.Context(), name, f)
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				os.Remove(to)
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintln(app.Out, to)
			return err
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	cmd.Flags().StringVar(&to, "to", "", "`FILE` to write, or - for standard output (default: labctl-INSTANCE.tar.gz)")
	return cmd
}
