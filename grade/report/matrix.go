package report

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
)

// matrix shows who reached whom in a task: a table, which screen readers can walk through, of small pictures. It is the
// bulk of a page, so it is written by hand; every name goes through esc.
type matrix struct {
	Table, Legend template.HTML
	Off           string // how many connections are not as asked; "": none
}

func esc(s string) string { return template.HTMLEscapeString(s) }

// matrixOf lays out the connections that the visible objectives of a task asked for; nil if there are too few to make a
// table. Of a connection that was asked for twice the answer that missed is shown.
func matrixOf(t *grade.TaskReport) *matrix {
	cells, from, to := connections(t)
	if len(cells) < 2 {
		return nil
	}
	var b strings.Builder
	b.WriteString(`<table class="matrix"><thead><tr><td></td>`)
	for _, name := range to {
		b.WriteString(`<th scope="col">` + esc(name) + `</th>`)
	}
	b.WriteString("</tr></thead><tbody>\n")
	off, seen := 0, map[verdict.Verdict]bool{}
	for _, f := range from {
		b.WriteString(`<tr><th scope="row">` + esc(f) + `</th>`)
		for _, name := range to {
			b.WriteString("<td>")
			if c := cells[connection{f, name}]; c != nil {
				writeCell(&b, c.Verdict, !c.Passed, cellLabel(c))
				seen[c.Verdict] = true
				if !c.Passed {
					off++
				}
			}
			b.WriteString("</td>")
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table>")
	m := &matrix{Table: template.HTML(b.String())}
	if off > 0 {
		m.Off = "1 connection differs from what the task asks"
		if off > 1 {
			m.Off = fmt.Sprintf("%d connections differ from what the task asks", off)
		}
	}
	m.Legend = matrixLegend(seen, off > 0)
	return m
}

type connection struct{ from, to string }

// connections are those that a task asked for, with one check for each, and their ends in the order of the checks.
func connections(t *grade.TaskReport) (cells map[connection]*grade.Check, from, to []string) {
	cells = map[connection]*grade.Check{}
	for i := range t.Objectives {
		for j := range t.Objectives[i].Checks {
			c := &t.Objectives[i].Checks[j]
			if !c.Kind.AboutConnections() || c.From == "" || c.To == "" {
				continue
			}
			if !slices.Contains(from, c.From) {
				from = append(from, c.From)
			}
			if !slices.Contains(to, c.To) {
				to = append(to, c.To)
			}
			k := connection{c.From, c.To}
			if old := cells[k]; old == nil || old.Passed {
				cells[k] = c
			}
		}
	}
	return cells, from, to
}

func matrixLegend(seen map[verdict.Verdict]bool, off bool) template.HTML {
	var b strings.Builder
	b.WriteString(`<p class="legend">`)
	for _, v := range verdictMarks {
		if seen[v.verdict] {
			b.WriteString("<span>")
			writeCell(&b, v.verdict, false, v.name)
			b.WriteString(v.name + "</span>")
		}
	}
	if off {
		b.WriteString(`<span><svg class="cell off" viewBox="0 0 24 24" aria-hidden="true"></svg>not as asked</span>`)
	}
	b.WriteString("</p>")
	return template.HTML(b.String())
}

func cellLabel(c *grade.Check) string {
	got := cmp.Or(word(c.Verdict), "no result")
	if c.Passed {
		return fmt.Sprintf("%s → %s: %s, as asked", c.From, c.To, got)
	}
	return fmt.Sprintf("%s → %s: expected %s, got %s", c.From, c.To, word(c.Expected), got)
}

// writeCell draws a verdict. The page holds the two marks that are pictures; the others are letters.
func writeCell(b *strings.Builder, v verdict.Verdict, off bool, label string) {
	class := "cell"
	if off {
		class = "cell off"
	}
	fmt.Fprintf(b, `<svg class="%s" viewBox="0 0 24 24" role="img"><title>%s</title>`, class, esc(label))
	switch v {
	case verdict.Allowed, verdict.Dropped:
		fmt.Fprintf(b, `<use href="#%s"/>`, v)
	default:
		mark := "?"
		for _, m := range verdictMarks {
			if m.verdict == v {
				mark = m.mark
			}
		}
		fmt.Fprintf(b, `<text x="12" y="17">%s</text>`, mark)
	}
	b.WriteString("</svg>")
}
