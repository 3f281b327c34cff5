package hubble

import (
	"fmt"
	"io"
	"strings"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/labctl/labctl/cilium/hubble/internal/printer"
)

// Formats are those of `hubble observe -o`.
func Formats() []string { return []string{"compact", "dict", "tab", "table", "json", "jsonpb"} }

// PrintOptions say how flows are printed.
type PrintOptions struct {
	Format      string // one of Formats
	Color       bool
	Numeric     bool // addresses instead of names
	NodeName    bool // add the node that saw the flow
	PolicyNames bool // add the policies that decided
}

// Printer prints flows as `hubble observe` does. Close it.
type Printer struct{ printer *printer.Printer }

// NewPrinter prints flows to out.
func NewPrinter(out io.Writer, o PrintOptions) (*Printer, error) {
	color := "never"
	if o.Color {
		color = "always"
	}
	opts := []printer.Option{printer.Writer(out), printer.WithTimeFormat(time.StampMilli), printer.WithColor(color)}
	if !o.Numeric {
		opts = append(opts, printer.WithIPTranslation())
	}
	if o.NodeName {
		opts = append(opts, printer.WithNodeName())
	}
	if o.PolicyNames {
		opts = append(opts, printer.WithPolicyNames())
	}
	switch o.Format {
	case "compact":
		opts = append(opts, printer.Compact())
	case "dict":
		opts = append(opts, printer.Dict())
	case "tab", "table":
		opts = append(opts, printer.Tab())
	case "json", "jsonpb":
		opts = append(opts, printer.JSONPB())
	default:
		return nil, fmt.Errorf("format %q: must be one of %s", o.Format, strings.Join(Formats(), ", "))
	}
	return &Printer{printer.New(opts...)}, nil
}

// Print prints one message of the relay. As text, only flows go to the printer's writer: what else there is, Hubble's
// printer writes to standard error.
func (p *Printer) Print(res *observerpb.GetFlowsResponse) error {
	return p.printer.WriteGetFlowsResponse(res)
}

// Close writes what a table holds back until its columns are known.
func (p *Printer) Close() error { return p.printer.Close() }
