package kube

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Check is something to wait for.
type Check struct {
	Object string // "Deployment kube-system/hubble-relay"
	// Look says how it is now. An error counts as not ready, for its own reason.
	Look func(ctx context.Context) (Look, error)
}

// Look is what a Check saw.
type Look struct {
	Ready bool
	Why   string // it is not ready: the last event, a container's error
	// Hopeless: what Why says does not go away by waiting, such as a crash loop.
	Hopeless bool
	// Explain finds out more, at the cost of further requests; nil: there is no more.
	Explain func(ctx context.Context) (Look, error)
}

// explain is the look with all that can be found out.
func (l Look) explain(ctx context.Context) Look {
	if l.Explain == nil {
		return l
	}
	more, err := l.Explain(ctx)
	if err != nil {
		return Look{Why: err.Error()}
	}
	return more
}

// See looks at a check once, and finds out why it is not ready.
func (c Check) See(ctx context.Context) Look {
	look, err := c.Look(ctx)
	if err != nil {
		return Look{Why: err.Error()}
	}
	return look.explain(ctx)
}

// Waiting says how to wait.
type Waiting struct {
	Timeout time.Duration
	// Patience is how long a check may look hopeless before the wait is given up; default 45 s. It is not
	// zero, because images may be on their way and a first crash may be the last.
	Patience time.Duration
	// Progress gets a line whenever what is waited for changes.
	Progress func(string)
}

// NotReadyError says what was waited for in vain.
type NotReadyError struct {
	After time.Duration
	Unmet []Unmet
}

// Unmet is a Check that did not become ready, and why.
type Unmet struct{ Object, Why string }

func (u Unmet) String() string {
	if u.Why == "" {
		return u.Object
	}
	return u.Object + ": " + u.Why
}

func (e *NotReadyError) Error() string {
	lines := make([]string, len(e.Unmet))
	for i, u := range e.Unmet {
		lines[i] = u.String()
	}
	return fmt.Sprintf("not ready after %s: %s", e.After.Round(time.Second), strings.Join(lines, "; "))
}

const (
	interval        = 200 * time.Millisecond // between looks
	explainEvery    = time.Second            // while nodes start pods, they need the API server for other things
	defaultPatience = 45 * time.Second
)

// Wait waits until all checks are ready at the same time or were so once, in turn; else it returns a
// *NotReadyError, or the context's error.
func (w Waiting) Wait(ctx context.Context, checks ...Check) error {
	start := time.Now()
	patience := w.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	hopeless := make([]time.Time, len(checks))
	explained := make([]struct {
		Look
		at time.Time
	}, len(checks))
	ready := make([]bool, len(checks))
	var shown string
	for {
		var unmet []Unmet
		giveUp := false
		for i, c := range checks {
			if ready[i] {
				continue
			}
			look, err := c.Look(ctx)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				look = Look{Why: err.Error()}
			}
			if ready[i] = look.Ready; look.Ready {
				continue
			}
			if look.Explain != nil {
				if last := &explained[i]; time.Since(last.at) > explainEvery {
					last.Look, last.at = look.explain(ctx), time.Now()
				}
				look = explained[i].Look
			}
			unmet = append(unmet, Unmet{c.Object, look.Why})
			switch {
			case !look.Hopeless:
				hopeless[i] = time.Time{}
			case hopeless[i].IsZero():
				hopeless[i] = time.Now()
			case time.Since(hopeless[i]) > patience:
				giveUp = true
			}
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
