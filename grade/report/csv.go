package report

import (
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Cell keeps a spreadsheet from reading text as a formula (https://owasp.org/www-community/attacks/CSV_Injection), and
// from hiding that it is one behind blanks.
func Cell(s string) string {
	if first := strings.TrimLeftFunc(s, unicode.IsSpace); first != s && first != "" || first != "" && strings.ContainsRune("=+-@", rune(first[0])) {
		return "'" + s
	}
	return s
}

// Decimal writes a number for programs: all its digits, and never an exponent.
func Decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// sheet is a CSV file with a row an outcome.
type sheet struct {
	out *csv.Writer
	row func(o *Outcome) []string // texts are made safe here
}

// newSheet begins a file. What cannot be written is told by Add and Close.
func newSheet(w io.Writer, row func(*Outcome) []string, heads ...[]string) ClassWriter {
	s := &sheet{out: csv.NewWriter(w), row: row}
	for _, head := range heads {
		_ = s.write(head)
	}
	return s
}

func (s *sheet) Add(o *Outcome) error { return s.write(s.row(o)) }

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

// points of an outcome; no grade is an empty cell, which importers leave alone.
func (o *Outcome) points() string {
	if o.Score == nil {
		return ""
	}
	return Decimal(o.Score.Points)
}

// full is what the outcome's points are out of.
func (a *Assignment) full(o *Outcome) float64 {
	if o.Score == nil {
		return a.max()
	}
	return o.Score.Max
}
