package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/gke"
)

func newGCCommand(app *app) *cobra.Command {
	var (
		site    siteFlags
		output  outputFlag
		project string
		yes     bool
	)
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Find and delete clusters in the cloud that labs have left behind",
		Long: `Find and delete clusters in the cloud that labs have left behind: those that have outlived the ttl of their lab,
whoever made them, and your own that no lab instance on this machine knows any more. Every cluster that labctl makes at
Google carries labels that say which lab and instance it is for, whose it is and until when.

All of labctl's clusters in the project are shown first. Nothing is deleted before you have said yes, or --yes.

Exit code: 0 listed, or deleted what was to go; 3 Google does not answer, or a cluster could not be deleted.`,
		Example: `  labctl gc
  labctl gc --project my-course --yes
  labctl gc -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := app.manager(&site)
			if err != nil {
				return err
			}
			block := labs.Cluster{Provider: gke.Name, Settings: map[string]any{}}
			if project != "" {
				block.Settings["project"] = project
			}
			list, err := m.Leftovers(cmd.Context(), block)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			remove := provision.Collected(list)
			if output.json() {
				if yes && len(remove) > 0 {
					if err := m.Collect(cmd.Context(), block, remove); err != nil {
						return infra(cmd.Context(), err)
					}
				}
				return app.writeJSON(struct {
					FormatVersion int                  `json:"format_version"`
					Clusters      []provision.Leftover `json:"clusters"`
					Deleted       bool                 `json:"deleted"` // those that have a reason
				}{1, list, yes})
			}
			if err := app.showLeftovers(list); err != nil || len(remove) == 0 {
				return err
			}
			if !yes {
				if ok, err := app.confirm(fmt.Sprintf("\nDelete %s with everything in it?", count(len(remove), "cluster"))); err != nil || !ok {
					return err
				}
			}
			fmt.Fprintf(app.err, "deleting %s, which takes some minutes\n", count(len(remove), "cluster"))
			if err := m.Collect(cmd.Context(), block, remove); err != nil {
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintf(app.out, "%s deleted.\n", count(len(remove), "cluster"))
			return err
		},
	}
	site.register(cmd)
	output.register(cmd)
	cmd.Flags().StringVar(&project, "project", "", "Google Cloud `PROJECT` to look in (default: that of your credentials)")
	cmd.Flags().BoolVar(&yes, "yes", false, "delete without asking")
	return cmd
}

func (a *app) showLeftovers(list []provision.Leftover) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(a.out, "There is no cluster that labctl made.")
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tWHERE\tLAB\tOWNER\tSTATE\tCREATED\tEXPIRES\t")
	day := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Local().Format("2006-01-02 15:04")
	}
	for _, l := range list {
		why := ""
		if l.Why != "" {
			why = "to delete: " + l.Why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Place, l.Lab, l.Owner, l.State, day(l.Created), day(l.Expires), why)
	}
	return w.Flush()
}

// confirm asks a person; nobody there to ask is a no, and says how to say yes.
func (a *app) confirm(question string) (bool, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		_, err := fmt.Fprintln(a.out, "\nNothing is deleted: say --yes to delete them.")
		return false, err
	}
	fmt.Fprint(a.out, question+" Type yes: ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
}

func newGKECredentialsCommand(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "gke-credentials",
		Short: "Print a short-lived token for kubectl (kubeconfig files call this)",
		Long: `Print a short-lived token for a cluster on GKE, by your Application Default Credentials, in the form that kubectl and
other clients of Kubernetes expect from a credential plugin. The kubeconfig files of labs on GKE call it; they hold no secret.`,
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := gke.Credential(cmd.Context())
			if err != nil {
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintf(app.out, "%s\n", data)
			return err
		},
	}
}
