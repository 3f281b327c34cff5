package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Control sequences (ECMA-48, and DEC's private mode 2026, which terminals that do not know it ignore).
const (
	BeginPage = "\x1b[?2026h\x1b[3J\x1b[H" // hold the screen still; forget what has scrolled away; to the top
	ClearLine = "\x1b[K"                   // what an earlier page had to the right
	EndPage   = "\x1b[J\x1b[?2026l"        // what an earlier page had below; show it all
)

// Screen draws pages over each other on a terminal, without a moment in which it is empty. The zero value has
// nothing to draw.
type Screen struct {
	page func(io.Writer) error
}

// Paint draws a page, and remembers it for Repaint.
func (s *Screen) Paint(a *App, page func(io.Writer) error) error {
	s.page = page
	return s.Repaint(a)
}

// Repaint draws the last page anew, as it is now.
func (s *Screen) Repaint(a *App) error {
	if s.page == nil {
		return nil
	}
	var text bytes.Buffer
	if err := s.page(&text); err != nil {
		return err
	}
	shown := fit(text.String(), a.Terminal.Height)
	_, err := io.WriteString(a.Out, BeginPage+strings.ReplaceAll(shown, "\n", ClearLine+"\n")+EndPage)
	return err
}

// fit cuts a page to the lines of a screen (0: of any height). The first lines stay, and the last paragraph, which says
// what goes on, or its end. One line belongs to the cursor.
func fit(page string, height int) string {
	lines := strings.SplitAfter(page, "\n")
	lines = lines[:len(lines)-1]
	room := height - 1
	if height <= 0 || len(lines) <= room || room < 3 {
		return page
	}
	last := len(lines) - 1
	for last > 0 && lines[last-1] != "\n" && len(lines)-last < room/3 {
		last--
	}
	kept := room - 1 - (len(lines) - last)
	return strings.Join(lines[:kept], "") + fmt.Sprintf("… %d more lines\n", last-kept) + strings.Join(lines[last:], "")
}

// Resizes tells when the terminal has another size, until stop is called. Without a terminal it never does.
func Resizes(a *App) (changed <-chan os.Signal, stop func()) {
	if !a.Terminal.Is {
		return nil, func() {}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	return signals, func() { signal.Stop(signals) }
}

// Measure takes over the size that the terminal has now.
func Measure(a *App) {
	found := FindTerminal(os.Stdout)
	a.Terminal.Width, a.Terminal.Height = found.Width, found.Height
}
