package batch

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/similarity"
)

func TestSimilarityFiles(t *testing.T) {
	t.Parallel()
	c := similarity.NewComparison(&similarity.Known{})
	for i := range 32 {
		res := &Result{ID: fmt.Sprintf("s%02d", i), Score: &grade.Score{}, Digest: fmt.Sprint(i)}
		answer := "right"
		if i < 2 {
			res.ID, answer = []string{"=1+1", "b,\"x"}[i], "odd"
		}
		for _, task := range []string{"task-1", "task-2", "task-3"} {
			res.Tasks = append(res.Tasks, TaskResult{Name: task, Max: 1})
			res.Answers = append(res.Answers, similarity.Answer{Task: task, Digest: answer})
		}
		compare(c, res)
	}
	compare(c, &Result{ID: "refused"})
	files := map[string]*bytes.Buffer{}
	err := writeSimilarity(c.Report(grade.LabReport{}), func(name string, write func(io.Writer) error) error {
		files[name] = &bytes.Buffer{}
		return write(files[name])
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(files[similarityCSV]).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][1] != "'=1+1" || rows[1][2] != "b,\"x" {
		t.Errorf("%v: %q", err, rows)
	}
	if !strings.Contains(files[similarityJSON].String(), "not a verdict") {
		t.Error("it reads like a verdict")
	}
}
