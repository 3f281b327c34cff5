package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/similarity"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Config is what a run works with. Grader, Engine and Out are needed. Its JSON is what grades depend on and a
// plan for other machines passes on.
type Config struct {
	Grader  *grade.Grader `json:"-"`
	Engine  engine.Engine `json:"-"` // safe for concurrent use
	Options grade.Options
	Limits  manifest.Limits // fields that are zero are those of DefaultLimits
	Tool    string          `json:"-"` // labctl's version: another one grades afresh

	// Grade grades a submission in the place of Engine, which only lends its name then: a Pool's. It is safe
	// for concurrent use. A *engine.Refused is the submission's, a *MachineError ends the run, and any other
	// error is the submission's result.
	Grade func(context.Context, *submission.Submission, grade.Options) (*grade.Report, error) `json:"-"`

	// Fetch fetches the submission of an entry whose Path is not a local one; nil: all are local. *engine.Refused and
	// *intake.SubmissionError are about this submission, any other error is the machine's and ends the run.
	Fetch func(context.Context, *intake.Entry) (*intake.Fetched, error) `json:"-"`

	// Before is called before a submission without a result is read; alone says that nothing else is under
	// way. nil: nobody asks. Its error ends the run.
	Before func(ctx context.Context, e *intake.Entry, alone bool) error `json:"-"`

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
	// Regrade names students to grade although there is a result; OnlyFailed grades those again whose result
	// is an error.
	Regrade    []string `json:"-"`
	OnlyFailed bool     `json:"-"`

	Report func(Progress) `json:"-"` // called from one goroutine; nil: nobody waits
	Log    *slog.Logger   `json:"-"`
}

// Progress is how far a run has come.
type Progress struct {
	Result *Result // that has come in; nil at the beginning
	Done   int     // of Total, those of earlier runs included
	Total  int
	Cached int // results of an earlier run
	Errors int // those of earlier runs included
	// Written counts the submissions, once all are graded, whose students' files are written.
	Written int
	// RestartReason says why results that were there do not count; "" if they do or there were none.
	RestartReason string
}

// Run grades submissions into the output directory. Entries are as Find gives them: in the order of the
// students' IDs, and each attempt of a student once. Results that are there for the same lab, tool, options
// and submission are kept. A submission that fails in whatever way has its own error; Run's error is the
// machine's.
func Run(ctx context.Context, cfg Config, entries []intake.Entry) (summary *Summary, err error) {
	cfg = cfg.withDefaults()
	for i := 1; i < len(entries); i++ {
		if intake.InOrder(entries[i-1], entries[i]) >= 0 {
			return nil, fmt.Errorf("submissions are out of order or duplicated: %q after %q", entries[i].ID, entries[i-1].ID)
		}
	}
	cfg.Grader = cfg.Grader.Remembering(cfg.Engine)
	j, restart, err := openJournal(cfg.Out, cfg.key(), entries)
	if err != nil {
		return nil, err
	}
	r := newRun(cfg, entries, j)
	r.progress.RestartReason = restart
	stop, err := r.begin()
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	defer func() { err = errors.Join(err, stop(), j.Close()) }()
	defer j.ended()
	err = r.grade(ctx)
	if err == nil && !cfg.JournalOnly {
		summary, err = r.outputs(ctx)
	}
	return summary, err
}

func (c Config) withDefaults() Config {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// GradeOne grades one submission and writes nothing. rep is nil if nothing was graded. A submission that
// fails in whatever way has its own error in the Result, as in Run; GradeOne's error is the machine's, or
// ctx's.
func GradeOne(ctx context.Context, cfg Config, e *intake.Entry) (res Result, rep *grade.Report, err error) {
	r := &run{cfg: cfg.withDefaults(), answers: similarity.NewReader()}
	if e.Problem != "" {
		return identified(e, failure(e.Problem)), nil, nil
	}
	fetched, err := r.fetch(ctx, e)
	var in *unpacked
	if err == nil {
		defer func() { err = errors.Join(err, fetched.Close()) }()
		in, err = r.unpack(ctx, e, fetched)
	}
	if ctx.Err() != nil {
		return Result{}, nil, context.Cause(ctx)
	}
	if err != nil {
		res, ok := r.noContents(err)
		if ok {
			err = nil
		}
		return identified(e, res), nil, err
	}
	out, err := r.judge(ctx, e, in, r.cfg.latePenalty(e))
	return identified(e, out.res), out.rep, err
}

// begin notes that the run begins, and has a crash reported until stop is called.
func (r *run) begin() (stop func() error, err error) {
	started, err := r.journal.start(r.cfg.Out)
	if err != nil {
		return nil, err
	}
	if started.After != "" && len(r.journal.flights.suspects) > 0 {
		r.cfg.Log.Warn("the last run was cut off: the submissions it was grading are graded last, one at a time",
			"submissions", len(r.journal.flights.suspects), "ended", cmp.Or(started.How, string(started.After)))
	}
	if started.After == crashed {
		r.cfg.Workers = 1
	}
	return watchCrashes(r.cfg.Out)
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
	cfg        Config
	entries    []intake.Entry
	journal    *journal
	progress   Progress
	duplicates *duplicates
	answers    *similarity.Reader
	running    atomic.Int32 // submissions that are being read or graded, those included whose time is up

	rendering rendering
	rendered  []bool // by entry: this run has written the files of the formats
	titles    titles
}

func newRun(cfg Config, entries []intake.Entry, j *journal) *run {
	return &run{
		cfg: cfg, entries: entries, journal: j, duplicates: newDuplicates(), answers: similarity.NewReader(),
		progress:  Progress{Total: len(entries)},
		rendering: cfg.rendering(), rendered: make([]bool, len(entries)),
	}
}

// workerResult is what a worker hands over.
type workerResult struct {
	entry  int
	cached bool // the record that is there counts
	rec    record
	rep    *grade.Report // of rec, while it is in memory; nil: there is none, or it is in a file
	own    bool          // the result is not that of others with the same contents
	err    error         // the machine's
	alone  *crashCount   // it has to be graded alone, and was not; nil: it is done
}

// grade grades all entries: many at a time, and then alone those that were under way when an earlier run died.
func (r *run) grade(ctx context.Context) error {
	r.say(nil)
	var alone []workerResult
	err := r.pass(ctx, r.cfg.Workers, func(yield func(int) bool) {
		for i := range r.entries {
			if !yield(i) {
				return
			}
		}
	}, &alone)
	if err != nil {
		return err
	}
	// The least suspected first: what crashes again must not keep others from their grade.
	slices.SortFunc(alone, func(a, b workerResult) int {
		return cmp.Or(cmp.Compare(a.alone.total(), b.alone.total()), cmp.Compare(a.entry, b.entry))
	})
	err = r.pass(ctx, 1, func(yield func(int) bool) {
		for i := range alone {
			if !yield(alone[i].entry) {
				return
			}
		}
	}, nil)
	if err != nil {
		return err
	}
	return r.journal.sync()
}

// pass grades entries and adds what has to be graded alone to alone; nil: they are alone.
func (r *run) pass(ctx context.Context, workers int, entries iter.Seq[int], alone *[]workerResult) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan int)
	results := make(chan workerResult, workers)
	go func() {
		defer close(jobs)
		for i := range entries {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := range jobs {
				o := r.one(ctx, i, alone == nil)
				o.entry = i
				if o.err == nil && o.alone == nil && !o.cached {
					o.err = r.renderGraded(&o)
				}
				o.rep = nil
				results <- o
			}
		})
	}
	go func() { running.Wait(); close(results) }()
	if err := r.collect(ctx, cancel, results, alone); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// collect takes the results of a pass, and cancels it at the first error.
func (r *run) collect(ctx context.Context, cancel func(), results <-chan workerResult, alone *[]workerResult) error {
	var failed error
	for o := range results {
		switch {
		case failed != nil || ctx.Err() != nil && o.err != nil:
			// What was under way when it was broken off: the next run does it.
		case o.err != nil:
			failed = o.err
			cancel()
		case o.alone != nil:
			*alone = append(*alone, o)
		default:
			if failed = r.take(o); failed != nil {
				cancel()
			}
		}
	}
	return failed
}

// take puts a result into the journal.
func (r *run) take(o workerResult) error {
	if o.cached {
		r.progress.Cached++
		r.count(r.journal.places[o.entry].failed)
		r.say(nil)
		return nil
	}
	if err := r.journal.add(o.entry, o.rec); err != nil {
		return err
	}
	if o.own {
		r.duplicates.abandon(o.rec.Input)
	} else {
		r.duplicates.finish(o.rec.Input, o.entry)
	}
	r.count(o.rec.Result.Status == grade.Errored)
	r.say(&o.rec.Result)
	return nil
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

// one grades an entry, unless its result is known, or it has to be graded last and is not.
func (r *run) one(ctx context.Context, entry int, last bool) workerResult {
	if err := ctx.Err(); err != nil {
		return workerResult{err: err}
	}
	e := &r.entries[entry]
	if e.Problem != "" {
		return r.unread(entry, failure(e.Problem))
	}
	if o := r.suspect(entry, entryKey(e.ID, e.Attempt), last); o != nil {
		return *o
	}
	if at := r.journal.places[entry]; at.length == 0 || !r.reusable(e.ID, at) {
		if err := r.journal.begin(startRecord{ID: e.ID, Attempt: e.Attempt, Alone: r.alone(last)}); err != nil {
			return workerResult{err: err}
		}
		if r.cfg.Before != nil {
			if err := r.cfg.Before(ctx, e, r.alone(last)); err != nil {
				return workerResult{err: err}
			}
		}
	}
	// How long a storage takes is not the submission's fault.
	fetched, err := r.fetch(ctx, e)
	var in *unpacked
	if err == nil {
		defer fetched.Close()
		in, err = r.unpack(ctx, e, fetched)
	}
	if err := ctx.Err(); err != nil { // it is not the submission that took too long
		return workerResult{err: err}
	}
	if err != nil {
		if res, ok := r.noContents(err); ok {
			return r.unread(entry, res)
		}
		return workerResult{err: err}
	}
	return r.known(ctx, entry, in, last)
}

// known grades a submission that is read, unless its result is known.
func (r *run) known(ctx context.Context, entry int, in *unpacked, last bool) workerResult {
	e := &r.entries[entry]
	late, input := r.cfg.latePenalty(e), in.key
	if late != nil {
		input = input.and(late.Reason) // what it costs is part of the result
	}
	if r.cached(entry, input) {
		return workerResult{cached: true}
	}
	if o := r.suspect(entry, in.key, last); o != nil {
		o.rec.Input = input
		return *o
	}
	if err := r.journal.begin(startRecord{ID: e.ID, Attempt: e.Attempt, Input: &in.key, Alone: r.alone(last)}); err != nil {
		return workerResult{err: err}
	}
	other, known, err := r.duplicates.startOrWait(ctx, input)
	if err != nil {
		return workerResult{err: err}
	}
	if known {
		return r.takeOver(e, input, other)
	}
	begun := time.Now()
	out, err := r.judge(ctx, e, in, late)
	took := time.Since(begun)
	if err != nil {
		return workerResult{err: err}
	}
	res, rep, own := out.res, out.rep, false
	if rep != nil && !r.cfg.NoReports {
		if res.Report, err = r.writeReport(DirOf(e), rep, late); err != nil && !r.ownFault(err) {
			return workerResult{err: err}
		}
		if err != nil {
			res, own = unwritten(&res, err), true
		}
	}
	made := newWorkerResult(e, res, input)
	made.own = own
	if res.Report != "" {
		made.rep = rep
	}
	made.rec.Took = took.Seconds()
	return made
}

// judge grades a submission, and takes off what lateness costs. Its error is the machine's, or ctx's.
func (r *run) judge(ctx context.Context, e *intake.Entry, in *unpacked, late *LatePenalty) (graded, error) {
	out, err := contained(ctx, r, e, func(ctx context.Context) (graded, error) { return r.evaluate(ctx, in.tree) })
	if err := ctx.Err(); err != nil {
		return graded{}, err
	}
	if machine := (*MachineError)(nil); errors.As(err, &machine) {
		return graded{}, machine
	}
	if err != nil {
		out.res = failure(err.Error())
	}
	late.apply(&out.res)
	return out, nil
}

// identified returns the result as that of an entry.
func identified(e *intake.Entry, res Result) Result {
	res.ID, res.Name, res.Email, res.Attempt, res.Platform = e.ID, e.Name, e.Email, e.Attempt, e.Platform
	return res
}

func newWorkerResult(e *intake.Entry, res Result, input key) workerResult {
	return workerResult{rec: record{Input: input, Result: identified(e, res)}}
}

// unread is what comes of a submission that has no contents: it is known by the reason.
func (r *run) unread(entry int, res Result) workerResult {
	input := key(sha256.Sum256([]byte(res.Message)))
	if r.cached(entry, input) {
		return workerResult{cached: true}
	}
	return newWorkerResult(&r.entries[entry], res, input)
}

// takeOver gives an entry the result of another with the same contents.
func (r *run) takeOver(e *intake.Entry, input key, from int) workerResult {
	rec, err := r.journal.get(from)
	if err != nil {
		return workerResult{err: err}
	}
	if rec.Result.Report != "" {
		if rec.Result.Report, err = r.copyReport(DirOf(e), rec.Result.Report); err != nil && !r.ownFault(err) {
			return workerResult{err: err}
		}
		if err != nil {
			rec.Result = unwritten(&rec.Result, err)
		}
	}
	return newWorkerResult(e, rec.Result, input)
}

// suspect is what becomes of contents, or of an entry that is not yet read, if a run died of them; nil: they
// are graded now.
func (r *run) suspect(entry int, of key, last bool) *workerResult {
	s := r.journal.crashesOf(of)
	if s == nil {
		return nil
	}
	if s.givenUp() && !r.asked(entry) {
		o := r.unread(entry, s.failure(&r.entries[entry]))
		return &o
	}
	if last {
		return nil
	}
	return &workerResult{alone: s}
}

// asked says whether somebody wants the entry graded again although there is a result.
func (r *run) asked(entry int) bool {
	return slices.Contains(r.cfg.Regrade, r.entries[entry].ID) || r.cfg.OnlyFailed && r.journal.places[entry].failed
}

// alone says whether nothing but the entry at hand is under way; last says that it is one of those that are
// graded alone. One whose time is up may still be running.
func (r *run) alone(last bool) bool {
	return (last || r.cfg.Workers == 1) && r.running.Load() == 0
}

// cached says whether the record of an entry counts for what it has now.
func (r *run) cached(entry int, input key) bool {
	at := r.journal.places[entry]
	return at.length > 0 && at.input == input && r.reusable(r.entries[entry].ID, at)
}

// reusable says whether a result that is there counts.
func (r *run) reusable(id string, at place) bool {
	switch {
	case slices.Contains(r.cfg.Regrade, id):
		return false
	case at.failed:
		return !r.cfg.OnlyFailed
	}
	return true
}

// fetch fetches the submission of an entry.
func (r *run) fetch(ctx context.Context, e *intake.Entry) (*intake.Fetched, error) {
	if r.cfg.Fetch == nil {
		return e.Fetch()
	}
	return r.cfg.Fetch(ctx, e)
}

// unpacked is a submission whose files are read, and a digest of them.
type unpacked struct {
	tree *submission.Tree
	key  key
}

// unpack reads what was fetched.
func (r *run) unpack(ctx context.Context, e *intake.Entry, fetched *intake.Fetched) (*unpacked, error) {
	return contained(ctx, r, e, func(context.Context) (*unpacked, error) {
		tree, err := e.Unpack(fetched, r.cfg.Grader, r.cfg.limits())
		if err != nil {
			return nil, err
		}
		return &unpacked{tree, fingerprint(tree)}, nil
	})
}

// noContents is the result of a submission that could not be fetched or unpacked, unless the machine is to blame.
func (r *run) noContents(err error) (Result, bool) {
	var broken *intake.SubmissionError
	var refused *engine.Refused
	res := r.notGraded(err)
	if fault := (*intake.StudentFault)(nil); errors.As(err, &fault) {
		res.StudentMessage = wording.Shorten(fault.Error(), maxMessage)
	}
	return res, errors.As(err, &broken) || errors.As(err, &refused)
}

// graded is what came of a submission; without a report nothing was graded.
type graded struct {
	res Result
	rep *grade.Report
}

// evaluate grades a submission. Its error is a *MachineError.
func (r *run) evaluate(ctx context.Context, tree *submission.Tree) (graded, error) {
	sub, err := r.cfg.Grader.Rules.Parse(tree, r.cfg.limits())
	if err != nil {
		return graded{res: r.notGraded(err)}, nil
	}
	judge := r.cfg.Grade
	if judge == nil {
		judge = func(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error) {
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
	res.Answers = boundAnswers(r.answers.Answers(sub))
	return graded{res, rep}, nil
}

// contained does something for a submission so that nothing that happens in it reaches the others: a
// breakdown, and what is not done in time, is an error of its own.
func contained[T any](ctx context.Context, r *run, e *intake.Entry, do func(context.Context) (T, error)) (T, error) {
	type done struct {
		is  T
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	finished := make(chan done, 1)
	r.running.Add(1)
	go func() {
		var d done
		defer func() {
			if p := recover(); p != nil {
				r.cfg.Log.Error("grading broke down", "student", e.ID, "panic", p, "stack", string(debug.Stack()))
				d.err = &intake.SubmissionError{Err: fmt.Errorf("grading broke down: %v", p)}
			}
			r.running.Add(-1)
			finished <- d
		}()
		d.is, d.err = do(ctx)
	}()
	select {
	case d := <-finished:
		return d.is, d.err
	case <-ctx.Done():
		var none T
		return none, &intake.SubmissionError{Err: fmt.Errorf("grading took longer than %s", r.cfg.Timeout)}
	}
}

func (r *run) notGraded(err error) Result {
	var refused *engine.Refused
	if errors.As(err, &refused) && len(refused.Problems) > 0 {
		return refusal(refused, r.cfg.Grader.MaxPoints(r.cfg.Options), r.cfg.Grader.Lab().PassMark)
	}
	return failure(err.Error())
}
