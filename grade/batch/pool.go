package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
)

// RunningLab is a lab in a cluster, in which one submission after another can be graded.
type RunningLab interface {
	Name() string
	// Grade grades a submission, and leaves the lab as it was deployed. A *engine.Refused is about the
	// submission; every other error is the lab's, and nothing was graded.
	Grade(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error)
	// Repair brings a lab that failed back, or recreates it.
	Repair(ctx context.Context) error
}

// Pool grades submissions in running labs, one at a time in each. What fails in one lab is graded again in
// another, or in the same one when it is repaired; a lab that cannot be repaired is left out.
type Pool struct {
	free chan RunningLab
	log  *slog.Logger

	mu      sync.Mutex
	left    int           // labs that work or are being repaired
	none    chan struct{} // closed when left is 0
	because error         // why the last one was left out
	repairs sync.WaitGroup
}

// tries is how many labs a submission may fail in before that is taken for its own doing.
const tries = 3

// NewPool makes a pool of labs that work. Close it.
func NewPool(running []RunningLab, log *slog.Logger) *Pool {
	p := &Pool{free: make(chan RunningLab, len(running)), log: log, left: len(running), none: make(chan struct{})}
	for _, lab := range running {
		p.free <- lab
	}
	return p
}

// Size is how many labs there were in the beginning.
func (p *Pool) Size() int { return cap(p.free) }

// Close waits until no lab is being repaired any more.
func (p *Pool) Close() { p.repairs.Wait() }

// Grade is for Config.Grade. When no lab is left its error is a *MachineError.
func (p *Pool) Grade(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error) {
	var last error
	for try := 1; try <= tries; try++ {
		lab, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		rep, err := p.grade(ctx, lab, sub, opts)
		var refused *engine.Refused
		switch {
		case err == nil && rep.Status != grade.Errored, errors.As(err, &refused):
			p.free <- lab
			return rep, err
		case ctx.Err() != nil:
			p.free <- lab // nobody knows whether it is broken; whoever takes it next finds out
			return nil, context.Cause(ctx)
		case err == nil && try == tries:
			p.repair(ctx, lab, errors.New("a check could not be run"))
			return rep, nil // it says which
		case err == nil:
			err = errors.New("a check could not be run")
		}
		last = fmt.Errorf("%s: %w", lab.Name(), err)
		p.log.Warn("grading failed in a lab: the submission is graded again", "lab", lab.Name(), "error", err)
		p.repair(ctx, lab, err)
	}
	return nil, fmt.Errorf("grading failed %d times, last in %w", tries, last)
}

// grade keeps a breakdown from taking the lab out of the pool unseen.
func (p *Pool) grade(ctx context.Context, lab RunningLab, sub *submission.Submission,
	opts grade.Options) (rep *grade.Report, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("grading broke down: %v", r)
		}
	}()
	return lab.Grade(ctx, sub, opts)
}

func (p *Pool) take(ctx context.Context) (RunningLab, error) {
	select {
	case lab := <-p.free:
		return lab, nil
	default:
	}
	select {
	case lab := <-p.free:
		return lab, nil
	case <-p.none:
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, &MachineError{fmt.Errorf("no lab instance is left for grading: %w", p.because)}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// repair brings a lab back into the pool while the others go on, or leaves it out.
func (p *Pool) repair(ctx context.Context, lab RunningLab, why error) {
	// What is repaired serves all that follow, however the submission that it failed for ends.
	ctx = context.WithoutCancel(ctx)
	p.repairs.Go(func() {
		err := lab.Repair(ctx)
		if err == nil {
			p.log.Info("the lab works again", "lab", lab.Name())
			p.free <- lab
			return
		}
		p.log.Warn("the lab is no longer used: it cannot be repaired", "lab", lab.Name(), "error", err)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.because = fmt.Errorf("%s: %w; repair it: %w", lab.Name(), why, err)
		if p.left--; p.left == 0 {
			close(p.none)
		}
	})
}

// MachineError ends a run: no submission is to blame for it, and none can be graded.
type MachineError struct{ Err error }

func (e *MachineError) Error() string { return e.Err.Error() }
func (e *MachineError) Unwrap() error { return e.Err }
