package manifest

import (
	"bytes"
)

// blockDocument parses the plain subset of YAML in which nearly every manifest is written: nested block
// mappings and lists, one-line scalars and one-line flow collections, comments. It takes a fifth of the
// time of the YAML library, which otherwise would be most of the time that a submission takes. For
// anything else (anchors, tags, block scalars, escapes, values over several lines, empty values, errors)
// it returns nil, and the library decides; FuzzBlockDocument holds the two against each other.
func blockDocument(text []byte) *node {
	p := blockParser{}
	if !p.split(text) || len(p.lines) == 0 {
		return nil
	}
	root := p.block(0, p.lines[0].indent, 0)
	if root == nil || p.next != len(p.lines) {
		return nil
	}
	return root
}

const (
	maxBlockDepth = 50
	maxBlockKey   = 128 // YAML ends simple keys at 1024
)

type blockLine struct {
	indent int
	number int    // from 1
	text   string // without indentation
}

type blockParser struct {
	lines []blockLine
	next  int // the first line that is not parsed yet
	slab  []node
}

// split cuts the text into its lines, without those that are empty or comments. It reports false for
// characters that are beyond the subset.
func (p *blockParser) split(text []byte) bool {
	for _, c := range text {
		if (c < ' ' && c != '\n') || c > '~' {
			return false
		}
	}
	s := string(text)
	p.lines = make([]blockLine, 0, bytes.Count(text, []byte("\n"))+1)
	for number := 1; len(s) > 0; number++ {
		line := s
		if i := indexByte(s, '\n'); i >= 0 {
			line, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		indent := 0
		for indent < len(line) && line[indent] == ' ' {
			indent++
		}
		line = line[indent:]
		switch {
		case line == "" || line[0] == '#':
			continue
		case indent == 0 && len(line) >= 3 && (line[:3] == "---" || line[:3] == "..."):
			if line[0] == '.' || len(p.lines) > 0 || !isBlank(line[3:]) {
				return false
			}
			continue
		}
		p.lines = append(p.lines, blockLine{indent, number, line})
	}
	return true
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// isBlank reports whether nothing but a comment follows a value.
func isBlank(rest string) bool {
	for i := range len(rest) {
		switch {
		case rest[i] == ' ':
		case rest[i] == '#':
			return i > 0
		default:
			return false
		}
	}
	return true
}

func (p *blockParser) node(kind nodeKind, line int) *node {
	if len(p.slab) == 0 {
		p.slab = make([]node, max(16, 2*(len(p.lines)-p.next)))
	}
	n := &p.slab[0]
	p.slab = p.slab[1:]
	n.kind, n.line = kind, line
	return n
}

// block parses the mapping or list that begins on line i, at the given indentation. nil: not for us.
func (p *blockParser) block(i, indent, depth int) *node {
	if depth > maxBlockDepth {
		return nil
	}
	p.next = i
	if isItem(p.lines[i].text) {
		return p.list(indent, depth)
	}
	return p.mapping(indent, depth)
}

func isItem(text string) bool {
	return text[0] == '-' && (len(text) == 1 || text[1] == ' ')
}

func (p *blockParser) list(indent, depth int) *node {
	n := p.node(sequenceNode, p.lines[p.next].number)
	for p.next < len(p.lines) && p.lines[p.next].indent == indent && isItem(p.lines[p.next].text) {
		line := &p.lines[p.next]
		skip := 1
		for skip < len(line.text) && line.text[skip] == ' ' {
			skip++
		}
		content := line.text[skip:]
		var item *node
		switch {
		case content == "" || content[0] == '#':
			if p.next+1 >= len(p.lines) || p.lines[p.next+1].indent <= indent {
				return nil
			}
			item = p.block(p.next+1, p.lines[p.next+1].indent, depth+1)
		case isItem(content) || isEntry(content):
			// The rest of the line begins a block of its own.
			line.indent, line.text = indent+skip, content
			item = p.block(p.next, line.indent, depth+1)
		default:
			item = p.inline(content, line.number)
			p.next++
		}
		if item == nil {
			return nil
		}
		n.content = append(n.content, item)
	}
	return p.closed(n, indent)
}

func (p *blockParser) mapping(indent, depth int) *node {
	n := p.node(mappingNode, p.lines[p.next].number)
	for p.next < len(p.lines) && p.lines[p.next].indent == indent && !isItem(p.lines[p.next].text) {
		line := p.lines[p.next]
		key, rest := p.key(line.text, line.number)
		if key == nil || len(rest) > 0 && rest[0] != ' ' {
			return nil
		}
		var value *node
		if isBlank(rest) {
			next := p.next + 1
			if next >= len(p.lines) {
				return nil
			}
			l := p.lines[next]
			if l.indent < indent || l.indent == indent && !isItem(l.text) {
				return nil
			}
			value = p.block(next, l.indent, depth+1)
		} else {
			for rest[0] == ' ' {
				rest = rest[1:]
			}
			value = p.inline(rest, line.number)
			p.next++
		}
		if value == nil {
			return nil
		}
		n.content = append(n.content, key, value)
	}
	return p.closed(n, indent)
}

// closed returns n if the line after it is not indented deeper, as that would continue its last value.
func (p *blockParser) closed(n *node, indent int) *node {
	if p.next < len(p.lines) && p.lines[p.next].indent > indent {
		return nil
	}
	return n
}

// isEntry reports whether text looks like "key: value" or "key:".
func isEntry(text string) bool {
	_, rest, _, ok := scanKey(text)
	return ok && (rest == "" || rest[0] == ' ')
}

// key parses "key:" and returns what follows the colon.
func (p *blockParser) key(text string, line int) (*node, string) {
	key, rest, quoted, ok := scanKey(text)
	if !ok {
		return nil, ""
	}
	n := p.node(scalarNode, line)
	n.value, n.quoted = key, quoted
	return n, rest
}

func scanKey(text string) (key, rest string, quoted, ok bool) {
	end := 0
	if text[0] == '"' || text[0] == '\'' {
		key, rest, ok = scanQuoted(text)
		if !ok || rest == "" || rest[0] != ':' {
			return "", "", false, false
		}
		return key, rest[1:], true, len(key) < maxBlockKey
	}
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == 0 || end == len(text) || text[end] != ':' || end > maxBlockKey || !startsPlain(text[0]) {
		return "", "", false, false
	}
	return text[:end], text[end+1:], false, true
}

// scanQuoted parses a quoted scalar without escapes.
func scanQuoted(text string) (value, rest string, ok bool) {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			return "", "", false
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			return "", "", false
		default:
			return text[1:i], text[i+1:], true
		}
	}
	return "", "", false
}

func startsPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '/' || c == '.'
}

// isWord reports whether c may stand in a plain scalar anywhere but at its beginning.
func isWord(c byte) bool { return startsPlain(c) || c == '-' || c == '+' || c == '=' }

// inline parses a value that takes the rest of a line.
func (p *blockParser) inline(text string, line int) *node {
	switch text[0] {
	case '[', '{':
		n, rest := p.flow(text, line, 0)
		if n == nil || !isBlank(rest) {
			return nil
		}
		return n
	case '"', '\'':
		value, rest, ok := scanQuoted(text)
		if !ok || !isBlank(rest) {
			return nil
		}
		n := p.node(scalarNode, line)
		n.value, n.quoted = value, true
		return n
	}
	if !startsPlain(text[0]) {
		return nil
	}
	end := len(text)
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case isWord(c) || c == ' ':
		case c == ':' && i+1 < len(text) && text[i+1] != ' ':
		case c == '#' && text[i-1] == ' ':
			end = i
		default:
			return nil
		}
		if end == i {
			break
		}
	}
	for text[end-1] == ' ' {
		end--
	}
	n := p.node(scalarNode, line)
	n.value = text[:end]
	return n
}

// flow parses a value inside or including brackets, and returns what follows it.
func (p *blockParser) flow(text string, line, depth int) (*node, string) {
	if text == "" || depth > maxBlockDepth {
		return nil, ""
	}
	switch c := text[0]; {
	case c == '[' || c == '{':
		return p.collection(text, line, depth)
	case c == '"' || c == '\'':
		value, rest, ok := scanQuoted(text)
		if !ok {
			return nil, ""
		}
		n := p.node(scalarNode, line)
		n.value, n.quoted = value, true
		return n, rest
	case startsPlain(c):
		end := 1
		for end < len(text) && isWord(text[end]) {
			end++
		}
		n := p.node(scalarNode, line)
		n.value = text[:end]
		return n, text[end:]
	}
	return nil, ""
}

func (p *blockParser) collection(text string, line, depth int) (*node, string) {
	n, end := p.node(sequenceNode, line), byte(']')
	n.flow = true
	if text[0] == '{' {
		n.kind, end = mappingNode, '}'
	}
	text = trimSpaces(text[1:])
	for first := true; ; first = false {
		if text == "" {
			return nil, ""
		}
		if text[0] == end && first {
			return n, text[1:]
		}
		if n.kind == mappingNode {
			key, rest := p.key(text, line)
			if key == nil || rest == "" || rest[0] != ' ' {
				return nil, ""
			}
			n.content = append(n.content, key)
			text = trimSpaces(rest)
		}
		value, rest := p.flow(text, line, depth+1)
		if value == nil {
			return nil, ""
		}
		n.content = append(n.content, value)
		text = trimSpaces(rest)
		if text == "" {
			return nil, ""
		}
		switch text[0] {
		case end:
			return n, text[1:]
		case ',':
			text = trimSpaces(text[1:])
		default:
			return nil, ""
		}
	}
}

func trimSpaces(s string) string {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	return s
}
