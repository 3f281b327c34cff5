package batch_test

import (
	"encoding/json"
	"testing"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/gradetest"
)

// A submission that is graded by itself has the result that it has in a class, whatever became of it.
func TestGradeOne(t *testing.T) {
	t.Parallel()
	class := smallClass(t, 30)
	cfg := gradetest.Config(t, smallLab)
	gradetest.Run(t, cfg, class)
	want := map[string]batch.Result{}
	for _, r := range gradetest.Results(t, cfg.Out) {
		want[r.ID] = r
	}
	found, err := intake.Find(class)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	statuses := map[string]bool{}
	for i := range found.Entries {
		got, rep, err := batch.GradeOne(t.Context(), cfg, &found.Entries[i])
		if err != nil {
			t.Fatal(err)
		}
		in := want[got.ID]
		if (rep != nil) != (in.Report != "") {
			t.Errorf("%s: there is a report: %v", got.ID, rep != nil)
		}
		in.Report = ""
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(in)
		if string(a) != string(b) {
			t.Errorf("%s alone:\n%s\nin a class:\n%s", got.ID, a, b)
		}
		statuses[string(got.Status)] = true
	}
	if len(statuses) != 4 {
		t.Errorf("only %v were compared", statuses)
	}
}
