package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

func newDoctorCommand(app *app) *cobra.Command {
	var (
		lab    labFlags
		site   siteFlags
		output outputFlag
		on     string
	)
	cmd := &cobra.Command{
		Use:   "doctor [LAB]",
		Short: "Look whether this machine can run labs, and say what to do about what is in the way",
		Long: `Look whether this machine can run labs, and say what to do about what is in the way: the container engine,
memory, disk, kernel limits, ports, the site's settings and the chart.

Exit code: 0 nothing is in the way, perhaps with warnings; 3 something is.`,
		Example: `  labctl doctor
  labctl doctor networkpolicy -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := app.manager(&site)
			if err != nil {
				return err
			}
			var l *labs.Lab
			if len(args) > 0 {
				if l, err = lab.load(args[0]); err != nil {
					return err
				}
			}
			findings, err := m.Doctor(cmd.Context(), l, on)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			bad := slices.ContainsFunc(findings, func(f provision.Finding) bool { return f.Severity == provision.Failure })
			if output.json() {
				err = app.writeJSON(struct {
					FormatVersion int                 `json:"format_version"`
					OK            bool                `json:"ok"`
					Findings      []provision.Finding `json:"findings"`
				}{1, !bad, findings})
			} else {
				err = app.showFindings(findings)
			}
			if err == nil && bad {
				return statusError(exitInfra)
			}
			return err
		},
	}
	lab.register(cmd)
	site.register(cmd)
	site.registerSettings(cmd)
	output.register(cmd)
	cmd.Flags().StringVar(&on, "on", "", "`PROVIDER` of the cluster block to check for (default: the lab's first)")
	return cmd
}

func (a *app) showFindings(findings []provision.Finding) error {
	marks := map[provision.Severity]string{provision.OK: "✓", provision.Warning: "!", provision.Failure: "✗"}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		mark := marks[f.Severity]
		if a.terminal.color {
			mark = markColors[mark] + mark + "\x1b[0m"
		}
		if _, err := fmt.Fprintf(a.out, "%s %-*s  %s\n", mark, width, f.Check, f.Message); err != nil {
			return err
		}
		if f.Fix != "" {
			fmt.Fprintf(a.out, "  %*s  → %s\n", width, "", f.Fix)
		}
	}
	return nil
}

func newLogsCommand(app *app) *cobra.Command {
	var (
		site siteFlags
		to   string
	)
	cmd := &cobra.Command{
		Use:   "logs [INSTANCE]",
		Short: "Collect what helps to find out why a lab does not work into one archive",
		Long: `Collect what helps to find out why a lab does not work into one archive: the state of the instance, the
cluster's objects, events and logs, Cilium's status, the nodes' logs. Secrets and the kubeconfig stay out.`,
		Example:           `  labctl logs --to labctl-logs.tar.gz`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := app.managed(&site, args)
			if err != nil {
				return err
			}
			if to == "-" {
				return infra(cmd.Context(), m.Logs(cmd.Context(), name, app.out))
			}
			if to == "" {
				to = "labctl-" + name + ".tar.gz"
			}
			f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				return infraError{err}
			}
			err = m.Logs(cmd.Context(), name, f)
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				os.Remove(to)
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintln(app.out, to)
			return err
		},
	}
	site.register(cmd)
	cmd.Flags().StringVar(&to, "to", "", "`FILE` to write, - for standard output (default labctl-INSTANCE.tar.gz)")
	return cmd
}
