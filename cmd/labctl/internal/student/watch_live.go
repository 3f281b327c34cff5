package student

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

// liveWatch grades a running lab again whenever something in it changes.
type liveWatch struct {
	*watch
	running cli.RunningLab
	all     bool

	drops latestDrops
}

// watchLive watches a running lab until Ctrl-C.
func watchLive(a *cli.App, cmd *cobra.Command, flags *cli.LiveFlags, args []string, w *watch, all bool) error {
	if flags.Instance == "" && len(args) > 0 {
		flags.Instance = args[0]
	}
	ctx := cmd.Context()
	r, err := a.OpenLab(ctx, cli.OpenOptions{
		Flags: flags, Instance: flags.Instance, Command: "labctl watch", Semantics: policy.Cilium, Observe: true,
	})
	if err != nil {
		return orSubmission(err)
	}
	defer r.Close()
	// Watching changes nothing: other commands may work on the instance meanwhile.
	if err := r.Unlock(); err != nil {
		return err
	}
	if w.grader, err = grade.NewGrader(r.Lab()); err != nil {
		return err
	}
	if err := r.Engine().Canary(ctx); err != nil {
		return cli.LiveError(ctx, err)
	}
	l := &liveWatch{watch: w, running: r, all: all}
	return l.run(ctx)
}

func (l *liveWatch) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	nudge := func(to chan struct{}) {
		select {
		case to <- struct{}{}:
		default:
		}
	}
	if err := l.running.Engine().Watch(ctx, func(ref string) {
		l.app.Log().Debug("changed", "object", ref)
		nudge(changed)
	}); err != nil {
		return cli.LiveError(ctx, err)
	}
	dropped := make(chan struct{}, 1)
	defer l.running.Drops(func(d cli.Drop) {
		if l.drops.add(d) {
			nudge(dropped)
		}
	})()
	if l.app.Terminal.Is && !l.json {
		fmt.Fprintf(l.app.Out, "Probing the running lab %s …\n", l.running.Name())
	}
	if err := l.gradeNow(ctx); err != nil {
		return err
	}
	resized, stopResizes := cli.Resizes(l.app)
	defer stopResizes()
	quiet := time.NewTimer(cli.Settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			quiet.Reset(cli.Settle)
		case <-resized:
			cli.Measure(l.app)
			if err := l.screen.Repaint(l.app); err != nil {
				return err
			}
		case <-dropped:
			if err := l.showDrops(); err != nil {
				return err
			}
		case <-quiet.C:
			if err := l.gradeNow(ctx); err != nil {
				return err
			}
		}
	}
}

// gradeNow grades what is in force and shows it.
func (l *liveWatch) gradeNow(ctx context.Context) error {
	l.drops.probing(true)
	rep, table, err := l.look(ctx)
	l.drops.probing(false)
	if err != nil {
		return l.tell(ctx, err)
	}
	if l.app.Terminal.Is && !l.json {
		return l.draw(rep, table)
	}
	return l.show(rep)
}

// tell shows an error that the next change may fix; others end the watch.
func (l *liveWatch) tell(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *engine.Refused
	if !errors.As(err, &refused) {
		return cli.LiveError(ctx, err)
	}
	return l.showError(err)
}

// look grades the current task and probes the truth table.
func (l *liveWatch) look(ctx context.Context) (*grade.Report, *flow.Table, error) {
	r := l.running
	progress, err := r.Progress() // labctl next may have moved on
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.Engine().Integrity(ctx); err != nil {
		return nil, nil, err
	}
	task := progress.Current
	files, err := r.Engine().Files(ctx)
	if err != nil {
		return nil, nil, err
	}
	sub, err := l.grader.Rules.ReadRunning(files, task, manifest.DefaultLimits())
	if err != nil {
		return nil, nil, err
	}
	opts := l.opts
	if len(opts.Tasks) == 0 && !l.all {
		opts.Tasks = []string{task}
	}
	now := &snapshot{Engine: r.Engine()}
	rep, err := l.grader.Grade(ctx, sub, now, opts)
	if rep != nil {
		rep.Tampering = r.Engine().Tampering()
	}
	if err != nil || !l.app.Terminal.Is || l.json {
		return rep, nil, err
	}
	states, err := l.grader.Rules.Checkpoints(sub)
	if err != nil {
		return nil, nil, err
	}
	table, err := flow.Tabulate(ctx, now, states[0], engine.Connections(r.Lab()))
	if err != nil {
		return nil, nil, err
	}
	table.Task = "" // it is no checkpoint, but the lab as it is now
	return rep, table, nil
}

// snapshot is a running lab as it is now: it is read once, and several views share what was probed.
type snapshot struct {
	engine.Engine
	prober engine.Prober
}

func (m *snapshot) At(ctx context.Context, state *engine.State) (engine.Prober, error) {
	if m.prober == nil {
		prober, err := m.Engine.At(ctx, state)
		if err != nil {
			return nil, err
		}
		m.prober = prober
		return prober, nil
	}
	return noted{m.prober}, nil
}

// noted is a prober whose notes somebody else has.
type noted struct{ engine.Prober }

// Notes are none: what was sent is counted once.
func (noted) Notes() engine.Notes { return engine.Notes{} }

func (l *liveWatch) draw(rep *grade.Report, table *flow.Table) error {
	at := l.app.Now()
	return l.screen.Paint(l.app, func(out io.Writer) error {
		style := l.style(rep)
		if err := report.Text(out, rep, style); err != nil {
			return err
		}
		fmt.Fprintln(out)
		if err := report.Table(out, table, style); err != nil {
			return err
		}
		if drops := l.drops.list(); len(drops) > 0 {
			fmt.Fprintln(out, "\nLatest drops:")
			for _, d := range drops {
				fmt.Fprintln(out, strings.Join(report.Wrap(d, max(style.Width-10, 40)), "\n          "))
			}
		}
		_, err := io.WriteString(out, "\n"+l.app.Hang("", fmt.Sprintf("%s  watching the running lab %s; press Ctrl-C to stop",
			at.Format(time.TimeOnly), l.running.Name())))
		return err
	})
}

// showDrops shows the drops that came in since the last time, of connections that are not labctl's own.
func (l *liveWatch) showDrops() error {
	if l.app.Terminal.Is && !l.json {
		return l.screen.Repaint(l.app)
	}
	for _, d := range l.drops.fresh() {
		var err error
		if l.json {
			err = l.app.WriteJSONLine(struct {
				FormatVersion int    `json:"format_version"`
				Drop          string `json:"drop"`
			}{1, d})
		} else {
			_, err = fmt.Fprintln(l.app.Out, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// latestDrops are the last few packets that policies dropped. A client sends its first packet again and again:
// that is one drop. The zero value is ready.
type latestDrops struct {
	mu    sync.Mutex
	own   bool // labctl itself is probing
	shown []string
	new   []string
	last  map[string]time.Time // by source and destination
}

const keptDrops = 5

// add notes a drop, and reports whether it is one to show.
func (l *latestDrops) add(d cli.Drop) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own {
		return false
	}
	if l.last == nil || len(l.last) > 1000 {
		l.last = map[string]time.Time{}
	}
	again := d.Time.Sub(l.last[d.Connection]) < 5*time.Second
	l.last[d.Connection] = d.Time
	if again {
		return false
	}
	l.new = append(l.new, d.Text)
	if l.shown = append(l.shown, d.Text); len(l.shown) > keptDrops {
		l.shown = slices.Delete(l.shown, 0, len(l.shown)-keptDrops)
	}
	return true
}

// probing says whether drops are labctl's own from now on.
func (l *latestDrops) probing(own bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = own
}

func (l *latestDrops) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.shown)
}

// fresh are the drops since it was last asked for them.
func (l *latestDrops) fresh() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.new
	l.new = nil
	return fresh
}
