package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/internal/wording"
)

// A worker that dies takes its journal with it, so what it was grading has to be known at the destination. An
// object for each submission would cost more than grading it. So every worker leaves one object that says
// whether it ended in order; where one of a shard did not, its successors grade one submission at a time and
// put the name of each into that object first. A submission that a worker died of is graded last by the next
// one, and one that workers died of again is an error of its own: a worker that the kernel kills for memory
// again and again ends, and costs nobody else a grade. After the first such error each other submission that
// a worker died of alone is one too, so N of them take at most N+2 workers and not 2N+1.

// workerRecord is what a worker writes about itself.
type workerRecord struct {
	// Alone is what the worker is grading, with nothing else under way; null: it grades many at a time, or nothing yet.
	Alone *attemptName `json:"alone,omitempty"`
	Ended bool         `json:"ended,omitempty"` // in order
	batch.OOMState
}

type attemptName struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt,omitempty"`
}

const (
	recordsDir   = "lives"
	recordSuffix = ".json"
	// deathLimit is how many workers may die of a submission that was alone. One is enough where the kernel
	// killed for memory: an earlier worker had died already. Without that it may have been whoever stopped
	// the node.
	deathLimit = 2
)

// earlierWorkers is what the earlier workers of a shard wrote.
type earlierWorkers struct {
	died     int                // how many did not end in order
	deaths   map[entryName]int  // that each submission was alone in
	ofMemory map[entryName]bool // one of them while the kernel killed for memory
}

// proven says whether workers certainly died of a submission, and not of whoever stopped the node.
func (p *earlierWorkers) proven(a entryName) bool {
	return p.deaths[a] >= deathLimit || p.ofMemory[a] && p.died > 1
}

// givenUp says whether a submission is not tried again. Where one of a shard is proven to kill workers,
// another one does not need the same proof: its shard would have no retries left for it.
func (p *earlierWorkers) givenUp(a entryName) bool {
	if p.deaths[a] == 0 {
		return false
	}
	for other := range p.deaths {
		if p.proven(other) {
			return true
		}
	}
	return false
}

// recordKey is the object of a worker.
func (r *Run) recordKey(shard int, writer string) string {
	return r.key(recordsDir, fmt.Sprintf("%06d", shard), writer+recordSuffix)
}

// past reads what the earlier workers of a shard wrote.
func (r *Run) past(ctx context.Context, shard int, now batch.OOMState) (*earlierWorkers, error) {
	p := &earlierWorkers{deaths: map[entryName]int{}, ofMemory: map[entryName]bool{}}
	for o, err := range r.to.List(ctx, path.Dir(r.recordKey(shard, ""))+"/", true) {
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(o.Key, recordSuffix) {
			continue // what a writer on a shared volume had not finished
		}
		data, err := r.to.Read(ctx, o.Key, 1<<16)
		if err != nil {
			return nil, err
		}
		var l workerRecord
		if json.Unmarshal(data, &l) != nil || l.Ended { // a torn one says nothing
			continue
		}
		p.died++
		if l.Alone != nil {
			a := entryName{l.Alone.ID, l.Alone.Attempt}
			p.deaths[a]++
			p.ofMemory[a] = p.ofMemory[a] || l.OutOfMemory(now)
		}
	}
	return p, nil
}

// recorder is the object of a worker.
type recorder struct {
	run *Run
	key string
	now batch.OOMState
}

func (d *recorder) write(ctx context.Context, l workerRecord) error {
	l.OOMState = d.now
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("record what is being graded: %w", err)
	}
	return d.run.to.Write(ctx, d.key, data)
}

// before notes what is about to be graded.
func (d *recorder) before(ctx context.Context, e *intake.Entry, alone bool) error {
	l := workerRecord{}
	if alone {
		l.Alone = &attemptName{e.ID, e.Attempt}
	}
	return d.write(ctx, l)
}

// split takes apart what is left of a shard: what workers died of comes last, or is an error.
func (p *earlierWorkers) split(left []intake.Entry) (first, last []intake.Entry) {
	for _, e := range left {
		a := entryName{e.ID, e.Attempt}
		switch {
		case p.givenUp(a):
			e.Problem = fmt.Sprintf("%s while grading this submission alone. It is not tried again in this run. "+
				"To try it once more, grade it with labctl batch on a machine with more memory, or submit it to "+
				"another --out", wording.Count(p.deaths[a], "worker")+" died")
			first = append(first, e)
		case p.deaths[a] > 0:
			last = append(last, e)
		default:
			first = append(first, e)
		}
	}
	return first, last
}
