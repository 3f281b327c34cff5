package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
)

// Progress is how far a run has come, as far as a listing of the destination tells.
type Progress struct {
	Total    int             `json:"total"`
	Done     int             `json:"done"`
	Errors   int             `json:"errors"`
	Segments int             `json:"segments"`
	Shards   []ShardProgress `json:"shards"`
}

// ShardProgress is how far a shard has come. What two workers have graded counts once at most.
type ShardProgress struct {
	Total  int `json:"total"`
	Done   int `json:"done"`
	Errors int `json:"errors"`
}

// Progress asks the destination how far the run is.
func (r *Run) Progress(ctx context.Context) (*Progress, error) {
	p := &Progress{Shards: make([]ShardProgress, len(r.Plan.Shards))}
	for s, err := range r.segments(ctx, -1) {
		if err != nil {
			return nil, err
		}
		if s.shard >= len(p.Shards) {
			continue
		}
		p.Segments++
		p.Shards[s.shard].Done += s.results
		p.Shards[s.shard].Errors += s.errors
	}
	for i := range p.Shards {
		s := &p.Shards[i]
		s.Total = r.Plan.Shards[i]
		s.Done = min(s.Done, s.Total)
		p.Total += s.Total
		p.Done += s.Done
		p.Errors += s.Errors
	}
	return p, nil
}

// Incomplete says that results are missing, so nothing was written.
type Incomplete struct {
	Missing int
	Total   int
	Shards  []MissingShard
}

// MissingShard is a shard that has no result for some of its submissions.
type MissingShard struct {
	Shard   int
	Missing int
	Total   int
	First   string   // the student whose result is the first that is missing
	Damaged []string // its segments that cannot be read
}

const maxNamed = 20

func (e *Incomplete) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d results are missing:", e.Missing, e.Total)
	for i, s := range e.Shards {
		if i == maxNamed {
			fmt.Fprintf(&b, "\n  and of %d more shards", len(e.Shards)-i)
			break
		}
		fmt.Fprintf(&b, "\n  shard %d: %d of %d, beginning with %q", s.Shard, s.Missing, s.Total, s.First)
		for _, name := range s.Damaged {
			fmt.Fprintf(&b, "; damaged: %s", name)
		}
	}
	return b.String()
}

// Collect writes the files of the run to cfg.Out, as a run on one machine does. What cfg has beside what the
// plan says (formats, say) must change no grade. Results that are missing are an *Incomplete, and nothing is
// written; with partial they are errors among the results. report receives how many segments have been read.
func (r *Run) Collect(ctx context.Context, cfg batch.Config, partial bool,
	report func(done, total int)) (*batch.Summary, error) {
	c := collection{run: r, have: map[entryName]bool{}, damaged: map[int][]string{}}
	for i := range r.Plan.Shards {
		c.firsts = append(c.firsts, len(c.entries))
		part, err := r.Entries(ctx, i)
		if err != nil {
			return nil, err
		}
		c.entries = append(c.entries, part...)
	}
	for s, err := range r.segments(ctx, -1) {
		if err != nil {
			return nil, err
		}
		if s.shard < len(r.Plan.Shards) {
			c.segments = append(c.segments, s)
		}
	}
	if !partial {
		// A look first: the output directory is not emptied for a run that goes on.
		if err := c.look(ctx); err != nil {
			return nil, err
		}
	}
	return batch.Merge(ctx, cfg, c.entries, func(put func(batch.Record) error) error {
		root, err := os.OpenRoot(cfg.Out)
		if err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
		defer root.Close()
		for i, s := range c.segments {
			if err := c.take(ctx, s, root, put); err != nil {
				return err
			}
			if report != nil {
				report(i+1, len(c.segments))
			}
		}
		gap := c.gap()
		if gap == nil || partial {
			return c.fill(put)
		}
		return gap
	})
}

// collection is the work of Collect.
type collection struct {
	run      *Run
	entries  []intake.Entry
	firsts   []int // the first entry of each shard
	segments []segment
	have     map[entryName]bool
	damaged  map[int][]string
}

func (c *collection) shard(i int) []intake.Entry {
	return c.entries[c.firsts[i] : c.firsts[i]+c.run.Plan.Shards[i]]
}

// look returns an *Incomplete if results are missing as far as the segments' names tell.
func (c *collection) look(ctx context.Context) error {
	p, err := c.run.Progress(ctx)
	if err != nil || p.Done == p.Total {
		return err
	}
	for i := range p.Shards {
		if p.Shards[i].Done == p.Shards[i].Total {
			for _, e := range c.shard(i) {
				c.have[entryName{e.ID, e.Attempt}] = true
			}
			continue
		}
		w, err := c.run.written(ctx, i)
		if err != nil {
			return err
		}
		c.damaged[i] = w.damaged
		maps.Copy(c.have, w.graded)
	}
	if gap := c.gap(); gap != nil {
		return gap
	}
	return nil
}

// gap says what is missing; nil: nothing.
func (c *collection) gap() *Incomplete {
	gap := &Incomplete{Total: len(c.entries)}
	for i := range c.run.Plan.Shards {
		s := MissingShard{Shard: i, Total: c.run.Plan.Shards[i], Damaged: c.damaged[i]}
		for _, e := range c.shard(i) {
			if c.have[entryName{e.ID, e.Attempt}] {
				continue
			}
			if s.Missing++; s.Missing == 1 {
				s.First = e.ID
			}
		}
		if s.Missing > 0 {
			gap.Shards = append(gap.Shards, s)
			gap.Missing += s.Missing
		}
	}
	if gap.Missing == 0 {
		return nil
	}
	return gap
}

// take puts the results and files of a segment into the output directory.
func (c *collection) take(ctx context.Context, s segment, root *os.Root, put func(batch.Record) error) error {
	var records []batch.Record
	err := readSegment(ctx, c.run.to, s.key, func(journal []byte) error {
		for rec, err := range batch.Records(bytes.NewReader(journal)) {
			if err != nil {
				return err
			}
			records = append(records, rec)
		}
		return nil
	}, func(name string, from io.Reader) error {
		if !studentFile(name) {
			return fmt.Errorf("%q is not the file of a student", name)
		}
		return writeFile(root, name, from)
	})
	var failed *storage.Error
	var disk *fs.PathError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &failed), errors.As(err, &disk):
		return err
	case err != nil:
		c.damaged[s.shard] = append(c.damaged[s.shard], err.Error())
		return nil
	}
	for _, rec := range records {
		c.have[entryName{rec.ID, rec.Attempt}] = true
		if err := put(rec); err != nil {
			return err
		}
	}
	return nil
}

// fill puts an error in the place of each result that is missing.
func (c *collection) fill(put func(batch.Record) error) error {
	for i := range c.run.Plan.Shards {
		for _, e := range c.shard(i) {
			if c.have[entryName{e.ID, e.Attempt}] {
				continue
			}
			if err := put(batch.Lost(&e, fmt.Sprintf("its result is missing: shard %d of the run %s is not complete",
				i, c.run.ID))); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeFile(root *os.Root, name string, from io.Reader) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
