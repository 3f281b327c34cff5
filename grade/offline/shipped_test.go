package offline_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// shipped opens the lab that ships, with an engine for it.
func shipped(tb testing.TB, name string) (*labs.Lab, *offline.Engine) {
	tb.Helper()
	fsys, dir, err := labs.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	lab, diags := labs.Load(fsys, dir, labs.LoadOptions{})
	if lab == nil {
		tb.Fatal(diags.Err())
	}
	eng, err := offline.New(lab, policy.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return lab, eng
}

// TestShippedLabs holds every lab that ships to what its author says of it.
func TestShippedLabs(t *testing.T) {
	t.Parallel()
	for _, name := range labs.Shipped() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab, eng := shipped(t, name)
			r, err := grade.TestLab(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Starter.Passed {
				t.Errorf("starter: %v percent, %s", r.Starter.Got, r.Starter.Error)
			}
			for _, s := range r.Samples {
				if !s.Passed {
					t.Errorf("sample %s: want %v percent, got %v %s", s.Name, s.Want, s.Got, s.Error)
				}
			}
			m := r.Mutation
			t.Logf("%d mutants: %d killed, %d equivalent, %d invalid", m.Mutants, m.Killed, m.Equivalent, m.Invalid)
			if m.Skipped != "" {
				t.Error(m.Skipped)
			}
			for _, s := range m.Survivors {
				t.Errorf("survives: %s (%s:%d): at %s, %s to %s is %s instead of %s", s.Message, s.File, s.Line, s.Flow.Task, s.Flow.From, s.Flow.To, s.Flow.After, s.Flow.Before)
			}
			diags, err := grade.Lint(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diags {
				t.Errorf("lint: %s", d)
			}
		})
	}
}

// BenchmarkGradeTutorial grades the tutorial's solution: read, parse, replay and judge all its checkpoints.
func BenchmarkGradeTutorial(b *testing.B) {
	lab, eng := shipped(b, "networkpolicy")
	g, err := grade.NewGrader(lab)
	if err != nil {
		b.Fatal(err)
	}
	dir := solution(b, lab)
	b.ReportAllocs()
	for b.Loop() {
		sub, err := g.ReadSubmissionFS(lab.FS, dir, manifest.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := g.Grade(b.Context(), sub, eng, grade.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if len(r.Tasks) == 0 {
			b.Fatal(r.Score)
		}
	}
}

func solution(tb testing.TB, lab *labs.Lab) string {
	for _, s := range lab.Samples {
		if s.Solution {
			return s.Path
		}
	}
	tb.Fatal("the lab has no solution")
	return ""
}
