package class

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/submission"
)

// checkOut refuses an output directory that is among the submissions, or the other way round: a later run would grade
// results, or overwrite what was handed in. It looks through symbolic links.
func checkOut(out string, paths []string, entries []intake.Entry) error {
	real, err := resolve(out)
	if err != nil {
		return fmt.Errorf("--out %s: %w", out, err)
	}
	clash := func(path string) error {
		return fmt.Errorf("--out %s and the submissions in %s contain one another; choose a directory next to the "+
			"submissions", submission.Printable(out), submission.Printable(path))
	}
	for _, path := range paths {
		if intake.IsURL(path) {
			return nil
		}
		in, err := resolve(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(in)
		if err == nil && info.IsDir() && below(real, in, info) || in != real && below(in, real, nil) {
			return clash(path)
		}
	}
	for i := range entries {
		if entries[i].Path == "" { // an entry that a list gives no path
			continue
		}
		// Links were resolved for what the command line names; that is enough for what a list names beside it.
		at, err := filepath.Abs(entries[i].Path)
		if err == nil && (real == at || strings.HasPrefix(real, at+string(filepath.Separator)) ||
			strings.HasPrefix(at, real+string(filepath.Separator))) {
			return clash(entries[i].Path)
		}
	}
	return nil
}

// below reports whether a path is a directory or in it. info is that of the directory, by which it is known also under
// another name; nil: there is none.
func below(path, dir string, info fs.FileInfo) bool {
	for {
		if path == dir {
			return true
		}
		if there, err := os.Stat(path); info != nil && err == nil && os.SameFile(there, info) {
			return true
		}
		up := filepath.Dir(path)
		if up == path {
			return false
		}
		path = up
	}
}

// resolve is a path without symbolic links; its last parts need not be there yet.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		// A link that leads nowhere yet is where it leads.
		if to, err := os.Readlink(path); err == nil {
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(path), to)
			}
			path = to
			continue
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = filepath.Dir(path)
	}
}
