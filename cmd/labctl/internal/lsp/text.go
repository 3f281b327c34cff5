package lsp

import (
	"net/url"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"
)

// text is the content of a file, with the places where its lines begin.
type text struct {
	s     string
	lines []int // offsets
}

func newText(s string) *text {
	t := &text{s: s, lines: []int{0}}
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' && (i+1 == len(s) || s[i+1] != '\n') {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// offset returns the byte at a position. A position behind the end of a line or of the text is that end.
func (t *text) offset(p position) int {
	if p.Line < 0 {
		return 0
	}
	if p.Line >= len(t.lines) {
		return len(t.s)
	}
	at, units := t.lines[p.Line], 0
	for at < len(t.s) && t.s[at] != '\n' && t.s[at] != '\r' && units < p.Character {
		r, size := utf8.DecodeRuneInString(t.s[at:])
		at += size
		units += utf16Len(r)
	}
	return at
}

// position returns the position of a byte.
func (t *text) position(offset int) position {
	offset = max(0, min(offset, len(t.s)))
	line := sort.SearchInts(t.lines, offset+1) - 1
	units := 0
	for _, r := range t.s[t.lines[line]:offset] {
		units += utf16Len(r)
	}
	return position{line, units}
}

func (t *text) span(start, end int) span { return span{t.position(start), t.position(end)} }

// lineSpan returns the text of a line, from 0, without the space around it.
func (t *text) lineSpan(line int) span {
	line = max(0, min(line, len(t.lines)-1))
	start, end := t.lines[line], len(t.s)
	if line+1 < len(t.lines) {
		end = t.lines[line+1]
	}
	content := t.s[start:end]
	start += len(content) - len(strings.TrimLeft(content, " \t"))
	return t.span(start, max(start, start+len(strings.TrimSpace(content))))
}

func utf16Len(r rune) int {
	if r >= 0x10000 {
		return 2
	}
	return 1
}

// edit applies a change.
func (t *text) edit(c change) *text {
	if c.Range == nil {
		return newText(c.Text)
	}
	start, end := t.offset(c.Range.Start), t.offset(c.Range.End)
	if end < start {
		start, end = end, start
	}
	return newText(t.s[:start] + c.Text + t.s[end:])
}

// document is a file that is open in the editor.
type document struct {
	*text
	uri     string
	path    string
	version int
}

// pathOf returns the file that a URI names; "" if it is none on this machine.
func pathOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Path == "" || u.Host != "" && u.Host != "localhost" {
		return ""
	}
	return filepath.Clean(filepath.FromSlash(u.Path))
}

// uriOf is the URI of a file.
func uriOf(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
