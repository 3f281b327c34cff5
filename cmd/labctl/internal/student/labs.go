package student

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// labList is what `labctl labs` says; its JSON is a contract (docs/cli.md).
type labList struct {
	FormatVersion int          `json:"format_version"`
	Labs          []shippedLab `json:"labs"`
}

// shippedLab is a row of `labctl labs`.
type shippedLab struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Tasks int    `json:"tasks"`
}

func NewLabsCommand(app *cli.App) *cobra.Command {
	var output cli.OutputFlag
	cmd := &cobra.Command{
		Use:   "labs",
		Short: "List the built-in labs",
		Long:  `List the labs that are built into labctl. Other labs are directories.`,
		Example: `  labctl labs
  labctl labs -o json`,
		Args: cli.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			rows := []shippedLab{}
			for _, name := range labs.Shipped() {
				var flags cli.LabFlags
				lab, err := flags.Load(name)
				if err != nil {
					return fmt.Errorf("lab %s: %w", name, err)
				}
				rows = append(rows, shippedLab{lab.Name, lab.Title, len(lab.Tasks)})
			}
			if output.Json() {
				return app.WriteJSON(labList{1, rows})
			}
			for _, row := range rows {
				fmt.Fprint(app.Out, app.Hang(fmt.Sprintf("%-20s ", row.Name),
					fmt.Sprintf("%s (%s)", row.Title, wording.Count(row.Tasks, "task"))))
			}
			return nil
		},
	}
	output.Register(cmd)
	return cmd
}
