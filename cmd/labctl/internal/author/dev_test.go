package author

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

func shop(out io.Writer, terminal cli.Terminal) *dev {
	return &dev{
		app: &cli.App{Out: out, Err: io.Discard, Terminal: terminal, Now: func() time.Time {
			return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		}},
		dir: "./" + filepath.Join("..", "..", "testdata", "shop"),
		lab: &cli.LabFlags{}, engine: &cli.EngineFlags{Semantics: "cilium"},
	}
}

// TestPass shows that results arrive in order, and that nothing follows once a pass is cancelled.
func TestPass(t *testing.T) {
	t.Parallel()
	d := shop(io.Discard, cli.Terminal{})
	samples, mutants := -1, -1
	d.pass(t.Context(), func(p *pass) {
		switch {
		case p.Test == nil && samples >= 0, p.Test != nil && !p.checked:
			t.Error("the diagnostics are not first")
		case p.Test == nil:
			return
		case len(p.Test.Samples) < samples || len(p.Test.Samples) < 2 && p.Test.Mutation.Mutants > 0:
			t.Errorf("after %d samples: %d samples, %d mutants", samples, len(p.Test.Samples), p.Test.Mutation.Mutants)
		case p.Test.Mutation.Mutants < mutants:
			t.Errorf("%d mutants after %d", p.Test.Mutation.Mutants, mutants)
		}
		samples, mutants = len(p.Test.Samples), p.Test.Mutation.Mutants
	})
	if samples != 2 || mutants < 10 {
		t.Errorf("%d samples, %d mutants", samples, mutants)
	}

	ctx, cancel := context.WithCancel(t.Context())
	d.pass(ctx, func(p *pass) {
		if p.Test != nil {
			t.Error("the test goes on after a cancel")
		}
		cancel()
	})
}

// TestDevOnTerminal redraws a page whose last line says what is going on.
func TestDevOnTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := shop(&out, cli.Terminal{Is: true, Width: 80, Height: 24})
	d.pass(t.Context(), func(p *pass) {
		if err := d.show(p, &pass{}); err != nil {
			t.Fatal(err)
		}
	})
	pages := strings.Split(strings.ReplaceAll(out.String(), cli.ClearLine, ""), cli.BeginPage)
	if first := pages[1]; !strings.HasPrefix(first, "Valid.\n") || !strings.Contains(first, "03:04:05  testing …; watching ") {
		t.Errorf("the first page:\n%s", first)
	}
	last := pages[len(pages)-1]
	for _, want := range []string{"✓ 2 samples graded as declared\n", "0 survive\n", "03:04:05  the lab grades as it declares; watching ./"} {
		if !strings.Contains(last, want) {
			t.Errorf("%q is not in:\n%s", want, last)
		}
	}
}
