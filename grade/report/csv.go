package report

import (
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labctl/labctl/grade"
)

// Cell makes text safe in a CSV file that people open and platforms read. A spreadsheet does not read it as a
// formula (https://owasp.org/www-community/attacks/CSV_Injection), at its beginning or behind a semicolon,
// which separates cells where the comma is the decimal sign. It is one line of valid UTF-8 without control
// characters, which would command a terminal.
func Cell(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	parts := strings.Split(s, ";")
	for i, part := range parts {
		if formula(part) {
			parts[i] = "'" + part
		}
	}
	return strings.Join(parts, ";")
}

// formula says whether a spreadsheet takes text for a formula, now or after somebody has removed the blanks before it.
func formula(text string) bool {
	start := strings.TrimLeftFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
	first, _ := utf8.DecodeRuneInString(start)
	return strings.ContainsRune("=+-@|%\u2212＝＋－＠﹦﹢﹣﹫", first) && start != ""
}

// Decimal writes a number for programs: all its digits, and never an exponent.
func Decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// sheet is a CSV file for a platform, with one row per result that has a grade.
type sheet struct {
	out *csv.Writer
	row func(o *Result) []string // texts are made safe here
}

// newSheet begins a file. Add and Close return what cannot be written.
func newSheet(w io.Writer, row func(*Result) []string, heads ...[]string) ClassWriter {
	s := &sheet{out: csv.NewWriter(w), row: row}
	for _, head := range heads {
		_ = s.write(head)
	}
	return s
}

// Add leaves out what has no grade: platforms take an empty cell or comment for a new one, and what was there
// before is lost.
func (s *sheet) Add(o *Result) error {
	if o.Status == grade.Errored {
		return nil
	}
	return s.write(s.row(o))
}

func (s *sheet) write(row []string) error {
	for i := range row {
		if _, err := strconv.ParseFloat(row[i], 64); err != nil {
			row[i] = Cell(row[i])
		}
	}
	return s.out.Write(row)
}

func (s *sheet) Close() error {
	s.out.Flush()
	return errors.Join(s.out.Error())
}

// points of a result; no grade is an empty cell.
func (o *Result) points() string {
	if o.Score == nil {
		return ""
	}
	return Decimal(o.Score.Points)
}

// full is what the result's points are out of.
func (a *Assignment) full(o *Result) float64 {
	if o.Score == nil {
		return a.max()
	}
	return o.Score.Max
}
