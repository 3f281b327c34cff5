package batch

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/similarity"
)

// The files about similar submissions.
const (
	similarityJSON = "similarity.json"
	similarityCSV  = "similarity.csv"
)

// compare adds a result to the comparison, unless nothing was graded.
func compare(c *similarity.Comparison, res *Result) {
	if res.Score == nil {
		return
	}
	lost := map[string]bool{}
	for _, t := range res.Tasks {
		if t.Points < t.Max {
			lost[t.Name] = true
		}
	}
	c.Add(&similarity.Submission{
		ID: res.ID, Name: res.Name, Digest: res.Digest, Percent: res.Score.Percent,
		Answers: res.Answers, LostPoints: lost, Mistakes: res.Mistakes,
	})
}

// writeSimilarity writes the files about similar submissions.
func writeSimilarity(s *similarity.Report, replace func(string, func(io.Writer) error) error) error {
	return errors.Join(
		replace(similarityJSON, func(w io.Writer) error { return writeJSON(w, s) }),
		replace(similarityCSV, func(w io.Writer) error {
			if _, err := io.WriteString(w, byteOrderMark); err != nil {
				return err
			}
			out := csv.NewWriter(w)
			rows := [][]string{{"kind", "a", "b", "score", "equal_answers", "of_them_wrong", "reason"}}
			for _, g := range s.Groups {
				for _, b := range g.Students[1:] {
					rows = append(rows, []string{"equal", report.Cell(g.Students[0]), report.Cell(b), "", "", "",
						"the files are equal byte for byte"})
				}
			}
			for _, p := range s.Pairs {
				rows = append(rows, []string{
					"similar", report.Cell(p.A), report.Cell(p.B), report.Decimal(p.Score),
					fmt.Sprint(len(p.Answers)), fmt.Sprint(len(p.Wrong)),
					report.Cell(strings.Join(p.Reasons, "; ")),
				})
			}
			return out.WriteAll(rows)
		}),
	)
}
