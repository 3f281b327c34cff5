package report

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/flow"
)

// tableHeading heads every picture of a table; the table's subject follows.
const tableHeading = "What gets through"

// Table writes a truth table for a terminal: a row a source, a column a target. Names of columns that do not fit beside
// each other stand below each other, each with a line down to its column. What does not fit even so is another part of
// the table, with all rows.
func Table(w io.Writer, t *flow.Table, style Style) error {
	p := &page{Style: style}
	if t.Subject != "" {
		p.line("", p.bold(tableHeading)+p.dim(" · ")+p.eachDim(t.Subject))
		p.blank()
	}
	left := widest(t.From()) + 2
	for to := t.To(); len(to) > 0; {
		n, gap := p.columnsFitting(to, left)
		p.tablePart(t, to[:n], left, gap)
		p.blank()
		to = to[n:]
	}
	p.legend(t)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// eachDim dims words, so that they can be wrapped.
func (p *page) eachDim(text string) string {
	words := strings.Split(text, " ")
	for i := range words {
		words[i] = p.dim(words[i])
	}
	return strings.Join(words, " ")
}

// columnsFitting says how many of the columns fit, and how wide each is; 0: as wide as its name.
func (p *page) columnsFitting(names []string, left int) (n, gap int) {
	if p.Width <= 0 || left+total(names) <= p.Width {
		return len(names), 0
	}
	for _, gap := range []int{4, 3, 2} {
		if n = stairs(names, gap, p.Width-left); n == len(names) {
			return n, gap
		}
	}
	return max(n, 1), 2
}

// stairs says how many names fit into a width when each begins gap columns behind the one above it.
func stairs(names []string, gap, width int) int {
	for i, name := range names {
		if i*gap+ansi.StringWidth(name) > width {
			return i
		}
	}
	return len(names)
}

// tablePart writes the rows for some columns.
func (p *page) tablePart(t *flow.Table, to []string, left, gap int) {
	widths := make([]int, len(to))
	for i, name := range to {
		widths[i] = gap
		if gap == 0 {
			widths[i] = ansi.StringWidth(name) + 2
		}
	}
	if gap == 0 {
		p.tableRow("", to, left, widths)
	} else {
		line := strings.Repeat(" ", left)
		for _, name := range to {
			p.b.WriteString(line + name + "\n")
			line += p.dim("│") + strings.Repeat(" ", gap-1)
		}
	}
	for _, from := range t.From() {
		cells := make([]string, len(to))
		for i := range to {
			cells[i] = p.cell(t.Verdict(from, to[i]))
		}
		p.tableRow(from, cells, left, widths)
	}
}

// tableRow writes a row whose cells have these widths, behind a name of the width left.
func (p *page) tableRow(name string, cells []string, left int, widths []int) {
	line := name + strings.Repeat(" ", left-ansi.StringWidth(name))
	for i, c := range cells {
		line += c + strings.Repeat(" ", widths[i]-ansi.StringWidth(c))
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
}{
	{verdict.Allowed, "✓", "allowed"},
	{verdict.Dropped, "✗", "dropped"},
	{verdict.Rejected, "R", "rejected"},
	{verdict.DNSFailed, "D", "name does not resolve"},
	{verdict.AppError, "E", "error answer"},
	{verdict.ProbeError, "?", "could not be judged"},
	{"", "·", "not asked"},
}

func (p *page) cell(v verdict.Verdict) string {
	for _, m := range verdictMarks {
		if m.verdict == v {
			return p.markedAs(v, m.mark)
		}
	}
	return string(v)
}

// markedAs colours a verdict of which nobody said whether it is right. Green and red are kept for what is as asked and
// what is not, here as in reports and pages.
func (p *page) markedAs(v verdict.Verdict, text string) string {
	switch v {
	case verdict.Allowed:
		return p.cyan(text)
	case verdict.DNSFailed, verdict.AppError, verdict.ProbeError:
		return p.yellow(text)
	case "":
		return p.dim(text)
	}
	return p.bold(text)
}

// legend names the marks that the table uses, each beside its name.
func (p *page) legend(t *flow.Table) {
	const glue = "\u00a0" // does not part
	used := usedVerdicts(t)
	var parts []string
	for _, m := range verdictMarks {
		if used[m.verdict] {
			parts = append(parts, p.markedAs(m.verdict, m.mark)+glue+strings.ReplaceAll(m.name, " ", glue))
		}
	}
	for _, line := range Wrap(strings.Join(parts, "   "), p.Width) {
		p.b.WriteString(strings.Trim(strings.ReplaceAll(line, glue, " "), " ") + "\n")
	}
}

func usedVerdicts(tables ...*flow.Table) map[verdict.Verdict]bool {
	used := map[verdict.Verdict]bool{}
	for _, t := range tables {
		for _, f := range t.From() {
			for _, to := range t.To() {
				used[t.Verdict(f, to)] = true
			}
		}
	}
	return used
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
