package intake

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// typedText returns what a student typed into a course platform, which keeps it as HTML: the text of the
// body, with a line for each paragraph. Editors turn spaces into no-break ones. Canvas puts a heading of its
// own above, outside of the box with the text: the assignment and the student, as in the page's title. canvas
// says that the page is Canvas's.
// https://github.com/instructure/canvas-lms/blob/master/app/views/assignments/text_entry_page.html.erb
func typedText(page []byte, canvas bool) []byte {
	t := typedReader{tokens: html.NewTokenizer(bytes.NewReader(page)), canvas: canvas}
	for {
		kind := t.tokens.Next()
		switch kind {
		case html.ErrorToken:
			if t.tokens.Err() != io.EOF {
				return nil
			}
			t.line()
			return []byte(typedSpaces.Replace(t.out.String()))
		case html.TextToken:
			t.text(string(t.tokens.Text()))
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := t.tokens.TagName()
			t.tag(atom.Lookup(name), map[html.TokenType]int{html.StartTagToken: 1, html.EndTagToken: -1}[kind])
		}
	}
}

// typedSpaces undoes what editors make of spaces, and takes out what they put in to hold the cursor.
var typedSpaces = strings.NewReplacer("\u00a0", " ", "\u200b", "", "\ufeff", "", "\u2060", "")

// typedReader goes through a page.
type typedReader struct {
	tokens    *html.Tokenizer
	canvas    bool
	out       strings.Builder
	skip, pre int
	begun     bool            // something of the body has been seen
	title     strings.Builder // of the page
	inTitle   bool
	heading   strings.Builder // that comes first in the body; it may be Canvas's
	inHeading bool
}

// line ends the line.
func (t *typedReader) line() {
	if text := t.out.String(); text != "" && !strings.HasSuffix(text, "\n") {
		t.out.WriteByte('\n')
	}
}

func (t *typedReader) text(text string) {
	blank := strings.Trim(text, " \t\r\n") == ""
	switch {
	case t.inTitle:
		t.title.WriteString(text)
	case t.skip > 0:
	case t.inHeading:
		t.heading.WriteString(text)
	case t.pre > 0:
		t.out.WriteString(text)
	case blank && strings.ContainsAny(text, "\r\n"):
		t.line()
	case blank && t.out.Len() == 0:
	default:
		text = strings.ReplaceAll(text, "\r", "")
		if t.out.Len() == 0 && text[0] == '\n' { // the page is indented, not the text
			text = strings.TrimLeft(text, " \t\n")
		}
		t.out.WriteString(strings.Trim(text, "\n"))
		t.begun = true
	}
}

// tag is the beginning (step 1) or end (-1) of an element, or one that is both (0).
func (t *typedReader) tag(name atom.Atom, step int) {
	switch name {
	case atom.Title:
		t.inTitle = step > 0
	case atom.Script, atom.Style, atom.Head:
		t.skip = max(t.skip+step, 0)
	case atom.Pre, atom.Textarea:
		t.line()
		t.begun = true
		t.pre = max(t.pre+step, 0)
	case atom.Br:
		t.out.WriteByte('\n')
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		t.line()
		switch {
		case step > 0 && !t.begun && !t.inHeading:
			t.inHeading = true
		case step < 0 && t.inHeading:
			t.endHeading()
		}
	case atom.Div:
		if t.inHeading && step > 0 { // it was not closed
			t.endHeading()
		}
		t.line()
		t.begun = t.begun || step > 0
	case atom.P, atom.Li, atom.Tr, atom.Body, atom.Blockquote, atom.Section, atom.Article, atom.Ul, atom.Ol,
		atom.Table, atom.Hr, atom.Dt, atom.Dd:
		t.line()
		if name != atom.Body {
			t.begun = t.begun || step > 0
		}
	}
}

// endHeading drops the heading that comes first if it is Canvas's; otherwise the student typed it.
func (t *typedReader) endHeading() {
	t.inHeading, t.begun = false, true
	same := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if !t.canvas && same(t.heading.String()) != same(t.title.String()) {
		t.out.WriteString(t.heading.String())
		t.line()
	}
}
