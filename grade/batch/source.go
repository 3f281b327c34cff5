package batch

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	// Problem says why it cannot be graded; it is an error of the class's folder or list, not of the student.
	Problem string
}

// Found are the submissions of a class, by ID, and the names of files beside them that are none.
type Found struct {
	Entries []Entry
	Ignored []string
}

// Find looks for submissions: each path is a directory of submissions (folders, archives, files of manifests), one such
// file, or a list of submissions (*.csv). What the downloads of Moodle and Canvas are called is taken apart
// into number and name. Two submissions of one student are both errors: nobody can know which one counts.
func Find(paths ...string) (*Found, error) {
	found := &Found{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("look for submissions: %w", err)
		}
		switch {
		case info.IsDir():
			err = found.directory(path)
		case strings.EqualFold(filepath.Ext(path), ".csv"):
			err = found.list(path)
		default:
			found.add(filepath.Base(path), path)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(found.Entries) == 0 {
		return nil, fmt.Errorf("there is no submission in %s", strings.Join(paths, ", "))
	}
	found.order()
	return found, nil
}

// inOrder is the order of entries, by student and attempt.
func inOrder(a, b Entry) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
}

func (f *Found) directory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for submissions: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		info, err := os.Stat(path) // a link to a folder of submissions is the teacher's own
		switch {
		case strings.HasPrefix(name, ".") || name == "__MACOSX":
		case err != nil:
			f.Entries = append(f.Entries, Entry{ID: idOf(name), Path: path, Problem: err.Error()})
		case info.IsDir() || isSubmission(name):
			f.add(name, path)
		default:
			f.Ignored = append(f.Ignored, path)
		}
	}
	return nil
}

// suffixes of files that are submissions.
var suffixes = []string{".yaml", ".yml", ".json", ".zip", ".tar", ".tar.gz", ".tgz"}

func isSubmission(name string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(strings.ToLower(name), s) })
}

func idOf(name string) string {
	lower := strings.ToLower(name)
	for _, s := range suffixes {
		if strings.HasSuffix(lower, s) {
			return name[:len(name)-len(s)]
		}
	}
	return name
}

// How the downloads of course platforms call a submission.
var (
	// Moodle, "Download all submissions": "Ada Lovelace_4711_assignsubmission_file" with an optional "_" behind it.
	moodleName = regexp.MustCompile(`^(.+)_(\d+)_assignsubmission_[a-z]+_?$`)
	// Canvas, "Download Submissions": "lovelaceada_4711_98765_answers", with "_LATE" before the numbers when it was late.
	canvasName = regexp.MustCompile(`^([^_]+)(?:_LATE)?_(\d+)_(\d+)_.+$`)
)

func (f *Found) add(name, path string) {
	e := Entry{ID: idOf(name), Path: path}
	if m := moodleName.FindStringSubmatch(e.ID); m != nil {
		e.Name, e.ID = m[1], m[2]
	} else if m := canvasName.FindStringSubmatch(e.ID); m != nil {
		e.Name, e.ID = m[1], m[2]
	}
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
