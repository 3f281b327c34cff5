package kube

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// Check is something to wait for.
type Check struct {
	Object string // "Deployment kube-system/hubble-relay"
	// Observe reports its state now. An error counts as not ready.
	Observe func(ctx context.Context) (Status, error)
}

// Status is what a Check observed.
type Status struct {
	Ready bool
	Why   string // why it is not ready: the last event, a container's error
	// Terminal says that waiting does not help, as in a crash loop.
	Terminal bool
	// Explain finds the reason with further requests; nil: there is none to find.
	Explain func(ctx context.Context) (Status, error)
}

// explain is the status with everything that Explain finds out.
func (l Status) explain(ctx context.Context) Status {
	if l.Explain == nil {
		return l
	}
	more, err := l.Explain(ctx)
	if err != nil {
		return Status{Why: err.Error()}
	}
	return more
}

// Explain observes the object once, and says why the object is not ready.
func (c Check) Explain(ctx context.Context) Status {
	look, err := c.Observe(ctx)
	if err != nil {
		return Status{Why: err.Error()}
	}
	return look.explain(ctx)
}

// Waiter is how to wait.
type Waiter struct {
	Timeout time.Duration
	// TerminalGrace is how long a check may be terminal before Wait gives up; default 45 s. It is not zero, because
	// images may be loading and a container may crash only once.
	TerminalGrace time.Duration
	// Progress gets a line whenever the reason for waiting changes.
	Progress func(string)
}

// NotReadyError lists what did not become ready.
type NotReadyError struct {
	After   time.Duration
	Pending []Pending
}

// Pending is a Check that did not become ready, and why.
type Pending struct{ Object, Why string }

func (u Pending) String() string {
	if u.Why == "" {
		return u.Object
	}
	return u.Object + ": " + u.Why
}

func (e *NotReadyError) Error() string {
	lines := make([]string, len(e.Pending))
	for i, u := range e.Pending {
		lines[i] = u.String()
	}
	return fmt.Sprintf("not ready after %s: %s", e.After.Round(time.Second), strings.Join(lines, "; "))
}

const (
	interval             = 200 * time.Millisecond // between observations
	explainEvery         = time.Second            // while nodes start pods, they need the API server for other things
	defaultTerminalGrace = 45 * time.Second
	// A request that gets no answer ends after observeTimeout, or with the wait, but not before minObserveTimeout.
	observeTimeout    = 15 * time.Second
	minObserveTimeout = 2 * time.Second
)

// waited is a check that is waited for.
type waited struct {
	Check
	ready         bool
	terminalSince time.Time
	explained     Status
	explainedAt   time.Time
}

// observe reports the state of the check, unless it has been ready.
func (c *waited) observe(ctx context.Context, timeout time.Duration) Status {
	if c.ready {
		return Status{Ready: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout.Round(time.Second)))
	defer cancel()
	look, err := c.Observe(ctx)
	if err == nil && look.Explain != nil && !look.Ready {
		if time.Since(c.explainedAt) > explainEvery {
			c.explained, c.explainedAt = look.explain(ctx), time.Now()
		}
		look = c.explained
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		look = Status{Why: err.Error()}
	}
	c.ready = look.Ready
	switch {
	case !look.Terminal:
		c.terminalSince = time.Time{}
	case c.terminalSince.IsZero():
		c.terminalSince = time.Now()
	}
	return look
}

// Wait waits until each check has been ready once. Otherwise it returns a *NotReadyError, or the context's error.
func (w Waiter) Wait(ctx context.Context, checks ...Check) error {
	start := time.Now()
	patience := cmp.Or(w.TerminalGrace, defaultTerminalGrace)
	list := make([]*waited, len(checks))
	for i, c := range checks {
		list[i] = &waited{Check: c}
	}
	var shown string
	for {
		var unmet []Pending
		giveUp := false
		for _, c := range list {
			look := c.observe(ctx, min(observeTimeout, max(minObserveTimeout, w.Timeout-time.Since(start))))
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if look.Ready {
				continue
			}
			unmet = append(unmet, Pending{c.Object, look.Why})
			giveUp = giveUp || !c.terminalSince.IsZero() && time.Since(c.terminalSince) > patience
		}
		if len(unmet) == 0 {
			return nil
		}
		if giveUp || time.Since(start) > w.Timeout {
			return &NotReadyError{time.Since(start), unmet}
		}
		if line := unmet[0].String(); w.Progress != nil && line != shown {
			shown = line
			w.Progress(line)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}
