package intake

import (
	"bufio"
	"bytes"
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
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// columns of a list of submissions; the first two are needed.
var columns = []string{"student_id", "path", "name", "email", "submitted_at", "due_at", "extension"}

// list reads a list of submissions: a CSV file whose first line names the columns. student_id and path are
// needed; paths are relative to the list, times are RFC 3339. A student may stand in several lines, one an
// attempt, if each says when it came in. What cannot be read is an error that names every line.
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
	// Excel writes UTF-16 as "Unicode text"; a byte order mark says so. Lines of old Macs end in a carriage
	// return alone.
	lines := bufio.NewReaderSize(transform.NewReader(from, unicode.BOMOverride(encoding.Nop.NewDecoder())), maxHead)
	if head, _ := lines.Peek(maxHead); bytes.IndexByte(head, '\n') < 0 &&
		bytes.IndexByte(bytes.TrimRight(head, "\r"), '\r') >= 0 {
		return fmt.Errorf("read the list of submissions: %s:1: its lines end in carriage returns: save the list as "+
			"\"CSV UTF-8\"", path)
	}
	r, skipped, err := separated(lines)
	if err != nil {
		return fmt.Errorf("read the list of submissions: %s: %w", path, err)
	}
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("read the list of submissions: %s: it is empty; its first line must name the columns", path)
	}
	if err != nil {
		return fmt.Errorf("read the list of submissions: %s: %w", path, err)
	}
	column, others, err := columnsOf(head)
	if err != nil {
		return fmt.Errorf("read the list of submissions: %s:%d: %w", path, skipped+1, err)
	}
	if len(others) > 0 {
		f.note("%s: ignored unknown columns: %s", submission.Printable(path), strings.Join(others, ", "))
	}
	l := listReader{file: path, column: column, width: len(head), locate: locate, platform: f.from}
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
		l.line += skipped
		if l.usable() {
			f.Entries = append(f.Entries, l.entry())
		}
	}
	if len(l.wrong) > maxWrong {
		l.wrong = append(l.wrong[:maxWrong], fmt.Errorf("and %d more lines", len(l.wrong)-maxWrong))
	}
	if err := errors.Join(l.wrong...); err != nil {
		return fmt.Errorf("read the list of submissions: %w", err)
	}
	return nil
}

// maxHead bounds the line that names the columns.
const maxHead = 64 << 10

// separated reads lines of fields that are separated as the first line is: by commas, semicolons, as
// spreadsheets do where the comma is in numbers, or tabs. A line "sep=;" says it to spreadsheets; skipped
// counts it.
func separated(lines *bufio.Reader) (r *csv.Reader, skipped int, err error) {
	head, err := lines.Peek(maxHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	separator := ','
	if said, ok := bytes.CutPrefix(bytes.TrimRight(first, "\r"), []byte("sep=")); ok && len(said) == 1 {
		separator = rune(said[0])
		if _, err := lines.Discard(min(len(first)+1, len(head))); err != nil {
			return nil, 0, err
		}
		skipped = 1
	} else {
		most := 0
		for _, s := range ",;\t" {
			known := 0
			for name := range strings.SplitSeq(string(first), string(s)) {
				if slices.Contains(columns, columnName(strings.Trim(name, "\"\r"))) {
					known++
				}
			}
			if known > most {
				separator, most = s, known
			}
		}
	}
	r = csv.NewReader(lines)
	r.Comma = separator
	r.FieldsPerRecord = -1 // what is wrong with a line is said for all lines at once
	r.ReuseRecord = true
	return r, skipped, nil
}

func columnName(name string) string {
	return strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
}

// columnsOf says where each column is, and which others there are. A name that is nearly that of a column is
// an error: what it says would be lost.
func columnsOf(head []string) (column map[string]int, others []string, err error) {
	column = map[string]int{}
	for i, name := range head {
		if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			return nil, nil, notUTF8(name)
		}
		name = columnName(name)
		if !slices.Contains(columns, name) {
			if name != "" {
				others = append(others, name)
			}
			continue
		}
		if first, ok := column[name]; ok {
			return nil, nil, fmt.Errorf("columns %d and %d are both called %q: remove one", first+1, i+1, name)
		}
		column[name] = i
	}
	for i, name := range others {
		if near := wording.Nearest(strings.NewReplacer(" ", "_", "-", "_").Replace(name), columns); near != "" &&
			len(head) > 1 {
			if _, ok := column[near]; !ok {
				return nil, nil, fmt.Errorf("there is no column %q; did you mean %q?", submission.Printable(name), near)
			}
		}
		others[i] = submission.Printable(name)
	}
	for _, name := range columns[:2] {
		if _, ok := column[name]; !ok {
			return nil, nil, fmt.Errorf("there is no column %q; it has %s. The first line names the columns, "+
				"separated by commas, semicolons or tabs", name, submission.Printable(strings.Join(head, ", ")))
		}
	}
	return column, others, nil
}

func notUTF8(text string) error {
	return fmt.Errorf("%q is not UTF-8: save the list as \"CSV UTF-8\"", text)
}

// maxWrong bounds how many lines in error are shown.
const maxWrong = 20

// rounded is a long number as spreadsheets shorten it.
var rounded = regexp.MustCompile(`^\d[.,]\d+E\+\d+$`)

// listReader reads one line after another of a list.
type listReader struct {
	file     string
	column   map[string]int
	width    int // how many columns there are
	locate   func(string) (path, problem string)
	platform Platform
	row      []string
	line     int
	wrong    []error
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

// usable reports whether a line says something; what is wrong with it as a whole is noted. Spreadsheets leave
// empty lines and fields at the end.
func (l *listReader) usable() bool {
	for len(l.row) > l.width && strings.TrimSpace(l.row[len(l.row)-1]) == "" {
		l.row = l.row[:len(l.row)-1]
	}
	if !slices.ContainsFunc(l.row, func(field string) bool { return strings.TrimSpace(field) != "" }) {
		return false
	}
	if len(l.row) != l.width {
		l.errorf("it has %s, but the first line names %s", wording.Count(len(l.row), "field"),
			wording.Count(l.width, "column"))
		return false
	}
	if i := slices.IndexFunc(l.row, func(field string) bool { return !utf8.ValidString(field) }); i >= 0 {
		l.wrong = append(l.wrong, fmt.Errorf("%s:%d: %w", l.file, l.line, notUTF8(l.row[i])))
		return false
	}
	return true
}

func (l *listReader) entry() Entry {
	e := Entry{ID: l.get("student_id"), Name: l.get("name"), Email: l.get("email"), Path: l.get("path")}
	e.SubmittedAt, e.DueAt = l.time("submitted_at"), l.time("due_at")
	l.extension(&e)
	if l.platform == Canvas || l.platform == Moodle {
		e.Platform = l.platform
	}
	switch {
	case e.ID == "":
		l.errorf("student_id is missing")
	case e.ID[0] == '=' || rounded.MatchString(e.ID):
		l.errorf("student_id: %q is what a spreadsheet made of a number: format the column as text", e.ID)
	case e.Path == "":
		e.Problem = fmt.Sprintf("%s:%d has no path", filepath.Base(l.file), l.line)
	default:
		var problem string
		if e.Path, problem = l.locate(e.Path); problem != "" {
			e.Problem = fmt.Sprintf("%s:%d: %s", filepath.Base(l.file), l.line, problem)
		}
		e.Problem = cmp.Or(e.Problem, badID(e.ID))
		e.ID = printableID(e.ID)
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
		l.errorf("%s: invalid time %q: use, for example, 2026-11-23T18:00:00+01:00 (RFC 3339)", name, text)
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
		l.errorf("extension: invalid value %q: use a duration such as 36h or 2d, or a time such as "+
			"2026-11-25T18:00:00+01:00 (RFC 3339)", text)
	case until.Before(e.DueAt):
		l.errorf("extension: %s is before the due date, %s", text, l.get("due_at"))
	default:
		e.DueAt = until
	}
}
