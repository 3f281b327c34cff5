package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
)

// Worker grades one shard of a run.
type Worker struct {
	Run   *Run
	Shard int
	Tool  string // version of this program
	// Memory is what submissions that are being graded may take, in bytes; 0: a default.
	Memory int64
	// Every and Count say when results go to the destination: that long after the last time, or when there
	// are so many new ones. A worker that dies loses what it has not brought there, and its successor grades
	// that again. Default 5 s and 250.
	Every  time.Duration
	Count  int
	Report func(batch.Progress)
	Log    *slog.Logger
}

// Work grades what earlier workers of the shard have left, and returns when all of it is in the destination.
func (w Worker) Work(ctx context.Context) error {
	if w.Shard < 0 || w.Shard >= len(w.Run.Plan.Shards) {
		return fmt.Errorf("there is no shard %d: the run %s has %d, from 0", w.Shard, w.Run.ID, len(w.Run.Plan.Shards))
	}
	if w.Every <= 0 {
		w.Every = 5 * time.Second
	}
	if w.Count <= 0 {
		w.Count = 250
	}
	cfg, err := w.Run.Load(ctx, w.Tool)
	if err != nil {
		return err
	}
	left, segments, err := w.remaining(ctx)
	if err != nil || len(left) == 0 {
		return err
	}
	if cfg.Out, err = os.MkdirTemp("", "labctl-shard-*"); err != nil {
		return fmt.Errorf("make a directory for results: %w", err)
	}
	defer os.RemoveAll(cfg.Out)
	if !isLocal(w.Run.Plan.Source) {
		source, err := storage.OpenSource(ctx, w.Run.Plan.Source, cfg.Limits, w.Memory)
		if err != nil {
			return err
		}
		defer source.Close()
		cfg.Fetch, cfg.Workers = source.Fetch, storage.Parallel
	}
	cfg.JournalOnly, cfg.Log = true, w.Log
	oom := batch.ReadOOMState()
	past, err := w.Run.past(ctx, w.Shard, oom)
	if err != nil {
		return err
	}
	writer := nonce()
	record := &recorder{run: w.Run, key: w.Run.recordKey(w.Shard, writer), now: oom}
	if err := record.write(ctx, workerRecord{}); err != nil {
		return err
	}
	if past.died > 0 {
		w.Log.Warn("earlier workers of the shard died: submissions are graded one at a time", "workers", past.died)
		cfg.Workers, cfg.Before = 1, record.before
	}
	out := &outgoing{run: w.Run, shard: w.Shard, dir: cfg.Out, number: segments, writer: writer,
		full: make(chan struct{}, 1)}
	first, last := past.split(left)
	return w.grade(ctx, cfg, out, record, first, last)
}

// remaining lists the entries of the shard that have no result yet, and the number of the last segment with results.
func (w Worker) remaining(ctx context.Context) (left []intake.Entry, segments int, err error) {
	entries, err := w.Run.Entries(ctx, w.Shard)
	if err != nil {
		return nil, 0, err
	}
	before, err := w.Run.written(ctx, w.Shard)
	if err != nil {
		return nil, 0, err
	}
	for _, why := range before.damaged {
		w.Log.Warn("a segment is damaged: submissions whose results only it has are graded again", "reason", why)
	}
	left = entries[:0]
	for _, e := range entries {
		if !before.graded[entryName{e.ID, e.Attempt}] {
			left = append(left, e)
		}
	}
	w.Log.Info("shard", "number", w.Shard, "submissions", w.Run.Plan.Shards[w.Shard], "graded already",
		w.Run.Plan.Shards[w.Shard]-len(left))
	return left, before.last, nil
}

// grade grades one part of the entries after the other, and sends the results to the destination meanwhile.
func (w Worker) grade(ctx context.Context, cfg batch.Config, out *outgoing, record *recorder,
	parts ...[]intake.Entry) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sending sync.WaitGroup
	done := make(chan struct{})
	// What is graded need not be graded again, also when the worker is asked to stop: it has that long to upload it.
	final, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWait, stop) })()
	sending.Go(func() {
		if err := out.sendUntil(final, done, w.Every); err != nil {
			cancel(err)
		}
	})
	cfg.Report = w.reporter(out)
	for _, entries := range parts {
		if err == nil && len(entries) > 0 {
			_, err = batch.Run(ctx, cfg, entries)
		}
	}
	close(done)
	sending.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	// Whatever the reason, the worker ends in order.
	return errors.Join(err, out.send(final), record.write(final, workerRecord{Ended: true}))
}

// reporter reports progress, and has the results sent once there are w.Count new ones.
func (w Worker) reporter(out *outgoing) func(batch.Progress) {
	since := 0
	return func(p batch.Progress) {
		if w.Report != nil {
			w.Report(p)
		}
		if p.Result == nil {
			return
		}
		if since++; since >= w.Count {
			since = 0
			select {
			case out.full <- struct{}{}:
			default:
			}
		}
	}
}

// lastWait is how long a worker that is asked to stop takes to upload what it has: Kubernetes grants 30 s.
const lastWait = 20 * time.Second

func isLocal(source string) bool {
	_, ok := intake.LocalPath(source)
	return ok
}

// entryName names an entry.
type entryName struct {
	id      string
	attempt int
}

// written is what a shard's segments hold.
type written struct {
	graded  map[entryName]bool
	last    int      // the highest number of a segment
	damaged []string // what is wrong with segments that cannot be read; they count for nothing
}

func (r *Run) written(ctx context.Context, shard int) (*written, error) {
	w := &written{graded: map[entryName]bool{}}
	for s, err := range r.segments(ctx, shard) {
		if err != nil {
			return nil, err
		}
		w.last = max(w.last, s.number)
		var graded []entryName // if the segment is whole
		err := readSegment(ctx, r.to, s.key, func(journal []byte) error {
			for rec, err := range batch.Records(bytes.NewReader(journal)) {
				if err != nil {
					return err
				}
				graded = append(graded, entryName{rec.ID, rec.Attempt})
			}
			return nil
		}, nopFile)
		var failed *storage.Error
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &failed):
			return nil, err
		case err != nil:
			w.damaged = append(w.damaged, err.Error())
		default:
			for _, a := range graded {
				w.graded[a] = true
			}
		}
	}
	return w, nil
}

// nopFile makes readSegment read to the end, so that the checksum over all of it counts.
func nopFile(_ string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func nonce() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// outgoing brings a journal to the destination, as it grows.
type outgoing struct {
	run    *Run
	shard  int
	dir    string // of the journal and the students' files
	number int    // of the last segment
	writer string
	sent   int64 // bytes of the journal
	full   chan struct{}
}

func (o *outgoing) sendUntil(ctx context.Context, done <-chan struct{}, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		case <-o.full:
		}
		if err := o.send(ctx); err != nil {
			return err
		}
	}
}

// send writes a segment of what is new.
func (o *outgoing) send(ctx context.Context) error {
	f, err := os.Open(filepath.Join(o.dir, journalName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	journal, err := io.ReadAll(io.NewSectionReader(f, o.sent, 1<<62))
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	journal = journal[:bytes.LastIndexByte(journal, '\n')+1]
	data, results, failed, err := packSegment(o.dir, journal)
	if err != nil {
		return fmt.Errorf("pack results: %w", err)
	}
	if results == 0 {
		return nil
	}
	name := fmt.Sprintf("%06d-%s-%d-%d.tar.zst", o.number+1, o.writer, results, failed)
	if err := o.run.to.Write(ctx, o.run.shardKey(o.shard)+"/"+name, data); err != nil {
		return err
	}
	o.number++
	o.sent += int64(len(journal))
	return nil
}
