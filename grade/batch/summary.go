package batch

import (
	"cmp"
	"maps"
	"slices"

	"github.com/labctl/labctl/grade"
)

// Summary is what a run came to: summary.json. Lists are never null.
type Summary struct {
	FormatVersion int              `json:"format_version"`
	Lab           grade.LabReport  `json:"lab"`
	Engine        string           `json:"engine"`
	Submissions   int              `json:"submissions"` // one a student
	Attempts      int              `json:"attempts"`    // all of them
	Distinct      int              `json:"distinct"`    // contents of those that count
	Passed        int              `json:"passed"`
	Failed        int              `json:"failed"`
	Refused       int              `json:"refused"`
	Errors        int              `json:"errors"`       // students without a grade
	Late          int              `json:"late"`         // that cost something
	MeanPercent   float64          `json:"mean_percent"` // of those that have a score
	Objectives    []ObjectiveCount `json:"objectives"`
	Mistakes      []MistakeCount   `json:"mistakes"` // most frequent first
	Failures      []Failure        `json:"failures"` // every error, by student and attempt
}

// ObjectiveCount says how many met an objective.
type ObjectiveCount struct {
	Task      string `json:"task"`
	Objective string `json:"objective"`
	Met       int    `json:"met"`
	Of        int    `json:"of"` // submissions that were graded and may know of it
}

// MistakeCount says how many submissions hold a mistake.
type MistakeCount struct {
	ID          string `json:"id"`
	Submissions int    `json:"submissions"`
}

// Failure is a submission that has no grade.
type Failure struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt,omitempty"`
	Message string `json:"message"`
}

// grades says whether a task is graded.
func (c *Config) grades(task string) bool {
	return len(c.Options.Tasks) == 0 || slices.Contains(c.Options.Tasks, task)
}

// count sums up a class.
type count struct {
	Summary
	objectives map[string]int // "task/objective" → index
	mistakes   map[string]int
	distinct   map[key]struct{}
	percents   float64
	scored     int
}

func newCount(cfg *Config) *count {
	lab := cfg.Grader.Lab()
	c := &count{
		Summary: Summary{
			FormatVersion: FormatVersion, Lab: grade.LabReport{Name: lab.Name, Title: lab.Title, Digest: lab.Digest},
			Engine: cfg.Engine.Name(), Objectives: []ObjectiveCount{}, Mistakes: []MistakeCount{}, Failures: []Failure{},
		},
		objectives: map[string]int{}, mistakes: map[string]int{}, distinct: map[key]struct{}{},
	}
	for i := range lab.Tasks {
		if !cfg.grades(lab.Tasks[i].Name) {
			continue
		}
		for _, o := range lab.Tasks[i].Objectives {
			c.objectives[lab.Tasks[i].Name+"/"+o.Name] = len(c.Objectives)
			c.Objectives = append(c.Objectives, ObjectiveCount{Task: lab.Tasks[i].Name, Objective: o.Name})
		}
	}
	return c
}

func (c *count) add(st *studentResult) {
	res := &st.result
	c.Submissions++
	c.Attempts += len(st.attempts)
	for _, rec := range st.attempts {
		if a := &rec.Result; a.Status == grade.Errored {
			c.Failures = append(c.Failures, Failure{a.ID, a.Attempt, a.Message})
		}
	}
	if res.Late != nil {
		c.Late++
	}
	switch res.Status {
	case grade.Passed:
		c.Passed++
	case grade.Failed:
		c.Failed++
	case grade.Refused:
		c.Refused++
	default:
		c.Errors++
	}
	var content key
	if content.UnmarshalText([]byte(res.Digest)) == nil {
		c.distinct[content] = struct{}{}
	}
	if res.Score != nil {
		c.percents += res.Score.Percent
		c.scored++
	}
	for i := range res.Tasks {
		for _, o := range res.Tasks[i].Objectives {
			at, ok := c.objectives[res.Tasks[i].Name+"/"+o.Name]
			if !ok || o.Status == grade.Hidden || res.Score == nil {
				continue
			}
			c.Objectives[at].Of++
			if o.Status == grade.Met {
				c.Objectives[at].Met++
			}
		}
	}
	held := slices.Clone(res.Mistakes)
	slices.Sort(held)
	for _, id := range slices.Compact(held) {
		c.mistakes[id]++
	}
}

func (c *count) summary() *Summary {
	s := &c.Summary
	s.Distinct = len(c.distinct)
	if c.scored > 0 {
		s.MeanPercent = float64(int64(c.percents/float64(c.scored)*100)) / 100
	}
	for _, id := range slices.Sorted(maps.Keys(c.mistakes)) {
		s.Mistakes = append(s.Mistakes, MistakeCount{id, c.mistakes[id]})
	}
	slices.SortStableFunc(s.Mistakes, func(a, b MistakeCount) int { return cmp.Compare(b.Submissions, a.Submissions) })
	return s
}
