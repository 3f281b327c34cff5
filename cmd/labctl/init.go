package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

// written is what init and start say that they wrote; its JSON is a contract (docs/cli.md).
type written struct {
	FormatVersion int      `json:"format_version"`
	Directory     string   `json:"directory"`
	Files         []string `json:"files"`
}

func newInitCommand(app *app) *cobra.Command {
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write a small lab to start from, which validates and grades",
		Long: `Write a small lab to start from, which validates and grades, into the directory NAME; without NAME into the
current directory, whose name it takes. Files that exist are never overwritten.`,
		Example: `  labctl init egress-basics
  labctl validate egress-basics && labctl test egress-basics`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := labArg(args)
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			if err := app.writeFiles(dir, labs.Skeleton(filepath.Base(abs)), output.json()); err != nil || output.json() {
				return err
			}
			fmt.Fprintf(app.out, "\nNext: labctl validate %s, then labctl test %s\n", dir, dir)
			return nil
		},
	}
	output.register(cmd)
	return cmd
}

// writeFiles writes files (by slash-separated name) into dir and says so. If one exists, none is written.
func (a *app) writeFiles(dir string, files map[string][]byte, asJSON bool) error {
	names := slices.Sorted(maps.Keys(files))
	if err := refuseOverwriting(dir, names); err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	if asJSON {
		return a.writeJSON(written{1, dir, names})
	}
	for _, name := range names {
		fmt.Fprintln(a.out, "wrote", filepath.Join(dir, filepath.FromSlash(name)))
	}
	return nil
}

func refuseOverwriting(dir string, names []string) error {
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		switch _, err := os.Lstat(path); {
		case err == nil:
			return fmt.Errorf("%s exists already; nothing was written", path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}
