package intake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
)

// Fetched is a submission that can be read: a directory or a file of FS.
type Fetched struct {
	FS   fs.FS
	Name string // in FS; "." for all of it

	named bool // by the student: a file's name is not its student's
	close func() error
}

// NewFetched is a submission in fsys, to be closed once it is graded; close may be nil.
func NewFetched(fsys fs.FS, name string, close func() error) *Fetched {
	return &Fetched{FS: fsys, Name: name, close: close}
}

// Close releases what the submission holds; of nil, nothing.
func (o *Fetched) Close() error {
	if o == nil || o.close == nil {
		return nil
	}
	return o.close()
}

// read reads it as the grader's lab takes it. A file that stands alone is often named after its student: it
// gets a name that equal ones share.
func (o *Fetched) read(g *grade.Grader, lim manifest.Limits) (*submission.Tree, error) {
	shown := ""
	if name := path.Base(o.Name); !o.named && submission.CannotOpen(name) == "" {
		shown = "submission" + submission.Suffix(name)
	}
	tree, err := g.Rules.ReadTree(o.FS, o.Name, shown, lim)
	var refused *engine.Refused
	var several *submission.SeveralArchives
	switch {
	case errors.As(err, &refused):
		return nil, err
	case errors.As(err, &several):
		return nil, &SubmissionError{&StudentFault{several}}
	case err != nil:
		return nil, &SubmissionError{err}
	}
	return tree, nil
}

// SubmissionError says that one submission cannot be read; the others may be.
type SubmissionError struct{ Err error }

func (e *SubmissionError) Error() string { return e.Err.Error() }
func (e *SubmissionError) Unwrap() error { return e.Err }

// StudentFault is an error whose reason is what the student handed in. It names nothing of the machine, so
// it may be shown to the student.
type StudentFault struct{ Err error }

func (e *StudentFault) Error() string { return e.Err.Error() }
func (e *StudentFault) Unwrap() error { return e.Err }

// Unpack reads what was fetched for the entry, archives in it included, within limits. What cannot be accepted is a
// *engine.Refused; any other error is a *SubmissionError.
func (e *Entry) Unpack(o *Fetched, g *grade.Grader, lim manifest.Limits) (*submission.Tree, error) {
	tree := &submission.Tree{}
	if o.FS != nil {
		var err error
		if tree, err = o.read(g, lim); err != nil {
			if several := (*StudentFault)(nil); e.alone && errors.As(err, &several) {
				err = &SubmissionError{&StudentFault{fmt.Errorf("%w. If it contains the submissions of a class, "+
					"add --class-archive", several.Err)}}
			}
			return nil, err
		}
	}
	if e.typed == nil || len(tree.Files) > 0 {
		return tree, nil
	}
	// What was typed counts where no manifests were handed in.
	page, err := readFile(e.typed.source, e.typed.path, lim)
	if err != nil {
		return nil, err
	}
	typed := manifest.File{Name: typedName, Data: typedText(page, e.Platform == Canvas)}
	return &submission.Tree{Files: []manifest.File{typed}, Single: true, NotRead: tree.NotRead, More: tree.More}, nil
}

// Fetch opens the submission of an entry that is on this machine; there is no FS if it has no files. Whoever
// fetches it closes it. An error is a *engine.Refused or a *SubmissionError.
func (e *Entry) Fetch() (*Fetched, error) {
	switch {
	case len(e.parts) == 1:
		p := e.parts[0]
		return &Fetched{FS: parts{e.source, e.parts}, Name: p.name, named: true}, p.check()
	case len(e.parts) > 1:
		for i, p := range e.parts {
			if err := p.check(); err != nil {
				return nil, err
			}
			if slices.ContainsFunc(e.parts[:i], func(other part) bool { return other.name == p.name }) {
				return nil, refuse(p.name, errors.New("two files have this name"))
			}
		}
		return &Fetched{FS: parts{e.source, e.parts}, Name: "."}, nil
	case e.typed != nil && e.within == "":
		return &Fetched{}, nil
	case e.source != nil:
		return &Fetched{FS: e.source, Name: e.within}, nil
	}
	info, err := os.Lstat(e.Path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if e.found { // it may have become one since
			return nil, &SubmissionError{errors.New(linkProblem)}
		}
		info, err = os.Stat(e.Path)
	}
	if err != nil {
		return nil, &SubmissionError{err}
	}
	if !info.IsDir() {
		return &Fetched{FS: os.DirFS(filepath.Dir(e.Path)), Name: filepath.Base(e.Path)}, nil
	}
	// A root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(e.Path)
	if err != nil {
		return nil, &SubmissionError{err}
	}
	return &Fetched{FS: root.FS(), Name: ".", close: root.Close}, nil
}

// check refuses a name that is none of a file.
func (p part) check() error {
	if !fs.ValidPath(p.name) || p.name != path.Base(p.name) || p.name == "." {
		return refuse(p.name, errors.New("this is not a file name"))
	}
	return nil
}

// parts is the folder of the files that make up a submission, under the names that the student gave them.
type parts struct {
	source fs.FS
	parts  []part
}

func (f parts) Open(name string) (fs.File, error) {
	for _, p := range f.parts {
		if p.name == name {
			return f.source.Open(p.path)
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Stat implements fs.StatFS: the folder itself cannot be opened, but listed.
func (f parts) Stat(name string) (fs.FileInfo, error) {
	if name == "." {
		return fs.Stat(fstest.MapFS{}, ".")
	}
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	return info, errors.Join(err, file.Close())
}

// ReadDir implements fs.ReadDirFS.
func (f parts) ReadDir(string) ([]fs.DirEntry, error) {
	entries := make([]fs.DirEntry, 0, len(f.parts))
	for _, p := range f.parts {
		info, err := fs.Stat(f.source, p.path)
		if err != nil {
			return nil, err
		}
		entries = append(entries, fs.FileInfoToDirEntry(renamed{info, p.name}))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type renamed struct {
	fs.FileInfo
	name string
}

func (r renamed) Name() string { return r.name }

// readFile reads a file within limits. What is too large, or no file, is refused; what the machine cannot
// read is its error.
func readFile(fsys fs.FS, name string, lim manifest.Limits) ([]byte, error) {
	files, err := manifest.ReadFS(fsys, name, lim)
	var machine *fs.PathError
	switch {
	case errors.As(err, &machine):
		return nil, &SubmissionError{err}
	case err != nil:
		return nil, refuse(path.Base(name), err)
	case len(files) != 1:
		return nil, &SubmissionError{fmt.Errorf("%s is not a file", name)}
	}
	return files[0].Data, nil
}

// refuse refuses a submission for one of its files, which err may name as well.
func refuse(file string, err error) *engine.Refused {
	return &engine.Refused{Problems: manifest.Problems{{File: file, Message: strings.TrimPrefix(err.Error(), file+": ")}}}
}
