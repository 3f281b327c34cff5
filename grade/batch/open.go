package batch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
)

// Opened is a submission that can be read: a directory or a file of FS.
type Opened struct {
	FS   fs.FS
	Name string // in FS; "." for all of it

	local string // its path on this machine; "": it is not on one
	close func() error
}

// NewOpened is a submission in fsys, to be closed once it is graded; close may be nil.
func NewOpened(fsys fs.FS, name string, close func() error) *Opened {
	return &Opened{FS: fsys, Name: name, close: close}
}

// Close releases what the submission holds.
func (o *Opened) Close() error {
	if o.close == nil {
		return nil
	}
	return o.close()
}

func (o *Opened) read(g *grade.Grader, lim manifest.Limits) (*grade.Submission, error) {
	if o.local != "" {
		return g.ReadSubmission(o.local, lim)
	}
	return g.ReadSubmissionFS(o.FS, o.Name, lim)
}

// Unreadable says that one submission cannot be read; the others may be.
type Unreadable struct{ Err error }

func (e *Unreadable) Error() string { return e.Err.Error() }
func (e *Unreadable) Unwrap() error { return e.Err }

// notOpened is the result of a submission that could not be opened, unless the machine is to blame.
func (r *run) notOpened(err error) (Result, bool) {
	var unreadable *Unreadable
	var refused *grade.Refused
	return r.notGraded(err), errors.As(err, &unreadable) || errors.As(err, &refused)
}

func (r *run) open(ctx context.Context, e *Entry) (*Opened, error) {
	if r.cfg.Open != nil {
		return r.cfg.Open(ctx, e)
	}
	return openLocal(e.Path)
}

func openLocal(name string) (*Opened, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Unreadable{err}
	}
	if !info.IsDir() {
		return &Opened{FS: os.DirFS(filepath.Dir(name)), Name: filepath.Base(name), local: name}, nil
	}
	// A root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, &Unreadable{err}
	}
	return &Opened{FS: root.FS(), Name: ".", local: name, close: root.Close}, nil
}
