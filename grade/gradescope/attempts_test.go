package gradescope_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
)

// TestAttempts: Gradescope gives the score of the latest submission, so that one has to carry the score that counts.
func TestAttempts(t *testing.T) {
	t.Parallel()
	const (
		solution, wrong = labDir + "/samples/solution", labDir + "/samples/service-port" // 100 and 50 points
		// As Gradescope may list them: not in order, with one that failed, and with one that came in later (this is a regrade).
		earlier = `{"submission_time": "2026-11-22T12:00:00-08:00", "score": 60.0, "autograder_error": false, "results": {}},
			{"submission_time": "2026-11-21T12:00:00-08:00", "score": 80.0, "autograder_error": false},
			{"submission_time": "2026-11-22T13:00:00-08:00", "score": 0.0, "autograder_error": true},
			{"submission_time": "2026-11-22T14:00:00-08:00", "score": null, "autograder_error": false},
			{"submission_time": "2026-11-25T12:00:00-08:00", "score": 99.0, "autograder_error": false}`
	)
	cutoff := labs.Late{Cutoff: 1, Max: 100}
	for _, tt := range []struct {
		name       string
		rule       labs.Attempts
		late       labs.Late
		submission string
		earlier    string
		score      float64
		tests      int
		want       string // in the output that the student sees
	}{
		{name: "no rule", submission: wrong, earlier: earlier, score: 50, tests: 26},
		{name: "within the limit", rule: labs.Attempts{Limit: 3}, submission: wrong, earlier: earlier, score: 50, tests: 26},
		{name: "the first", rule: labs.Attempts{Limit: 1}, submission: solution, score: 100, tests: 26},
		{
			name: "beyond the limit", rule: labs.Attempts{Limit: 2}, submission: solution, earlier: earlier, score: 60,
			want: "This is attempt 3, and 2 count: it was not graded. Attempt 2 counts, with 60 points.",
		},
		{
			name: "beyond the limit, the best", rule: labs.Attempts{Limit: 2, Counts: labs.CountsBest}, submission: solution, earlier: earlier, score: 80,
			want: "Attempt 1 counts, with 80 points.",
		},
		{name: "the best so far", rule: labs.Attempts{Counts: labs.CountsBest}, submission: solution, earlier: earlier, score: 100, tests: 26},
		{
			name: "worse than the best", rule: labs.Attempts{Counts: labs.CountsBest}, submission: wrong, earlier: earlier, score: 80, tests: 26,
			want: "Attempt 1 counts, with 80 points; this one has 50.",
		},
		{
			name: "too late for anything", rule: labs.Attempts{Limit: 5}, late: cutoff, submission: solution, earlier: earlier, score: 60, tests: 26,
			want: "Attempt 2 counts, with 60 points; this one has 0.\nLate: ",
		},
		{name: "too late, and the first", rule: labs.Attempts{Limit: 5}, late: cutoff, submission: solution, tests: 26, want: "Late: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := gradetest.Config(t, labDir)
			cfg.Attempts, cfg.Late = tt.rule, tt.late
			meta := strings.Replace(strings.Replace(metadata, "EXTENSION", "", 1), `"previous_submissions": []`, `"previous_submissions": [`+tt.earlier+`]`, 1)
			r, told, err := results(t, cfg, tt.submission, meta)
			if err != nil || r == nil || r.Score == nil {
				t.Fatalf("%v, %q, %+v", err, told, r)
			}
			if *r.Score != tt.score || len(r.Tests) != tt.tests || !strings.Contains(r.Output, tt.want) {
				t.Errorf("%g points, %d tests, %q; want %g, %d, %q", *r.Score, len(r.Tests), r.Output, tt.score, tt.tests, tt.want)
			}
			if tt.want == "" && strings.Contains(r.Output, "ttempt") {
				t.Errorf("speaks of attempts: %q", r.Output)
			}
		})
	}
}
