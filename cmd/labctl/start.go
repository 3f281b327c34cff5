package main

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

func newStartCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		output   outputFlag
	)
	cmd := &cobra.Command{
		Use:   "start LAB [DIR]",
		Short: "Write the folder that you put your answers into",
		Long: `Write the folder that you put your answers into: what the lab hands out to begin with. DIR is where it goes,
by default the lab's name with "-answers" in the current directory. Files that exist are never overwritten.`,
		Example: `  labctl start networkpolicy
  labctl start networkpolicy my-answers/`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeArgs(completeLab, completeDir),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labFlags.load(args[0])
			if err != nil {
				return err
			}
			dir := lab.Name + "-answers"
			if len(args) == 2 {
				dir = args[1]
			}
			files, err := starterFiles(lab)
			if err != nil {
				return err
			}
			if err := app.writeFiles(dir, files, output.json()); err != nil || output.json() {
				return err
			}
			fmt.Fprintf(app.out, "\nNext: labctl show %s\n", args[0])
			fmt.Fprintf(app.out, "Then: labctl grade %s --submission %s --offline\n", args[0], dir)
			return nil
		},
	}
	labFlags.register(cmd)
	output.register(cmd)
	return cmd
}

// starterFiles reads the lab's starter; a lab without one starts from an empty folder a task.
func starterFiles(lab *labs.Lab) (map[string][]byte, error) {
	files := map[string][]byte{}
	if lab.Starter == "" {
		for i := range lab.Tasks {
			files[path.Join(lab.Tasks[i].Name, ".gitkeep")] = nil
		}
		return files, nil
	}
	err := fs.WalkDir(lab.FS, lab.Starter, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(lab.FS, name)
		files[strings.TrimPrefix(name, lab.Starter+"/")] = data
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the starter of the lab %s: %w", lab.Name, err)
	}
	return files, nil
}
