package main

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	charmlog "github.com/charmbracelet/log"
	"golang.org/x/term"
)

// app is what every command works with: the streams, the terminal behind them, the logger, the clock.
type app struct {
	in       io.Reader
	out, err io.Writer // results; messages and logs
	terminal terminal  // behind out
	level    slog.Level
	log      func() *slog.Logger // made when first asked for: most commands end without a word to say
	now      func() time.Time
}

// terminal says what results are shown on. The zero value is a pipe or file.
type terminal struct {
	is    bool // a person is looking
	color bool // and did not set NO_COLOR
	width int  // columns; lines are wrapped at it
}

// pipeWidth is where lines are wrapped when nobody knows how wide the reader's screen is.
const pipeWidth = 100

func newApp() *app {
	a := &app{out: &checkedWriter{to: os.Stdout}, err: os.Stderr, now: time.Now}
	a.level = slog.LevelWarn
	a.log = sync.OnceValue(a.newLogger)
	a.terminal = findTerminal(os.Stdout)
	return a
}

func findTerminal(f *os.File) terminal {
	t := terminal{width: pipeWidth}
	fd := int(f.Fd())
	t.is = term.IsTerminal(fd)
	// https://no-color.org and https://bixense.com/clicolors; a dumb terminal shows no colours either.
	switch {
	case os.Getenv("NO_COLOR") != "":
	case os.Getenv("CLICOLOR_FORCE") != "" && os.Getenv("CLICOLOR_FORCE") != "0":
		t.color = true
	default:
		t.color = t.is && os.Getenv("TERM") != "dumb"
	}
	if !t.is {
		return t
	}
	if w, _, err := term.GetSize(fd); err == nil && w > 0 {
		t.width = w
	}
	return t
}

// newLogger makes the logger, which writes to standard error.
func (a *app) newLogger() *slog.Logger {
	return slog.New(charmlog.NewWithOptions(a.err, charmlog.Options{Level: charmlog.Level(a.level)}))
}

// checkedWriter remembers that a write failed: a result that did not get out is a failure, whichever
// command it was that did not look.
type checkedWriter struct {
	to  io.Writer
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}
