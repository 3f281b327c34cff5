package student

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// offlineTimeout is how long `labctl grade --offline` takes at most unless --timeout says otherwise; it takes
// milliseconds.
const offlineTimeout = time.Minute

// timeLimit is how long something may take, in the end.
type timeLimit struct {
	timeout time.Duration // 0: however long
	// leave says that nothing has to be put back in order: what does not notice that it is to end is left behind, and
	// ends with the process.
	leave bool
}

// within does something within a time limit, or until it is interrupted. What was not done in time is an infraError.
func within[T any](ctx context.Context, limit timeLimit, do func(context.Context) (T, error)) (T, error) {
	late := cli.InfraError{Err: fmt.Errorf("not finished after %s (--timeout)", limit.timeout)}
	if limit.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit.timeout, late)
		defer cancel()
	}
	if !limit.leave {
		is, err := do(ctx)
		if err != nil && errors.Is(context.Cause(ctx), error(late)) {
			err = late
		}
		return is, err
	}
	type result struct {
		is  T
		err error
	}
	done := make(chan result, 1)
	panicked := make(chan any, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				panicked <- p
			}
		}()
		is, err := do(ctx)
		done <- result{is, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && ctx.Err() != nil {
			r.err = context.Cause(ctx)
		}
		return r.is, r.err
	case p := <-panicked:
		panic(p)
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
