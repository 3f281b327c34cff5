package report

import (
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Style is how text comes out: how wide, and whether in colour. The zero value is plain and not wrapped.
type Style struct {
	Width  int // columns at which lines are wrapped; 0: never
	Color  bool
	Detail Detail // of a report's tasks
	Lab    string // what the reader calls the lab; empty: its name if it ships with labctl, otherwise LAB
}

// Detail says which tasks of a report are shown in full; the others have one line.
type Detail int

const (
	// AllTasks shows every task in full.
	AllTasks Detail = iota
	// BegunTasks shows the tasks that something was submitted for, and the first one that is open.
	BegunTasks
	// OpenTask shows only the first task that is open.
	OpenTask
)

// Heading is a line that heads others.
func (s Style) Heading(text string) string { return s.bold(text) }

func (s Style) bold(text string) string   { return s.sgr("1", text) }
func (s Style) dim(text string) string    { return s.sgr("2", text) }
func (s Style) italic(text string) string { return s.sgr("3", text) }
func (s Style) red(text string) string    { return s.sgr("31", text) }
func (s Style) green(text string) string  { return s.sgr("32", text) }
func (s Style) yellow(text string) string { return s.sgr("33", text) }
func (s Style) cyan(text string) string   { return s.sgr("36", text) }

// sgr wraps text in a "select graphic rendition" sequence (ECMA-48).
func (s Style) sgr(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// page collects lines; it knows how to indent and wrap them.
type page struct {
	Style
	explained map[string]bool // words of verdicts that the page has said the meaning of
	b         strings.Builder
}

// line writes one line: text wrapped at the page's width, the first line behind prefix, the following
// lines indented as far as prefix reaches.
func (p *page) line(prefix, text string) {
	hang := strings.Repeat(" ", ansi.StringWidth(prefix))
	room := 0
	if p.Width > 0 {
		room = max(p.Width-len(hang), minText)
	}
	for i, l := range Wrap(text, room) {
		if i > 0 {
			prefix = hang
		}
		p.b.WriteString(strings.TrimRight(prefix+l, " ") + "\n")
	}
}

// row writes text with right at the right edge of the page, wrapping text before it gets there.
func (p *page) row(prefix, text, right string) {
	width := min(p.Width, maxRow)
	if width == 0 {
		width = maxRow
	}
	hang := strings.Repeat(" ", ansi.StringWidth(prefix))
	room := max(width-len(hang)-ansi.StringWidth(right)-2, minText)
	for i, l := range Wrap(text, room) {
		if i > 0 {
			p.b.WriteString(strings.TrimRight(hang+l, " ") + "\n")
			continue
		}
		gap := max(width-len(hang)-ansi.StringWidth(l)-ansi.StringWidth(right), 2)
		p.b.WriteString(prefix + l + strings.Repeat(" ", gap) + right + "\n")
	}
}

// Wrap cuts text into lines of at most width columns, between words only: names of files and policies stay
// whole, so that they can be copied. Width 0 cuts at line feeds alone.
func Wrap(text string, width int) []string {
	var lines []string
	for _, paragraph := range strings.Split(text, "\n") {
		line, used := "", 0
		for i, word := range strings.Split(paragraph, " ") {
			n := ansi.StringWidth(word)
			switch {
			case i == 0:
				line, used = word, n
			case width > 0 && used+1+n > width:
				lines = append(lines, line)
				line, used = word, n
			default:
				line, used = line+" "+word, used+1+n
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (p *page) blank() { p.b.WriteByte('\n') }

const (
	minText = 24 // columns that text gets however narrow the page and deep the indent
	maxRow  = 88 // columns beyond which the eye loses the row
)

// number prints points and percents: at most two decimals, and none that say nothing.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
