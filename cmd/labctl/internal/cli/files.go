package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// written is what init and start say that they wrote; its JSON is a contract (docs/cli.md).
type written struct {
	FormatVersion int      `json:"format_version"`
	Directory     string   `json:"directory"`
	Files         []string `json:"files"`
}

// WriteFiles writes files (by slash-separated name) into dir and says so. If one exists, none is written.
func (a *App) WriteFiles(dir string, files map[string][]byte, asJSON bool) error {
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
		if !asJSON {
			fmt.Fprintln(a.Out, "created", path)
		}
	}
	if asJSON {
		return a.WriteJSON(written{1, dir, names})
	}
	return nil
}

func refuseOverwriting(dir string, names []string) error {
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		switch _, err := os.Lstat(path); {
		case err == nil:
			return fmt.Errorf("%s already exists; nothing was written", path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}
