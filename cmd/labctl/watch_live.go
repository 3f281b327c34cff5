package main

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

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/report"
)

// liveWatch grades a running lab again whenever something in it changes.
type liveWatch struct {
	*watch
	running *running
	all     bool

	drops latestDrops
}

// watchLive watches a running lab until Ctrl-C.
func (a *app) watchLive(cmd *cobra.Command, flags *liveFlags, args []string, w *watch, all bool) error {
	if flags.name == "" && len(args) > 0 {
		flags.name = args[0]
	}
	ctx := cmd.Context()
	r, err := a.openOnly(cmd, flags, "labctl watch", true)
	if err != nil {
		return err
	}
	defer r.Close()
	// Watching changes nothing: other commands may work on the instance meanwhile.
	if err := r.inst.Close(); err != nil {
		return infraError{err}
	}
	r.inst = nil
	if w.grader, err = grade.NewGrader(r.lab); err != nil {
		return err
	}
	if err := r.engine.Canary(ctx); err != nil {
		return liveError(ctx, err)
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
	if err := l.running.engine.Watch(ctx, func(ref string) {
		l.app.log().Debug("changed", "object", ref)
		nudge(changed)
	}); err != nil {
		return liveError(ctx, err)
	}
	dropped := make(chan struct{}, 1)
	defer l.running.engine.Drops(func(d hubble.Drop) {
		if l.drops.add(d) {
			nudge(dropped)
		}
	})()
	if l.app.terminal.is && !l.json {
		fmt.Fprintf(l.app.out, "Looking at the running lab %s …\n", l.running.name)
	}
	if err := l.gradeNow(ctx); err != nil {
		return err
	}
	resized, stopResizes := l.app.resizes()
	defer stopResizes()
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			quiet.Reset(settle)
		case <-resized:
			l.app.measure()
			if err := l.screen.repaint(l.app); err != nil {
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
	if l.app.terminal.is && !l.json {
		return l.draw(rep, table)
	}
	return l.show(rep)
}

// tell shows an error that the next change may mend; others end the watch.
func (l *liveWatch) tell(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *grade.Refused
	if !errors.As(err, &refused) {
		return liveError(ctx, err)
	}
	return l.showError(err)
}

// look grades the current task and probes the truth table.
func (l *liveWatch) look(ctx context.Context) (*grade.Report, *flow.Table, error) {
	r := l.running
	st, err := r.manager.Store.Read(r.name) // anew: labctl next may have moved on
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.engine.Integrity(ctx); err != nil {
		return nil, nil, err
	}
	task := st.CurrentTask(taskList(r.lab))
	files, err := r.engine.Files(ctx)
	if err != nil {
		return nil, nil, err
	}
	sub, err := l.grader.ReadRunning(files, task, manifest.DefaultLimits())
	if err != nil {
		return nil, nil, err
	}
	opts := l.opts
	if len(opts.Tasks) == 0 && !l.all {
		opts.Tasks = []string{task}
	}
	now := &moment{Engine: r.engine}
	rep, err := l.grader.Grade(ctx, sub, now, opts)
	if rep != nil {
		rep.Tampering = r.engine.Tampering()
	}
	if err != nil || !l.app.terminal.is || l.json {
		return rep, nil, err
	}
	states, err := l.grader.Checkpoints(sub)
	if err != nil {
		return nil, nil, err
	}
	table, err := flow.Tabulate(ctx, now, states[0], grade.Flows(r.lab))
	if err != nil {
		return nil, nil, err
	}
	table.Task = "" // it is no checkpoint, but this moment
	return rep, table, nil
}

// moment is a running lab that stays as it is for as long as it is looked at: it is read once, and what one view
// has probed the next one need not.
type moment struct {
	grade.Engine
	prober grade.Prober
}

func (m *moment) At(ctx context.Context, state *grade.State) (grade.Prober, error) {
	if m.prober == nil {
		prober, err := m.Engine.At(ctx, state)
		if err != nil {
			return nil, err
		}
		m.prober = prober
	}
	return m.prober, nil
}

// Probers are the engine's.
func (m *moment) Probers() []grade.ProberReport { return grade.ProbersOf(m.Engine) }

func (l *liveWatch) draw(rep *grade.Report, table *flow.Table) error {
	at := l.app.now()
	return l.screen.paint(l.app, func(out io.Writer) error {
		style := l.app.style()
		if err := report.Table(out, table, style); err != nil {
			return err
		}
		fmt.Fprintln(out)
		if err := report.Text(out, rep, style); err != nil {
			return err
		}
		if drops := l.drops.list(); len(drops) > 0 {
			fmt.Fprintln(out, "\nLatest drops:")
			for _, d := range drops {
				fmt.Fprintln(out, strings.Join(report.Wrap(d, max(style.Width-10, 40)), "\n          "))
			}
		}
		_, err := fmt.Fprintf(out, "\n%s  watching the running lab %s, Ctrl-C ends\n", at.Format(time.TimeOnly), l.running.name)
		return err
	})
}

// showDrops shows the drops that came in since the last time, of connections that are not labctl's own.
func (l *liveWatch) showDrops() error {
	if l.app.terminal.is && !l.json {
		return l.screen.repaint(l.app)
	}
	for _, d := range l.drops.fresh() {
		var err error
		if l.json {
			err = l.app.writeJSONLine(struct {
				FormatVersion int    `json:"format_version"`
				Drop          string `json:"drop"`
			}{1, d})
		} else {
			_, err = fmt.Fprintln(l.app.out, d)
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
func (l *latestDrops) add(d hubble.Drop) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own {
		return false
	}
	key := fmt.Sprint(d.Source.Addr(), d.Destination, d.Protocol)
	at := d.Flow.GetTime().AsTime()
	if l.last == nil || len(l.last) > 1000 {
		l.last = map[string]time.Time{}
	}
	again := at.Sub(l.last[key]) < 5*time.Second
	l.last[key] = at
	if again {
		return false
	}
	line := at.Local().Format(time.TimeOnly) + "  " + hubble.Summarize(d.Flow).String()
	l.new = append(l.new, line)
	if l.shown = append(l.shown, line); len(l.shown) > keptDrops {
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
