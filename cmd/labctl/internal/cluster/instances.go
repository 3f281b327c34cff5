package cluster

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewListCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		output cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List lab instances and the state of their clusters",
		Long:    `List the lab instances on this machine, with their clusters and the state of these.`,
		Example: `  labctl list`,
		Args:    cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := newManager(app, &site)
			if err != nil {
				return err
			}
			list, err := m.List(cmd.Context())
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.Json() {
				return app.WriteJSON(struct {
					FormatVersion int                `json:"format_version"`
					Instances     []provision.Listed `json:"instances"`
				}{1, list})
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(app.Out, "There is no lab instance. Create one with: labctl up LAB")
				return err
			}
			w := tabwriter.NewWriter(app.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tLAB\tCLUSTER\tSTATE\tCREATED")
			for _, l := range list {
				state := string(l.State)
				if !l.Complete {
					state += ", incomplete"
				}
				if l.Detail != "" {
					state += " (" + l.Detail + ")"
				}
				fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\n", l.Name, l.Lab, l.Provider, l.Cluster, state,
					l.Created.Local().Format("2006-01-02 15:04"))
			}
			return w.Flush()
		},
	}
	site.register(cmd)
	output.Register(cmd)
	return cmd
}

func NewKubeconfigCommand(app *cli.App) *cobra.Command {
	var (
		site  siteFlags
		merge string
	)
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig of a lab instance, or add it to another file",
		Long: `Print the kubeconfig of a lab instance, or add its context to another kubeconfig file, as labctl-INSTANCE. The file's
own contexts never change. "labctl down" removes the context and restores the current one.`,
		Example: `  labctl kubeconfig > lab.kubeconfig
  labctl kubeconfig --merge ~/.kube/config`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := kubeconfigOf(&site, args)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return cli.InfraError{Err: err}
			}
			if merge != "" {
				m, name, err := managed(app, &site, args)
				if err != nil {
					return err
				}
				return infra(cmd.Context(), m.MergeKubeconfig(cmd.Context(), name, merge))
			}
			_, err = app.Out.Write(data)
			return err
		},
	}
	site.registerInstance(app, cmd)
	cmd.Flags().StringVar(&merge, "merge", "", "add the cluster to this kubeconfig `FILE`, as its current context")
	return cmd
}

// kubeconfigOf is the path of the kubeconfig of the instance that a command line means.
func kubeconfigOf(site *siteFlags, args []string) (string, error) {
	s := store()
	name, err := choose(s, site.instance, args)
	if err != nil {
		return "", err
	}
	if _, err := s.Read(name); err != nil {
		if errors.Is(err, provision.ErrNoInstance) {
			return "", err
		}
		return "", cli.InfraError{Err: err}
	}
	path := s.Kubeconfig(name)
	if _, err := os.Stat(path); err != nil {
		return "", cli.InfraError{Err: fmt.Errorf(
			"the lab instance %q has no kubeconfig yet; complete it with \"labctl up\"", name)}
	}
	return path, nil
}

func NewEnvCommand(app *cli.App) *cobra.Command {
	var (
		site  siteFlags
		shell string
	)
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print a shell command that points kubectl at a lab instance",
		Long:  `Print a shell command that sets KUBECONFIG, so that kubectl talks to a lab instance in this shell.`,
		Example: `  eval "$(labctl env)"
  labctl env --shell fish | source`,
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := kubeconfigOf(&site, args)
			if err != nil {
				return err
			}
			line, err := exportLine(shell, path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(app.Out, line)
			return err
		},
	}
	site.registerInstance(app, cmd)
	cmd.Flags().StringVar(&shell, "shell", "sh", "`SHELL` to print for: sh, fish or powershell")
	cli.Complete(cmd, "shell", "sh", "fish", "powershell")
	return cmd
}

func exportLine(shell, path string) (string, error) {
	switch shell {
	case "sh", "bash", "zsh":
		return "export KUBECONFIG='" + strings.ReplaceAll(path, "'", `'\''`) + "'", nil
	case "fish":
		return "set -gx KUBECONFIG '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(path) + "'", nil
	case "powershell":
		return "$Env:KUBECONFIG = '" + strings.ReplaceAll(path, "'", "''") + "'", nil
	}
	return "", fmt.Errorf("invalid --shell %q: use sh, fish or powershell", shell)
}
