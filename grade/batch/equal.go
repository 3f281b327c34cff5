package batch

import (
	"context"
	"sync"
)

// equals lets equal submissions be graded once: the first that comes grades, the others wait for its record. It keeps some
// forty bytes for each distinct content, and no results.
type equals struct {
	mu      sync.Mutex
	graded  map[key]int32 // the entry whose result is in the journal
	grading map[key]chan struct{}
}

func newEquals() *equals { return &equals{graded: map[key]int32{}, grading: map[key]chan struct{}{}} }

// claim returns the entry that has the result for a content, after waiting for it if need be; or false: it is for the caller
// to grade, and then to call settle.
func (e *equals) claim(ctx context.Context, content key) (int, bool, error) {
	for {
		e.mu.Lock()
		entry, ok := e.graded[content]
		if ok {
			e.mu.Unlock()
			return int(entry), true, nil
		}
		busy := e.grading[content]
		if busy == nil {
			e.grading[content] = make(chan struct{})
			e.mu.Unlock()
			return 0, false, nil
		}
		e.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return 0, false, context.Cause(ctx)
		}
	}
}

// settle says that the result for a content is in the journal.
func (e *equals) settle(content key, entry int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if busy := e.grading[content]; busy != nil {
		e.graded[content] = int32(entry)
		delete(e.grading, content)
		close(busy)
	}
}
