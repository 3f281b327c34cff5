package student

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		limit timeLimit
		do    func(context.Context) (int, error)
		want  string
		infra bool
	}{
		"done":                  {timeLimit{time.Hour, true}, func(context.Context) (int, error) { return 1, nil }, "", false},
		"its own error":         {timeLimit{time.Hour, true}, func(context.Context) (int, error) { return 0, failed }, "failed", false},
		"no limit":              {timeLimit{0, true}, func(context.Context) (int, error) { return 1, nil }, "", false},
		"does not notice":       {timeLimit{time.Millisecond, true}, func(context.Context) (int, error) { <-stuck; return 0, nil }, "not finished after 1ms", true},
		"notices":               {timeLimit{time.Millisecond, true}, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, "not finished after 1ms", true},
		"puts back and notices": {timeLimit{time.Millisecond, false}, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, "not finished after 1ms", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := within(t.Context(), c.limit, c.do)
			if c.want == "" {
				if err != nil || got != 1 {
					t.Errorf("got %d, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || cli.IsInfra(err) != c.infra {
				t.Errorf("error %v, of the machine: %v; want %q, %v", err, cli.IsInfra(err), c.want, c.infra)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := within(ctx, timeLimit{time.Hour, true}, func(context.Context) (int, error) { <-stuck; return 0, nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the interruption", err)
		}
	})
}
