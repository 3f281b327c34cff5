package student

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
)

// NewStartCommand is NewCheckoutCommand under its former name.
func NewStartCommand(app *cli.App) *cobra.Command {
	cmd := NewCheckoutCommand(app)
	cmd.Use, cmd.Hidden = "start LAB [DIR]", true
	return cmd
}

// NewCheckoutCommand is `labctl checkout`.
func NewCheckoutCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		output   cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "checkout LAB [DIR]",
		Short: "Create a folder for your answers",
		Long: `Create a folder for your answers, with the lab's starter files. DIR is the folder, by default "answers" in the
current directory. Existing files are never overwritten.`,
		Example: `  labctl checkout networkpolicy
  labctl checkout networkpolicy my-answers/`,
		Args:              cli.Args(1, 2),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab, cli.CompleteDir),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labFlags.Load(args[0])
			if err != nil {
				return err
			}
			dir := "answers"
			if len(args) == 2 {
				dir = args[1]
			}
			if _, within := cli.CheckedOut(filepath.Join(dir, "..")); within {
				return fmt.Errorf("%s would be in a folder of answers; go to another directory, or name DIR", dir)
			}
			files, err := starterFiles(lab)
			if err != nil {
				return err
			}
			if files[cli.NoteFile], err = checkoutNote(args[0], dir); err != nil {
				return err
			}
			if err := app.WriteFiles(dir, files, output.Json()); err != nil || output.Json() {
				return err
			}
			if len(lab.Tasks) > 0 {
				fmt.Fprintf(app.Out, "\nNext: labctl show %s %s\n", shellescape.Quote(args[0]), lab.Tasks[0].Name)
			}
			fmt.Fprintf(app.Out, "Then: labctl grade %s --submission %s\n", shellescape.Quote(args[0]), shellescape.Quote(dir))
			return nil
		},
	}
	labFlags.Register(cmd)
	output.Register(cmd)
	return cmd
}

// checkoutNote notes for editors which lab the folder dir belongs to.
func checkoutNote(nameOrDir, dir string) ([]byte, error) {
	note := cli.CheckoutNote{Lab: nameOrDir}
	if info, err := os.Stat(nameOrDir); err == nil && info.IsDir() {
		from, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		to, err := filepath.Abs(nameOrDir)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(from, to)
		if err != nil {
			return nil, err
		}
		if note.Lab = filepath.ToSlash(rel); !strings.HasPrefix(note.Lab, ".") {
			note.Lab = "./" + note.Lab
		}
	}
	data, err := json.Marshal(note)
	return append(data, '\n'), err
}

// starterFiles reads the lab's starter files. A lab without any starts from an empty folder per task, numbered like them.
func starterFiles(lab *labs.Lab) (map[string][]byte, error) {
	files, err := readStarter(lab)
	if err != nil {
		return nil, fmt.Errorf("read the starter files of the lab %s: %w", lab.Name, err)
	}
	if len(files) > 0 {
		return files, nil
	}
	digits := len(strconv.Itoa(max(10, len(lab.Tasks))))
	for i := range lab.Tasks {
		files[fmt.Sprintf("%0*d-%s/.gitkeep", digits, i+1, lab.Tasks[i].Name)] = nil
	}
	return files, nil
}

func readStarter(lab *labs.Lab) (map[string][]byte, error) {
	files := map[string][]byte{}
	if lab.Starter == "" {
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
	return files, err
}
