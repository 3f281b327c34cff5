package cluster

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
	"github.com/labctl/labctl/provision/gke"
)

func NewGCCommand(app *cli.App) *cobra.Command {
	var (
		site    siteFlags
		output  cli.OutputFlag
		project string
		yes     bool
	)
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Find and delete leftover clusters in the cloud",
		Long: `Find and delete leftover clusters on Google Cloud: clusters that are older than the ttl of their lab, and your own
clusters that belong to no lab instance on this machine. labctl labels every cluster that it creates with its lab,
instance, owner and expiry.

labctl first lists all its clusters in the project. It deletes nothing until you confirm, or give --yes.

Exit code: 0 listed, or deleted; 3 Google does not answer, or a cluster could not be deleted.`,
		Example: `  labctl gc
  labctl gc --project my-course --yes
  labctl gc -o json`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := newManager(app, &site)
			if err != nil {
				return err
			}
			block := labs.Cluster{Provider: gke.Name, Settings: map[string]any{}}
			if project != "" {
				block.Settings["project"] = project
			}
			list, err := m.Orphans(cmd.Context(), block)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			remove := provision.Prunable(list)
			if output.Json() {
				if yes && len(remove) > 0 {
					if err := m.Prune(cmd.Context(), block, remove); err != nil {
						return infra(cmd.Context(), err)
					}
				}
				return app.WriteJSON(struct {
					FormatVersion int                `json:"format_version"`
					Clusters      []provision.Orphan `json:"clusters"`
					Deleted       bool               `json:"deleted"` // those that have a reason
				}{1, list, yes})
			}
			if err := showLeftovers(app, list); err != nil || len(remove) == 0 {
				return err
			}
			if !yes {
				if ok, err := confirm(app, fmt.Sprintf("\nDelete %s and everything in them?",
					wording.Count(len(remove), "cluster"))); err != nil || !ok {
					return err
				}
			}
			fmt.Fprintf(app.Err, "deleting %s; this takes some minutes\n", wording.Count(len(remove), "cluster"))
			if err := m.Prune(cmd.Context(), block, remove); err != nil {
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintf(app.Out, "%s deleted.\n", wording.Count(len(remove), "cluster"))
			return err
		},
	}
	site.register(cmd)
	output.Register(cmd)
	cmd.Flags().StringVar(&project, "project", "", "Google Cloud `PROJECT` (default: the one of your credentials)")
	cmd.Flags().BoolVar(&yes, "yes", false, "delete without asking")
	return cmd
}

func showLeftovers(a *cli.App, list []provision.Orphan) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(a.Out, "There are no clusters that labctl created.")
		return err
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Place, l.Lab, l.Owner, l.State, day(l.Created),
			day(l.Expires), why)
	}
	return w.Flush()
}

// confirm asks a person; nobody there to ask is a no, and says how to say yes.
func confirm(a *cli.App, question string) (bool, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		_, err := fmt.Fprintln(a.Out, "\nNothing deleted. Rerun with --yes to delete them.")
		return false, err
	}
	fmt.Fprint(a.Out, question+" Type yes: ")
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
}

func NewGKECredentialsCommand(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "gke-credentials",
		Short:   "Print a short-lived token for kubectl (kubeconfig files call this)",
		Example: `  labctl gke-credentials`,
		Long: `Print a short-lived token for a GKE cluster, from your Application Default Credentials, as a kubectl credential plugin.
The kubeconfig files of labs on GKE call this command, and hold no secret themselves.`,
		Args:   cli.Args(0, 0),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := gke.Credential(cmd.Context())
			if err != nil {
				return infra(cmd.Context(), err)
			}
			_, err = fmt.Fprintf(app.Out, "%s\n", data)
			return err
		},
	}
}
