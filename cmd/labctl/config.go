package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/provision"
)

func newConfigCommand(app *app) *cobra.Command {
	var (
		site     siteFlags
		output   outputFlag
		pathOnly bool
	)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the site's settings and where they can be made",
		Long: `Show the site's settings: where images and charts come from, and how long to wait. The defaults are public;
a classroom or a closed network sets others, in one file for all users, in the environment, or by flags of
"labctl up". A flag wins over the environment, and the environment over the file.`,
		Example: `  labctl config
  labctl config --path`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, _ := site.path()
			if pathOnly {
				_, err := fmt.Fprintln(app.out, path)
				return err
			}
			settings, err := site.settings()
			if err != nil {
				return err
			}
			if output.json() {
				return app.writeJSON(struct {
					FormatVersion int                 `json:"format_version"`
					Path          string              `json:"path"`
					Read          bool                `json:"read"` // the file is there
					Settings      []provision.Setting `json:"settings"`
				}{1, path, settings.Path != "", settings.List()})
			}
			if settings.Path == "" {
				fmt.Fprintf(app.out, "# %s is not there: these are the defaults and the environment\n", path)
			} else {
				fmt.Fprintf(app.out, "# %s\n", path)
			}
			for _, s := range settings.List() {
				fmt.Fprintf(app.out, "\n# %s ($%s)\n%s = %q\n", s.Help, s.Env, s.Name, s.Value)
			}
			return nil
		},
	}
	site.register(cmd)
	output.register(cmd)
	cmd.Flags().BoolVar(&pathOnly, "path", false, "print only where the file is, or would be")
	return cmd
}
