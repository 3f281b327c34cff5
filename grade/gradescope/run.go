package gradescope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/report"
)

// student is the ID of the only one in the batch.
const student = "submission"

// NotGraded says why there is no results.json: Gradescope then gives no score.
type NotGraded struct{ Reason string }

func (e *NotGraded) Error() string { return "the submission could not be graded: " + e.Reason }

// Run grades dir/submission in Gradescope's folder and writes dir/results/results.json, which is there only if it has a
// score. cfg is a batch's, without Out and Formats. out gets what instructors should know.
func Run(ctx context.Context, dir string, cfg batch.Config, out io.Writer) (err error) {
	meta, err := ReadMetadata(filepath.Join(dir, "submission_metadata.json"))
	if err != nil {
		return err
	}
	entry := batch.Entry{ID: student, Path: filepath.Join(dir, "submission")}
	if meta != nil {
		entry.Name, entry.SubmittedAt, entry.DueAt = meta.names(), meta.CreatedAt, meta.due()
		if points, err := strconv.ParseFloat(fmt.Sprint(meta.Assignment.TotalPoints), 64); err == nil && points != cfg.Grader.MaxPoints(cfg.Options) {
			fmt.Fprintf(out, "note: the assignment is worth %s points, the lab %s: scores are the lab's points\n",
				report.Decimal(points), report.Decimal(cfg.Grader.MaxPoints(cfg.Options)))
		}
	}
	format, err := report.FindFormat("gradescope")
	if err != nil {
		return err
	}
	if cfg.Out, err = os.MkdirTemp("", "labctl-gradescope-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Out)) }()
	cfg.Formats = []*report.Format{format}
	sum, err := batch.Run(ctx, cfg, []batch.Entry{entry})
	if err != nil {
		return err
	}
	for _, f := range sum.Failures {
		return &NotGraded{f.Message}
	}
	data, err := os.ReadFile(filepath.Join(cfg.Out, "students", student, format.File))
	if err != nil {
		return err
	}
	var scored struct {
		Score *float64 `json:"score"`
	}
	if err := json.Unmarshal(data, &scored); err != nil || scored.Score == nil {
		return &NotGraded{"there is no score in " + format.File}
	}
	fmt.Fprintf(out, "%s points of %s\n", report.Decimal(*scored.Score), report.Decimal(cfg.Grader.MaxPoints(cfg.Options)))
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(results, "results.json"), data, 0o644)
}
