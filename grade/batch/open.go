package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
)

// Opened is a submission that can be read: a directory or a file of FS.
type Opened struct {
	FS   fs.FS
	Name string // in FS; "." for all of it

	named bool // by the student: a file's name is not its student's
	close func() error
}

// NewOpened is a submission in fsys, to be closed once it is graded; close may be nil.
func NewOpened(fsys fs.FS, name string, close func() error) *Opened {
	return &Opened{FS: fsys, Name: name, close: close}
}

// Close releases what the submission holds; of nil, nothing.
func (o *Opened) Close() error {
	if o == nil || o.close == nil {
		return nil
	}
	return o.close()
}

func (o *Opened) read(g *grade.Grader, lim manifest.Limits) (*grade.Submission, error) {
	return g.ReadSubmissionFS(o.FS, o.Name, lim)
}

// Unreadable says that one submission cannot be read; the others may be.
type Unreadable struct{ Err error }

func (e *Unreadable) Error() string { return e.Err.Error() }
func (e *Unreadable) Unwrap() error { return e.Err }

// HandedIn is an error whose reason is what the student handed in. It names nothing of the machine, so the student is told it.
type HandedIn struct{ Err error }

func (e *HandedIn) Error() string { return e.Err.Error() }
func (e *HandedIn) Unwrap() error { return e.Err }

// notOpened is the result of a submission that could not be opened, unless the machine is to blame.
func (r *run) notOpened(err error) (Result, bool) {
	var unreadable *Unreadable
	var refused *grade.Refused
	res := r.notGraded(err)
	if handedIn := (*HandedIn)(nil); errors.As(err, &handedIn) {
		res.Told = handedIn.Error()
	}
	return res, errors.As(err, &unreadable) || errors.As(err, &refused)
}

// fetch gets a submission that is not on this machine; one that is gives nil.
func (r *run) fetch(ctx context.Context, e *Entry) (*Opened, error) {
	if r.cfg.Open == nil {
		return nil, nil
	}
	return r.cfg.Open(ctx, e)
}

func (r *run) open(e *Entry, fetched *Opened) (*Opened, error) {
	var o *Opened
	if fetched != nil {
		o = NewOpened(fetched.FS, fetched.Name, nil) // whoever fetched it closes it
	} else {
		var err error
		if o, err = e.open(r.cfg.limits()); err != nil {
			return nil, err
		}
	}
	if err := o.unwrap(r.cfg.limits()); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (e *Entry) open(lim manifest.Limits) (*Opened, error) {
	switch {
	case len(e.parts) > 0:
		return e.gather(lim)
	case e.source != nil:
		return &Opened{FS: e.source, Name: e.within}, nil
	}
	info, err := os.Stat(e.Path)
	if err != nil {
		return nil, &Unreadable{err}
	}
	if !info.IsDir() {
		return &Opened{FS: os.DirFS(filepath.Dir(e.Path)), Name: filepath.Base(e.Path)}, nil
	}
	// A root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(e.Path)
	if err != nil {
		return nil, &Unreadable{err}
	}
	return &Opened{FS: root.FS(), Name: ".", close: root.Close}, nil
}

// gather puts the files of a submission that has several into one folder. What was typed becomes a file of manifests.
func (e *Entry) gather(lim manifest.Limits) (*Opened, error) {
	tree := fstest.MapFS{}
	var read []string
	left := cmp.Or(lim.TotalBytes, manifest.DefaultLimits().TotalBytes)
	for _, p := range e.parts {
		if !p.typed && !isSubmission(p.name) {
			tree[p.name] = &fstest.MapFile{Mode: 0o644} // only its name matters
			continue
		}
		data, err := readFile(e.source, p.path, lim)
		if err != nil {
			return nil, err
		}
		if p.typed {
			data = typedText(data)
		}
		if left -= int64(len(data)); left < 0 {
			return nil, refuse(p.name, fmt.Errorf("all files together are larger than %d bytes", cmp.Or(lim.TotalBytes, manifest.DefaultLimits().TotalBytes)))
		}
		if _, ok := tree[p.name]; ok || !fs.ValidPath(p.name) || p.name != path.Base(p.name) {
			return nil, refuse(p.name, errors.New("a second file of this name, or no name of a file"))
		}
		tree[p.name] = &fstest.MapFile{Data: data, Mode: 0o644}
		read = append(read, p.name)
	}
	if len(read) == 1 {
		return &Opened{FS: tree, Name: read[0], named: true}, nil
	}
	return &Opened{FS: tree, Name: "."}, nil
}

// unwrap makes of what was handed in the folder or the file of manifests that it is. An archive is unpacked into memory; so is
// one that is in a folder without folders and manifests. A file that stands alone is often named after its student: it
// gets a name that equal ones share.
func (o *Opened) unwrap(lim manifest.Limits) error {
	info, err := fs.Stat(o.FS, o.Name)
	if err != nil {
		return &Unreadable{err}
	}
	name := o.Name
	if info.IsDir() {
		archives, err := onlyArchives(o.FS, o.Name)
		switch {
		case err != nil:
			return &Unreadable{err}
		case len(archives) == 0:
			return nil
		case len(archives) > 1:
			return &Unreadable{&HandedIn{fmt.Errorf("there are several archives, and nobody can know which one counts: %s", strings.Join(archives, ", "))}}
		}
		name = path.Join(o.Name, archives[0])
	}
	shown := "submission" + suffixOf(name)
	if o.named {
		shown = name
	}
	if !grade.IsArchive(name) {
		data, err := readFile(o.FS, name, lim)
		if err != nil {
			return err
		}
		o.FS, o.Name = fstest.MapFS{shown: &fstest.MapFile{Data: data, Mode: 0o644}}, shown
		return nil
	}
	o.FS, err = unpack(o.FS, name, shown, lim)
	o.Name = "."
	return err
}

// archiveTimes is how many times larger than its manifests an archive may be, for what else is in it: screenshots.
const archiveTimes = 16

// unpack reads an archive, which messages call shown.
func unpack(fsys fs.FS, name, shown string, lim manifest.Limits) (fs.FS, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, &Unreadable{err}
	}
	most := MaxArchive(lim)
	switch {
	case !info.Mode().IsRegular(): // opening it could wait for a writer
		return nil, refuse(shown, errors.New("not a regular file"))
	case info.Size() > most:
		return nil, refuse(shown, fmt.Errorf("the archive is larger than %d bytes", most))
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, &Unreadable{err}
	}
	defer file.Close()
	r, ok := file.(io.ReaderAt)
	if !ok { // in another archive, or elsewhere: it goes to the disk, for as long as it is read
		copied, err := os.CreateTemp("", "labctl-*")
		if err != nil {
			return nil, err
		}
		defer os.Remove(copied.Name())
		defer copied.Close()
		if _, err := io.Copy(copied, io.LimitReader(file, most)); err != nil {
			return nil, &Unreadable{fmt.Errorf("%s: %w", name, err)}
		}
		r = copied
	}
	unpacked, err := grade.Unpack(shown, r, info.Size(), lim)
	var machine *fs.PathError
	switch {
	case errors.As(err, &machine):
		return nil, &Unreadable{err}
	case err != nil:
		return nil, refuse(shown, err)
	}
	return unpacked, nil
}

// onlyArchives lists the archives of a folder that has neither folders nor manifests.
func onlyArchives(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var archives []string
	for _, e := range entries {
		switch name := e.Name(); {
		case junk(name):
		case e.IsDir(), isSubmission(name) && !grade.IsArchive(name):
			return nil, nil
		case grade.IsArchive(name) && e.Type().IsRegular():
			archives = append(archives, name)
		}
	}
	return archives, nil
}

// readFile reads a file within limits. What is too large, or no file, is refused; what the machine cannot read is its error.
func readFile(fsys fs.FS, name string, lim manifest.Limits) ([]byte, error) {
	files, err := manifest.ReadFS(fsys, name, lim)
	var machine *fs.PathError
	switch {
	case errors.As(err, &machine):
		return nil, &Unreadable{err}
	case err != nil:
		return nil, refuse(path.Base(name), err)
	case len(files) != 1:
		return nil, &Unreadable{fmt.Errorf("%s is no file", name)}
	}
	return files[0].Data, nil
}

// refuse refuses a submission for one of its files, which err may name as well.
func refuse(file string, err error) *grade.Refused {
	return &grade.Refused{Problems: manifest.Problems{{File: file, Message: strings.TrimPrefix(err.Error(), file+": ")}}}
}
