package gradescope

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// student is the ID of the entry.
const student = "submission"

// NotGraded says why there is no results.json: Gradescope then gives no score.
type NotGraded struct{ Reason string }

func (e *NotGraded) Error() string { return "the submission could not be graded: " + e.Reason }

// Run grades dir/submission in Gradescope's folder and writes dir/results/results.json, which is there only if it has a
// score. cfg is a batch's; nothing is written to its Out. By Attempts the score of an earlier submission may be the one that counts.
// out gets what instructors should know.
func Run(ctx context.Context, dir string, cfg batch.Config, out io.Writer) (err error) {
	meta, err := ReadMetadata(filepath.Join(dir, "submission_metadata.json"))
	if err != nil {
		return err
	}
	entry := intake.Entry{ID: student, Path: filepath.Join(dir, "submission")}
	if meta != nil {
		entry.Name, entry.SubmittedAt, entry.DueAt = meta.names(), meta.CreatedAt, meta.due()
		if points, err := strconv.ParseFloat(fmt.Sprint(meta.Assignment.TotalPoints), 64); err == nil && points != cfg.Grader.MaxPoints(cfg.Options) {
			fmt.Fprintf(out, "note: the assignment is worth %s points, the lab %s: scores are the lab's points\n",
				report.Decimal(points), report.Decimal(cfg.Grader.MaxPoints(cfg.Options)))
		}
	}
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	results = filepath.Join(results, "results.json")
	var earlier *kept
	if meta != nil && cfg.Attempts != (labs.Attempts{}) {
		attempts := meta.earlier()
		earlier = keep(cfg.Attempts, attempts)
		if limit := cfg.Attempts.Limit; limit > 0 && len(attempts) >= limit {
			data, err := earlier.beyond(len(attempts)+1, limit)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "attempt %d, of which %d count: not graded; attempt %d counts\n", len(attempts)+1, limit, earlier.number)
			return os.WriteFile(results, data, 0o644)
		}
	}
	res, rep, err := batch.GradeOne(ctx, cfg, &entry)
	if err != nil {
		return err
	}
	if res.Score == nil {
		return &NotGraded{res.Message}
	}
	points := res.Score.Points
	fmt.Fprintf(out, "%s points of %s\n", report.Decimal(points), report.Decimal(cfg.Grader.MaxPoints(cfg.Options)))
	outcome := res.ForFormats(rep)
	tooLate := res.Late != nil && res.Late.Cutoff
	if earlier != nil && (tooLate || cfg.Attempts.Counts == labs.CountsBest && earlier.points > points) {
		outcome.Counted = earlier.counted(points)
		fmt.Fprintf(out, "attempt %d counts, with %s points\n", earlier.number, report.Decimal(earlier.points))
	}
	format, err := report.FindFormat("gradescope")
	if err != nil {
		return err
	}
	var data bytes.Buffer
	assignment := report.Assignment{Lab: cfg.Grader.Lab(), Name: cfg.Assignment, Tasks: cfg.Options.Tasks}
	if err := format.WriteOne(&data, &assignment, &outcome); err != nil {
		return err
	}
	return os.WriteFile(results, data.Bytes(), 0o644)
}
