package student

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// TestWatchOnTerminal draws the whole report anew.
func TestWatchOnTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	app := &cli.App{Out: &out, Err: io.Discard, Terminal: cli.Terminal{Is: true, Color: true, Width: 80}, Now: func() time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}}
	var labFlags cli.LabFlags
	lab, err := labFlags.Load(filepath.Join("..", "..", "testdata", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWatch(app, lab, &cli.EngineFlags{Semantics: "cilium"}, filepath.Join("..", "..", "testdata", "shop", "samples", "wrong"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.grade(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	screens := strings.Split(out.String(), cli.BeginPage)
	if len(screens) != 3 || screens[0] != "" {
		t.Fatalf("want two screens, each from the top, got %q", out.String())
	}
	for line := range strings.Lines(screens[2]) {
		if !strings.HasSuffix(line, cli.ClearLine+"\n") && line != cli.EndPage {
			t.Errorf("what an earlier page had to the right stays: %q", line)
		}
	}
	if screens[1] != screens[2] {
		t.Error("the same submission gives another screen")
	}
	for _, want := range []string{"\x1b[31m✗\x1b[0m The frontend reaches the backend", "03:04:05  8 of 16 points; watching "} {
		if !strings.Contains(screens[2], want) {
			t.Errorf("%q is not in:\n%s", want, screens[2])
		}
	}
}
