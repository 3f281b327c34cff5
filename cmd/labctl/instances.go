package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/provision"
)

func newListCommand(app *app) *cobra.Command {
	var (
		site   siteFlags
		output outputFlag
	)
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the lab instances and how their clusters are",
		Example: `  labctl list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := app.manager(&site)
			if err != nil {
				return err
			}
			list, err := m.List(cmd.Context())
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.json() {
				return app.writeJSON(struct {
					FormatVersion int                `json:"format_version"`
					Instances     []provision.Listed `json:"instances"`
				}{1, list})
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(app.out, "There is no lab instance: make one with labctl up LAB.")
				return err
			}
			w := tabwriter.NewWriter(app.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tLAB\tCLUSTER\tSTATE\tCREATED")
			for _, l := range list {
				state := string(l.State)
				if !l.Complete {
					state += ", not complete"
				}
				if l.Detail != "" {
					state += " (" + l.Detail + ")"
				}
				fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\n", l.Name, l.Lab, l.Provider, l.Cluster, state, l.Created.Local().Format("2006-01-02 15:04"))
			}
			return w.Flush()
		},
	}
	site.register(cmd)
	output.register(cmd)
	return cmd
}

func newKubeconfigCommand(app *app) *cobra.Command {
	var merge string
	cmd := &cobra.Command{
		Use:   "kubeconfig [INSTANCE]",
		Short: "Print a lab's kubeconfig, or add it to another",
		Example: `  labctl kubeconfig > lab.kubeconfig
  labctl kubeconfig --merge ~/.kube/config`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := kubeconfigOf(args)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return infraError{err}
			}
			if merge != "" {
				return infra(cmd.Context(), kube.MergeKubeconfig(merge, data))
			}
			_, err = app.out.Write(data)
			return err
		},
	}
	cmd.Flags().StringVar(&merge, "merge", "", "add the cluster to this kubeconfig `FILE`, and make it the current one there")
	return cmd
}

// kubeconfigOf is the path of the kubeconfig of the instance that a command line means.
func kubeconfigOf(args []string) (string, error) {
	s := store()
	name, err := instance(s, args)
	if err != nil {
		return "", err
	}
	if _, err := s.Read(name); err != nil {
		if errors.Is(err, provision.ErrNoInstance) {
			return "", err
		}
		return "", infraError{err}
	}
	path := s.Kubeconfig(name)
	if _, err := os.Stat(path); err != nil {
		return "", infraError{fmt.Errorf("the lab instance %q has no kubeconfig yet: finish it with labctl up", name)}
	}
	return path, nil
}

func newEnvCommand(app *app) *cobra.Command {
	var shell string
	cmd := &cobra.Command{
		Use:   "env [INSTANCE]",
		Short: "Print the line that makes kubectl use a lab in this shell",
		Example: `  eval "$(labctl env)"
  labctl env --shell fish | source`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := kubeconfigOf(args)
			if err != nil {
				return err
			}
			line, err := exportLine(shell, path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(app.out, line)
			return err
		},
	}
	cmd.Flags().StringVar(&shell, "shell", "sh", "`SHELL` that is to read it: sh, fish or powershell")
	complete(cmd, "shell", "sh", "fish", "powershell")
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
	return "", fmt.Errorf("--shell %s: want sh, fish or powershell", shell)
}
