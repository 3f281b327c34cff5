package batch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/internal/wording"
)

// Some failures end the process, and recover cannot stop them: a stack overflow, memory that runs out, the
// kernel's out-of-memory killer. The journal therefore says what is being graded. After a run that did not
// end in order, the next one grades those submissions last and one at a time, so that a crash costs nobody
// else a grade. A submission that crashes again while it is graded alone gets an error of its own and is not
// tried again. After a crash the whole next run grades one at a time, so labctl knows which submission crashes it, and one
// such crash is enough: N submissions that crash labctl take N+1 crashes, not 2N.
//
// A kill -9 by an operator looks like the kernel's from inside. What tells a crash from a kill: the Go
// runtime's own report (crashFile), and the kernel's count of processes it killed for memory (OOMState).
// Without either, an unexplained end counts only against a submission that was alone, and only the third time.

// crashFile is where the Go runtime writes why it crashed. A run that ends in order removes it.
const crashFile = "crash.txt"

const (
	// A submission crashes that often, at last alone, before it is not tried again; start says when once is enough.
	crashLimit       = 2
	unexplainedLimit = 3 // the same for deaths that nothing explains, each of them alone
)

// startRecord says that a submission is being read or, with Input, graded.
type startRecord struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt,omitempty"`
	Input   *key   `json:"input,omitempty"`
	Alone   bool   `json:"alone,omitempty"` // nothing else is
}

// runRecord is the beginning of a run in a journal.
type runRecord struct {
	// After says how the run before ended: "" in order, otherwise one of these words.
	After exitCause `json:"after,omitempty"`
	How   string    `json:"how,omitempty"` // of a crash, in a few words
	OOMState
}

type exitCause string

const (
	crashed exitCause = "crashed" // by its own doing
	killed  exitCause = "killed"  // by whomever
)

// crashCount is how often a submission was in flight when the process died. Its zero value means once, with others.
type crashCount struct {
	crashes int    // alone; one with others counts once
	kills   int    // alone, that nothing explains
	how     string // the last crash
}

func (s *crashCount) total() int { return s.crashes + s.kills }

func (s *crashCount) givenUp() bool { return s.crashes >= crashLimit || s.total() >= unexplainedLimit }

// failure is the result of a submission that is not tried again.
func (s *crashCount) failure(e *intake.Entry) Result {
	died := "labctl crashed while it graded this submission alone"
	if s.how != "" {
		died += " (" + s.how + ")"
	}
	res := failure(fmt.Sprintf("%s; labctl does not retry it by itself: add --regrade %s to retry it once", died,
		strconv.Quote(e.ID)))
	res.StudentMessage = "it crashes the grader"
	return res
}

// flights are what a journal says of submissions that were begun, and of the deaths of earlier runs.
type flights struct {
	begun    map[key]startRecord // by entry; those without a result
	suspects map[key]*crashCount
	last     *runRecord // the run that did not end in order; nil: it did
	crashed  bool       // a run crashed since one ended in order, so the crashes after it are of its kind
}

func newFlights() flights {
	return flights{begun: map[key]startRecord{}, suspects: map[key]*crashCount{}}
}

// entryKey is what a submission is known by before it is read.
func entryKey(id string, attempt int) key {
	return sha256.Sum256(fmt.Appendf(nil, "entry %d %s", attempt, id))
}

// subject is what a death in flight is held against: the contents, or the entry if they were not yet read.
func (b *startRecord) subject() key {
	if b.Input != nil {
		return *b.Input
	}
	return entryKey(b.ID, b.Attempt)
}

func (f *flights) begin(b startRecord) {
	if b.Alone {
		clear(f.begun) // the one before is done, though its result may not be in the journal yet
	}
	f.begun[entryKey(b.ID, b.Attempt)] = b
}

// finish takes the result of an entry: whoever has a grade is no suspect any more.
func (f *flights) finish(res *Result) {
	entry := entryKey(res.ID, res.Attempt)
	b, ok := f.begun[entry]
	delete(f.begun, entry)
	if res.Status == grade.Errored {
		return
	}
	delete(f.suspects, entry)
	if ok {
		delete(f.suspects, b.subject())
	}
}

// start takes the beginning of a run.
func (f *flights) start(l runRecord) {
	for _, b := range f.begun {
		if l.After == "" {
			break
		}
		s := f.suspects[b.subject()]
		if s == nil {
			s = &crashCount{}
			f.suspects[b.subject()] = s
		}
		switch {
		case l.After == crashed && b.Alone && f.crashed:
			s.crashes, s.how = max(s.crashes+1, crashLimit), l.How
		case l.After == crashed:
			if b.Alone || s.crashes == 0 {
				s.crashes++
			}
			s.how = l.How
		case b.Alone:
			s.kills++
		}
	}
	clear(f.begun)
	f.last, f.crashed = &l, f.crashed || l.After == crashed
}

// end takes the orderly end of a run: what was under way then had no part in it.
func (f *flights) end() {
	clear(f.begun)
	f.last, f.crashed = nil, false
}

// diagnose says how the last run of a journal in a directory ended.
func (f *flights) diagnose(dir string, now OOMState) runRecord {
	next := runRecord{OOMState: now}
	if f.last == nil {
		return next
	}
	next.After = killed
	report, err := os.ReadFile(filepath.Join(dir, crashFile))
	switch {
	case err == nil && len(report) > 0:
		next.After, next.How = crashed, crashReason(string(report))
	case f.last.OutOfMemory(now):
		next.After, next.How = crashed, "the kernel killed a process for memory in the meantime"
	}
	return next
}

// crashReason is the line of the Go runtime's report that says what happened.
func crashReason(report string) string {
	reason := "the Go runtime gave up"
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ") ||
			strings.HasPrefix(line, "SIG") {
			reason = strings.TrimSpace(line)
			break
		}
	}
	return wording.Shorten(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, reason), 200)
}

// watchCrashes has the Go runtime report a crash into a directory, until stop is called. A process has one
// such place: of several runs at a time the last one started has it.
func watchCrashes(dir string) (stop func() error, err error) {
	name := filepath.Join(dir, crashFile)
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(debug.SetCrashOutput(f, debug.CrashOptions{}), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("prepare for a crash: %w", err)
	}
	return func() error {
		err := debug.SetCrashOutput(nil, debug.CrashOptions{})
		if gone := os.Remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}, nil
}

// OOMState tells afterwards whether the kernel killed processes for memory while another process lived. Where
// the kernel does not say, it is zero.
type OOMState struct {
	Boot     string `json:"boot,omitempty"`      // of the kernel
	OOMKills int64  `json:"oom_kills,omitempty"` // since then
}

// ReadOOMState reads the present state, from /proc/vmstat (oom_kill) and /proc/sys/kernel/random/boot_id of Linux.
func ReadOOMState() OOMState {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return OOMState{}
	}
	stat, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return OOMState{}
	}
	for line := range strings.Lines(string(stat)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			if err != nil {
				return OOMState{}
			}
			return OOMState{strings.TrimSpace(string(boot)), kills}
		}
	}
	return OOMState{}
}

// OutOfMemory says whether the kernel killed a process for memory between then and now, as far as is known.
func (v OOMState) OutOfMemory(now OOMState) bool {
	return v.Boot != "" && v.Boot == now.Boot && now.OOMKills > v.OOMKills
}
