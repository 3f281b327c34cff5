package author

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

func NewDevCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		engine   cli.EngineFlags
		output   cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "dev [LAB]",
		Short: "Validate and test a lab after every change, until Ctrl-C",
		Long: `Validate and test a lab after every change, until Ctrl-C. LAB is a directory, by default the current one.

labctl first shows the errors and warnings that "labctl validate" reports. If the lab has no errors, the results of
"labctl test" follow: the samples, then the mutants of the solution that no objective notices. If you save a file in
the meantime, labctl starts again.

On a terminal, labctl redraws the results as they arrive. Without a terminal, it prints them after each change. With
-o json it prints one line per change.`,
		Example: `  labctl dev
  labctl dev mylab/
  labctl dev mylab/ -o json`,
		Args:              cli.Args(0, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := labDir(cli.LabArg(args))
			if err != nil {
				return err
			}
			if _, err := labFlags.Options(); err != nil {
				return err
			}
			if _, err := engine.Config(); err != nil {
				return err
			}
			d := &dev{app: app, dir: dir, lab: &labFlags, engine: &engine, json: output.Json()}
			return d.run(cmd.Context())
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	output.Register(cmd)
	return cmd
}

// labDir returns the lab's directory in a form that cannot be the name of a lab that ships.
func labDir(arg string) (string, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && !info.IsDir(), os.IsNotExist(err) && slices.Contains(labs.Shipped(), arg):
		return "", fmt.Errorf("%s is not a directory; labctl dev takes the directory of a lab", arg)
	case err != nil:
		return "", err
	case filepath.IsAbs(arg), filepath.Clean(arg) == ".":
		return arg, nil
	}
	return "." + string(filepath.Separator) + filepath.Clean(arg), nil
}

// dev validates and tests a lab whenever it changes.
type dev struct {
	app    *cli.App
	dir    string
	lab    *cli.LabFlags
	engine *cli.EngineFlags
	json   bool
	screen cli.Screen // on a terminal
}

// pass is what is known after a change; the JSON of a finished one is a contract (docs/cli.md).
type pass struct {
	validation
	Test  *labtest.Report `json:"test"`            // nil if the lab has errors
	Error string          `json:"error,omitempty"` // what kept the lab from being tested

	diags   *labs.Diagnostics
	checked bool // all diagnostics are there
	done    bool
}

func (d *dev) run(ctx context.Context) error {
	changes, err := cli.WatchFiles(ctx, append([]string{d.dir}, d.lab.VarFiles...)...)
	if err != nil {
		return err
	}
	resized, stop := cli.Resizes(d.app)
	defer stop()
	for {
		latest, cancel := d.begin(ctx)
		again := false
		for shown := (&pass{}); !again; {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case err = <-changes.Err:
			case <-changes.C:
				again = true
			case <-resized:
				cli.Measure(d.app)
				err = d.screen.Repaint(d.app)
			case now := <-latest:
				err = d.show(now, shown)
				shown = now
			}
			if err != nil {
				cancel()
				return err
			}
		}
		cancel()
	}
}

// begin starts a pass. What it finds arrives on the channel, which holds the latest only; after cancel nothing does.
func (d *dev) begin(ctx context.Context) (latest <-chan *pass, cancel func()) {
	ctx, stop := context.WithCancel(ctx)
	results, ended := make(chan *pass, 1), make(chan struct{})
	go func() {
		defer close(ended)
		d.pass(ctx, func(p *pass) {
			if ctx.Err() != nil {
				return
			}
			select {
			case <-results: // not looked at, and out of date
			default:
			}
			results <- p
		})
	}()
	return results, func() {
		stop()
		<-ended
	}
}

// pass validates and tests the lab once. It calls found with what is known so far, the last time with all.
func (d *dev) pass(ctx context.Context, found func(*pass)) {
	fail := func(p pass, err error) {
		p.checked, p.done, p.Valid, p.Error = true, true, false, err.Error()
		found(&p)
	}
	lab, diags, err := d.lab.Read(d.dir)
	if err != nil {
		fail(pass{validation: newValidation(nil)}, err)
		return
	}
	p := pass{validation: newValidation(diags), diags: diags}
	if diags.HasErrors() {
		p.checked, p.done = true, true
		found(&p)
		return
	}
	eng, err := d.engine.Open(lab)
	if err != nil {
		fail(p, err)
		return
	}
	warnings, err := labtest.Lint(ctx, lab, eng)
	if err != nil {
		fail(p, err)
		return
	}
	diags.Add(warnings...)
	p.validation, p.checked = newValidation(diags), true
	linted := p
	found(&linted)
	rep, err := labtest.TestStepwise(ctx, lab, eng, func(r *labtest.Report) {
		now := p
		now.Test = snapshot(r)
		found(&now)
	})
	if err != nil {
		fail(p, err)
		return
	}
	p.Test, p.done = rep, true
	found(&p)
}

// snapshot copies what a test that goes on may change.
func snapshot(r *labtest.Report) *labtest.Report {
	now := *r
	now.Samples = slices.Clone(r.Samples)
	now.Mutation.Survivors = slices.Clone(r.Mutation.Survivors)
	return &now
}

// show shows what is known now and was not before.
func (d *dev) show(now, before *pass) error {
	switch {
	case d.json && now.done:
		return d.app.WriteJSONLine(now)
	case d.json:
		return nil
	case d.app.Terminal.Is:
		at := d.app.Now()
		return d.screen.Paint(d.app, func(out io.Writer) error { return d.draw(out, now, at) })
	}
	out := d.app.Out
	if now.checked && !before.checked {
		fmt.Fprintln(out, d.app.Now().Format(time.TimeOnly))
		if err := d.showDiagnostics(out, now); err != nil {
			return err
		}
	}
	if !now.done || now.Test == nil {
		return nil
	}
	fmt.Fprintln(out)
	return report.Test(out, now.Test, d.app.Style())
}

// draw draws a page for a terminal. Its last line stays visible.
func (d *dev) draw(out io.Writer, p *pass, at time.Time) error {
	if err := d.showDiagnostics(out, p); err != nil {
		return err
	}
	if p.Test != nil {
		fmt.Fprintln(out)
		if err := report.TestBrief(out, p.Test, d.app.Style()); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, "\n"+d.app.Hang("", fmt.Sprintf("%s  %s; watching %s; press Ctrl-C to stop",
		at.Format(time.TimeOnly), p.state(), d.dir)))
	return err
}

// showDiagnostics writes the diagnostics and what they come to, or what kept the lab from being tested.
func (d *dev) showDiagnostics(out io.Writer, p *pass) error {
	if p.Error == "" {
		return writeDiagnostics(d.app, out, p.diags, &p.validation)
	}
	if err := p.diags.WriteText(out, uint(d.app.Terminal.Width), d.app.Terminal.Color); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, wording.Shorten(p.Error, 4<<10))
	return err
}

// state says in a few words how far the pass is.
func (p *pass) state() string {
	switch {
	case !p.done:
		return "testing …"
	case p.Test == nil:
		return "not tested"
	case p.Test.Passed:
		return "the lab grades as it declares"
	}
	return "the lab does not grade as it declares"
}
