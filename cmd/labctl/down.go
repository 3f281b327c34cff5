package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/provision"
)

func newDownCommand(app *app) *cobra.Command {
	var (
		site siteFlags
		all  bool
	)
	cmd := &cobra.Command{
		Use:   "down [INSTANCE]",
		Short: "Remove a lab instance and look that nothing of it is left",
		Long: `Remove a lab instance and look that nothing of it is left: its cluster or, from a cluster that labctl did not
make, what labctl made there; its entries in kubeconfig files; its state.`,
		Example: `  labctl down networkpolicy
  labctl down --all`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := app.manager(&site)
			if err != nil {
				return err
			}
			names := args
			if all {
				if len(args) > 0 {
					return errors.New("--all takes no INSTANCE")
				}
				if names, err = m.Store.Names(); err != nil {
					return infra(cmd.Context(), err)
				}
			} else if len(args) == 0 {
				name, err := instance(m.Store, nil)
				if err != nil {
					return err
				}
				names = []string{name}
			}
			view := app.newProgress()
			defer view.close()
			m.Report = view.event
			var failed error
			for _, name := range names {
				// A lab that cannot be read any more must not keep its cluster alive.
				lab, err := labOf(m.Store, name)
				if err != nil {
					app.log().Debug("read the lab", "error", err)
				}
				failed = errors.Join(failed, m.Down(cmd.Context(), lab, name))
			}
			return infra(cmd.Context(), failed)
		},
	}
	site.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "remove all lab instances")
	return cmd
}

func newResetCommand(app *app) *cobra.Command {
	var (
		site   siteFlags
		output outputFlag
		hard   bool
	)
	cmd := &cobra.Command{
		Use:   "reset [INSTANCE]",
		Short: "Take back what was done in a lab: policies, namespace labels, changes to the apps",
		Example: `  labctl reset
  labctl reset networkpolicy --hard`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := app.managed(&site, args)
			if err != nil {
				return err
			}
			lab, err := labOf(m.Store, name)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			start := app.now()
			result, err := m.Reset(cmd.Context(), lab, name, hard)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			if output.json() {
				return app.writeJSON(struct {
					FormatVersion int `json:"format_version"`
					*provision.Reset
				}{1, result})
			}
			for _, p := range result.Deleted {
				fmt.Fprintf(app.out, "deleted   %s\n", p)
			}
			for _, ns := range result.Labels {
				fmt.Fprintf(app.out, "restored  labels of namespace %s\n", ns)
			}
			for _, obj := range result.Restored {
				fmt.Fprintf(app.out, "restored  %s\n", obj)
			}
			fmt.Fprintf(app.out, "%s is as it was deployed (%.1f s).\n", name, app.now().Sub(start).Seconds())
			return nil
		},
	}
	site.register(cmd)
	site.registerSettings(cmd)
	output.register(cmd)
	cmd.Flags().BoolVar(&hard, "hard", false, "deploy all apps anew")
	return cmd
}

func newPauseCommand(app *app) *cobra.Command {
	var site siteFlags
	cmd := &cobra.Command{
		Use:               "pause [INSTANCE]",
		Short:             "Stop a lab's nodes and keep all that is in them",
		Example:           `  labctl pause`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := app.managed(&site, args)
			if err != nil {
				return err
			}
			if err := m.Pause(cmd.Context(), name); err != nil {
				return infra(cmd.Context(), err)
			}
			fmt.Fprintf(app.out, "%s is paused; go on with: labctl resume %s\n", name, name)
			return nil
		},
	}
	site.register(cmd)
	return cmd
}

func newResumeCommand(app *app) *cobra.Command {
	var site siteFlags
	cmd := &cobra.Command{
		Use:               "resume [INSTANCE]",
		Short:             "Start the nodes of a paused lab and wait until everything is ready again",
		Example:           `  labctl resume`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeInstance),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, name, err := app.managed(&site, args)
			if err != nil {
				return err
			}
			lab, err := labOf(m.Store, name)
			if err != nil {
				return infra(cmd.Context(), err)
			}
			view := app.newProgress()
			defer view.close()
			m.Report = view.event
			return infra(cmd.Context(), m.Resume(cmd.Context(), lab, name))
		},
	}
	site.register(cmd)
	site.registerSettings(cmd)
	return cmd
}
