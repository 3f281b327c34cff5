package labs

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a lab's own files. Labs are written by hand. A larger one is a mistake, or an attack on somebody who
// runs a downloaded lab.
const (
	maxFileBytes   = 1 << 20 // one file of the lab
	maxFiles       = 5000    // files that belong to a lab
	maxNesting     = 1000    // brackets and operators within each other in an expression
	maxBlocks      = 20000   // instances of blocks in the lab
	maxConnections = 100000  // pairs of a source and a target in the lab
	maxInstances   = 1000    // instances of one for_each
	maxValueNodes  = 20000   // values within one value
	maxValueBytes  = 1 << 20 // bytes of the strings within one value
	maxTemplates   = 8       // templatefile within templatefile
	maxHCLBytes    = 1 << 18 // one .hcl file
)

// parseDir parses every .hcl file directly in the lab directory: together they are the lab.
func parseDir(src *source) ([]*hcl.File, *Diagnostics) {
	diags := newDiagnostics()
	entries, err := fs.ReadDir(src.fs, ".")
	if err != nil {
		diags.add(errorDiag(nil, "Cannot read the lab", fmt.Sprintf("The lab directory cannot be read: %v.", err)))
		return nil, diags
	}
	var files []*hcl.File
	found := false
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".hcl" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		found = true
		name := src.display(e.Name())
		data, err := src.read(e.Name(), maxHCLBytes)
		if err != nil {
			diags.add(errorDiag(nil, "Cannot read a lab file", fmt.Sprintf("%s: %v.", name, err)))
			continue
		}
		f, more := parseFile(data, name)
		diags.files[name] = &hcl.File{Bytes: data}
		diags.add(more...)
		if f != nil {
			diags.files[name] = f
			files = append(files, f)
		}
	}
	if !found {
		diags.add(errorDiag(nil, "No lab here",
			"The directory has no .hcl file. A lab is a directory with a lab.hcl; `labctl init` writes one."))
	}
	return files, diags
}

// ParseFile parses one file of a lab without evaluating it, for editors. A file with syntax errors is returned too, as far
// as it could be read; one that cannot be read at all is nil.
func ParseFile(data []byte, name string) (f *hcl.File, diags hcl.Diagnostics) {
	defer func() {
		if r := recover(); r != nil {
			f, diags = nil, hcl.Diagnostics{errorDiag(nil, "Cannot read the file", fmt.Sprintf("Internal error: %v.", r))}
		}
	}()
	if len(data) > maxHCLBytes {
		return nil, hcl.Diagnostics{errorDiag(nil, "Cannot read a lab file",
			fmt.Sprintf("%s: it has %d bytes, more than %d.", name, len(data), maxHCLBytes))}
	}
	return parseFile(data, name)
}

// parseFile parses one file. A file with syntax errors is returned too, as far as it could be read. Of the errors it reports
// one: what the parser makes of the rest is guesswork.
func parseFile(data []byte, name string) (*hcl.File, hcl.Diagnostics) {
	if rng, ok := firstInvalidUTF8(data, name); ok {
		return nil, hcl.Diagnostics{errorDiag(&rng, "Not UTF-8",
			"Lab files are UTF-8 text; this byte is not. Save the file as UTF-8.")}
	}
	if d := checkTokens(data, name); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	// A byte order mark is what Windows editors put first; HCL refuses it.
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	f, diags := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
	if diags.HasErrors() {
		cause := slices.MinFunc(diags, byCause)
		rewordSyntax(cause, data)
		return f, hcl.Diagnostics{cause}
	}
	return f, diags
}

var ourTerms = strings.NewReplacer("An argument", "An attribute", "an argument", "an attribute",
	"Argument", "Attribute", "argument", "attribute")

// rewordSyntax puts a syntax error of HCL into the words of the lab language, where an argument of a block is an attribute.
func rewordSyntax(d *hcl.Diagnostic, data []byte) {
	if d.Summary == "Invalid expression" && strings.Contains(d.Detail, "invalid expression token") && d.Subject != nil &&
		d.Subject.CanSliceBytes(data) {
		switch token := strings.TrimSpace(string(d.Subject.SliceBytes(data))); token {
		case "", "}", "]", ")":
			before := bytes.TrimRight(data[:d.Subject.Start.Byte], " \t\r\n")
			if bytes.HasSuffix(before, []byte("%")) {
				d.Detail = "A percentage is written without %."
				return
			}
			d.Summary, d.Detail = "Missing value", "A value is missing here."
		case "<":
			d.Detail = "A value cannot begin with \"<\". Text of several lines begins with <<EOT or <<-EOT, without a space in it."
		default:
			d.Detail = fmt.Sprintf("A value cannot begin with %q.", token)
		}
		return
	}
	if d.Summary == "Unterminated template string" && d.Subject != nil {
		if at, word := openHeredoc(data, d.Subject.Filename); word != "" {
			d.Subject, d.Context = &at, nil
			d.Detail = fmt.Sprintf("The text that begins here has no end: write %s on a line of its own after it.", word)
		}
		return
	}
	if d.Summary == "Argument or block definition required" && hasTypographicQuotes(d, data) {
		d.Summary, d.Detail = "Invalid character", "Typographic quotes (“ ”) are not valid here. Write straight ones: \"."
		return
	}
	if d.Summary == "Argument or block definition required" && d.Subject.CanSliceBytes(data) &&
		string(d.Subject.SliceBytes(data)) == "}" {
		d.Summary, d.Detail = "Extra closing brace", "This } closes nothing. Is there an extra } above?"
		return
	}
	if ours, ok := syntaxInOurWords(d, data); ok {
		d.Summary, d.Detail = ours.summary, ours.detail
		return
	}
	if !strings.Contains(d.Detail, "function argument") {
		d.Summary, d.Detail = ourTerms.Replace(d.Summary), ourTerms.Replace(d.Detail)
	}
}

// hasTypographicQuotes reports whether the line of an error has quotes that a word processor puts.
func hasTypographicQuotes(d *hcl.Diagnostic, data []byte) bool {
	if d.Subject == nil || d.Subject.Start.Byte > len(data) {
		return false
	}
	line, _, _ := bytes.Cut(data[bytes.LastIndexByte(data[:d.Subject.Start.Byte], '\n')+1:], []byte("\n"))
	return bytes.ContainsAny(line, "“”„‟«»")
}

type wordedSyntax struct{ summary, detail string }

// syntaxInOurWords are syntax errors that HCL puts in the words of its specification.
func syntaxInOurWords(d *hcl.Diagnostic, data []byte) (wordedSyntax, bool) {
	start := 0
	if d.Subject != nil {
		start = d.Subject.Start.Byte
	}
	switch d.Summary {
	case "Unclosed template interpolation sequence":
		return wordedSyntax{"No end of ${", "The ${ that begins here has no }. For the characters ${ themselves, write $${."}, true
	case "Invalid template control keyword", "Unclosed template control sequence":
		return wordedSyntax{"Invalid %{", "%{ begins an if or a for, which ends with }. For the characters %{ themselves, write %%{."}, true
	case "Invalid escape sequence":
		return wordedSyntax{d.Summary, `After a backslash come n, r, t, ", \ or uNNNN. For a backslash itself, write \\.`}, true
	case "Invalid single-argument block definition":
		return wordedSyntax{"Several attributes on one line",
			"A block on one line has at most one attribute. Write each attribute on a line of its own."}, true
	case "Missing newline after argument":
		if start > 0 && start <= len(data) && data[start-1] == '"' {
			return wordedSyntax{"Missing newline after attribute",
				`The text ends at the " before this. For a quotation mark within text, write \".`}, true
		}
	case "Missing item separator":
		return wordedSyntax{d.Summary, "Between two items of a list there is a comma, and a ] after the last."}, true
	}
	return wordedSyntax{}, false
}

// openHeredoc finds the heredoc that is not closed, and the word that closes it.
func openHeredoc(data []byte, name string) (at hcl.Range, word string) {
	tokens, _ := hclsyntax.LexConfig(data, name, hcl.InitialPos)
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOHeredoc:
			at, word = t.Range, strings.Trim(string(t.Bytes), "<- \t\r\n")
			at.End = at.Start
			at.End.Column += len(strings.TrimRight(string(t.Bytes), "\r\n"))
			at.End.Byte += len(strings.TrimRight(string(t.Bytes), "\r\n"))
		case hclsyntax.TokenCHeredoc:
			word = ""
		}
	}
	return at, word
}

// byCause sorts syntax errors, the one that causes the others first: the first in the file. A block that is not closed is
// noticed at the end of the file only, and may be the consequence of an error within it.
func byCause(a, b *hcl.Diagnostic) int {
	late := func(d *hcl.Diagnostic) int {
		if d.Severity != hcl.DiagError {
			return 2
		}
		if d.Summary == "Unclosed configuration block" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(late(a), late(b)), cmp.Compare(rangeOf(a).Start.Byte, rangeOf(b).Start.Byte))
}

// firstInvalidUTF8 finds the first byte that is not UTF-8.
func firstInvalidUTF8(data []byte, name string) (hcl.Range, bool) {
	if utf8.Valid(data) {
		return hcl.Range{}, false
	}
	pos := hcl.InitialPos
	for pos.Byte < len(data) {
		r, n := utf8.DecodeRune(data[pos.Byte:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 0
		}
		pos.Byte += n
		pos.Column++
	}
	end := pos
	end.Byte++
	end.Column++
	return hcl.Range{Filename: name, Start: pos, End: end}, true
}

// checkTokens refuses a file whose expressions nest so deeply that parsing them, which is recursive,
// could exhaust the stack, which cannot be recovered from; and numbers that would take ages to write out.
func checkTokens(data []byte, name string) *hcl.Diagnostic {
	// Scanning a file takes as long as parsing it; only what may nest deeply is worth it.
	if nestingBytes(data) <= maxNesting && !longNumber.Match(data) {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(data, name, hcl.InitialPos)
	// One counter an open bracket: the operators within it that nest without closing (!!!x, a?b:c?d:e).
	open := []int{0}
	depth := 0
	var last hclsyntax.TokenType
	for _, t := range tokens {
		top := len(open) - 1
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, 0)
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if top > 0 {
				depth -= 1 + open[top]
				open = open[:top]
			}
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion:
			open[top]++
			depth++
		case hclsyntax.TokenNewline, hclsyntax.TokenComma:
			switch last {
			case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion, hclsyntax.TokenColon:
			default:
				depth -= open[top]
				open[top] = 0
			}
		}
		last = t.Type
		if t.Type == hclsyntax.TokenNumberLit && longNumber.Match(t.Bytes) {
			rng := t.Range
			return errorDiag(&rng, "Number out of range",
				"A number has at most 100 digits and an exponent of at most three.")
		}
		if depth > maxNesting {
			rng := t.Range
			return errorDiag(&rng, "Nested too deeply",
				fmt.Sprintf("Expressions nest at most %d levels deep. Move parts of this one into a locals block.",
					maxNesting))
		}
	}
	return nil
}

var longNumber = regexp.MustCompile(`[0-9]{101}|[0-9][eE][+-]?[0-9]{4}`)

// nestingBytes counts the bytes that can open a level of nesting; a dash within a name cannot, nor can
// a comment.
func nestingBytes(data []byte) int {
	n := 0
	for line := range bytes.Lines(data) {
		if trimmed := bytes.TrimLeft(line, " \t"); len(trimmed) > 0 && trimmed[0] == '#' &&
			!bytes.ContainsRune(line, '{') {
			continue // in a heredoc it is text, which nests only by ${ and %{
		}
		for i, c := range line {
			switch c {
			case '(', '[', '{', '!', '?':
				n++
			case '-':
				if i == 0 || !isWordByte(line[i-1]) {
					n++
				}
			}
		}
	}
	return n
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
