package batch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// Config is what a run works with. Grader, Engine and Out are needed. Its JSON is what grades depend on and a plan for other
// machines passes on.
type Config struct {
	Grader  *grade.Grader `json:"-"`
	Engine  grade.Engine  `json:"-"` // safe for concurrent use
	Options grade.Options
	Limits  manifest.Limits // fields that are zero are those of DefaultLimits
	Tool    string          `json:"-"` // labctl's version: another one grades afresh

	// Grade grades a submission in the place of Engine, which only lends its name then: a Pool's. It is safe for concurrent use.
	// A *grade.Refused is the submission's, a *MachineError ends the run, and any other error is the submission's result.
	Grade func(context.Context, *grade.Submission, grade.Options) (*grade.Report, error) `json:"-"`

	// Open reads the submission of an entry whose Path is not a local one; nil: all are local. *grade.Refused and
	// *Unreadable are about this submission, any other error is the machine's and ends the run.
	Open func(context.Context, *Entry) (*Opened, error) `json:"-"`

	Out     string        `json:"-"` // directory for results; made if it is not there
	Workers int           `json:"-"` // default: the processors there are
	Timeout time.Duration // for one submission; default 1 minute
	// Due is when submissions have to come in for which Entry.DueAt says nothing; zero: whenever.
	Due      time.Time
	Late     labs.Late     // what coming in later costs
	Attempts labs.Attempts // which of several counts
	// NoReports leaves out the files of single students.
	NoReports bool
	// JournalOnly leaves out the files of the run: Merge makes them, from several journals.
	JournalOnly bool `json:"-"`
	// Formats are what to write beside; Assignment is the name they give what was graded, "" the lab's title. Neither
	// changes a grade.
	Formats    []*report.Format `json:"-"`
	Assignment string           `json:"-"`
	Similarity bool             `json:"-"` // say which submissions are alike
	// Again names students to grade although there is a result; OnlyFailed grades those again whose result is an error.
	Again      []string `json:"-"`
	OnlyFailed bool     `json:"-"`

	Report func(Progress) `json:"-"` // called from one goroutine; nil: nobody waits
	Log    *slog.Logger   `json:"-"`
}

// Progress is how far a run has come.
type Progress struct {
	Result *Result // that has come in; nil at the beginning
	Done   int     // of Total, those of earlier runs included
	Total  int
	Kept   int // results of an earlier run
	Errors int // those of earlier runs included
	// Written counts the submissions, once all are graded, whose students' files are written.
	Written int
	// Fresh says why results that were there do not count; "" if they do or there were none.
	Fresh string
}

// Run grades submissions into the output directory. Entries are as Find gives them: in the order of the students' IDs, and each
// attempt of a student once. Results that are there for the same lab, tool, options and submission are kept. A
// submission that fails in whatever way has its own error; Run's error is the machine's.
func Run(ctx context.Context, cfg Config, entries []Entry) (*Summary, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for i := 1; i < len(entries); i++ {
		if inOrder(entries[i-1], entries[i]) >= 0 {
			return nil, fmt.Errorf("submissions are not in order, or given twice: %q after %q", entries[i].ID, entries[i-1].ID)
		}
	}
	cfg.Grader = cfg.Grader.Remembering(cfg.Engine)
	j, fresh, err := openJournal(cfg.Out, cfg.key(), entries)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, entries: entries, journal: j, equal: newEquals(), progress: Progress{Total: len(entries), Fresh: fresh}}
	err = r.grade(ctx)
	var summary *Summary
	if err == nil && !cfg.JournalOnly {
		summary, err = r.outputs(ctx)
	}
	return summary, errors.Join(err, j.Close())
}

// key is what results depend on besides the submission, and when it came in.
func (c *Config) key() key {
	data, _ := json.Marshal(struct { // a struct of strings and numbers has a JSON form
		Lab, Tool, Engine string
		Options           grade.Options
		Limits            manifest.Limits
		Reports           bool
	}{c.Grader.Lab().Digest, c.Tool, c.Engine.Name(), c.Options, c.limits(), !c.NoReports})
	return sha256.Sum256(data)
}

type run struct {
	cfg      Config
	entries  []Entry
	journal  *journal
	progress Progress
	equal    *equals
}

// outcome is what a worker hands over.
type outcome struct {
	entry int
	kept  bool // the record that is there counts
	rec   record
	err   error // the machine's
}

func (r *run) grade(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.say(nil)
	jobs := make(chan int)
	outcomes := make(chan outcome, r.cfg.Workers)
	go func() {
		defer close(jobs)
		for i := range r.entries {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	for range r.cfg.Workers {
		workers.Go(func() {
			for i := range jobs {
				o := r.one(ctx, i)
				o.entry = i
				outcomes <- o
			}
		})
	}
	go func() { workers.Wait(); close(outcomes) }()
	var failed error
	for o := range outcomes {
		switch {
		case failed != nil || ctx.Err() != nil && o.err != nil:
			// What was under way when it was broken off: the next run does it.
		case o.err != nil:
			failed = o.err
			cancel()
		case o.kept:
			r.progress.Kept++
			r.count(r.journal.places[o.entry].failed)
			r.say(nil)
		default:
			if failed = r.journal.add(o.entry, o.rec); failed != nil {
				cancel()
				continue
			}
			r.equal.settle(o.rec.Input, o.entry)
			r.count(o.rec.Result.Status == Errored)
			r.say(&o.rec.Result)
		}
	}
	if failed != nil {
		return failed
	}
	return errors.Join(context.Cause(ctx), r.journal.sync())
}

func (r *run) count(failed bool) {
	r.progress.Done++
	if failed {
		r.progress.Errors++
	}
}

func (r *run) say(res *Result) {
	if r.cfg.Report != nil {
		p := r.progress
		p.Result = res
		r.cfg.Report(p)
	}
}

// one grades an entry, unless its result is known.
func (r *run) one(ctx context.Context, entry int) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: err}
	}
	e := &r.entries[entry]
	result := func(res Result, input key) outcome {
		res.ID, res.Name, res.Email, res.Attempt = e.ID, e.Name, e.Email, e.Attempt
		return outcome{rec: record{Input: input, Result: res}}
	}
	keep := func(input key) bool {
		at := r.journal.places[entry]
		return at.length > 0 && at.input == input && r.keeps(e.ID, at)
	}
	// unread is what comes of a submission that has no contents: it is known by the reason.
	unread := func(res Result) outcome {
		input := key(sha256.Sum256([]byte(res.Message)))
		if keep(input) {
			return outcome{kept: true}
		}
		return result(res, input)
	}
	if e.Problem != "" {
		return unread(failure(e.Problem))
	}
	// How long a storage takes is not the submission's fault.
	fetched, err := r.fetch(ctx, e)
	var in *opened
	if err == nil {
		defer fetched.Close()
		in, err = contained(ctx, r, e, func(context.Context) (*opened, error) { return r.read(e, fetched) })
	}
	if err := ctx.Err(); err != nil { // it is not the submission that took too long
		return outcome{err: err}
	}
	if err != nil {
		if res, ok := r.notOpened(err); ok {
			return unread(res)
		}
		return outcome{err: err}
	}
	defer in.from.Close()
	input := in.key
	late := r.cfg.lateness(e)
	if late != nil {
		input = input.and(late.Reason) // what it costs is part of the result
	}
	if keep(input) {
		return outcome{kept: true}
	}
	other, known, err := r.equal.claim(ctx, input)
	if err != nil {
		return outcome{err: err}
	}
	if known {
		rec, err := r.journal.get(other)
		if err != nil {
			return outcome{err: err}
		}
		if rec.Result.Report != "" {
			if rec.Result.Report, err = r.copyReport(e.dir(), rec.Result.Report); err != nil {
				return outcome{err: err}
			}
		}
		return result(rec.Result, input)
	}
	begun := time.Now()
	out, err := contained(ctx, r, e, func(ctx context.Context) (graded, error) { return r.evaluate(ctx, in.from) })
	took := time.Since(begun)
	if err := ctx.Err(); err != nil {
		return outcome{err: err}
	}
	if machine := (*MachineError)(nil); errors.As(err, &machine) {
		return outcome{err: machine}
	}
	if err != nil {
		out.res = failure(err.Error())
	}
	res, rep := out.res, out.rep
	late.apply(&res)
	if rep != nil && !r.cfg.NoReports {
		if res.Report, err = r.writeReport(e.dir(), rep, late); err != nil {
			return outcome{err: err}
		}
	}
	made := result(res, input)
	made.rec.Took = took.Seconds()
	return made
}

// keeps says whether a result that is there counts.
func (r *run) keeps(id string, at place) bool {
	switch {
	case slices.Contains(r.cfg.Again, id):
		return false
	case at.failed:
		return !r.cfg.OnlyFailed
	}
	return true
}

// opened is a submission that is read, and what it is known by.
type opened struct {
	from *Opened
	key  key
}

// read opens the submission of an entry, or the one that was fetched for it.
func (r *run) read(e *Entry, fetched *Opened) (*opened, error) {
	from, err := r.open(e, fetched)
	if err != nil {
		return nil, err
	}
	id, err := fingerprint(from, r.cfg.limits())
	if err != nil {
		if refused := (*grade.Refused)(nil); !errors.As(err, &refused) {
			err = &Unreadable{err}
		}
		return nil, errors.Join(err, from.Close())
	}
	return &opened{from, id}, nil
}

// graded is what came of a submission; without a report nothing was graded.
type graded struct {
	res Result
	rep *grade.Report
}

// evaluate grades a submission. Its error is a *MachineError.
func (r *run) evaluate(ctx context.Context, from *Opened) (graded, error) {
	sub, err := from.read(r.cfg.Grader, r.cfg.limits())
	if err != nil {
		return graded{res: r.notGraded(err)}, nil
	}
	judge := r.cfg.Grade
	if judge == nil {
		judge = func(ctx context.Context, sub *grade.Submission, opts grade.Options) (*grade.Report, error) {
			return r.cfg.Grader.Grade(ctx, sub, r.cfg.Engine, opts)
		}
	}
	rep, err := judge(ctx, sub, r.cfg.Options)
	if machine := (*MachineError)(nil); errors.As(err, &machine) {
		return graded{}, machine
	}
	if err != nil {
		return graded{res: r.notGraded(err)}, nil
	}
	res := resultOf(rep)
	res.Answers = r.cfg.Grader.Answers(sub)
	return graded{res, rep}, nil
}

// contained does something for a submission so that nothing that happens in it reaches the others: a breakdown, and what is not
// done in time, is an error of its own.
func contained[T any](ctx context.Context, r *run, e *Entry, do func(context.Context) (T, error)) (T, error) {
	type done struct {
		is  T
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	finished := make(chan done, 1)
	go func() {
		var d done
		defer func() {
			if p := recover(); p != nil {
				r.cfg.Log.Error("grading broke down", "student", e.ID, "panic", p, "stack", string(debug.Stack()))
				d.err = &Unreadable{fmt.Errorf("grading broke down: %v", p)}
			}
			finished <- d
		}()
		d.is, d.err = do(ctx)
	}()
	select {
	case d := <-finished:
		return d.is, d.err
	case <-ctx.Done():
		var none T
		return none, &Unreadable{fmt.Errorf("grading was not done after %s", r.cfg.Timeout)}
	}
}

func (r *run) notGraded(err error) Result {
	var refused *grade.Refused
	if errors.As(err, &refused) && len(refused.Problems) > 0 {
		return refusal(refused, r.cfg.Grader.MaxPoints(r.cfg.Options), r.cfg.Grader.Lab().PassMark)
	}
	return failure(err.Error())
}
