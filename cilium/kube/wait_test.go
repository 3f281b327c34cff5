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
func seen(object string, looks ...Look) Check {
	i := 0
	return Check{object, func(context.Context) (Look, error) {
		look := looks[min(i, len(looks)-1)]
		i++
		return look, nil
	}}
}

func TestWait(t *testing.T) {
	t.Parallel()
	failing := Check{"Nodes", func(context.Context) (Look, error) { return Look{}, errors.New("connection refused") }}
	pulling := Look{Why: "container web: ErrImagePull: not found", Hopeless: true}
	for _, tc := range []struct {
		name   string
		wait   Waiting
		checks []Check
		want   string // in the error; empty: none
	}{
		{"nothing to wait for", Waiting{}, nil, ""},
		{"ready at once", Waiting{}, []Check{seen("A", Look{Ready: true})}, ""},
		{"ready in the end", Waiting{Timeout: 5 * time.Second}, []Check{seen("A", Look{Why: "starting"}, Look{Ready: true}), seen("B", Look{Ready: true}, Look{})}, ""},
		{"the timeout names all that is not ready, and why", Waiting{Timeout: time.Millisecond},
			[]Check{seen("A", Look{Why: "0 of 1 pods are available"}), seen("B", Look{Ready: true}), seen("C", Look{})},
			"not ready after 0s: A: 0 of 1 pods are available; C"},
		{"an error is a reason", Waiting{Timeout: time.Millisecond}, []Check{failing}, "Nodes: connection refused"},
		{"hopeless is given up before the timeout", Waiting{Timeout: time.Hour, Patience: time.Millisecond}, []Check{seen("A", pulling)}, "A: container web: ErrImagePull: not found"},
		{"what was hopeless once may get better", Waiting{Timeout: 5 * time.Second, Patience: 300 * time.Millisecond},
			[]Check{seen("A", pulling, Look{Why: "starting"}, pulling, Look{Why: "starting"}, Look{Ready: true})}, ""},
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
	err := Waiting{Timeout: time.Hour, Progress: func(string) { cancel(cause) }}.Wait(ctx, seen("A", Look{Why: "starting"}))
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
	err := Waiting{Timeout: time.Minute, Progress: func(line string) { lines = append(lines, line) }}.Wait(context.Background(),
		seen("A", Look{Why: "one"}, Look{Why: "one"}, Look{Why: "two"}, Look{Ready: true}))
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
