package report

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/flow"
)

// Sizes in the SVG, in pixels.
const (
	svgCell  = 26
	svgChar  = 7.3 // width of a character at 12px monospace, rounded up
	svgTitle = 34
)

// svgStyle has the colours, light and dark. None is green or red: nobody said what is right here.
//
//go:embed page/table.css
var svgStyle string

// TablesSVG writes tables as one picture, below each other, with a legend.
func TablesSVG(w io.Writer, tables []*flow.Table) error {
	left, head, columns, height, width := 0, 0, 0, 0, 0.0
	for _, t := range tables {
		left = max(left, widest(t.From()))
		head = max(head, widest(t.To()))
		columns = max(columns, len(t.To()))
		width = max(width, float64(ansi.StringWidth(svgTitleOf(t)))*svgChar*1.05+16) // it is bold
	}
	leftPx, headPx := float64(left)*svgChar+16, float64(head)*svgChar*0.71+20 // columns' names stand at 45 degrees
	for _, t := range tables {
		height += svgTitle + int(headPx) + len(t.From())*svgCell + svgCell
	}
	legend, legendWidth := svgLegend(tables, float64(height))
	height += svgCell + 10
	width = max(width, leftPx+float64(columns*svgCell)+headPx, legendWidth)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="monospace" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, "<style>\n%s</style>\n", svgStyle)
	b.WriteString(`<rect class="paper" width="100%" height="100%"/>` + "\n")
	y := 0.0
	for _, t := range tables {
		fmt.Fprintf(&b, `<text x="8" y="%.0f" font-weight="bold">%s</text>`+"\n", y+20, xmlText(svgTitleOf(t)))
		y += svgTitle + headPx
		for i, to := range t.To() {
			x := leftPx + float64(i*svgCell) + svgCell/2
			fmt.Fprintf(&b, `<text transform="translate(%.0f %.0f) rotate(-45)">%s</text>`+"\n", x, y-6, xmlText(to))
		}
		for _, f := range t.From() {
			fmt.Fprintf(&b, `<text x="8" y="%.0f">%s</text>`+"\n", y+17, xmlText(f))
			for i, to := range t.To() {
				writeSVGCell(&b, leftPx+float64(i*svgCell), y, f+" → "+to, t.Verdict(f, to))
			}
			y += svgCell
		}
		y += svgCell
	}
	b.WriteString(legend + "</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func svgTitleOf(t *flow.Table) string {
	return strings.TrimSuffix(tableHeading+" · "+t.Subject, " · ")
}

// svgLegend draws the marks that the tables use at a height, and says how wide that is.
func svgLegend(tables []*flow.Table, y float64) (string, float64) {
	used, x := usedVerdicts(tables...), 8.0
	var b strings.Builder
	for _, m := range verdictMarks {
		if !used[m.verdict] {
			continue
		}
		writeSVGCell(&b, x, y, "", m.verdict)
		x += svgCell + 6
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">%s</text>`+"\n", x, y+17, m.name)
		x += float64(len(m.name))*svgChar + 16
	}
	return b.String(), x
}

// writeSVGCell draws a verdict; what is its connection, or empty in the legend.
func writeSVGCell(b *strings.Builder, x, y float64, what string, v verdict.Verdict) {
	for _, m := range verdictMarks {
		if m.verdict != v {
			continue
		}
		class := string(v)
		if class == "" {
			class = "none"
		}
		fmt.Fprintf(b, `<g class="%s">`, class)
		if what != "" {
			fmt.Fprintf(b, `<title>%s</title>`, xmlText(what+": "+m.name))
		}
		fmt.Fprintf(b, `<rect x="%.0f" y="%.0f" width="%d" height="%d" rx="4"/>`, x+1, y+1, svgCell-2, svgCell-2)
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text></g>`+"\n", x+svgCell/2, y+17, m.mark)
	}
}

func xmlText(s string) string {
	var b strings.Builder
	// A strings.Builder takes every write.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
