package batch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Entry is one student's submission as it was found.
type Entry struct {
	ID    string
	Name  string // of the student; "" where nobody said
	Email string
	Path  string
	// SubmittedAt is when it came in, and DueAt when it had to, without Extension; zero where nobody said.
	SubmittedAt time.Time
	DueAt       time.Time
	Extension   time.Duration
	// Attempt counts a student's submissions from 1, in the order in which they came in; 0: there is one.
	Attempt int
	// MarkedLate says that the platform calls it late, but not by how much.
	MarkedLate bool
	// Problem says why it cannot be graded; it is an error of the class's folder or list, not of the student.
	Problem string

	source fs.FS  // that it is in; nil: the file system
	within string // its path there
	parts  []part // the files of source that make it up; none: what is at the path
}

// part is one of several files of a submission.
type part struct {
	name  string // as the student called it
	path  string // in the entry's source
	typed bool   // HTML of a text that was typed
}

// Found are the submissions of a class, by ID, and the names of files beside them that are none.
type Found struct {
	Entries []Entry
	Ignored []string

	from     Platform
	archives []io.Closer
}

// Search says how to look for submissions. Its zero value finds out.
type Search struct {
	From Platform // whose download the folders and archives are
	// ClassArchive says that a .zip that is named holds a class: the submissions are in it, not one student's files. Without
	// it, it does if it is a platform's download by its names.
	ClassArchive bool
}

// Find looks for submissions as its zero value does.
func Find(paths ...string) (*Found, error) { return Search{}.Find(paths...) }

// Find looks for submissions: each path is a directory of submissions (folders, archives, files of manifests), a course
// platform's download as a directory or as the .zip that it comes as, a single submission, or a list of submissions (*.csv).
// What was found has to be closed after the run.
func (s Search) Find(paths ...string) (_ *Found, err error) {
	found := &Found{from: s.From}
	defer func() {
		if err != nil {
			err = errors.Join(err, found.Close())
		}
	}()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("look for submissions: %w", err)
		}
		single := false
		switch {
		case info.IsDir():
			err = found.directory(folder{dir: path})
		case strings.EqualFold(filepath.Ext(path), ".csv"):
			err = found.list(path)
		case strings.EqualFold(filepath.Ext(path), ".zip"):
			var class bool
			class, err = found.archive(path, s.ClassArchive)
			single = !class
		case s.ClassArchive:
			return nil, fmt.Errorf("look for submissions: %s is no .zip: unpack it and name the directory", path)
		default:
			single = true
		}
		if err != nil {
			return nil, err
		}
		if single {
			found.single(folder{dir: filepath.Dir(path)}, filepath.Base(path))
		}
	}
	if len(found.Entries) == 0 {
		return nil, fmt.Errorf("there is no submission in %s", strings.Join(paths, ", "))
	}
	found.order()
	return found, nil
}

// Close closes the archives that submissions are in.
func (f *Found) Close() error {
	var errs []error
	for _, c := range f.archives {
		errs = append(errs, c.Close())
	}
	f.archives = nil
	return errors.Join(errs...)
}

// inOrder is the order of entries, by student and attempt.
func inOrder(a, b Entry) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
}

// directory finds the submissions in a folder: those of a platform's download, or one for each folder, archive and file of
// manifests.
func (f *Found) directory(at folder) error {
	entries, err := at.list()
	if err != nil {
		return fmt.Errorf("look for submissions: %w", err)
	}
	if f.from != Plain {
		if done, err := f.download(at, entries); done || err != nil {
			return err
		}
		// An archive is often unpacked into a folder of its name.
		if inner := onlyFolder(entries); inner != "" {
			in := at.enter(inner)
			entries, err := in.list()
			if err != nil {
				return fmt.Errorf("look for submissions: %w", err)
			}
			if done, err := f.download(in, entries); done || err != nil {
				return err
			}
		}
	}
	f.Entries = slices.Grow(f.Entries, len(entries))
	for _, e := range entries {
		name := e.Name()
		if junk(name) {
			continue
		}
		info, err := at.stat(name) // a link to a folder of submissions is the teacher's own
		switch {
		case err != nil:
			broken := at.entry(name)
			broken.ID, broken.Problem = idOf(name), err.Error()
			f.Entries = append(f.Entries, broken)
		case info.IsDir() || isSubmission(name):
			f.single(at, name)
		default:
			f.Ignored = append(f.Ignored, at.shown(name))
		}
	}
	return nil
}

// onlyFolder is the name of the folder that is all there is; "" if there is more.
func onlyFolder(entries []fs.DirEntry) string {
	name := ""
	for _, e := range entries {
		switch {
		case junk(e.Name()):
		case name != "" || !e.IsDir():
			return ""
		default:
			name = e.Name()
		}
	}
	return name
}

// suffixes of files that are submissions.
var suffixes = []string{".yaml", ".yml", ".json", ".zip", ".tar", ".tar.gz", ".tgz"}

// suffixOf is the ending of a name that makes it a submission's, as it is written; "" if it has none.
func suffixOf(name string) string {
	for _, s := range suffixes {
		if len(name) >= len(s) && strings.EqualFold(name[len(name)-len(s):], s) {
			return name[len(name)-len(s):]
		}
	}
	return ""
}

func isSubmission(name string) bool { return suffixOf(name) != "" }

func idOf(name string) string { return strings.TrimSuffix(name, suffixOf(name)) }

// single adds a submission that is named after its student, or as a platform calls a single one.
func (f *Found) single(at folder, name string) {
	e := at.entry(name)
	e.ID = idOf(name)
	e.Problem = badID(e.ID)
	f.Entries = append(f.Entries, e)
}

// badID says why a student's ID cannot be one: results are kept under it.
func badID(id string) string {
	switch {
	case id == "":
		return "the name gives no student ID"
	case len(id) > 200:
		return "the student ID is longer than 200 bytes"
	case !utf8.ValidString(id):
		return "the student ID is not valid UTF-8"
	case strings.ContainsFunc(id, unicode.IsControl):
		return "the student ID holds a control character"
	}
	return ""
}

// order sorts the entries and numbers the attempts of each student. Several are attempts where each says when it came in;
// otherwise they become one entry, which is in error: nobody can know which counts.
func (f *Found) order() {
	slices.SortStableFunc(f.Entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), a.SubmittedAt.Compare(b.SubmittedAt), strings.Compare(a.Path, b.Path))
	})
	out := f.Entries[:0]
	for first := 0; first < len(f.Entries); {
		next := first + 1
		for next < len(f.Entries) && f.Entries[next].ID == f.Entries[first].ID {
			next++
		}
		same := f.Entries[first:next]
		first = next
		switch {
		case len(same) == 1:
		case apart(same):
			for i := range same {
				same[i].Attempt = i + 1
			}
		default:
			same[0].Problem = twins(same)
			same = same[:1]
		}
		out = append(out, same...)
	}
	clear(f.Entries[len(out):])
	f.Entries = out
}

// apart reports whether entries, which are in order, came in at different times.
func apart(entries []Entry) bool {
	for i := range entries {
		if entries[i].SubmittedAt.IsZero() || i > 0 && entries[i].SubmittedAt.Equal(entries[i-1].SubmittedAt) {
			return false
		}
	}
	return true
}

func twins(entries []Entry) string {
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = filepath.Base(entries[i].Path)
	}
	why := "attempts are told apart by submitted_at, which a list of submissions can give"
	if !entries[len(entries)-1].SubmittedAt.IsZero() {
		why = "attempts need a submitted_at each, and no two the same"
	}
	return fmt.Sprintf("the student ID %q is given more than once: %s (%s)", entries[0].ID, strings.Join(names, ", "), why)
}
