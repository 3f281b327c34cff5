package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/grade/batch/jobs"
	"github.com/labctl/labctl/grade/gradetest"
)

// TestInterruptedCollect: it ends while segments are read and while files are written, and the next time all is there.
func TestInterruptedCollect(t *testing.T) {
	t.Parallel()
	const shards = 3
	dir := class(t, 12)
	run := newPlace(t).submit(t, dir, shards)
	for shard := range shards {
		if err := (jobs.Worker{Run: run, Shard: shard, Tool: "test", Log: slog.New(slog.DiscardHandler)}).Work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := run.Load(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Out = filepath.Join(t.TempDir(), "collected")
	for _, last := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		read := 0
		_, err := run.Collect(ctx, cfg, false, func(done, total int) {
			if read = done; !last || done == total {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted when %d segments were read: %v", read, err)
		}
		if want := 1; !last && read != want {
			t.Errorf("%d segments were read after the interruption", read-want)
		}
		if _, err := os.Stat(filepath.Join(cfg.Out, "summary.json")); err == nil {
			t.Error("there is a summary of what was not collected")
		}
	}
	if _, err := run.Collect(t.Context(), cfg, false, nil); err != nil {
		t.Fatal(err)
	}
	gradetest.Same(t, gradetest.Files(t, cfg.Out), local(t, dir))
}
