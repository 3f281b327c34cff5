package batch

import (
	"fmt"
	"slices"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

// FormatVersion is the version of results.jsonl and summary.json. It goes up when a field is removed or changes its meaning.
const FormatVersion = 1

// Status is the outcome of one submission in a word.
type Status = report.Status

const (
	Passed  = report.Passed
	Failed  = report.Failed
	Refused = report.Refused
	Errored = report.Errored
)

// ResultsFile is the name of the results in an output directory: one Result a line.
const ResultsFile = resultsFile

// Result is the outcome of one submission: a line of results.jsonl. Nothing in it depends on the time, the machine or
// the order in which submissions were graded. Lists are never null.
type Result struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Email   string `json:"email,omitempty"`
	Status  Status `json:"status"`
	Message string `json:"message,omitempty"` // of an error, why it was refused, or why there was nothing to grade
	// Told is what of an error its student is told too, since what was handed in is to blame; "": only that it is not their fault.
	Told string `json:"told,omitempty"`
	// Score is null where nothing was graded. Of a refused submission it is 0 of the lab's points.
	Score *grade.Score `json:"score"`
	// Raw is the score before Late was taken off; without it they are the same.
	Raw      *grade.Score       `json:"raw_score,omitempty"`
	Late     *Lateness          `json:"late,omitempty"`
	Tasks    []TaskResult       `json:"tasks"`
	Mistakes []string           `json:"mistakes"` // IDs of findings
	Problems []manifest.Problem `json:"problems"` // why it was refused
	// Answers are fingerprints of what the submission says, to find those that say the same.
	Answers []grade.Answer `json:"answers,omitempty"`
	// Digest is that of the submission's files; equal submissions have the same.
	Digest string `json:"digest,omitempty"`
	// Report is the file with the whole report, relative to the output directory; "" where there is none.
	Report string `json:"report,omitempty"`
	// Attempt is the number of the one that counts, and Attempts are all; only where a student has several.
	Attempt  int       `json:"attempt,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
}

// TaskResult is what a task earned.
type TaskResult struct {
	Name       string            `json:"name"`
	Attempted  bool              `json:"attempted"`
	Points     float64           `json:"points"`
	Max        float64           `json:"max"`
	Objectives []ObjectiveResult `json:"objectives"`
}

// ObjectiveResult is the outcome of an objective.
type ObjectiveResult struct {
	Name   string                `json:"name"`
	Status grade.ObjectiveStatus `json:"status"`
}

// resultOf puts a report into a Result.
func resultOf(rep *grade.Report) Result {
	score := rep.Score
	r := Result{Score: &score, Tasks: []TaskResult{}, Mistakes: []string{}, Problems: []manifest.Problem{}, Digest: rep.Submission.Digest}
	switch rep.Status {
	case grade.Passed:
		r.Status = Passed
	case grade.Failed:
		r.Status = Failed
	default:
		r.Status, r.Score = Errored, nil
		r.Message = "a check could not be carried out: see the report"
	}
	if r.Message == "" {
		r.Message = rep.Nothing()
	}
	for i := range rep.Tasks {
		t := &rep.Tasks[i]
		task := TaskResult{Name: t.Name, Attempted: t.Attempted, Points: t.Score.Points, Max: t.Score.Max, Objectives: []ObjectiveResult{}}
		for j := range t.Objectives {
			task.Objectives = append(task.Objectives, ObjectiveResult{t.Objectives[j].Name, t.Objectives[j].Status})
		}
		r.Tasks = append(r.Tasks, task)
	}
	for i := range rep.Findings {
		r.Mistakes = append(r.Mistakes, rep.Findings[i].ID)
	}
	return r
}

// failure is the result of a submission that could not be graded.
func failure(message string) Result {
	return Result{Status: Errored, Message: message, Tasks: []TaskResult{}, Mistakes: []string{}, Problems: []manifest.Problem{}}
}

// refusal is the result of a submission that the lab does not take: 0 of max points.
func refusal(refused *grade.Refused, max, passMark float64) Result {
	r := failure(refused.Problems[0].String())
	r.Status, r.Problems = Refused, refused.Problems
	if more := len(r.Problems) - maxProblems; more > 0 {
		r.Problems = append(slices.Clone(r.Problems[:maxProblems]), manifest.Problem{Message: fmt.Sprintf("and %d more", more)})
	}
	r.Score = &grade.Score{Max: max, PassMark: passMark}
	return r
}
