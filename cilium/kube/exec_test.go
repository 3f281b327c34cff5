package kube

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// TestBounded: a command that prints without end is ended, and what it printed is kept up to the bound.
func TestBounded(t *testing.T) {
	t.Parallel()
	full := 0
	b := &bounded{left: 10, full: func() { full++ }}
	for _, tc := range []struct {
		text string
		err  error
		kept string
	}{
		{"0123", nil, "0123"}, {"456789", nil, "0123456789"}, {"", nil, "0123456789"}, {"a", io.ErrShortBuffer, "0123456789"},
		{strings.Repeat("x", 1<<20), io.ErrShortBuffer, "0123456789"},
	} {
		if _, err := b.Write([]byte(tc.text)); !errors.Is(err, tc.err) {
			t.Errorf("writing %.10q: %v", tc.text, err)
		}
		if b.String() != tc.kept {
			t.Errorf("after %.10q it keeps %q", tc.text, b.String())
		}
	}
	if full != 2 {
		t.Errorf("it was told %d times that it is full", full)
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`OCI runtime exec failed: exec failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown`: true,
		`exec failed: unable to start container process: exec: "dig": executable file not found in $PATH`:                                            true,
		`container not found ("web")`:                          false,
		`dial tcp 10.0.0.1:10250: connect: connection refused`: false,
	} {
		if got := noProgram(errors.New(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
