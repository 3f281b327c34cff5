package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/encoding/charmap"
)

// document is one parsed YAML or JSON document of a file.
type document struct {
	root   *node // the value itself, not the document node
	offset int   // lines of the file before the text that root was parsed from
	plain  bool  // the text is ASCII without escapes
}

// line is the line of the file that n is on; of an empty document (nil) its first.
func (d document) line(n *node) int {
	if n == nil {
		return d.offset + 1
	}
	return d.offset + n.line
}

// syntaxError is text that is neither YAML nor JSON.
type syntaxError struct {
	line    int
	message string
	hint    string
	size    int64 // bytes of the text around it
}

var utf8BOM = []byte("\xef\xbb\xbf")

// documents splits a file into its documents and parses each, when it is asked for the next. One that does not
// parse does not hide the others; it comes with its error. An empty one has no root. retry counts what is parsed
// again to place errors; it is shared by the files of one call, so that many bad ones do not take forever.
func documents(f File, retry *int) iter.Seq2[document, *syntaxError] {
	return func(yield func(document, *syntaxError) bool) {
		data := bytes.TrimPrefix(f.Data, utf8BOM)
		if err := checkEncoding(data); err != nil {
			yield(document{}, err)
			return
		}
		if looksLikeJSON(data) {
			docs, err := jsonDocuments(data)
			if err == nil || strings.HasSuffix(strings.ToLower(f.Name), ".json") {
				yieldJSON(docs, err, yield)
				return
			}
		}
		for c := range splitDocuments(data) {
			if !yamlDocuments(c, retry, yield) {
				return
			}
		}
	}
}

// checkEncoding says what a file is that is not UTF-8.
func checkEncoding(data []byte) *syntaxError {
	for _, mark := range []struct{ bytes, name string }{
		{"\xff\xfe\x00\x00", "UTF-32"}, {"\x00\x00\xfe\xff", "UTF-32"}, {"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"},
	} {
		if bytes.HasPrefix(data, []byte(mark.bytes)) {
			return &syntaxError{line: 1, message: "the file is not UTF-8 but " + mark.name, hint: "save it as UTF-8"}
		}
	}
	for _, other := range []struct{ begins, is string }{
		{"PK\x03\x04", "a .zip archive or an office document"}, {"%PDF-", "a PDF file"}, {"\x89PNG", "a picture"},
		{"\xff\xd8\xff", "a picture"},
		{"{\\rtf", "a word-processor document (RTF)"}, {"\x1f\x8b", "a compressed file"}, {"Rar!", "a RAR archive"},
		{"\xd0\xcf\x11\xe0", "an office document"},
	} {
		if bytes.HasPrefix(data, []byte(other.begins)) {
			return &syntaxError{
				line: 1, message: "the file is " + other.is + ", not YAML", hint: "submit the manifests as plain text",
			}
		}
	}
	lineAt := func(i int) int { return 1 + bytes.Count(data[:i], []byte("\n")) }
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return &syntaxError{
			line:    lineAt(i),
			message: "the file has zero bytes: it is UTF-16 or UTF-32 without a byte order mark, or not text",
			hint:    "save it as UTF-8",
		}
	}
	if utf8.Valid(data) {
		return nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	column := 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1:at])
	e := &syntaxError{line: lineAt(at), message: fmt.Sprintf("the file is not UTF-8: byte 0x%02X at column %d",
		data[at], column), hint: "save it as UTF-8"}
	if r := charmap.Windows1252.DecodeByte(data[at]); r != utf8.RuneError && (unicode.IsPrint(r) || r == '\u00a0') {
		e.message += fmt.Sprintf(", which is %s in Windows-1252", shown(r))
		if _, remedy := lookalike(r); remedy != "" {
			e.hint += ", and " + remedy
		}
	}
	return e
}

// chunk is the text of one or more documents, and the number of lines before it.
type chunk struct {
	text   []byte
	offset int
}

// splitDocuments cuts at the lines that begin with "---". Such a line belongs to what follows it.
func splitDocuments(data []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		start, startLine := 0, 0
		directives := false // since the last cut there were only directives, which go with the next document
		for pos, line := 0, 0; pos < len(data); line++ {
			end := len(data)
			if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
				end = pos + i + 1
			}
			text := data[pos:end]
			switch {
			case isSeparator(text):
				if pos > start && !directives {
					if !yield(chunk{data[start:pos], startLine}) {
						return
					}
					start, startLine = pos, line
				}
				directives = false
			case text[0] == '%' && len(bytes.TrimSpace(data[start:pos])) == 0:
				directives = true
			}
			pos = end
		}
		if start < len(data) {
			yield(chunk{data[start:], startLine})
		}
	}
}

func isSeparator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) &&
		(len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r' || line[3] == '\n')
}

// yamlDocuments hands over the documents of a chunk, and reports whether more are wanted.
func yamlDocuments(c chunk, retry *int, yield func(document, *syntaxError) bool) bool {
	if root := blockDocument(c.text); root != nil {
		return yield(document{root: root, offset: c.offset, plain: true}, nil)
	}
	if line := tooManyTags(c.text); line > 0 {
		message := fmt.Sprintf("more than %d %%TAG directives", maxTags)
		return yield(document{offset: c.offset},
			&syntaxError{line: c.offset + line, message: message, hint: "delete them: Kubernetes needs none"})
	}
	dec := yaml.NewDecoder(bytes.NewReader(c.text))
	for n := 0; ; n++ {
		root, err := nextYAML(dec)
		switch {
		case errors.Is(err, io.EOF):
			return n > 0 || yield(document{offset: c.offset}, nil)
		case err != nil:
			e := describeYAMLError(c, err, retry)
			e.size = int64(len(c.text))
			return yield(document{offset: c.offset}, &e)
		case !yield(document{root: root, offset: c.offset}, nil):
			return false
		}
	}
}

// maxTags bounds the %TAG directives before a document: the parser compares each with all others.
const maxTags = 100

// tooManyTags returns the line of the last %TAG, if there are more than maxTags; otherwise 0.
func tooManyTags(text []byte) int {
	tag := []byte("%TAG")
	if bytes.Count(text, tag) <= maxTags {
		return 0
	}
	return 1 + bytes.Count(text[:bytes.LastIndex(text, tag)], []byte("\n"))
}

// nextYAML parses a document; the root of an empty one is nil.
func nextYAML(dec *yaml.Decoder) (root *node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser failed: %v", r)
		}
	}()
	var y yaml.Node
	if err := dec.Decode(&y); err != nil {
		return nil, err
	}
	if y.Kind != yaml.DocumentNode || len(y.Content) == 0 {
		return nil, nil
	}
	if root = fromYAML(y.Content[0], map[*yaml.Node]*node{}); isNull(root) {
		return nil, nil
	}
	return root, nil
}

var yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func describeYAMLError(c chunk, err error, retry *int) syntaxError {
	line, message := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlErrorLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	lines := bytes.SplitAfter(c.text, []byte("\n"))
	line = min(errorLine(c.text, lines, line, retry), len(lines))
	if at, message, hint := pastedNear(lines, line); at > 0 {
		return syntaxError{line: c.offset + at, message: message, hint: hint}
	}
	if at, column, r := lookalikeNear(lines, line); at > 0 {
		_, remedy := lookalike(r)
		return syntaxError{line: c.offset + at, message: fmt.Sprintf("not valid YAML: %s; column %d: %s", message,
			column, describeLookalike(r)), hint: remedy}
	}
	if tabbed := tabLine(lines, line, strings.Contains(message, "cannot start any token")); tabbed > 0 {
		return syntaxError{
			line: c.offset + tabbed, message: "YAML does not allow tabs for indentation", hint: "use spaces",
		}
	}
	if at, what, hint := slipNear(lines, line, message); at > 0 {
		return syntaxError{line: c.offset + at, message: "not valid YAML: " + what, hint: hint}
	}
	return syntaxError{
		line: c.offset + line, message: "not valid YAML: " + message, hint: syntaxHint(message, lines, line),
	}
}

// maxRetry is how much text, in bytes, is parsed again to place the syntax errors of all files.
const maxRetry = 512 << 10

// errorLine returns the line of a syntax error. The parser's own number is often that of the line where
// the mapping or list began: the error is after the last line up to which the text does parse.
func errorLine(text []byte, lines [][]byte, reported int, retry *int) int {
	const tries = 60
	line, end := reported, 0
	for n := 1; n <= len(lines) && n < reported+tries; n++ {
		end += len(lines[n-1])
		if n < reported-1 {
			continue
		}
		if *retry += end; *retry > maxRetry {
			break
		}
		var root yaml.Node
		if yaml.Unmarshal(text[:end], &root) == nil {
			line = n + 1
		}
	}
	return line
}

// tabLine returns the line if it is indented with a tab, or else, if the error may come from one, the
// first that is; 0 if none is.
func tabLine(lines [][]byte, line int, anywhere bool) int {
	tabbed := func(line []byte) bool {
		trimmed := bytes.TrimLeft(line, " ")
		return len(trimmed) > 0 && trimmed[0] == '\t' && len(bytes.TrimSpace(trimmed)) > 0
	}
	if line > 0 && tabbed(lines[line-1]) {
		return line
	}
	if anywhere {
		return 1 + slices.IndexFunc(lines, tabbed)
	}
	return 0
}

func looksLikeJSON(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}

// jsonDocuments reads a stream of JSON values into the nodes that YAML gives, so that everything after
// this knows one form only.
func jsonDocuments(data []byte) ([]document, *syntaxError) {
	r := jsonReader{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	r.dec.UseNumber()
	var docs []document
	for {
		n, err := r.value(0)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			offset := r.dec.InputOffset()
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				offset = syntax.Offset
			}
			return docs, &syntaxError{
				line: r.lineAt(offset), message: "not valid JSON: " + err.Error(), size: int64(len(data)),
			}
		}
		docs = append(docs, document{root: n})
	}
}

func yieldJSON(docs []document, err *syntaxError, yield func(document, *syntaxError) bool) {
	for _, d := range docs {
		if !yield(d, nil) {
			return
		}
	}
	if err != nil {
		yield(document{}, err)
	}
}

type jsonReader struct {
	dec  *json.Decoder
	data []byte
	pos  int64 // where line was counted up to
	line int
}

func (r *jsonReader) lineAt(offset int64) int {
	offset = min(offset, int64(len(r.data)))
	if offset < r.pos {
		return r.line
	}
	r.line += bytes.Count(r.data[r.pos:offset], []byte("\n"))
	r.pos = offset
	return r.line
}

// maxJSONDepth is encoding/json's own.
const maxJSONDepth = 10000

func (r *jsonReader) value(depth int) (*node, error) {
	t, err := r.dec.Token()
	if err != nil {
		if depth > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if depth > maxJSONDepth {
		return nil, errors.New("nested too deeply")
	}
	n := &node{line: r.lineAt(r.dec.InputOffset())}
	switch t := t.(type) {
	case json.Delim:
		n.kind, n.flow = mappingNode, true
		if t == '[' {
			n.kind = sequenceNode
		}
		for r.dec.More() {
			// An object's key is read as a value, too.
			child, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.content = append(n.content, child)
		}
		if _, err := r.dec.Token(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		return n, nil
	case string:
		n.value, n.quoted = t, true
	case json.Number:
		n.value, n.tag = t.String(), jsonNumberTag
	case bool:
		n.value = strconv.FormatBool(t)
	case nil:
		n.value = "null"
	}
	n.kind = scalarNode
	return n, nil
}
