package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

func TestCodeOf(t *testing.T) {
	t.Parallel()
	problems := manifest.Problems{{File: "a.yaml", Message: "wrong"}}
	for _, tc := range []struct {
		name string
		err  error
		want int
	}{
		{"wrong use", errors.New("unknown flag"), exitUsage},
		{"lab in error", labError{&labs.Diagnostics{}}, exitUsage},
		{"manifests of the lab", fmt.Errorf("setup: %w", problems), exitUsage},
		{"infrastructure", fmt.Errorf("watch: %w", infraError{errors.New("too many files")}), exitInfra},
		{"refused", fmt.Errorf("grade: %w", &grade.Refused{Problems: problems}), exitRefused},
		{"interrupted", fmt.Errorf("judge: %w", context.Canceled), exitInterrupted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := codeOf(tc.err); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestGoStyleFlags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want []string }{
		{[]string{"fmt", "-check", "-diff", "x"}, []string{"fmt", "--check", "--diff", "x"}},
		{[]string{"-v", "fmt", "--", "-check"}, []string{"-v", "fmt", "--", "-check"}},
		{[]string{"grade", "-check"}, []string{"grade", "-check"}},
	} {
		if got := goStyleFlags(tc.in); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
}
