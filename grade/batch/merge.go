package batch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
)

// JournalFile is the name of the journal in an output directory.
const JournalFile = journalFile

// Key names what the results of a run depend on besides the submissions: those of another key do not count.
func (c *Config) Key() string {
	text, _ := c.key().MarshalText() // it has no error
	return string(text)
}

// Record is the result of one entry as a journal holds it.
type Record struct {
	ID      string
	Attempt int
	Errored bool

	rec record
}

// Records reads the results of a journal, or of a part that was cut from one between two lines. A line that is damaged
// ends it with an error.
func Records(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := bufio.NewReaderSize(r, 1<<20)
		for n := 1; ; n++ {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Record{}, fmt.Errorf("read the journal: %w", err))
				return
			}
			var rec record
			data, ok := unframe(line)
			if !ok || json.Unmarshal(data, &rec) != nil {
				yield(Record{}, fmt.Errorf("read the journal: line %d is damaged", n))
				return
			}
			if rec.Result.ID == "" { // the header
				continue
			}
			if !yield(Record{rec.Result.ID, rec.Result.Attempt, rec.Result.Status == grade.Errored, rec}, nil) {
				return
			}
		}
	}
}

// Lost is the record of an entry whose result could not be had, for a reason that is not the student's.
func Lost(e *intake.Entry, reason string) Record {
	res := failure(reason)
	res.ID, res.Name, res.Email, res.Attempt, res.Platform = e.ID, e.Name, e.Email, e.Attempt, e.Platform
	return Record{e.ID, e.Attempt, true, record{Result: res}}
}

// Merge writes the files of a run from records that were made elsewhere, as Run does when it has graded all
// entries here. add hands the records over, and has to put the files of the students into the output
// directory before it returns. Of several records of an entry the last one counts, and one in error only if
// there is no other. An entry without any is an error.
func Merge(ctx context.Context, cfg Config, entries []intake.Entry,
	add func(put func(Record) error) error) (_ *Summary, err error) {
	j, _, err := openJournal(cfg.Out, cfg.key(), entries)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if err := j.reset(cfg.Out, cfg.key()); err != nil {
		return nil, err
	}
	err = add(func(rec Record) error {
		entry, ok := j.find(rec.ID, rec.Attempt)
		if !ok || rec.Errored && j.places[entry].length > 0 && !j.places[entry].failed {
			return nil
		}
		return j.add(entry, rec.rec)
	})
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if j.places[i].length == 0 {
			return nil, fmt.Errorf("merge the results: %q has no result", entries[i].ID)
		}
	}
	r := newRun(cfg, entries, j)
	r.progress.Done = len(entries)
	return r.outputs(ctx)
}
