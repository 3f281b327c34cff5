package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/submission"
)

// cell is a running lab that grades with the offline engine, and breaks when it is told to.
type cell struct {
	name    string
	cfg     batch.Config
	breaks  func(graded int) error // with how many it has graded before; nil: never
	repairs func(repaired int) error

	mu               sync.Mutex
	busy             bool
	graded, repaired int
	twoAtOnce        bool
}

func (c *cell) Name() string { return c.name }

func (c *cell) Grade(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error) {
	c.mu.Lock()
	c.twoAtOnce = c.twoAtOnce || c.busy
	c.busy = true
	graded := c.graded
	c.graded++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.busy = false
		c.mu.Unlock()
	}()
	if c.breaks != nil {
		if err := c.breaks(graded); err != nil {
			return nil, err
		}
	}
	return c.cfg.Grader.Grade(ctx, sub, c.cfg.Engine, opts)
}

func (c *cell) Repair(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repaired++
	if c.repairs != nil {
		return c.repairs(c.repaired)
	}
	return nil
}

var errBroken = errors.New("the API server does not answer")

// pooled grades the class in the labs.
func pooled(t *testing.T, class string, cells ...*cell) (batch.Config, *batch.Summary, error) {
	t.Helper()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	var running []batch.RunningLab
	for i, c := range cells {
		c.name, c.cfg = fmt.Sprintf("lab-%d", i+1), cfg
		running = append(running, c)
	}
	pool := batch.NewPool(running, slog.New(slog.DiscardHandler))
	defer pool.Close()
	cfg.Grade, cfg.Workers = pool.Grade, 4
	found, err := intake.Find(class)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := batch.Run(t.Context(), cfg, found.Entries)
	for _, c := range cells {
		if c.twoAtOnce {
			t.Errorf("%s graded two submissions at once", c.name)
		}
	}
	return cfg, sum, err
}

// Whatever breaks, the results are those of a run in which nothing did.
func TestPool(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 8)
	undisturbed := gradetest.Config(t, gradetest.Tutorial)
	gradetest.Run(t, undisturbed, dir)
	want := gradetest.Files(t, undisturbed.Out)
	for name, cells := range map[string][]*cell{
		"one":                  {{}},
		"three":                {{}, {}, {}},
		"one is repaired":      {{breaks: func(n int) error { return brokenIf(n == 2) }}},
		"one is left out":      {{breaks: func(int) error { return errBroken }, repairs: func(int) error { return errBroken }}, {}},
		"one breaks down":      {{breaks: func(n int) error { panic(fmt.Sprint("a bug at ", n)) }, repairs: func(int) error { return errBroken }}, {}},
		"each breaks sometime": {{breaks: func(n int) error { return brokenIf(n%5 == 1) }}, {breaks: func(n int) error { return brokenIf(n%7 == 3) }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, _, err := pooled(t, dir, cells...)
			if err != nil {
				t.Fatal(err)
			}
			gradetest.Same(t, gradetest.Files(t, cfg.Out), want)
		})
	}
}

func brokenIf(broken bool) error {
	if broken {
		return errBroken
	}
	return nil
}

// Without a lab the run ends, nobody gets a grade for it, and the next run grades what is missing.
func TestPoolIsEmpty(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 5)
	broken := &cell{breaks: func(n int) error { return brokenIf(n >= 3) }, repairs: func(int) error { return errBroken }}
	cfg, _, err := pooled(t, dir, broken)
	var machine *batch.MachineError
	if !errors.As(err, &machine) || !strings.Contains(err.Error(), "no lab instance is left for grading: lab-1: "+errBroken.Error()) {
		t.Fatalf("the run ended with %v", err)
	}
	cfg.Grade = nil
	sum := gradetest.Run(t, cfg, dir)
	if sum.Errors != 0 || sum.Submissions != 5 {
		t.Errorf("%d errors of %d", sum.Errors, sum.Submissions)
	}
}

// A submission that breaks every lab it comes into is an error of its own, and the labs are repaired.
func TestSubmissionThatBreaksLabs(t *testing.T) {
	t.Parallel()
	dir := gradetest.Samples(t, 3)
	cells := []*cell{{}, {}}
	for _, c := range cells {
		c.breaks = func(int) error { return errBroken }
	}
	cfg, sum, err := pooled(t, dir, cells...)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Errors != 3 {
		t.Errorf("%d errors", sum.Errors)
	}
	for _, r := range gradetest.Results(t, cfg.Out) {
		if r.Status != grade.Errored || r.Score != nil || !strings.Contains(r.Message, "grading failed 3 times") {
			t.Errorf("%s: %s %v %s", r.ID, r.Status, r.Score, r.Message)
		}
	}
	if repaired := cells[0].repaired + cells[1].repaired; repaired != 9 {
		t.Errorf("labs were repaired %d times", repaired)
	}
}

// What a submission is refused for is no fault of the lab's.
func TestRefusedInPool(t *testing.T) {
	t.Parallel()
	c := &cell{breaks: func(int) error {
		return &engine.Refused{Problems: manifest.Problems{{File: "a.yaml", Message: "not taken"}}}
	}}
	_, sum, err := pooled(t, gradetest.Samples(t, 2), c)
	if err != nil || sum.Refused != 2 || c.repaired != 0 {
		t.Errorf("%d refused, repaired %d times, %v", sum.Refused, c.repaired, err)
	}
}
