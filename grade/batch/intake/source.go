package intake

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
	"unicode/utf8"

	"github.com/labctl/labctl/grade/submission"
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
	// Platform is the one whose number the ID is; "" if nobody said that it is one.
	Platform Platform `json:",omitempty"`
	// Problem says why it cannot be graded; it is an error of the class's folder or list, not of the student.
	Problem string

	source fs.FS  // that it is in; nil: the file system
	within string // its path there
	parts  []part // the files of source that make it up; none: what is at the path
	typed  *typedPage
	found  bool // in the folder of a class, so it is not the teacher who named it
	alone  bool // it was named itself, and could be a class
}

// part is one of several files of a submission.
type part struct {
	name string // as the student called it
	path string // in the entry's source
}

// Found are the submissions of a class, by ID, and the names of files beside them that are none.
type Found struct {
	Entries []Entry
	Ignored []string
	Notes   []string // what should be known of how names were understood

	from     Platform
	archives []io.Closer
}

// Search says how to look for submissions. Its zero value finds out.
type Search struct {
	From Platform // whose download the folders and archives are
	// ClassArchive says that a .zip that is named holds a class: the submissions are in it, not one student's
	// files. Without it, it does if it is a platform's download by its names.
	ClassArchive bool
}

// Find looks for submissions as its zero value does.
func Find(paths ...string) (*Found, error) { return Search{}.Find(paths...) }

// Find looks for submissions: each path is a directory of submissions (folders, archives, files of
// manifests), a course platform's download as a directory or as the .zip that it comes as, a single
// submission, or a list of submissions (*.csv). What was found has to be closed after the run.
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
			return nil, fmt.Errorf("look for submissions: %s is not a .zip file: extract it, and pass the directory", path)
		default:
			single = true
		}
		if err != nil {
			return nil, err
		}
		if single {
			found.addSingle(folder{dir: filepath.Dir(path)}, filepath.Base(path))
			last := &found.Entries[len(found.Entries)-1]
			last.found, last.alone = false, true
			if strings.EqualFold(filepath.Ext(path), ".zip") && len(paths) == 1 {
				found.note("%s is graded as the submission of one student; if it contains the submissions of a "+
					"class, add --class-archive", submission.Printable(path))
			}
		}
	}
	if len(found.Entries) == 0 {
		return nil, fmt.Errorf("%s contains no submissions", strings.Join(paths, ", "))
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

func (f *Found) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// InOrder compares entries, by student and attempt.
func InOrder(a, b Entry) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
}

// directory finds the submissions in a folder: those of a platform's download, or one for each folder,
// archive and file of manifests.
func (f *Found) directory(at folder) error {
	entries, err := at.list()
	if err != nil {
		return fmt.Errorf("look for submissions: %w", err)
	}
	if f.from != Plain {
		if done, err := f.export(at, entries); done || err != nil {
			return err
		}
	}
	f.Entries = slices.Grow(f.Entries, len(entries))
	for _, e := range entries {
		name := e.Name()
		if isJunk(name) {
			continue
		}
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			link := at.entry(name)
			link.ID, link.Problem = printableID(idOf(name)), linkProblem
			f.Entries = append(f.Entries, link)
		case e.IsDir() || isSubmission(name):
			f.addSingle(at, name)
			if why := submission.CannotOpen(name); why != "" && !e.IsDir() {
				f.note("%s: %s", submission.Printable(at.shown(name)), why)
			}
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
		case isJunk(e.Name()):
		case name != "" || !e.IsDir():
			return ""
		default:
			name = e.Name()
		}
	}
	return name
}

// linkProblem is why a link is no submission: it could lead to that of another student, or to any file of the machine.
const linkProblem = "it is a link; labctl does not follow links in a class folder: put the files there, or add the " +
	"path to a list"

func isSubmission(name string) bool { return submission.Suffix(name) != "" }

func idOf(name string) string { return strings.TrimSuffix(name, submission.Suffix(name)) }

// printableID is an ID that can stand in results: one that is not safe to print has a problem anyway.
func printableID(id string) string {
	if badID(id) != "" {
		return submission.Printable(id)
	}
	return id
}

// addSingle adds a submission that is named after its student, or as a platform calls a single one.
func (f *Found) addSingle(at folder, name string) {
	e := at.entry(name)
	e.Problem = badID(idOf(name))
	e.ID = printableID(idOf(name))
	f.Entries = append(f.Entries, e)
}

// badID says why a student's ID cannot be one: results are kept under it.
func badID(id string) string {
	switch {
	case id == "":
		return "the name contains no student ID"
	case len(id) > 200:
		return "the student ID is longer than 200 bytes"
	case !utf8.ValidString(id):
		return "the student ID is not valid UTF-8"
	case strings.ContainsFunc(id, submission.Unprintable):
		return fmt.Sprintf("the student ID contains invisible characters: %q", id)
	}
	return ""
}

// order sorts the entries and numbers the attempts of each student. Several are attempts where each says when
// it came in; otherwise they become one entry, which is in error: nobody can know which counts.
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
		case distinctTimes(same):
			for i := range same {
				same[i].Attempt = i + 1
			}
		default:
			same[0].Problem = duplicateID(same)
			same = same[:1]
		}
		out = append(out, same...)
	}
	clear(f.Entries[len(out):])
	f.Entries = out
}

// distinctTimes reports whether entries, which are in order, came in at different times.
func distinctTimes(entries []Entry) bool {
	for i := range entries {
		if entries[i].SubmittedAt.IsZero() || i > 0 && entries[i].SubmittedAt.Equal(entries[i-1].SubmittedAt) {
			return false
		}
	}
	return true
}

func duplicateID(entries []Entry) string {
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = filepath.Base(entries[i].Path)
	}
	why := "labctl tells attempts apart by submitted_at: add that column to a list of submissions"
	if !entries[len(entries)-1].SubmittedAt.IsZero() {
		why = "each attempt needs its own submitted_at"
	}
	return fmt.Sprintf("the student ID %q occurs more than once: %s (%s)", entries[0].ID, strings.Join(names, ", "), why)
}
