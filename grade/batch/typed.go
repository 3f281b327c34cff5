package batch

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// typedText returns what a student typed into a course platform, which keeps it as HTML: the text of the body, with a line for
// each paragraph. Editors turn spaces into no-break ones.
func typedText(page []byte) []byte {
	var out strings.Builder
	tokens := html.NewTokenizer(bytes.NewReader(page))
	skip, pre := 0, 0
	line := func() {
		if text := out.String(); text != "" && !strings.HasSuffix(text, "\n") {
			out.WriteByte('\n')
		}
	}
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			if tokens.Err() != io.EOF {
				return nil
			}
			line()
			return []byte(strings.ReplaceAll(out.String(), "\u00a0", " "))
		case html.TextToken:
			text := string(tokens.Text())
			switch {
			case skip > 0:
			case pre > 0:
				out.WriteString(text)
			default:
				// A line break in the source is a space on the page; those between elements are none.
				if strings.Trim(text, " \t\r\n") != "" {
					out.WriteString(strings.Trim(strings.ReplaceAll(text, "\r", ""), "\n"))
				}
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := tokens.TagName()
			step := map[html.TokenType]int{html.StartTagToken: 1, html.EndTagToken: -1}[kind]
			switch atom.Lookup(name) {
			case atom.Script, atom.Style, atom.Head, atom.Title:
				skip = max(skip+step, 0)
			case atom.Pre, atom.Textarea:
				line()
				pre = max(pre+step, 0)
			case atom.Br:
				out.WriteByte('\n')
			case atom.P, atom.Div, atom.Li, atom.Tr, atom.Body:
				line()
			}
		}
	}
}
