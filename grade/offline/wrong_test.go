package offline_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

// BenchmarkGradeWrong grades the tutorial's samples that miss something, whose mistakes have to be found: nothing is remembered.
func BenchmarkGradeWrong(b *testing.B) {
	lab := gradetest.Open(b, gradetest.Tutorial)
	for _, s := range lab.Samples {
		if s.Solution || s.Score != nil && *s.Score == 100 {
			continue
		}
		b.Run(s.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sub, err := lab.Grader.Rules.ReadFS(lab.FS, s.Path, manifest.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := lab.Grader.Grade(b.Context(), sub, lab.Engine, grade.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
