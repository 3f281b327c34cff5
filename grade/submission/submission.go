// Package submission reads what a student handed in, checks it against what the lab allows, and replays it into one
// engine.State per task.
//
// Reader opens folders, files and archives, also archives in archives, and enters folders that hold nothing but one
// folder. It keeps to limits throughout, and knows of a lab only which folders belong to tasks; its result is a Tree of
// files. Rules belong to a lab: they parse a Tree into a Submission of one Step per task and return its Checkpoints.
package submission

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Tree holds the manifests of a submission, and the names of what else is in it.
type Tree struct {
	Files   []manifest.File // in the order of their names
	Folders []string        // directories at the top, in the order of their names
	Single  bool            // it is one file, not a folder of files
	// NotRead names files that are no manifests, in a form that is safe to print: at most MaxNotRead of them, and More counts
	// the others.
	NotRead []string
	More    int
}

// MaxNotRead is how many files that were not read a Tree names.
const MaxNotRead = 20

// DefaultLimits are the limits of one submission.
func DefaultLimits() manifest.Limits { return manifest.SubmissionLimits() }

// Limits replaces the fields of lim that are zero by the default.
func Limits(lim manifest.Limits) manifest.Limits { return lim.Or(DefaultLimits()) }

// archiveTimes is how many times larger than its manifests an archive may be, for what else is in it: screenshots.
const archiveTimes = 16

// MaxArchive is how many bytes an archive may have under limits.
func MaxArchive(lim manifest.Limits) int64 { return archiveTimes * Limits(lim).TotalBytes }

// maxNested is how many archives may lie within one another.
const maxNested = 8

// SeveralArchives is the error about a submission of several archives: nobody can know which one counts.
type SeveralArchives struct{ Names []string }

func (e *SeveralArchives) Error() string {
	names := e.Names
	more := ""
	if len(names) > MaxNotRead {
		more = fmt.Sprintf(" and %d more", len(names)-MaxNotRead)
		names = names[:MaxNotRead]
	}
	return "there are several archives, and nobody can know which one counts: " + strings.Join(names, ", ") + more
}

// Reader reads submissions. Its zero value keeps to the default limits and knows of no tasks.
type Reader struct {
	Limits manifest.Limits
	// IsTask reports whether a folder is that of a task, by its name; NearTask whether it may be meant to be. nil: there are none.
	IsTask, NearTask func(folder string) bool
}

// Read reads the file or directory of fsys that has this name. Messages call a file shown, or by its name if that is "". What
// cannot be accepted for what it holds is an error of type manifest.Problems or *SeveralArchives; any other error is the
// machine's.
func (r *Reader) Read(fsys fs.FS, name, shown string) (_ *Tree, err error) {
	name = path.Clean(name)
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	lim := Limits(r.Limits)
	o := &opener{Reader: r, lim: lim, left: lim.TotalBytes, archiveLeft: MaxArchive(lim), entriesLeft: 20 * lim.Files}
	defer func() { err = errors.Join(err, o.close()) }()
	var l *level
	if info.IsDir() {
		l, err = o.folder(fsys, name)
	} else {
		l, err = o.file(fsys, name, cmp.Or(shown, path.Base(name)), info)
	}
	if err != nil {
		return nil, blame(err)
	}
	single := !info.IsDir() && len(l.archives) == 0
	if !info.IsDir() && !single {
		l, err = o.unpack(l.archives[0]) // whatever it is called
	} else if !single {
		l, err = o.resolve(l)
	}
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return nil, blame(err)
	}
	return l.tree(single), nil
}

// blame makes an error of reading into problems, unless the machine is to blame: what is too large, too deep or leads outside is
// the submission's fault.
func blame(err error) error {
	var problems manifest.Problems
	var several *SeveralArchives
	var machine *fs.PathError
	switch {
	case errors.As(err, &problems), errors.As(err, &several):
		return err
	case errors.As(err, &machine) && !errors.Is(err, fs.ErrInvalid): // which is a name
		return err
	}
	return manifest.Problems{{Message: err.Error()}}
}

// problem is the error about one file; hint may be "".
func problem(file, hint, format string, args ...any) error {
	return manifest.Problems{{File: Printable(file), Message: fmt.Sprintf(format, args...), Hint: hint}}
}

// level is what one folder or archive holds: manifests are read, archives are not opened yet.
type level struct {
	files    []manifest.File
	archives []entry
	others   []string
	folders  map[string]bool // all of them, by path
}

func newLevel() *level { return &level{folders: map[string]bool{}} }

// entry is an archive that is not opened yet.
type entry struct {
	name string
	open func() (io.ReadCloser, error)
}

// opener is one call of Read: what it may still read, and what it has open.
type opener struct {
	*Reader
	lim         manifest.Limits
	files       int
	left        int64 // bytes of manifests
	archiveLeft int64 // bytes of archives that are unpacked
	entriesLeft int   // files and folders of any kind
	nested      int   // archives that are open within one another
	closers     []func() error
}

func (o *opener) close() error {
	var errs []error
	for _, c := range slices.Backward(o.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// check says what cannot be accepted of all that was listed: two files of one name, or a file that is a folder, too.
func (l *level) check() error {
	slices.SortFunc(l.files, func(a, b manifest.File) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(l.files); i++ {
		if l.files[i].Name == l.files[i-1].Name {
			return problem(l.files[i].Name, "hand in one of them", "two files have this name")
		}
	}
	for _, f := range l.files {
		if l.folders[f.Name] {
			return problem(f.Name, "give one of them another name", "this is both a file and a directory")
		}
	}
	return nil
}

// tree is the level at the top in its final form; single says that a file was read, not a folder.
func (l *level) tree(single bool) *Tree {
	t := &Tree{Files: l.files, Folders: l.top(), Single: single && len(l.files) == 1}
	for _, a := range l.archives {
		l.others = append(l.others, a.name)
	}
	slices.Sort(l.others)
	for _, name := range slices.Compact(l.others) {
		if len(t.NotRead) == MaxNotRead {
			t.More++
			continue
		}
		t.NotRead = append(t.NotRead, Printable(name))
	}
	return t
}

// file lists a single file: it is an archive, manifests, or nothing that can be read.
func (o *opener) file(fsys fs.FS, name, shown string, info fs.FileInfo) (*level, error) {
	l := newLevel()
	if !info.Mode().IsRegular() {
		return nil, named(shown, manifest.NotRegular(shown, info.Mode()))
	}
	open := func() (io.ReadCloser, error) { return fsys.Open(name) }
	switch {
	case IsArchive(shown):
		l.archives = []entry{{shown, open}}
	case !manifest.IsManifestName(shown):
		l.others = []string{shown}
	default:
		return l, o.manifest(l, shown, open)
	}
	return l, nil
}

// folder lists a directory.
func (o *opener) folder(fsys fs.FS, dir string) (*level, error) {
	fsys, err := fs.Sub(fsys, dir)
	if err != nil {
		return nil, err
	}
	l := newLevel()
	err = manifest.Walk(fsys, o.lim, func(inside string, mode fs.FileMode) error {
		if o.entriesLeft--; o.entriesLeft < 0 {
			return fmt.Errorf("there are more than %d files and folders (20 times the limit max-files)", 20*o.lim.Files)
		}
		open := func() (io.ReadCloser, error) { return fsys.Open(inside) }
		name := withoutDirections(inside)
		switch {
		case manifest.HiddenManifest(path.Base(name)):
			l.others = append(l.others, name)
		case Junk(path.Base(name)):
			if mode.IsDir() {
				return fs.SkipDir
			}
		case mode.IsDir():
			l.folders[name] = true
		case manifest.IsManifestName(name):
			if !mode.IsRegular() {
				return named(name, manifest.NotRegular(name, mode))
			}
			return o.manifest(l, name, open)
		case mode.IsRegular() && IsArchive(name):
			l.archives = append(l.archives, entry{name, open})
		default:
			l.others = append(l.others, name)
		}
		return nil
	})
	return l, err
}

// manifest reads a file of manifests.
func (o *opener) manifest(l *level, name string, open func() (io.ReadCloser, error)) error {
	if o.files++; o.files > o.lim.Files {
		return problem(name, "", "more than %d files (the limit max-files)", o.lim.Files)
	}
	r, err := open()
	if err != nil {
		return named(name, err)
	}
	defer r.Close()
	most := min(o.lim.FileBytes, o.left)
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return named(name, fmt.Errorf("cannot be read to its end: %w", err))
	case int64(len(data)) <= most:
	case most < o.lim.FileBytes:
		return problem(name, "", "all files together are larger than %d bytes (the limit max-bytes)", o.lim.TotalBytes)
	default:
		return problem(name, "", "file is too large: more than %d bytes (the limit max-file-bytes)", o.lim.FileBytes)
	}
	o.left -= int64(len(data))
	l.files = append(l.files, manifest.File{Name: name, Data: data})
	return nil
}

// named is an error about a file, in words that do not repeat its name.
func named(name string, err error) error {
	var problems manifest.Problems
	var machine *fs.PathError
	if errors.As(err, &problems) || errors.As(err, &machine) {
		return err
	}
	return problem(name, "", "%s", strings.TrimPrefix(err.Error(), name+": "))
}
