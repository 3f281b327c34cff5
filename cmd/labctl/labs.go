package main

import (
	"fmt"

	"github.com/spf13/cobra"

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

func newLabsCommand(app *app) *cobra.Command {
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "labs",
		Short: "List the labs that ship with labctl",
		Example: `  labctl labs
  labctl labs -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			rows := []shippedLab{}
			for _, name := range labs.Shipped() {
				var flags labFlags
				lab, err := flags.load(name)
				if err != nil {
					return fmt.Errorf("lab %s: %w", name, err)
				}
				rows = append(rows, shippedLab{lab.Name, lab.Title, len(lab.Tasks)})
			}
			if output.json() {
				return app.writeJSON(labList{1, rows})
			}
			for _, row := range rows {
				fmt.Fprintf(app.out, "%-20s %s (%s)\n", row.Name, row.Title, count(row.Tasks, "task"))
			}
			return nil
		},
	}
	output.register(cmd)
	return cmd
}
