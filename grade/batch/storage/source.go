package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"path"
	"strings"
	"testing/fstest"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
)

// Source are the submissions of a class in a storage: an object or a folder of objects a student, or a list
// (*.csv) beside them. They are read into memory, never onto a disk.
type Source struct {
	store *Store
	only  string // the one object that the URL names; "": everything
	lim   manifest.Limits
	room  *semaphore.Weighted
}

// Parallel is how many submissions are best fetched and graded at the same time: most of the time is spent waiting.
const Parallel = 16

// folderParallel is how many objects of one folder are fetched at the same time.
const folderParallel = 4

// OpenSource opens the submissions at a URL. Those that are open at the same time take no more than memory
// bytes, but one that is within the limits always finds room; 0 stands for 256 MiB.
func OpenSource(ctx context.Context, rawURL string, lim manifest.Limits, memory int64) (*Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open the submissions: %w", err)
	}
	only := ""
	if name := path.Base(u.Path); isObject(name) && !strings.HasSuffix(u.Path, "/") {
		only = name
		u.Path = path.Dir(u.Path)
	}
	s, err := Open(ctx, u.String())
	if err != nil {
		return nil, err
	}
	return NewSource(s, only, lim, memory), nil
}

// NewSource is the source in a store, which is closed with it: all of it, or only the object of that name.
func NewSource(s *Store, only string, lim manifest.Limits, memory int64) *Source {
	d := batch.DefaultLimits()
	lim.Files = cmp.Or(lim.Files, d.Files)
	lim.FileBytes = cmp.Or(lim.FileBytes, d.FileBytes)
	lim.TotalBytes = cmp.Or(lim.TotalBytes, d.TotalBytes)
	size := max(cmp.Or(memory, 256<<20), lim.FileBytes+1, intake.MaxArchive(lim))
	return &Source{store: s, only: only, lim: lim, room: semaphore.NewWeighted(size)}
}

// Close closes the storage.
func (s *Source) Close() error { return s.store.Close() }

// isObject reports whether a name is that of a list, an archive or a file of manifests, so no folder's.
func isObject(name string) bool {
	return submission.Suffix(name) != "" || strings.EqualFold(path.Ext(name), ".csv")
}

// Find lists the submissions.
func (s *Source) Find(ctx context.Context) (*intake.Found, error) {
	var found *intake.Found
	var err error
	switch {
	case strings.EqualFold(path.Ext(s.only), ".csv"):
		found, err = s.list(ctx)
	case s.only != "":
		found, err = intake.FindNamed(func(yield func(intake.Name, error) bool) {
			yield(intake.Name{Name: s.only, Path: s.only}, nil)
		})
	default:
		found, err = intake.FindNamed(s.names(ctx))
	}
	if err != nil {
		return nil, err
	}
	if len(found.Entries) == 0 {
		return nil, fmt.Errorf("%s contains no submissions", s.store.at(s.only))
	}
	return found, nil
}

func (s *Source) names(ctx context.Context) iter.Seq2[intake.Name, error] {
	return func(yield func(intake.Name, error) bool) {
		for o, err := range s.store.List(ctx, "", false) {
			if o.Key == "/" || o.Key == "" && err == nil {
				continue // the folder's own mark
			}
			if !yield(intake.Name{Name: strings.TrimSuffix(o.Key, "/"), Path: o.Key, Dir: o.Dir}, err) || err != nil {
				return
			}
		}
	}
}

// maxList is the size of the largest list of submissions, in bytes: some ten million students.
const maxList = 1 << 30

func (s *Source) list(ctx context.Context) (*intake.Found, error) {
	data, err := s.store.Read(ctx, s.only, maxList)
	if err != nil {
		return nil, err
	}
	return intake.FindListed(s.only, bytes.NewReader(data), func(given string) (string, string) {
		key := strings.TrimPrefix(path.Clean(given), "./")
		if !fs.ValidPath(key) || key == "." {
			return key, fmt.Sprintf("%q points outside %s", given, s.store.name)
		}
		if !isObject(key) {
			key += "/"
		}
		return key, ""
	})
}

// Fetch reads a submission; it is batch.Config.Fetch.
func (s *Source) Fetch(ctx context.Context, e *intake.Entry) (*intake.Fetched, error) {
	if strings.HasSuffix(e.Path, "/") {
		return s.folder(ctx, e.Path)
	}
	return s.object(ctx, e.Path)
}

func (s *Source) object(ctx context.Context, key string) (*intake.Fetched, error) {
	data, err := s.fetch(ctx, key)
	if err != nil {
		return nil, err
	}
	name := path.Base(key)
	return intake.NewFetched(fstest.MapFS{name: {Data: data, Mode: 0o444}}, name, s.release(int64(cap(data)))), nil
}

// fetch reads an archive as a whole, or as much of a file of manifests as shows that it is too large. It
// takes room for the capacity of what it returns.
func (s *Source) fetch(ctx context.Context, key string) ([]byte, error) {
	taken := int64(0)
	give := func() { s.room.Release(taken); taken = 0 }
	data, err := s.store.read(ctx, key, func(size int64) (int64, error) {
		give()
		switch most := intake.MaxArchive(s.lim); {
		case !submission.IsArchive(key):
			size = min(size, s.lim.FileBytes+1)
		case size > most:
			return 0, refused("submission"+strings.ToLower(path.Ext(key)),
				fmt.Sprintf("the archive is larger than %d bytes", most))
		}
		if err := s.room.Acquire(ctx, size); err != nil {
			return 0, context.Cause(ctx)
		}
		taken = size
		return size, nil
	})
	if err != nil {
		give()
		return nil, about(err)
	}
	s.room.Release(taken - int64(len(data)))
	return data[:len(data):len(data)], nil
}

func (s *Source) release(n int64) func() error {
	return func() error { s.room.Release(n); return nil }
}

// listing is what a folder of a bucket contains.
type listing struct {
	files    fstest.MapFS // all of them, none fetched yet
	parts    []part       // the manifests
	archives []string     // their names
	total    int64        // bytes of parts
}

// part is a manifest to be fetched.
type part struct {
	key, name string
	size      int64 // bytes to fetch
	cut       bool  // it is longer
}

// folder reads what is below a prefix. Only manifests are fetched, or the archive where there is nothing
// else; of other files the names count.
func (s *Source) folder(ctx context.Context, prefix string) (*intake.Fetched, error) {
	l, err := s.listFolder(ctx, prefix)
	if err != nil {
		return nil, err
	}
	if len(l.archives) == 1 && len(l.parts) == 0 { // it is what was submitted
		data, err := s.fetch(ctx, prefix+l.archives[0])
		if err != nil {
			return nil, err
		}
		*l.files[l.archives[0]] = fstest.MapFile{Mode: 0o444, Data: data}
		return intake.NewFetched(l.files, ".", s.release(int64(cap(data)))), nil
	}
	if err := s.room.Acquire(ctx, l.total); err != nil {
		return nil, context.Cause(ctx)
	}
	release := s.release(l.total)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(folderParallel)
	for _, p := range l.parts {
		file := l.files[p.name]
		group.Go(func() (err error) {
			file.Data, err = s.read(ctx, p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(about(err), release())
	}
	return intake.NewFetched(l.files, ".", release), nil
}

// listFolder lists what is below a prefix, within the limits.
func (s *Source) listFolder(ctx context.Context, prefix string) (*listing, error) {
	l := &listing{files: fstest.MapFS{}}
	seen := 0
	for o, err := range s.store.List(ctx, prefix, true) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(o.Key, prefix)
		if name == "" || strings.HasSuffix(name, "/") {
			continue // the mark of a folder
		}
		if seen++; seen > 20*s.lim.Files {
			return nil, &intake.SubmissionError{Err: fmt.Errorf("more than %d files", 20*s.lim.Files)}
		}
		if !fs.ValidPath(name) {
			return nil, refused(name, "is no name of a file: it leads outside, or a part of it is empty")
		}
		l.files[name] = &fstest.MapFile{Mode: 0o444}
		switch {
		case hidden(name):
		case submission.IsArchive(name):
			l.files[name].Mode = fs.ModeIrregular // until it is fetched
			l.archives = append(l.archives, name)
		case isManifest(name):
			size := min(o.Size, s.lim.FileBytes+1)
			if l.total+size > s.lim.TotalBytes+1 {
				size = s.lim.TotalBytes + 1 - l.total // enough to be refused
			}
			l.total += size
			l.parts = append(l.parts, part{o.Key, name, size, size < o.Size})
		}
	}
	if seen == 0 {
		return nil, &intake.SubmissionError{Err: fmt.Errorf("there is no %s", strings.TrimSuffix(prefix, "/"))}
	}
	return l, l.check()
}

// check refuses names that are both a file and a folder.
func (l *listing) check() error {
	for name := range l.files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if l.files[dir] != nil {
				return refused(dir, "is both a file and a folder")
			}
		}
	}
	return nil
}

// read fetches a manifest.
func (s *Source) read(ctx context.Context, p part) ([]byte, error) {
	data, err := s.store.Read(ctx, p.key, p.size+1)
	if err == nil && int64(len(data)) > p.size {
		if data = data[:p.size]; !p.cut {
			err = &intake.SubmissionError{
				Err: fmt.Errorf("%s has become longer while the submission was read: grade it again", p.name),
			}
		}
	}
	return data, err
}

// about makes an error of the one submission out of an object that is not there, and leaves the storage's others.
func about(err error) error {
	if IsNotFound(err) {
		return &intake.SubmissionError{Err: err}
	}
	return err
}

func refused(file, message string) error {
	return &engine.Refused{Problems: manifest.Problems{{File: file, Message: message}}}
}

func isManifest(name string) bool {
	return manifest.IsManifestName(name)
}

func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}
