package gradetest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
)

// A class that is made up is the same every time, and has what real ones have.
func TestClassroom(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	made := func(seed uint64) string {
		dir := t.TempDir()
		c := gradetest.Class{Grader: cfg.Grader, Students: 120, Seed: seed, Due: time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)}
		if err := c.Write(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first, other := made(1), gradetest.Files(t, made(2))
	files := gradetest.Files(t, first)
	gradetest.Same(t, gradetest.Files(t, made(1)), files)
	equal := true
	for name, data := range files {
		equal = equal && other[name] == data
	}
	if equal {
		t.Error("another seed makes the same class")
	}
	cfg.Late = labs.Late{Penalty: 10, Per: 24 * time.Hour, Max: 100}
	sum := gradetest.Run(t, cfg, filepath.Join(first, gradetest.ListFile))
	if sum.Passed < 20 || sum.Failed < 10 || sum.Refused < 1 || sum.Late < 1 || sum.Errors > 0 || sum.Distinct >= sum.Submissions-sum.Refused {
		t.Errorf("it has %d passed, %d failed, %d refused, %d late, %d errors, %d distinct", sum.Passed, sum.Failed, sum.Refused, sum.Late, sum.Errors, sum.Distinct)
	}
}
