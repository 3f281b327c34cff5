package hubble

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	observerpb "github.com/cilium/cilium/api/v1/observer"
)

// Formats are those of `hubble observe -o`.
func Formats() []string { return []string{"compact", "dict", "tab", "table", "json", "jsonpb"} }

// PrintOptions say how flows are printed.
type PrintOptions struct {
	Format      string // one of Formats
	Color       bool   // not for tables, whose columns colors would shift
	Numeric     bool   // addresses instead of names
	NodeName    bool   // add the node that saw the flow
	PolicyNames bool   // add the policies that decided
}

// Printer prints flows as `hubble observe` does. Close it.
type Printer struct {
	opts  PrintOptions
	out   io.Writer
	table *tabwriter.Writer // of a table
	begun bool              // something was printed
	print func(*observerpb.GetFlowsResponse) error
}

// NewPrinter prints flows to out.
func NewPrinter(out io.Writer, o PrintOptions) (*Printer, error) {
	p := &Printer{opts: o, out: out}
	switch o.Format {
	case "compact":
		p.print = p.compact
	case "dict":
		p.print = p.dict
	case "tab", "table":
		p.opts.Color = false
		p.table = tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		p.print = p.row
	case "json", "jsonpb":
		encoder := json.NewEncoder(out)
		p.print = func(res *observerpb.GetFlowsResponse) error { return encoder.Encode(res) }
	default:
		return nil, fmt.Errorf("format %q: must be one of %s", o.Format, strings.Join(Formats(), ", "))
	}
	return p, nil
}

// Print prints one message of the relay. As text, only flows are printed: what else there is, the caller reports.
func (p *Printer) Print(res *observerpb.GetFlowsResponse) error {
	if res.GetFlow() == nil && p.opts.Format != "json" && p.opts.Format != "jsonpb" {
		return nil
	}
	err := p.print(res)
	p.begun = true
	return err
}

// Close writes what a table holds back until its columns are known.
func (p *Printer) Close() error {
	if p.table == nil {
		return nil
	}
	return p.table.Flush()
}

// compact prints a flow on one line. A reply stands to the right of what it answers.
func (p *Printer) compact(res *observerpb.GetFlowsResponse) error {
	c := p.columns(res)
	from, to, arrow := c.source+c.sourceID, c.destination+c.destinationID, "->"
	switch reply := res.GetFlow().GetIsReply(); {
	case reply == nil:
		arrow = "<>"
	case reply.GetValue():
		from, to, arrow = to, from, "<-"
	}
	node := ""
	if p.opts.NodeName {
		node = " [" + c.node + "]"
	}
	_, err := fmt.Fprintf(p.out, "%s%s: %s %s %s %s %s (%s)\n",
		c.time, node, from, arrow, to, c.kind, c.verdict, c.summary)
	return err
}

// dict prints a flow as a block of lines.
func (p *Printer) dict(res *observerpb.GetFlowsResponse) error {
	var b strings.Builder
	if p.begun {
		b.WriteString("------------\n")
	}
	for _, cell := range p.cells(res) {
		fmt.Fprintf(&b, "%11s: %s\n", cell.title, cell.text)
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// row prints a flow as a row of a table.
func (p *Printer) row(res *observerpb.GetFlowsResponse) error {
	var titles, texts []string
	for _, cell := range p.cells(res) {
		titles = append(titles, cell.title)
		texts = append(texts, cell.text)
	}
	lines := strings.Join(texts, "\t") + "\n"
	if !p.begun {
		lines = strings.Join(titles, "\t") + "\n" + lines
	}
	_, err := io.WriteString(p.table, lines)
	return err
}

type cell struct{ title, text string }

// cells are what tables and blocks show of a flow, in this order.
func (p *Printer) cells(res *observerpb.GetFlowsResponse) []cell {
	c := p.columns(res)
	cells := []cell{{"TIMESTAMP", c.time}}
	if p.opts.NodeName {
		cells = append(cells, cell{"NODE", c.node})
	}
	return append(cells, cell{"SOURCE", c.source}, cell{"DESTINATION", c.destination}, cell{"TYPE", c.kind},
		cell{"VERDICT", c.verdict}, cell{"SUMMARY", c.summary})
}
