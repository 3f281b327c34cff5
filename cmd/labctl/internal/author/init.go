package author

import (
	"fmt"
	"path/filepath"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
)

func NewInitCommand(app *cli.App) *cobra.Command {
	var output cli.OutputFlag
	cmd := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Create a small lab to start from",
		Long: `Create a small lab that is valid and can be graded, in the directory NAME. Without NAME, create it in the current
directory and name it after that. Existing files are never overwritten.`,
		Example: `  labctl init egress-basics
  labctl validate egress-basics && labctl test egress-basics`,
		Args: cli.Args(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := cli.LabArg(args)
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			if err := app.WriteFiles(dir, labs.Skeleton(filepath.Base(abs)), output.Json()); err != nil ||
				output.Json() {
				return err
			}
			if given, name := filepath.Base(abs), labs.LabName(filepath.Base(abs)); name != given {
				fmt.Fprintf(app.Out, "\nThe lab is called %s: the name of a lab has only lower-case letters, digits and hyphens.\n", name)
			}
			word := shellescape.Quote(dir)
			fmt.Fprintf(app.Out, "\nNext: labctl validate %s, then labctl test %s\n", word, word)
			return nil
		},
	}
	output.Register(cmd)
	return cmd
}
