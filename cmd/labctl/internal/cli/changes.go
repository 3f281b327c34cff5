package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Settle is how long a burst of changes (an editor writes, renames and removes to save one file) has to be over before
// it counts.
const Settle = 100 * time.Millisecond

// Changes tells when files change.
type Changes struct {
	C   <-chan struct{} // receives after each burst of changes
	Err <-chan error    // receives what ends the watching
}

// WatchFiles watches files, and directories with all below them, until ctx ends. Names that begin with a dot do not
// count.
func WatchFiles(ctx context.Context, paths ...string) (*Changes, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, InfraError{Err: fmt.Errorf("watch %s: %w", strings.Join(paths, ", "), err)}
	}
	for _, path := range paths {
		if err := follow(notify, path); err != nil {
			notify.Close()
			return nil, err
		}
	}
	changed, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		defer notify.Close()
		if err := forward(ctx, notify, changed); err != nil {
			failed <- InfraError{Err: fmt.Errorf("watch %s: %w", strings.Join(paths, ", "), err)}
		}
	}()
	return &Changes{C: changed, Err: failed}, nil
}

// forward sends to changed after each burst of events.
func forward(ctx context.Context, notify *fsnotify.Watcher, changed chan<- struct{}) error {
	quiet := time.NewTimer(Settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-notify.Errors:
			return err
		case event := <-notify.Events:
			if event.Op == fsnotify.Chmod || hidden(event.Name) || isOutput(event.Name) {
				continue
			}
			if event.Has(fsnotify.Create) {
				// A new folder has to be followed too. What is gone again by now is no loss.
				_ = follow(notify, event.Name)
			}
			quiet.Reset(Settle)
		case <-quiet.C:
			select {
			case changed <- struct{}{}:
			default: // nobody has looked since the last burst
			}
		}
	}
}

// isOutput reports whether a file is the one that this process prints into.
func isOutput(name string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc([]*os.File{os.Stdout, os.Stderr}, func(f *os.File) bool {
		out, err := f.Stat()
		return err == nil && os.SameFile(info, out)
	})
}

// follow watches a directory and all below it. A single file is watched through its directory, since editors replace
// files.
func follow(notify *fsnotify.Watcher, root string) error {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && hidden(name): // .git is large, and changes often
			return fs.SkipDir
		case entry.IsDir():
			return notify.Add(name)
		case name == root:
			return notify.Add(filepath.Dir(name))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", root, err)
	}
	return nil
}

func hidden(name string) bool { return strings.HasPrefix(filepath.Base(name), ".") }
