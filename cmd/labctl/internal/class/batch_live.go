package class

import (
	"cmp"
	"context"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
)

// runLiveBatch grades in running labs.
func runLiveBatch(ctx context.Context, a *cli.App, o *batchOptions, nameOrDir string,
	entries []intake.Entry) (sum *batch.Summary, err error) {
	rules, err := o.engine.Config()
	if err != nil {
		return nil, err
	}
	pool, err := a.OpenPool(ctx, cli.PoolOptions{
		Flags: &o.live.live, LabFlags: &o.lab, LabArg: nameOrDir, Lab: o.cfg.Grader.Lab(), Size: o.live.size,
		On: o.live.on, Keep: o.live.keep, Yes: o.live.yes,
		Semantics: rules.Semantics, Both: o.engine.Chosen() == cli.EngineBoth,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := pool.Close(ctx); left != nil {
			a.Log().Error("some labs of the pool are left", "error", left)
			err = cmp.Or[error](err, cli.InfraError{Err: left})
		}
	}()
	o.cfg.Engine = liveName{o.cfg.Engine, o.engine.Chosen()}
	o.cfg.Grade, o.cfg.Workers = pool.Grade, pool.Size()
	return runBatch(ctx, a, o, entries)
}

// liveTimeout is how long one submission may take live, by default: some checkpoints, each with its settling and
// probes, and a lab that is being repaired.
const liveTimeout = 10 * time.Minute

// poolOptions say in which labs a class is graded live.
type poolOptions struct {
	live cli.LiveFlags
	size int    // 0: the running lab; otherwise so many of its own
	on   string // the provider of their clusters
	keep bool   // leave them when the class is graded
	yes  bool   // they may cost money
}

// liveName lends its name to results; grading itself is the pool's.
type liveName struct {
	engine.Engine
	name string
}

func (n liveName) Name() string { return n.name }
