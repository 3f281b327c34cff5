package lsp

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/labctl/labctl/labs/schema"
)

// place is where in a lab file a byte is. It is found from the tokens in front of it, since a file that is being written
// rarely parses.
type place struct {
	blocks []openBlock // outermost first
	header []word      // what precedes the byte in its line, where an attribute or block begins
	attr   string      // the attribute whose value the byte is in; "" outside of values
	quoted bool        // in a string, but not in an interpolation
	given  map[string]bool
}

// openBlock is a block that the byte is in.
type openBlock struct {
	typ    string
	labels []string
}

// word is a name or a label.
type word struct {
	text   string
	quoted bool
	start  int
	end    int
}

// frame is a bracket, string or block that is open.
type frame struct {
	body   bool // the braces of a block, or the file
	quoted bool // a string or heredoc
	header []word
	attr   string
	given  map[string]bool // names of attributes and blocks in a body
}

// placeAt finds out where a byte is.
func placeAt(src string, offset int) place {
	tokens, _ := hclsyntax.LexConfig([]byte(src), "", hcl.InitialPos) // broken text has tokens too
	s := scanner{frames: []*frame{{body: true, given: map[string]bool{}}}}
	i := 0
	for ; i < len(tokens) && tokens[i].Range.End.Byte < offset; i++ {
		s.take(&tokens[i])
	}
	// The token that ends at the byte is still being written; one that begins a string or block is not.
	if i < len(tokens) && tokens[i].Range.End.Byte == offset && tokens[i].Range.Start.Byte < offset {
		s.take(&tokens[i])
		i++
	}
	top := s.top()
	p := place{quoted: top.quoted, header: append([]word(nil), s.body().header...), attr: s.body().attr}
	p.blocks = append(p.blocks, s.blocks...)
	// What else is in the body may come after the byte.
	body, depth := s.body(), len(s.frames)
	for ; i < len(tokens) && len(s.frames) >= depth; i++ {
		s.take(&tokens[i])
	}
	p.given = body.given
	return p
}

// scanner follows the tokens of a file.
type scanner struct {
	frames []*frame
	blocks []openBlock // of the frames that are bodies, without the file
}

func (s *scanner) top() *frame { return s.frames[len(s.frames)-1] }

// body is the innermost body.
func (s *scanner) body() *frame {
	for i := len(s.frames) - 1; i > 0; i-- {
		if s.frames[i].body {
			return s.frames[i]
		}
	}
	return s.frames[0]
}

func (s *scanner) push(f *frame) { s.frames = append(s.frames, f) }

func (s *scanner) pop() {
	if len(s.frames) == 1 {
		return
	}
	if s.top().body {
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	s.frames = s.frames[:len(s.frames)-1]
}

func (s *scanner) take(t *hclsyntax.Token) {
	top := s.top()
	switch t.Type {
	case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
		if top.body && top.attr == "" && len(top.header) > 0 { // a label
			top.header = append(top.header, word{quoted: true, start: t.Range.End.Byte, end: t.Range.End.Byte})
		}
		s.push(&frame{quoted: true})
	case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCBrack, hclsyntax.TokenCParen:
		if !top.body {
			s.pop()
		}
	case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOBrack, hclsyntax.TokenOParen:
		s.push(&frame{})
	case hclsyntax.TokenOBrace:
		s.open()
	case hclsyntax.TokenCBrace:
		s.pop()
		if top = s.top(); top.body && top.attr == "" {
			top.header = nil
		}
	default:
		if top.body {
			top.take(t)
		} else if top.quoted && t.Type == hclsyntax.TokenQuotedLit {
			s.label(t)
		}
	}
}

// open opens a block, or an object or map within a value.
func (s *scanner) open() {
	top := s.top()
	if !top.body || top.attr != "" || len(top.header) == 0 {
		s.push(&frame{body: top.body && top.attr == "", given: map[string]bool{}})
		if s.top().body { // a block without a type
			s.blocks = append(s.blocks, openBlock{})
		}
		return
	}
	b := openBlock{typ: top.header[0].text}
	for _, w := range top.header[1:] {
		b.labels = append(b.labels, w.text)
	}
	top.given[b.typ] = true
	s.blocks = append(s.blocks, b)
	s.push(&frame{body: true, given: map[string]bool{}})
}

// label completes a label with its text.
func (s *scanner) label(t *hclsyntax.Token) {
	outer := s.frames[len(s.frames)-2]
	if !outer.body || outer.attr != "" || len(outer.header) == 0 {
		return
	}
	last := &outer.header[len(outer.header)-1]
	last.text += string(t.Bytes)
	last.end = t.Range.End.Byte
}

// take takes a token directly in a body.
func (f *frame) take(t *hclsyntax.Token) {
	switch t.Type {
	case hclsyntax.TokenNewline, hclsyntax.TokenComment:
		// A comment to the end of the line includes the line's end.
		if t.Type == hclsyntax.TokenNewline || len(t.Bytes) > 0 && t.Bytes[len(t.Bytes)-1] == '\n' {
			f.header, f.attr = nil, ""
		}
	case hclsyntax.TokenIdent:
		if f.attr == "" {
			f.header = append(f.header, word{text: string(t.Bytes), start: t.Range.Start.Byte, end: t.Range.End.Byte})
		}
	case hclsyntax.TokenEqual:
		if f.attr == "" && len(f.header) > 0 {
			f.attr = f.header[0].text
			f.given[f.attr] = true
		}
	}
}

// schema returns the schema of the innermost block that the byte is in, or nil.
func (p *place) schema() *schema.Block { return schemaOf(p.blocks) }

func schemaOf(blocks []openBlock) *schema.Block {
	b := schema.Lab()
	for _, open := range blocks {
		if b = b.Block(open.typ); b == nil {
			return nil
		}
		if len(open.labels) > 0 && b.ByLabel[open.labels[0]] != nil {
			b = b.ByLabel[open.labels[0]]
		}
	}
	return b
}

// attribute returns the schema of the attribute whose value the byte is in, or nil.
func (p *place) attribute() *schema.Attribute {
	if b := p.schema(); b != nil && p.attr != "" {
		return b.Attribute(p.attr)
	}
	return nil
}
