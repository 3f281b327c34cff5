package lsp

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// debounce is how long somebody has to stop typing before a folder is analysed.
const debounce = 150 * time.Millisecond

// analyser returns the diagnostics of a folder's files, and the code lenses of open documents, by path.
type analyser func(ctx context.Context, open map[string]*document) (*analysis, error)

// folder is a lab, or a folder of answers, that is analysed whenever a file in it changes.
type folder struct {
	dir string

	busy sync.Mutex // held while the folder is analysed

	// The fields below belong to the server's mutex.
	analyse   analyser           // as the latest change wants it
	cancel    context.CancelFunc // of the latest analysis
	done      chan struct{}      // closed when the latest analysis has ended
	latest    *analysis          // that has ended without a cancel; nil: none yet
	published map[string]bool    // files with diagnostics
}

// analysis is what was found out about a folder.
type analysis struct {
	diags  map[string][]diagnostic
	lenses map[string][]codeLens
	lab    *labFacts // of a lab that loads
}

func (f *folder) stop() {
	if f.cancel != nil {
		f.cancel()
	}
}

// analyse analyses the folders that a file belongs to, after a delay in which further changes may arrive.
func (s *server) analyse(path string, delay time.Duration) {
	for _, f := range s.foldersOf(path) {
		s.start(f, delay)
	}
}

// foldersOf returns the folders to analyse if a file changes.
func (s *server) foldersOf(path string) []*folder {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".hcl":
		if dir := filepath.Dir(path); s.isLab(dir) {
			return []*folder{s.folder("lab "+dir, dir, s.analyseLab(dir))}
		}
	case ".yaml", ".yml", ".json":
		s.mu.Lock()
		list, known := s.belongs[path]
		s.mu.Unlock()
		if !known {
			list = s.manifestFolders(path)
			s.mu.Lock()
			s.belongs[path] = list
			s.mu.Unlock()
		}
		return list
	}
	return nil
}

// moved has the folders of manifests found again: to find them, labctl loads labs, which is too much for each keystroke.
func (s *server) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.belongs)
}

// folder returns the folder of a key.
func (s *server) folder(key, dir string, analyse analyser) *folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folders[key]
	if f == nil {
		f = &folder{dir: dir, published: map[string]bool{}}
		s.folders[key] = f
	}
	f.analyse = analyse
	return f
}

// start begins an analysis, and cancels the one that is running.
func (s *server) start(f *folder, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shutDown {
		return
	}
	f.stop()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.cancel, f.done = cancel, done
	go func() {
		defer close(done)
		defer cancel()
		select {
		case <-time.After(delay):
			s.finish(ctx, f)
		case <-ctx.Done():
		}
	}()
}

// finish analyses a folder and publishes what it finds.
func (s *server) finish(ctx context.Context, f *folder) {
	f.busy.Lock()
	defer f.busy.Unlock()
	s.mu.Lock()
	analyse := f.analyse
	s.mu.Unlock()
	docs := s.open()
	found, err := guarded(ctx, analyse, docs)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.app.Log().Warn("cannot analyse the folder", "folder", f.dir, "error", err)
		found = &analysis{}
	}
	s.mu.Lock()
	f.latest = found
	cleared := []string{}
	for path := range f.published {
		if found.diags[path] == nil {
			cleared = append(cleared, path)
		}
	}
	f.published = map[string]bool{}
	for path := range found.diags {
		f.published[path] = true
	}
	s.mu.Unlock()
	for _, path := range cleared {
		s.publish(ctx, path, docs[path], nil)
	}
	for _, path := range slices.Sorted(maps.Keys(found.diags)) {
		s.publish(ctx, path, docs[path], found.diags[path])
	}
}

// guarded analyses a folder; a panic is an error.
func guarded(ctx context.Context, analyse analyser, docs map[string]*document) (found *analysis, err error) {
	defer func() {
		if r := recover(); r != nil {
			found, err = nil, fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
		}
	}()
	return analyse(ctx, docs)
}

// wait returns what is known of a folder once nothing is being analysed; nil if that is nothing.
func (s *server) wait(ctx context.Context, f *folder) (*analysis, error) {
	for {
		s.mu.Lock()
		done, latest := f.done, f.latest
		s.mu.Unlock()
		if done == nil {
			return latest, nil
		}
		select {
		case <-ctx.Done():
			return nil, errCancelled
		case <-done:
		}
		s.mu.Lock()
		if f.done == done {
			f.done = nil
		}
		s.mu.Unlock()
	}
}
