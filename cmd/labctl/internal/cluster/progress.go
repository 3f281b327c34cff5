package cluster

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

// progressView shows the phases of an up to who waits: a line for each that ends, and on a terminal below
// them one that says what is being done now.
type progressView struct {
	w      io.Writer
	live   bool
	color  bool
	width  int
	mu     sync.Mutex
	active []activePhase
	frame  int
	stop   chan struct{}
	done   sync.WaitGroup
}

type activePhase struct {
	name, text string
	began      time.Time
}

const spinnerFrames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

// newProgress begins a view on standard error; close it.
func newProgress(a *cli.App) *progressView {
	v := &progressView{w: a.Err, width: cli.PipeWidth, stop: make(chan struct{})}
	if f, ok := a.Err.(*os.File); ok {
		t := cli.FindTerminal(f)
		v.live, v.color, v.width = t.Is, t.Color, t.Width
	}
	if v.live {
		v.done.Go(v.spin)
	}
	return v
}

func (v *progressView) close() {
	close(v.stop)
	v.done.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}

func (v *progressView) spin() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.mu.Lock()
			v.frame++
			v.draw()
			v.mu.Unlock()
		}
	}
}

// event shows what happened.
func (v *progressView) event(e provision.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	at := slices.IndexFunc(v.active, func(p activePhase) bool { return p.name == e.Phase })
	switch e.Kind {
	case provision.Began:
		if e.Phase == provision.PhaseCleanUp {
			e.Text += " (--retain keeps it)"
		}
		v.active = append(v.active, activePhase{e.Phase, e.Text, time.Now()})
	case provision.Step:
		if at >= 0 {
			v.active[at].text = e.Text
		}
		if !v.live {
			v.line("…", e.Phase, e.Text, 0)
		}
	case provision.Noted:
		v.line("·", e.Phase, e.Text, 0)
	case provision.Warned:
		v.line("!", e.Phase, e.Text, 0)
	case provision.Done, provision.Kept, provision.Failed:
		if at >= 0 {
			v.active = slices.Delete(v.active, at, at+1)
		}
		mark := map[provision.EventKind]string{provision.Done: "✓", provision.Kept: "=", provision.Failed: "✗"}[e.Kind]
		v.line(mark, e.Phase, e.Text, e.Took)
	}
	v.draw()
}

var markColors = map[string]string{"✓": "\x1b[32m", "✗": "\x1b[31m", "!": "\x1b[33m", "=": "\x1b[2m", "…": "\x1b[2m"}

func (v *progressView) line(mark, phase, text string, took time.Duration) {
	if v.color {
		mark = markColors[mark] + mark + "\x1b[0m"
	}
	line := fmt.Sprintf("%s %-10s", mark, phase)
	if took > 0 {
		line += fmt.Sprintf(" %6.1fs", took.Seconds())
	} else {
		line += strings.Repeat(" ", 8)
	}
	fmt.Fprintln(v.w, strings.TrimRight(line+"  "+text, " "))
}

// draw puts the phases that run onto the last line of the terminal.
func (v *progressView) draw() {
	if !v.live || len(v.active) == 0 {
		return
	}
	frames := []rune(spinnerFrames)
	var parts []string
	for _, p := range v.active {
		parts = append(parts, fmt.Sprintf("%s %.0fs: %s", p.name, time.Since(p.began).Seconds(), p.text))
	}
	line := string(frames[v.frame%len(frames)]) + " " + strings.Join(parts, " · ")
	fmt.Fprint(v.w, "\r\x1b[K"+ansi.Truncate(line, max(v.width-1, 20), "…"))
}

func (v *progressView) clear() {
	if v.live {
		fmt.Fprint(v.w, "\r\x1b[K")
	}
}
