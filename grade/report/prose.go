package report

import (
	"bytes"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// commonMark reads what lab authors write, with tables. HTML in it is text like any other, so that <name> is
// shown, and not run.
var commonMark = goldmark.New(
	goldmark.WithParser(parser.NewParser(
		parser.WithBlockParsers(without(parser.DefaultBlockParsers(), parser.NewHTMLBlockParser())...),
		parser.WithInlineParsers(without(parser.DefaultInlineParsers(), parser.NewRawHTMLParser())...),
		parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
	)),
	goldmark.WithExtensions(extension.Table),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(imageText{}, 1))),
)

func without(all []util.PrioritizedValue, parser any) []util.PrioritizedValue {
	return slices.DeleteFunc(all, func(v util.PrioritizedValue) bool { return v.Value == parser })
}

// imageText shows an image's description: pages fetch nothing.
type imageText struct{}

func (imageText) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindImage, func(util.BufWriter, []byte, ast.Node, bool) (ast.WalkStatus, error) {
		return ast.WalkContinue, nil
	})
}

// proseHTML is Markdown as HTML, of which a single paragraph is left without its element.
func proseHTML(src string) template.HTML {
	source := []byte(src)
	doc := commonMark.Parser().Parse(text.NewReader(source))
	if p := doc.FirstChild(); p != nil && p == doc.LastChild() && p.Kind() == ast.KindParagraph {
		line := ast.NewTextBlock()
		for c := p.FirstChild(); c != nil; c = p.FirstChild() {
			line.AppendChild(line, c)
		}
		doc.ReplaceChild(doc, p, line)
	}
	var b bytes.Buffer
	if err := commonMark.Renderer().Render(&b, source, doc); err != nil {
		return template.HTML(esc(src)) // a buffer takes every write, so this cannot happen
	}
	return template.HTML(strings.TrimSpace(b.String()))
}

// Prose sets Markdown for a terminal: wrapped, and in colour if the style has it. Without colour, what is emphasized
// keeps its marks.
func Prose(src string, style Style) string {
	source := []byte(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar // would command the terminal
		}
		return r
	}, src))
	p := &prose{Style: style, source: source}
	return strings.Join(p.blocks(commonMark.Parser().Parse(text.NewReader(source)), style.Width), "\n") + "\n"
}

// prose sets one document.
type prose struct {
	Style
	source []byte
}

// blocks sets the children of a node in lines of at most width columns, with a blank line between blocks.
func (p *prose) blocks(parent ast.Node, width int) []string {
	var lines []string
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		if n.PreviousSibling() != nil && !tight(n) {
			lines = append(lines, "")
		}
		lines = append(lines, p.block(n, width)...)
	}
	return lines
}

// tight reports whether a block follows the one before it without a blank line: in a list whose items are not apart.
func tight(n ast.Node) bool {
	list, ok := n.Parent().(*ast.List)
	if !ok && n.Parent().Parent() != nil {
		list, ok = n.Parent().Parent().(*ast.List)
	}
	return ok && list.IsTight
}

func (p *prose) block(n ast.Node, width int) []string {
	switch n := n.(type) {
	case *ast.Heading:
		return p.heading(n, width)
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		return p.code(n)
	case *ast.Blockquote:
		return prefixed(p.blocks(n, less(width, 2)), "│ ", "│ ")
	case *ast.List:
		return p.list(n, width)
	case *ast.ThematicBreak:
		return []string{p.dim(strings.Repeat("─", min(max(width, minText), 40)))}
	case *extast.Table:
		return p.table(n, width)
	}
	return Wrap(p.inline(n, plain), width)
}

func (p *prose) heading(n *ast.Heading, width int) []string {
	mark := strings.Repeat("#", n.Level) + " "
	if p.Color {
		mark = ""
	}
	return Wrap(mark+p.inline(n, p.bold), width)
}

// code sets lines as they are: they are there to be copied.
func (p *prose) code(n ast.Node) []string {
	var lines []string
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		lines = append(lines, p.cyan(strings.TrimRight(string(line.Value(p.source)), "\n")))
	}
	return prefixed(lines, "    ", "    ")
}

func (p *prose) list(n *ast.List, width int) []string {
	var lines []string
	number := n.Start
	for item := n.FirstChild(); item != nil; item = item.NextSibling() {
		mark := "- "
		if n.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		if item.PreviousSibling() != nil && !n.IsTight {
			lines = append(lines, "")
		}
		lines = append(lines, prefixed(p.blocks(item, less(width, len(mark))), mark, strings.Repeat(" ", len(mark)))...)
	}
	return lines
}

// less is what n columns leave of a width; 0 stays "never wrap".
func less(width, n int) int {
	if width == 0 {
		return 0
	}
	return max(width-n, minText)
}

// prefixed puts first before the first line and rest before the others; blank lines get no spaces at their end.
func prefixed(lines []string, first, rest string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		prefix := rest
		if i == 0 {
			prefix = first
		}
		out[i] = strings.TrimRight(prefix+line, " ")
	}
	return out
}

// styled is how a word looks.
type styled func(string) string

func plain(s string) string { return s }

// inline is the text of a block. Every word carries its own style, so that lines can end behind any of them.
func (p *prose) inline(n ast.Node, as styled) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		b.WriteString(p.run(c, as))
	}
	return b.String()
}

func (p *prose) run(n ast.Node, as styled) string {
	switch n := n.(type) {
	case *ast.Text:
		return p.text(n, as)
	case *ast.CodeSpan:
		return p.marked("`", n, p.cyan)
	case *ast.Emphasis:
		if n.Level > 1 {
			return p.marked("**", n, func(s string) string { return p.bold(as(s)) })
		}
		return p.marked("*", n, func(s string) string { return p.italic(as(s)) })
	case *ast.Link:
		label, to := p.inline(n, as), string(n.Destination)
		if label == to || strings.HasPrefix(to, "#") {
			return label
		}
		return label + " (" + to + ")"
	case *ast.AutoLink:
		return as(string(n.URL(p.source)))
	}
	return p.inline(n, as)
}

// marked shows a run between marks or, in colour, in a style instead.
func (p *prose) marked(mark string, n ast.Node, as styled) string {
	if p.Color {
		return p.inline(n, as)
	}
	return mark + p.inline(n, plain) + mark
}

func (p *prose) text(n *ast.Text, as styled) string {
	value := n.Value(p.source)
	if n.Parent().Kind() != ast.KindCodeSpan && !n.IsRaw() {
		value = util.UnescapePunctuations(util.ResolveEntityNames(util.ResolveNumericReferences(value)))
	}
	words := strings.Split(string(value), " ")
	for i, w := range words {
		if w != "" {
			words[i] = as(w)
		}
	}
	s := strings.Join(words, " ")
	switch {
	case n.HardLineBreak():
		return s + "\n"
	case n.SoftLineBreak():
		return s + " "
	}
	return s
}

// table sets a table whose columns are as wide as their cells. If that is too wide, the cells of the widest columns are
// wrapped.
func (p *prose) table(n *extast.Table, width int) []string {
	var rows [][]string
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		as := plain
		if row.Kind() == extast.KindTableHeader {
			as = p.bold
		}
		var cells []string
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			cells = append(cells, p.inline(cell, as))
		}
		rows = append(rows, cells)
	}
	widths := columnWidths(rows, width)
	lines := tableRow(rows[0], widths)
	var rule []string
	for _, w := range widths {
		rule = append(rule, strings.Repeat("─", w))
	}
	lines = append(lines, p.dim(strings.Join(rule, "  ")))
	for _, row := range rows[1:] {
		lines = append(lines, tableRow(row, widths)...)
	}
	return lines
}

// columnWidths are the widths of a table's columns, two spaces apart, that fit into width (0: any), except that no word
// is cut.
func columnWidths(rows [][]string, width int) []int {
	widths, least := make([]int, len(rows[0])), make([]int, len(rows[0]))
	all := 2 * (len(widths) - 1)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			for word := range strings.FieldsSeq(row[i]) {
				least[i] = max(least[i], ansi.StringWidth(word))
			}
		}
		all += widths[i]
	}
	for ; width > 0 && all > width; all-- {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// tableRow sets a row, whose cells are wrapped.
func tableRow(cells []string, widths []int) []string {
	wrapped, height := make([][]string, len(cells)), 1
	for i, cell := range cells {
		wrapped[i] = Wrap(cell, widths[i])
		height = max(height, len(wrapped[i]))
	}
	lines := make([]string, height)
	for l := range lines {
		var b strings.Builder
		for i, cell := range wrapped {
			part := ""
			if l < len(cell) {
				part = cell[l]
			}
			b.WriteString(part + strings.Repeat(" ", max(widths[i]-ansi.StringWidth(part), 0)+2))
		}
		lines[l] = strings.TrimRight(b.String(), " ")
	}
	return lines
}
