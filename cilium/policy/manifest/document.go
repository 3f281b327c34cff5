package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is one parsed YAML or JSON document of a file.
type document struct {
	root   *node // the value itself, not the document node
	offset int   // lines of the file before the text that root was parsed from
}

func (d document) line(n *node) int { return d.offset + n.line }

// syntaxError is text that is neither YAML nor JSON.
type syntaxError struct {
	line    int
	message string
	hint    string
}

var utf8BOM = []byte("\xef\xbb\xbf")

// documents splits a file into its documents and parses each. One that does not parse does not hide
// the others. Empty documents are left out. retry counts what is parsed again to place errors; it is
// shared by the files of one call, so that many bad ones do not take forever.
func documents(f File, retry *int) (docs []document, errs []syntaxError) {
	data := bytes.TrimPrefix(f.Data, utf8BOM)
	if len(data) > 1 && (data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff) {
		return nil, []syntaxError{{line: 1, message: "the file is not UTF-8 but UTF-16", hint: "save it as UTF-8"}}
	}
	if !utf8.Valid(data) {
		line := 1
		for rest := data; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
		return nil, []syntaxError{{line: line, message: "the file is not UTF-8", hint: "save it as UTF-8"}}
	}
	if looksLikeJSON(data) {
		docs, err := jsonDocuments(data)
		if err == nil {
			return docs, nil
		}
		if strings.HasSuffix(strings.ToLower(f.Name), ".json") {
			return docs, []syntaxError{*err}
		}
	}
	for _, c := range splitDocuments(data) {
		d, err := yamlDocuments(c, retry)
		docs = append(docs, d...)
		if err != nil {
			errs = append(errs, *err)
		}
	}
	return docs, errs
}

// chunk is the text of one or more documents, and the number of lines before it.
type chunk struct {
	text   []byte
	offset int
}

// splitDocuments cuts at the lines that begin with "---". Such a line belongs to what follows it.
func splitDocuments(data []byte) []chunk {
	var chunks []chunk
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
				chunks = append(chunks, chunk{data[start:pos], startLine})
				start, startLine = pos, line
			}
			directives = false
		case text[0] == '%' && len(bytes.TrimSpace(data[start:pos])) == 0:
			directives = true
		}
		pos = end
	}
	if start < len(data) {
		chunks = append(chunks, chunk{data[start:], startLine})
	}
	return chunks
}

func isSeparator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r' || line[3] == '\n')
}

func yamlDocuments(c chunk, retry *int) (docs []document, failed *syntaxError) {
	defer func() {
		if r := recover(); r != nil {
			failed = &syntaxError{line: c.offset + 1, message: fmt.Sprintf("the YAML parser gave up: %v", r)}
		}
	}()
	if root := blockDocument(c.text); root != nil {
		return []document{{root: root, offset: c.offset}}, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(c.text))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			e := describeYAMLError(c, err, retry)
			return docs, &e
		}
		if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
			continue
		}
		root := fromYAML(n.Content[0], map[*yaml.Node]*node{})
		if isNull(root) {
			continue
		}
		docs = append(docs, document{root: root, offset: c.offset})
	}
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
	if tabbed := tabLine(lines, line, strings.Contains(message, "cannot start any token")); tabbed > 0 {
		return syntaxError{line: c.offset + tabbed, message: "YAML does not allow tabs for indentation", hint: "use spaces"}
	}
	return syntaxError{line: c.offset + line, message: "not valid YAML: " + message}
}

// maxRetry is how much text, in bytes, is parsed again to place the syntax errors of all files.
const maxRetry = 4 << 20

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
			return docs, &syntaxError{line: r.lineAt(offset), message: "not valid JSON: " + err.Error()}
		}
		docs = append(docs, document{root: n})
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
		n.kind = mappingNode
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
