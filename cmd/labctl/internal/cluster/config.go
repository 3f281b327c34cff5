package cluster

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

func NewConfigCommand(app *cli.App) *cobra.Command {
	var (
		site     siteFlags
		output   cli.OutputFlag
		pathOnly bool
	)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the site's settings",
		Long: `Show the site's settings: the sources of images and charts, and the time limits. The defaults use public sources. A
classroom or closed network changes them in a file, in environment variables, or with flags of "labctl up". Flags
take precedence over variables, and variables over the file.`,
		Example: `  labctl config
  labctl config --path`,
		Args: cli.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			path, _ := site.path()
			if pathOnly {
				_, err := fmt.Fprintln(app.Out, path)
				return err
			}
			settings, err := site.settings()
			if err != nil {
				return err
			}
			if output.Json() {
				return app.WriteJSON(struct {
					FormatVersion int                 `json:"format_version"`
					Path          string              `json:"path"`
					Read          bool                `json:"read"` // the file is there
					Settings      []provision.Setting `json:"settings"`
				}{1, path, settings.Path != "", settings.List()})
			}
			if settings.Path == "" {
				fmt.Fprintf(app.Out, "# %s does not exist; these are the defaults and the environment variables\n",
					path)
			} else {
				fmt.Fprintf(app.Out, "# %s\n", path)
			}
			for _, s := range settings.List() {
				fmt.Fprintf(app.Out, "\n# %s ($%s)\n%s = %s\n", s.Help, s.Env, s.Name, s.HCL)
			}
			return nil
		},
	}
	site.register(cmd)
	output.Register(cmd)
	cmd.Flags().BoolVar(&pathOnly, "path", false, "print only the path of the file")
	return cmd
}
