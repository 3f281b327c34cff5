package cluster

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewDownCommand(app *cli.App) *cobra.Command {
	var (
		site siteFlags
		all  bool
	)
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Delete a lab instance and verify that nothing is left",
		Long: `Delete a lab instance and verify that nothing is left of it: its cluster, its entries in kubeconfig files, and its
state. In a cluster that labctl did not create, it deletes only what labctl created there.`,
		Example: `  labctl down
  labctl down --instance networkpolicy
  labctl down --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newManager(app, &site)
			if err != nil {
				return err
			}
			var names []string
			if all {
				if len(args) > 0 || site.instance != "" {
					return errors.New("--all deletes all instances; leave out --instance")
				}
				if names, err = m.Store.Names(); err != nil {
					return infra(cmd.Context(), err)
				}
			} else {
				name, err := choose(m.Store, site.instance, args)
				if err != nil {
					return err
				}
				names = []string{name}
			}
			view := newProgress(app)
			defer view.close()
			m.Report = view.event
			var failed error
			for _, name := range names {
				// A lab that cannot be read any more must not keep its cluster alive.
				lab, err := labOf(m.Store, name)
				if err != nil {
					app.Log().Debug("read the lab", "error", err)
				}
				failed = errors.Join(failed, m.Down(cmd.Context(), lab, name))
			}
			return infra(cmd.Context(), failed)
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all lab instances")
	return cmd
}

func NewResetCommand(app *cli.App) *cobra.Command {
	var (
		site   siteFlags
		output cli.OutputFlag
		hard   bool
	)
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Restore a lab instance to its deployed state",
		Long: `Restore a lab instance to its deployed state: delete the policies that were added, restore the namespace labels, and
redeploy the apps that were changed. In a cluster that labctl did not create, objects of others are kept.`,
		Example: `  labctl reset
  labctl reset --hard`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			lab, err := labOf(m.Store, name)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			start := app.Now()
			result, err := m.Reset(cmd.Context(), lab, name, hard)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.Json() {
				return app.WriteJSON(struct {
					FormatVersion int `json:"format_version"`
					*provision.Reset
				}{1, result})
			}
			for _, p := range result.Deleted {
				fmt.Fprintf(app.Out, "deleted   %s\n", p)
			}
			for _, ns := range result.Labels {
				fmt.Fprintf(app.Out, "restored  labels of namespace %s\n", ns)
			}
			for _, obj := range result.Restored {
				fmt.Fprintf(app.Out, "restored  %s\n", obj)
			}
			for _, what := range result.Left {
				fmt.Fprintf(app.Out, "kept      %s: others use this cluster, and it may be theirs\n", what)
			}
			fmt.Fprintf(app.Out, "%s is in its deployed state (%.1f s).\n", name, app.Now().Sub(start).Seconds())
			return nil
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	site.registerSettings(cmd)
	output.Register(cmd)
	cmd.Flags().BoolVar(&hard, "hard", false, "also redeploy all apps")
	return cmd
}

func NewPauseCommand(app *cli.App) *cobra.Command {
	var site siteFlags
	cmd := &cobra.Command{
		Use:     "pause",
		Short:   "Stop the nodes of a lab instance",
		Long:    `Stop the nodes of a lab instance. "labctl resume" starts them again, with everything that is in them.`,
		Example: `  labctl pause`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			if err := m.Pause(cmd.Context(), name); err != nil {
				return infra(cmd.Context(), err)
			}
			fmt.Fprintf(app.Out, "%s is paused. Resume it with: labctl resume --instance %s\n", name, name)
			return nil
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	return cmd
}

func NewResumeCommand(app *cli.App) *cobra.Command {
	var site siteFlags
	cmd := &cobra.Command{
		Use:     "resume",
		Short:   "Start the nodes of a paused lab instance and wait until it is ready",
		Long:    `Start the nodes of a paused lab instance, and wait until Cilium and the apps are ready.`,
		Example: `  labctl resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := managed(app, &site, args)
			if err != nil {
				return err
			}
			lab, err := labOf(m.Store, name)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			view := newProgress(app)
			defer view.close()
			m.Report = view.event
			return infra(cmd.Context(), m.Resume(cmd.Context(), lab, name))
		},
	}
	site.register(cmd)
	site.registerInstance(app, cmd)
	site.registerSettings(cmd)
	return cmd
}
