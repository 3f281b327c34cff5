package batch

import (
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/similarity"
	"github.com/labctl/labctl/internal/wording"
)

// FormatVersion is the version of results.jsonl and summary.json. It goes up when a field is removed or
// changes its meaning.
const FormatVersion = 1

// ResultsFile is the name of the results in an output directory: one Result a line.
const ResultsFile = resultsFile

// Result is the outcome of one submission: a line of results.jsonl. Nothing in it depends on the time, the machine or
// the order in which submissions were graded. Lists are never null.
type Result struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	// Platform is the one whose number the ID is; "" if nobody said that it is one.
	Platform intake.Platform `json:"platform,omitempty"`
	Status   grade.Status    `json:"status"`
	// Message is that of an error, why it was refused, or why there was nothing to grade.
	Message string `json:"message,omitempty"`
	// StudentMessage is what of an error its student may read, since what was submitted is to blame; "":
	// nothing but that it is not their fault.
	StudentMessage string `json:"told,omitempty"`
	// Score is null where nothing was graded. Of a refused submission it is 0 of the lab's points.
	Score *grade.Score `json:"score"`
	// Raw is the score before Late was taken off; without it they are the same.
	Raw      *grade.Score       `json:"raw_score,omitempty"`
	Late     *LatePenalty       `json:"late,omitempty"`
	Tasks    []TaskResult       `json:"tasks"`
	Mistakes []string           `json:"mistakes"` // IDs of findings
	Problems []manifest.Problem `json:"problems"` // why it was refused
	// Answers are fingerprints of what the submission says, to find those that say the same.
	Answers []similarity.Answer `json:"answers,omitempty"`
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
	r := Result{Score: &score, Tasks: []TaskResult{}, Mistakes: []string{}, Problems: []manifest.Problem{},
		Digest: rep.Submission.Digest}
	switch rep.Status {
	case grade.Passed:
		r.Status = grade.Passed
	case grade.Failed:
		r.Status = grade.Failed
	default:
		r.Status, r.Score = grade.Errored, nil
		r.Message = "a check could not be run: see the report"
	}
	if r.Message == "" {
		r.Message = rep.EmptyReason()
	}
	for i := range rep.Tasks {
		t := &rep.Tasks[i]
		task := TaskResult{Name: t.Name, Attempted: t.Attempted, Points: t.Score.Points, Max: t.Score.Max,
			Objectives: []ObjectiveResult{}}
		for j := range t.Objectives {
			task.Objectives = append(task.Objectives, ObjectiveResult{t.Objectives[j].Name, t.Objectives[j].Status})
		}
		r.Tasks = append(r.Tasks, task)
	}
	for i := range rep.Findings { // there are not more than a report may have
		r.Mistakes = append(r.Mistakes, rep.Findings[i].ID)
	}
	return r
}

// maxMessage is how long the message of a result may be, in bytes.
const maxMessage = 2000

// boundAnswers keeps of the fingerprints what a comparison can use: the first of each task, and of all.
func boundAnswers(answers []similarity.Answer) []similarity.Answer {
	const most, all, name = 100, 200, 60
	left := all
	for i := range answers {
		a := &answers[i]
		a.Parts = a.Parts[:min(len(a.Parts), most, left)]
		left -= len(a.Parts)
		a.Names = a.Names[:min(len(a.Names), most, left)]
		left -= len(a.Names)
		for j := range a.Names {
			a.Names[j] = wording.Shorten(a.Names[j], name)
		}
	}
	return answers
}

// failure is the result of a submission that could not be graded.
func failure(message string) Result {
	return Result{Status: grade.Errored, Message: wording.Shorten(message, maxMessage), Tasks: []TaskResult{},
		Mistakes: []string{}, Problems: []manifest.Problem{}}
}

// refusal is the result of a submission that the lab does not take: 0 of max points.
func refusal(refused *engine.Refused, max, passMark float64) Result {
	problems := grade.BoundProblems(refused.Problems)
	r := failure(problems[0].String())
	r.Status, r.Problems = grade.Refused, problems
	r.Score = &grade.Score{Max: max, PassMark: passMark}
	return r
}
