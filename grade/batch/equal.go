package batch

import (
	"context"
	"sync"
)

// duplicates lets equal submissions be graded once: the first that comes grades, the others wait for its
// record. It keeps some forty bytes for each distinct content, and no results.
type duplicates struct {
	mu      sync.Mutex
	graded  map[key]int32 // the entry whose result is in the journal
	grading map[key]chan struct{}
}

func newDuplicates() *duplicates {
	return &duplicates{graded: map[key]int32{}, grading: map[key]chan struct{}{}}
}

// startOrWait returns the entry that has the result for a content, after waiting for it if need be. If it returns
// false, the caller grades the content, and then calls finish or abandon.
func (e *duplicates) startOrWait(ctx context.Context, content key) (int, bool, error) {
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

// abandon says that the result of an entry says nothing of the content: the next one grades it.
func (e *duplicates) abandon(content key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if busy := e.grading[content]; busy != nil {
		delete(e.grading, content)
		close(busy)
	}
}

// finish says that the result for a content is in the journal.
func (e *duplicates) finish(content key, entry int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if busy := e.grading[content]; busy != nil {
		e.graded[content] = int32(entry)
		delete(e.grading, content)
		close(busy)
	}
}
