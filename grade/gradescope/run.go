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
	"github.com/labctl/labctl/labs"
)

// student is the ID of the only one in the batch.
const student = "submission"

// NotGraded says why there is no results.json: Gradescope then gives no score.
type NotGraded struct{ Reason string }

func (e *NotGraded) Error() string { return "the submission could not be graded: " + e.Reason }

// Run grades dir/submission in Gradescope's folder and writes dir/results/results.json, which is there only if it has a
// score. cfg is a batch's, without Out and Formats; by Attempts the score of an earlier submission may be the one that counts.
// out gets what instructors should know.
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
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	results = filepath.Join(results, "results.json")
	var standing *kept
	if meta != nil && cfg.Attempts != (labs.Attempts{}) {
		earlier := meta.earlier()
		standing = keep(cfg.Attempts, earlier)
		if limit := cfg.Attempts.Limit; limit > 0 && len(earlier) >= limit {
			data, err := standing.beyond(len(earlier)+1, limit)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "attempt %d, of which %d count: not graded; attempt %d counts\n", len(earlier)+1, limit, standing.number)
			return os.WriteFile(results, data, 0o644)
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
	line, err := os.ReadFile(filepath.Join(cfg.Out, batch.ResultsFile))
	if err != nil {
		return err
	}
	var res batch.Result
	if err := json.Unmarshal(line, &res); err != nil || res.Score == nil {
		return &NotGraded{"there is no score in " + batch.ResultsFile}
	}
	points := res.Score.Points
	fmt.Fprintf(out, "%s points of %s\n", report.Decimal(points), report.Decimal(cfg.Grader.MaxPoints(cfg.Options)))
	tooLate := res.Late != nil && res.Late.Cutoff
	if standing != nil && (tooLate || cfg.Attempts.Counts == labs.CountsBest && standing.points > points) {
		if data, err = standing.instead(data, points); err != nil {
			return err
		}
		fmt.Fprintf(out, "attempt %d counts, with %s points\n", standing.number, report.Decimal(standing.points))
	}
	return os.WriteFile(results, data, 0o644)
}
