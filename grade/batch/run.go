package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
)

// Config is what a run works with. Grader, Engine and Out are needed.
type Config struct {
	Grader  *grade.Grader
	Engine  grade.Engine // safe for concurrent use
	Options grade.Options
	Limits  manifest.Limits
	Tool    string // labctl's version: another one grades afresh

	Out     string        // directory for results; made if it is not there
	Workers int           // default: the processors there are
	Timeout time.Duration // for one submission; default 1 minute
	// NoReports leaves out the files of single students.
	NoReports bool
	// Again names students to grade although there is a result; OnlyFailed grades those again whose result is an error.
	Again      []string
	OnlyFailed bool

	Report func(Progress) // called from one goroutine; nil: nobody waits
	Log    *slog.Logger
}

// Progress is how far a run has come.
type Progress struct {
	Result *Result // that has come in; nil at the beginning
	Done   int     // of Total, those of earlier runs included
	Total  int
	Kept   int // results of an earlier run
	Errors int
	// Fresh says why results that were there do not count; "" if they do or there were none.
	Fresh string
}

// Run grades submissions into the output directory. Results that are there for the same lab, tool, options and
// submission are kept. A submission that fails in whatever way has its own error; Run's error is the machine's.
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
	j, fresh, err := openJournal(cfg.Out, cfg.key())
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, journal: j, equal: map[string]*shared{}, progress: Progress{Total: len(entries), Fresh: fresh}}
	err = r.grade(ctx, entries)
	var summary *Summary
	if err == nil {
		summary, err = r.outputs(entries)
	}
	return summary, errors.Join(err, j.Close())
}

// key is what results depend on besides the submission.
func (c *Config) key() string {
	data, _ := json.Marshal(struct { // a struct of strings and numbers has a JSON form
		Lab, Tool, Engine string
		Options           grade.Options
		Limits            manifest.Limits
		Reports           bool
	}{c.Grader.Lab().Digest, c.Tool, c.Engine.Name(), c.Options, c.Limits, !c.NoReports})
	return digest(data)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

type run struct {
	cfg      Config
	journal  *journal
	progress Progress

	mu    sync.Mutex
	equal map[string]*shared // by digest of the input
}

// shared is the outcome of equal submissions: the first that comes grades, the others wait for it.
type shared struct {
	done   chan struct{}
	result Result
	report string // the file with the report, of whoever was first; "" if there is none
}

// outcome is what a worker hands over.
type outcome struct {
	rec record
	err error // the machine's
}

func (r *run) grade(ctx context.Context, entries []Entry) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.say(nil)
	jobs := make(chan *Entry)
	outcomes := make(chan outcome, r.cfg.Workers)
	go func() {
		defer close(jobs)
		for i := range entries {
			select {
			case jobs <- &entries[i]:
			case <-ctx.Done():
				return
			}
		}
	}()
	known := make(map[string]place, len(r.journal.index)) // the index itself belongs to this goroutine
	for id, at := range r.journal.index {
		known[id] = at
	}
	var workers sync.WaitGroup
	for range r.cfg.Workers {
		workers.Go(func() {
			for e := range jobs {
				outcomes <- r.one(ctx, e, known)
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
		case o.rec.Result.ID == "": // kept
		default:
			if failed = r.journal.add(o.rec); failed != nil {
				cancel()
				continue
			}
			r.count(&o.rec.Result)
			r.say(&o.rec.Result)
			continue
		}
		if failed == nil && o.err == nil {
			r.progress.Kept++
			r.progress.Done++
			r.say(nil)
		}
	}
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

func (r *run) count(res *Result) {
	r.progress.Done++
	if res.Status == Errored {
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

// one grades an entry, unless its result is known; then the outcome's record is empty.
func (r *run) one(ctx context.Context, e *Entry, known map[string]place) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: err}
	}
	result := func(res Result, input string) outcome {
		res.ID, res.Name, res.Email = e.ID, e.Name, e.Email
		return outcome{rec: record{input, res}}
	}
	if e.Problem != "" {
		return result(failure(e.Problem), "")
	}
	input, err := fingerprint(e.Path, r.cfg.Limits)
	if err != nil {
		return result(failure(err.Error()), "")
	}
	if at, ok := known[e.ID]; ok && at.input == input && r.keeps(e.ID, at) {
		return outcome{}
	}
	r.mu.Lock()
	s, second := r.equal[input]
	if !second {
		s = &shared{done: make(chan struct{})}
		r.equal[input] = s
	}
	r.mu.Unlock()
	if second {
		select {
		case <-s.done:
		case <-ctx.Done():
			return outcome{err: ctx.Err()}
		}
		if s.result.Status == "" {
			return outcome{err: context.Cause(ctx)} // the first was broken off
		}
	} else {
		defer close(s.done)
		res, rep := r.contained(ctx, e)
		if err := ctx.Err(); err != nil {
			return outcome{err: err}
		}
		if rep != nil && !r.cfg.NoReports {
			if s.report, err = r.writeReport(e.ID, rep); err != nil {
				return outcome{err: err}
			}
			res.Report = s.report
		}
		s.result = res
		return result(res, input)
	}
	res := s.result
	if s.report != "" {
		if res.Report, err = r.copyReport(e.ID, s.report); err != nil {
			return outcome{err: err}
		}
	}
	return result(res, input)
}

// keeps says whether a result that is there counts.
func (r *run) keeps(id string, at place) bool {
	switch {
	case slices.Contains(r.cfg.Again, id):
		return false
	case at.status == Errored:
		return !r.cfg.OnlyFailed
	}
	return true
}

// contained grades one submission so that nothing that happens to it reaches the others.
func (r *run) contained(ctx context.Context, e *Entry) (Result, *grade.Report) {
	type graded struct {
		res Result
		rep *grade.Report
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	done := make(chan graded, 1)
	go func() {
		var g graded
		defer func() {
			if p := recover(); p != nil {
				r.cfg.Log.Error("grading broke down", "student", e.ID, "panic", p, "stack", string(debug.Stack()))
				g = graded{res: failure(fmt.Sprintf("grading broke down: %v", p))}
			}
			done <- g
		}()
		g.res, g.rep = r.evaluate(ctx, e.Path)
	}()
	select {
	case g := <-done:
		return g.res, g.rep
	case <-ctx.Done():
		return failure(fmt.Sprintf("grading was not done after %s", r.cfg.Timeout)), nil
	}
}

func (r *run) evaluate(ctx context.Context, path string) (Result, *grade.Report) {
	sub, err := r.cfg.Grader.ReadSubmission(path, r.cfg.Limits)
	if err != nil {
		return r.notGraded(err), nil
	}
	rep, err := r.cfg.Grader.Grade(ctx, sub, r.cfg.Engine, r.cfg.Options)
	if err != nil {
		return r.notGraded(err), nil
	}
	return resultOf(rep), rep
}

func (r *run) notGraded(err error) Result {
	var refused *grade.Refused
	if errors.As(err, &refused) && len(refused.Problems) > 0 {
		return refusal(refused, r.cfg.Grader.MaxPoints(r.cfg.Options), r.cfg.Grader.Lab().PassMark)
	}
	return failure(err.Error())
}

// fingerprint is a digest over the names and contents of a submission as it lies there, not understood: two that
// have the same one get the same grade. It reads no more than the limits allow; beyond them the sizes count.
func fingerprint(path string, lim manifest.Limits) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if !info.IsDir() {
		// Only the ending of a file's name has a meaning, and its place in messages.
		fmt.Fprintf(h, "file %q %d\n", filepath.Base(path), info.Size())
		if info.Mode().IsRegular() {
			f, err := os.Open(path)
			if err != nil {
				return "", err
			}
			defer f.Close()
			if _, err := io.Copy(h, io.LimitReader(f, maxRead(lim))); err != nil {
				return "", err
			}
		}
		return sum(h), nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return "", err
	}
	defer root.Close()
	files := cmp.Or(lim.Files, manifest.DefaultLimits().Files)
	seen := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > 20*files {
			return fmt.Errorf("more than %d files and folders", 20*files)
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		fmt.Fprintf(h, "%s %q\n", entry.Type(), name)
		if !entry.Type().IsRegular() {
			return nil // a link may lead to a file of the submission, which has its own turn
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d\n", info.Size())
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, io.LimitReader(f, maxRead(lim)))
		return err
	})
	if err != nil {
		return "", err
	}
	return sum(h), nil
}

// maxRead is how much of a file counts; a larger one is refused, whatever it holds.
func maxRead(lim manifest.Limits) int64 {
	return cmp.Or(lim.FileBytes, manifest.DefaultLimits().FileBytes) + 1
}

func sum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
