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
	"strings"
	"time"

	"github.com/labctl/labctl/labs"
)

// columns of a list of submissions; the first two are needed.
var columns = []string{"student_id", "path", "name", "email", "submitted_at", "due_at", "extension"}

// list reads a list of submissions: a CSV file whose first line names the columns. student_id and path are needed;
// paths are relative to the list, times are RFC 3339. A student may stand in several lines, one an attempt, if each says
// when it came in. What cannot be read is an error that names every line.
func (f *Found) list(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the list of submissions: %w", err)
	}
	defer file.Close()
	return f.readList(path, file, func(given string) (string, string) {
		to := given
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), filepath.FromSlash(given))
		}
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			return to, "there is no " + given
		}
		return to, ""
	})
}

// readList reads what a list holds; locate turns its paths into those of entries, or says what is wrong with one.
func (f *Found) readList(path string, from io.Reader, locate func(given string) (path, problem string)) error {
	r := csv.NewReader(from)
	r.FieldsPerRecord = 0 // as many as the first line has
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the list of submissions: %s: %w", path, err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	for _, name := range columns[:2] {
		if _, ok := column[name]; !ok {
			return fmt.Errorf("read the list of submissions: %s:1: there is no column %q; it has %s", path, name, strings.Join(head, ", "))
		}
	}
	l := listReader{file: path, column: column, locate: locate}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the list of submissions: %s: %w", path, err) // it says the line
		}
		l.row = row
		l.line, _ = r.FieldPos(0)
		f.Entries = append(f.Entries, l.entry())
	}
	if len(l.wrong) > maxWrong {
		l.wrong = append(l.wrong[:maxWrong], fmt.Errorf("and %d more lines", len(l.wrong)-maxWrong))
	}
	if err := errors.Join(l.wrong...); err != nil {
		return fmt.Errorf("read the list of submissions: %w", err)
	}
	return nil
}

// maxWrong bounds how many lines in error are shown.
const maxWrong = 20

// listReader reads one line after another of a list.
type listReader struct {
	file   string
	column map[string]int
	locate func(string) (path, problem string)
	row    []string
	line   int
	wrong  []error
}

func (l *listReader) get(name string) string {
	if i, ok := l.column[name]; ok {
		return strings.Clone(strings.TrimSpace(l.row[i])) // the rest of the line is not to be kept with it
	}
	return ""
}

func (l *listReader) errorf(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Errorf("%s:%d: %w", l.file, l.line, fmt.Errorf(format, args...)))
}

func (l *listReader) entry() Entry {
	e := Entry{ID: l.get("student_id"), Name: l.get("name"), Email: l.get("email"), Path: l.get("path")}
	e.SubmittedAt, e.DueAt = l.time("submitted_at"), l.time("due_at")
	l.extension(&e)
	switch {
	case e.ID == "":
		l.errorf("there is no student_id")
	case e.Path == "":
		e.Problem = fmt.Sprintf("%s:%d names no path", filepath.Base(l.file), l.line)
	default:
		var problem string
		if e.Path, problem = l.locate(e.Path); problem != "" {
			e.Problem = fmt.Sprintf("%s:%d: %s", filepath.Base(l.file), l.line, problem)
		}
		e.Problem = cmp.Or(e.Problem, badID(e.ID))
	}
	return e
}

func (l *listReader) time(name string) time.Time {
	text := l.get(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		l.errorf("%s: %q is no time such as 2026-11-23T18:00:00+01:00 (RFC 3339)", name, text)
	}
	return t
}

// extension reads how much more time a student has: a duration, or the due date that holds for that student.
func (l *listReader) extension(e *Entry) {
	text := l.get("extension")
	if text == "" {
		return
	}
	if d, err := labs.ParseDuration(text); err == nil {
		e.Extension = d
		return
	}
	until, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		l.errorf("extension: %q is neither a duration such as 36h or 2d nor a time such as 2026-11-25T18:00:00+01:00 (RFC 3339)", text)
	case until.Before(e.DueAt):
		l.errorf("extension: %s is before the due date, %s", text, l.get("due_at"))
	default:
		e.DueAt = until
	}
}
