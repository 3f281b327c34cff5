package kube

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen is a check that sees the looks in turn, the last one from then on.
func seen(object string, looks ...Status) Check {
	i := 0
	return Check{object, func(context.Context) (Status, error) {
		look := looks[min(i, len(looks)-1)]
		i++
		return look, nil
	}}
}

func TestWait(t *testing.T) {
	t.Parallel()
	failing := Check{"Nodes", func(context.Context) (Status, error) { return Status{}, errors.New("connection refused") }}
	pulling := Status{Why: "container web: ErrImagePull: not found", Terminal: true}
	for _, tc := range []struct {
		name   string
		wait   Waiter
		checks []Check
		want   string // in the error; empty: none
	}{
		{"nothing to wait for", Waiter{}, nil, ""},
		{"ready at once", Waiter{}, []Check{seen("A", Status{Ready: true})}, ""},
		{"ready in the end", Waiter{Timeout: 5 * time.Second}, []Check{seen("A", Status{Why: "starting"}, Status{Ready: true}), seen("B", Status{Ready: true}, Status{})}, ""},
		{"the timeout names all that is not ready, and why", Waiter{Timeout: time.Millisecond},
			[]Check{seen("A", Status{Why: "0 of 1 pods are available"}), seen("B", Status{Ready: true}), seen("C", Status{})},
			"not ready after 0s: A: 0 of 1 pods are available; C"},
		{"an error is a reason", Waiter{Timeout: time.Millisecond}, []Check{failing}, "Nodes: connection refused"},
		{"hopeless is given up before the timeout", Waiter{Timeout: time.Hour, TerminalGrace: time.Millisecond}, []Check{seen("A", pulling)}, "A: container web: ErrImagePull: not found"},
		{"what was hopeless once may get better", Waiter{Timeout: 5 * time.Second, TerminalGrace: 300 * time.Millisecond},
			[]Check{seen("A", pulling, Status{Why: "starting"}, pulling, Status{Why: "starting"}, Status{Ready: true})}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := tc.wait.Wait(context.Background(), tc.checks...)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var notReady *NotReadyError
			if !errors.As(err, &notReady) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v; want one with %q", err, tc.want)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the user pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(context.Background())
	start := time.Now()
	err := Waiter{Timeout: time.Hour, Progress: func(string) { cancel(cause) }}.Wait(ctx, seen("A", Status{Why: "starting"}))
	if !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestWaitProgress: people see each change once.
func TestWaitProgress(t *testing.T) {
	t.Parallel()
	var lines []string
	err := Waiter{Timeout: time.Minute, Progress: func(line string) { lines = append(lines, line) }}.Wait(context.Background(),
		seen("A", Status{Why: "one"}, Status{Why: "one"}, Status{Why: "two"}, Status{Ready: true}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"A: one", "A: two"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"one":                          "one",
		"one\ntwo\n\n":                 "two",
		strings.Repeat("é", 250):       strings.Repeat("é", 240) + "…",
		"first\r\nlast  \n":            "last",
		"a\n" + strings.Repeat("x", 3): "xxx",
	} {
		if got := lastLine(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
