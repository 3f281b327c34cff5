package batch

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is one student's submission as it was found.
type Entry struct {
	ID    string
	Name  string // of the student; "" where nobody said
	Email string
	Path  string
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
	slices.SortStableFunc(found.Entries, func(a, b Entry) int { return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Path, b.Path)) })
	found.refuseTwins()
	return found, nil
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

// list reads a list of submissions: a CSV file whose first line names the columns. student_id and path are needed;
// paths are relative to the list.
func (f *Found) list(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the list of submissions: %w", err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = 0 // as many as the first line has
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the list of submissions: %s: %w", path, err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	for _, name := range []string{"student_id", "path"} {
		if _, ok := column[name]; !ok {
			return fmt.Errorf("read the list of submissions: %s:1: there is no column %q; it has %s", path, name, strings.Join(head, ", "))
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the list of submissions: %s: %w", path, err) // it says the line
		}
		get := func(name string) string {
			if i, ok := column[name]; ok {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		e := Entry{ID: get("student_id"), Name: get("name"), Email: get("email"), Path: get("path")}
		line, _ := r.FieldPos(0)
		switch {
		case e.ID == "":
			return fmt.Errorf("read the list of submissions: %s:%d: there is no student_id", path, line)
		case e.Path == "":
			e.Problem = fmt.Sprintf("%s:%d names no path", filepath.Base(path), line)
		default:
			if !filepath.IsAbs(e.Path) {
				e.Path = filepath.Join(filepath.Dir(path), filepath.FromSlash(e.Path))
			}
			if _, err := os.Stat(e.Path); errors.Is(err, fs.ErrNotExist) {
				e.Problem = fmt.Sprintf("%s:%d: there is no %s", filepath.Base(path), line, get("path"))
			}
			e.Problem = cmp.Or(e.Problem, badID(e.ID))
		}
		f.Entries = append(f.Entries, e)
	}
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

// refuseTwins makes one entry of those that have the same ID, which is in error. Entries are sorted by it.
func (f *Found) refuseTwins() {
	var out []Entry
	for _, e := range f.Entries {
		last := len(out) - 1
		if last < 0 || out[last].ID != e.ID {
			out = append(out, e)
			continue
		}
		if !strings.Contains(out[last].Problem, "given more than once") {
			out[last].Problem = fmt.Sprintf("the student ID %q is given more than once: %s", e.ID, filepath.Base(out[last].Path))
		}
		out[last].Problem += ", " + filepath.Base(e.Path)
	}
	f.Entries = out
}
