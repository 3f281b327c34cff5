package batch_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/batch/classroom"
	"github.com/labctl/labctl/labs"
)

// A class that is made up is the same every time, and has what real ones have.
func TestClassroom(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	made := func(seed uint64) string {
		dir := t.TempDir()
		c := classroom.Class{Grader: cfg.Grader, Students: 120, Seed: seed, Due: time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)}
		if err := c.Write(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first, other := made(1), contents(t, made(2))
	files := contents(t, first)
	same(t, contents(t, made(1)), files)
	equal := true
	for name, data := range files {
		equal = equal && other[name] == data
	}
	if equal {
		t.Error("another seed makes the same class")
	}
	cfg.Late = labs.Late{Penalty: 10, Per: 24 * time.Hour, Max: 100}
	sum := run(t, cfg, filepath.Join(first, classroom.ListFile))
	if sum.Passed < 20 || sum.Failed < 10 || sum.Refused < 1 || sum.Late < 1 || sum.Errors > 0 || sum.Distinct >= sum.Submissions-sum.Refused {
		t.Errorf("it has %d passed, %d failed, %d refused, %d late, %d errors, %d distinct", sum.Passed, sum.Failed, sum.Refused, sum.Late, sum.Errors, sum.Distinct)
	}
}
