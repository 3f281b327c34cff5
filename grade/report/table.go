package report

import (
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/flow"
)

// Table writes a truth table for a terminal: a row a source, a column a target. Columns whose names do
// not fit are numbered, and the names follow below.
func Table(w io.Writer, t *flow.Table, style Style) error {
	p := &page{Style: style}
	if t.Task != "" {
		p.line("", p.bold(t.Task)+p.dim(" · "+t.Title))
		p.blank()
	}
	from, to := t.From(), t.To()
	heads, left := to, widest(from)
	if style.Width > 0 && left+total(heads) > style.Width {
		heads = make([]string, len(to))
		for i := range to {
			heads[i] = fmt.Sprintf("%-2d", i+1)
		}
	}
	p.tableRow(left, "", heads, heads)
	for _, f := range from {
		cells := make([]string, len(to))
		for i := range to {
			cells[i] = p.cell(t.Verdict(f, to[i]))
		}
		p.tableRow(left, f, cells, heads)
	}
	p.blank()
	if len(to) > 0 && heads[0] != to[0] {
		for i := range to {
			p.line(heads[i]+"  ", to[i])
		}
		p.blank()
	}
	p.line("", p.legend(t))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// tableRow writes a row, each cell as wide as its column's head.
func (p *page) tableRow(left int, name string, cells, heads []string) {
	line := name + strings.Repeat(" ", left-ansi.StringWidth(name))
	for i, c := range cells {
		line += "  " + c + strings.Repeat(" ", max(ansi.StringWidth(heads[i])-ansi.StringWidth(c), 0))
	}
	p.b.WriteString(strings.TrimRight(line, " ") + "\n")
}

func widest(names []string) int {
	n := 0
	for _, name := range names {
		n = max(n, ansi.StringWidth(name))
	}
	return n
}

func total(names []string) int {
	n := 0
	for _, name := range names {
		n += ansi.StringWidth(name) + 2
	}
	return n
}

// verdictMarks are the marks of a truth table, in the order of its legend.
var verdictMarks = []struct {
	verdict verdict.Verdict
	mark    string
	name    string
	fill    string // of the cell in the SVG
}{
	{verdict.Allowed, "✓", "allowed", "#2da44e"},
	{verdict.Dropped, "✗", "dropped", "#cf222e"},
	{verdict.Rejected, "R", "rejected", "#a40e26"},
	{verdict.DNSFailed, "D", "name does not resolve", "#bf8700"},
	{verdict.AppError, "E", "error answer", "#bc4c00"},
	{verdict.ProbeError, "?", "could not be judged", "#6e7781"},
	{"", "·", "not asked", "#d0d7de"},
}

func (p *page) cell(v verdict.Verdict) string {
	for _, m := range verdictMarks {
		if m.verdict == v {
			return p.marked(v, m.mark)
		}
	}
	return string(v)
}

func (p *page) marked(v verdict.Verdict, text string) string {
	switch v {
	case verdict.Allowed:
		return p.green(text)
	case verdict.DNSFailed, verdict.AppError, verdict.ProbeError:
		return p.yellow(text)
	case "":
		return p.dim(text)
	}
	return p.red(text)
}

// legend names the marks that the table uses.
func (p *page) legend(t *flow.Table) string {
	used := map[verdict.Verdict]bool{}
	for _, f := range t.From() {
		for _, to := range t.To() {
			used[t.Verdict(f, to)] = true
		}
	}
	var parts []string
	for _, m := range verdictMarks {
		if used[m.verdict] {
			parts = append(parts, p.marked(m.verdict, m.mark)+" "+m.name)
		}
	}
	return strings.Join(parts, "   ")
}

// TablesCSV writes tables as comma-separated values, a line a connection.
func TablesCSV(w io.Writer, tables []*flow.Table) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"task", "from", "to", "verdict"}}
	for _, t := range tables {
		for _, c := range t.Cells {
			rows = append(rows, []string{t.Task, c.From, c.To, string(c.Verdict)})
		}
	}
	return out.WriteAll(rows)
}

// TablesDOT writes tables as a Graphviz graph: a cluster a table, an edge for each connection that is allowed.
func TablesDOT(w io.Writer, tables []*flow.Table) error {
	var b strings.Builder
	b.WriteString("digraph labctl {\n\trankdir=LR\n\tnode [shape=box]\n")
	for i, t := range tables {
		fmt.Fprintf(&b, "\tsubgraph cluster_%d {\n\t\tlabel=%s\n", i, dotQuote(t.Task))
		node := func(kind, name string) string { return dotQuote(fmt.Sprintf("%d %s %s", i, kind, name)) }
		for _, f := range t.From() {
			fmt.Fprintf(&b, "\t\t%s [label=%s]\n", node("from", f), dotQuote(f))
		}
		for _, to := range t.To() {
			fmt.Fprintf(&b, "\t\t%s [label=%s style=rounded]\n", node("to", to), dotQuote(to))
		}
		for _, c := range t.Cells {
			if c.Verdict == verdict.Allowed {
				fmt.Fprintf(&b, "\t\t%s -> %s\n", node("from", c.From), node("to", c.To))
			}
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotQuote quotes an identifier of the DOT language, in which only the double quote needs an escape; a
// backslash is doubled because labels take it for one.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Sizes in the SVG, in pixels.
const (
	svgCell  = 26
	svgChar  = 7.3 // width of a character at 12px monospace, rounded up
	svgTitle = 34
)

// TablesSVG writes tables as one picture, below each other.
func TablesSVG(w io.Writer, tables []*flow.Table) error {
	left, head, columns, height := 0, 0, 0, 0
	for _, t := range tables {
		left = max(left, widest(t.From()))
		head = max(head, widest(t.To()))
		columns = max(columns, len(t.To()))
	}
	leftPx, headPx := float64(left)*svgChar+16, float64(head)*svgChar*0.71+20 // columns' names stand at 45 degrees
	for _, t := range tables {
		height += svgTitle + int(headPx) + len(t.From())*svgCell + svgCell
	}
	width := leftPx + float64(columns*svgCell) + headPx
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="monospace" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	y := 0.0
	for _, t := range tables {
		fmt.Fprintf(&b, `<text x="8" y="%.0f" font-weight="bold">%s</text>`+"\n", y+20,
			xmlText(strings.TrimSpace(t.Task+" "+t.Title)))
		y += svgTitle + headPx
		for i, to := range t.To() {
			x := leftPx + float64(i*svgCell) + svgCell/2
			fmt.Fprintf(&b, `<text transform="translate(%.0f %.0f) rotate(-45)">%s</text>`+"\n", x, y-6, xmlText(to))
		}
		for _, f := range t.From() {
			fmt.Fprintf(&b, `<text x="8" y="%.0f">%s</text>`+"\n", y+17, xmlText(f))
			for i, to := range t.To() {
				writeSVGCell(&b, leftPx+float64(i*svgCell), y, f, to, t.Verdict(f, to))
			}
			y += svgCell
		}
		y += svgCell
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeSVGCell(b *strings.Builder, x, y float64, from, to string, v verdict.Verdict) {
	for _, m := range verdictMarks {
		if m.verdict != v {
			continue
		}
		fmt.Fprintf(b, `<g><title>%s</title><rect x="%.0f" y="%.0f" width="%d" height="%d" rx="4" fill="%s"/>`,
			xmlText(from+" → "+to+": "+m.name), x+1, y+1, svgCell-2, svgCell-2, m.fill)
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#ffffff">%s</text></g>`+"\n", x+svgCell/2,
			y+17, m.mark)
	}
}

func xmlText(s string) string {
	var b strings.Builder
	// A strings.Builder takes every write.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
