package cli

import (
	"context"
	"io"
)

// interruptible makes Ctrl-C end a wait for input, which a read by itself sits out.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (in *interruptible) Read(p []byte) (int, error) {
	type result struct {
		data []byte
		err  error
	}
	// The read gets memory of its own, because it goes on after an interruption.
	done := make(chan result, 1)
	go func() {
		data := make([]byte, len(p))
		n, err := in.r.Read(data)
		done <- result{data[:n], err}
	}()
	select {
	case <-in.ctx.Done():
		return 0, in.ctx.Err()
	case res := <-done:
		return copy(p, res.data), res.err
	}
}
