package labs

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

//go:embed all:networkpolicy
var shipped embed.FS

// Shipped returns the names of the labs that ship with labctl.
func Shipped() []string {
	entries, err := shipped.ReadDir(".")
	if err != nil {
		return nil
	}
	names := []string{}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// Open finds a lab: the directory of that name or, if there is none, the lab of that name that ships with labctl. It
// returns the lab's files and its name in messages, both for Load. An empty name is the current directory.
func Open(nameOrDir string) (fs.FS, string, error) {
	if nameOrDir == "" {
		nameOrDir = "."
	}
	info, err := os.Stat(nameOrDir)
	switch {
	case err == nil && info.IsDir() && hasLabFile(nameOrDir):
		return openDir(nameOrDir)
	case slices.Contains(Shipped(), nameOrDir):
		sub, err := fs.Sub(shipped, nameOrDir)
		return sub, nameOrDir, err
	case err == nil && info.IsDir():
		return openDir(nameOrDir)
	case err == nil && filepath.Ext(nameOrDir) == ".hcl":
		return nil, "", fmt.Errorf("%s is a file, but a lab is a directory: use %s", nameOrDir, filepath.Dir(nameOrDir))
	}
	return nil, "", fmt.Errorf(
		"there is no lab %q: it is neither a directory nor one of the labs that ship with labctl (%s).%s",
		nameOrDir, join(Shipped()), wording.DidYouMean(nameOrDir, Shipped()))
}

// openDir opens a directory so that nothing outside it can be read, whatever links it holds.
func openDir(dir string) (fs.FS, string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", fmt.Errorf("open the lab %s: %w", dir, err)
	}
	return root.FS(), filepath.ToSlash(dir), nil
}

func hasLabFile(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && strings.HasSuffix(e.Name(), ".hcl")
	})
}
