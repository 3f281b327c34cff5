package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/engine"
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
		{"lab in error", cli.LabError{Diags: &labs.Diagnostics{}}, exitUsage},
		{"manifests of the lab", fmt.Errorf("setup: %w", problems), exitUsage},
		{"infrastructure", fmt.Errorf("watch: %w", cli.InfraError{Err: errors.New("too many files")}), exitInfra},
		{"refused", fmt.Errorf("grade: %w", &engine.Refused{Problems: problems}), exitRefused},
		{"below the pass mark", cli.Reported{Err: cli.ErrBelowMark}, exitBelowMark},
		{"infrastructure, reported", cli.Reported{Err: cli.InfraError{Err: errors.New("not ready")}}, exitInfra},
		{"a worker that fails for good", cli.FinalError{Err: errors.New("no permission")}, exitFinal},
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
