package report

import (
	"fmt"
	"io"

	"github.com/labctl/labctl/grade/flow"
)

// Differences writes which connections two submissions treat differently, checkpoint by checkpoint; where says which
// ones were compared: "at every checkpoint".
func Differences(w io.Writer, a, b, where string, diffs []flow.Difference, style Style) error {
	p := &page{Style: style}
	if len(diffs) == 0 {
		p.line("", fmt.Sprintf("%s and %s treat every connection of the lab alike, %s.", a, b, where))
	} else {
		p.line("", p.dim("A ")+a)
		p.line("", p.dim("B ")+b)
	}
	task := ""
	for i, d := range diffs {
		if i == 0 || d.Task != task {
			task = d.Task
			p.blank()
			p.line("", p.bold(task))
		}
		p.line("    ", fmt.Sprintf("%s → %s: A %s, B %s", d.From, d.To, p.verdict(d.A), p.verdict(d.B)))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}
