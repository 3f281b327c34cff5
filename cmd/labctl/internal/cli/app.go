package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"charm.land/log/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/labctl/labctl/grade/report"
)

// App is what every command works with: the streams, the terminal behind them, the logger, the clock.
type App struct {
	In       io.Reader
	Out, Err io.Writer // results; messages and logs
	Terminal Terminal  // behind out
	ErrTerm  Terminal  // behind err
	Level    slog.Level
	Log      func() *slog.Logger // made when first asked for: most commands end without a word to say
	Now      func() time.Time
	Labs     RunningLabs     // nil: this labctl works offline only
	Failure  func(error) any // what -o json prints of an error
}

// Terminal says what results are shown on. The zero value is a pipe or file.
type Terminal struct {
	Is    bool // a person is looking
	Color bool // and did not set NO_COLOR
	Width int  // columns; lines are wrapped at it
	// Height is how many lines a screen has; 0 if that is not known.
	Height int
}

// PipeWidth is where lines are wrapped when nobody knows how wide the reader's screen is.
const PipeWidth = 100

// NewApp works with the process's streams. Reading standard input ends with ctx.
func NewApp(ctx context.Context) *App {
	a := &App{In: &interruptible{ctx, os.Stdin}, Out: &CheckedWriter{to: os.Stdout}, Err: os.Stderr, Now: time.Now}
	a.Level = slog.LevelWarn
	a.Log = sync.OnceValue(a.newLogger)
	a.Terminal, a.ErrTerm = FindTerminal(os.Stdout), FindTerminal(os.Stderr)
	return a
}

func FindTerminal(f *os.File) Terminal {
	t := Terminal{Width: PipeWidth}
	fd := int(f.Fd())
	t.Is = term.IsTerminal(fd)
	// https://no-color.org and https://bixense.com/clicolors; a dumb terminal shows no colours either.
	switch {
	case os.Getenv("NO_COLOR") != "":
	case os.Getenv("CLICOLOR_FORCE") != "" && os.Getenv("CLICOLOR_FORCE") != "0":
		t.Color = true
	default:
		t.Color = t.Is && os.Getenv("TERM") != "dumb"
	}
	if !t.Is {
		return t
	}
	if w, h, err := term.GetSize(fd); err == nil && w > 0 {
		t.Width, t.Height = w, h
	}
	return t
}

// newLogger makes the logger, which writes to standard error. It must not ask the terminal anything (its colours, the
// cursor's place): a terminal that does not answer would hold up every command.
func (a *App) newLogger() *slog.Logger {
	logger := log.NewWithOptions(a.Err, log.Options{Level: log.Level(a.Level)})
	if a.ErrTerm.Color {
		logger.SetColorProfile(colorprofile.ANSI)
	} else {
		logger.SetColorProfile(colorprofile.NoTTY)
	}
	return slog.New(logger)
}

// Style is how reports are written to out.
func (a *App) Style() report.Style {
	return report.Style{Width: a.Terminal.Width, Color: a.Terminal.Color}
}

// Wrap is how wide lines may be that are written whole where nobody looks; 0: as wide as they are.
func (t Terminal) Wrap() int {
	if !t.Is {
		return 0
	}
	return t.Width
}

// Hang is a line for people: prefix and text, which is wrapped beside it if a terminal shows it.
func (a *App) Hang(prefix, text string) string {
	return prefix + hanging(text, ansi.StringWidth(prefix), a.Terminal.Wrap()) + "\n"
}

// Prose is Markdown for people, without a line feed at its end: set for a terminal, elsewhere as it was written.
func (a *App) Prose(markdown string) string {
	text := strings.TrimSpace(markdown)
	if !a.Terminal.Is {
		return text
	}
	style := a.Style()
	style.Width = min(style.Width, PipeWidth) // longer lines are hard to read
	return strings.TrimSpace(report.Prose(text, style))
}

// CheckedWriter remembers that a write failed: a result that did not get out is a failure, whichever
// command it was that did not look.
type CheckedWriter struct {
	to  io.Writer
	Err error
}

func (w *CheckedWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if w.Err == nil {
		w.Err = err
	}
	return n, err
}
