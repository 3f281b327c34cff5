package offline_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/labs"
)

// TestShippedLabs holds every lab that ships to what its author says of it.
func TestShippedLabs(t *testing.T) {
	t.Parallel()
	for _, name := range labs.Shipped() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := gradetest.Open(t, name)
			r, err := labtest.Test(t.Context(), lab.Lab, lab.Engine)
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
			diags, err := labtest.Lint(t.Context(), lab.Lab, lab.Engine)
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
	lab := gradetest.Open(b, gradetest.Tutorial)
	dir := solution(b, lab.Lab)
	b.ReportAllocs()
	for b.Loop() {
		sub, err := lab.Grader.Rules.ReadFS(lab.FS, dir, manifest.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := lab.Grader.Grade(b.Context(), sub, lab.Engine, grade.Options{})
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
