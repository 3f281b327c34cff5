package batch_test

import (
	"bytes"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

// What a grader remembers changes no report by a byte, whatever came before.
func TestRememberingChangesNothing(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	lab := cfg.Grader.Lab()
	again := cfg.Grader.Remembering(cfg.Engine)
	report := func(g *grade.Grader, path string) []byte {
		sub, err := g.ReadSubmissionFS(lab.FS, path, manifest.Limits{})
		if err != nil {
			return []byte(err.Error())
		}
		rep, err := g.Grade(t.Context(), sub, cfg.Engine, grade.Options{})
		if err != nil {
			return []byte(err.Error())
		}
		data, err := rep.JSON()
		if err != nil {
			t.Error(err)
		}
		return data
	}
	for range 2 { // the second time everything that is met is remembered
		for i := range lab.Samples {
			path := lab.Samples[i].Path
			if want, got := report(cfg.Grader, path), report(again, path); !bytes.Equal(got, want) {
				t.Errorf("%s is graded otherwise", path)
			}
		}
	}
}

// An engine that is asked for one submission is asked for an equal one only where something missed.
func TestRememberingSpares(t *testing.T) {
	cfg := gradetest.Config(t, gradetest.Tutorial)
	again := cfg.Grader.Remembering(cfg.Engine)
	solution, err := again.ReadSubmissionFS(again.Lab().FS, "samples/solution", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	grading := func(g *grade.Grader) float64 {
		return testing.AllocsPerRun(3, func() {
			if _, err := g.Grade(t.Context(), solution, cfg.Engine, grade.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	if anew, remembered := grading(cfg.Grader), grading(again); remembered > anew/2 {
		t.Errorf("%.0f allocations with what is remembered, %.0f without", remembered, anew)
	}
}
