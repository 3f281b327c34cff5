package main

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Control sequences (ECMA-48, and DEC's private mode 2026, which terminals that do not know it ignore).
const (
	beginPage = "\x1b[?2026h\x1b[3J\x1b[H" // hold the screen still; forget what has scrolled away; to the top
	clearLine = "\x1b[K"                   // what an earlier page had to the right
	endPage   = "\x1b[J\x1b[?2026l"        // what an earlier page had below; show it all
)

// screen draws pages over each other on a terminal, without a moment in which it is empty. The zero value has
// nothing to draw.
type screen struct {
	page func(io.Writer) error
}

// paint draws a page, and remembers it for repaint.
func (s *screen) paint(a *app, page func(io.Writer) error) error {
	s.page = page
	return s.repaint(a)
}

// repaint draws the last page anew, as it is now.
func (s *screen) repaint(a *app) error {
	if s.page == nil {
		return nil
	}
	var text bytes.Buffer
	if err := s.page(&text); err != nil {
		return err
	}
	_, err := io.WriteString(a.out, beginPage+strings.ReplaceAll(text.String(), "\n", clearLine+"\n")+endPage)
	return err
}

// resizes tells when the terminal has another size, until stop is called. Without a terminal it never does.
func (a *app) resizes() (changed <-chan os.Signal, stop func()) {
	if !a.terminal.is {
		return nil, func() {}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	return signals, func() { signal.Stop(signals) }
}

// measure takes over the size that the terminal has now.
func (a *app) measure() { a.terminal.width = findTerminal(os.Stdout).width }
