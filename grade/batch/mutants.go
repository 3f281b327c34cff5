package batch

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/similarity"
)

// solutionMutants counts who found a mutant of the lab's solution: who gave its answer, and, of those who
// gave none, whose objectives came out as its do.
type solutionMutants struct {
	known     *similarity.Known
	given     map[string]bool
	byAnswer  map[string]int
	byOutcome map[string]int
	found     []report.MutantFound // one per mutant of the tasks that are graded
}

// newSolutionMutants grades the mutants, offline only: a cluster would take minutes.
func newSolutionMutants(ctx context.Context, cfg *Config) (*solutionMutants, error) {
	eng := cfg.Engine
	if eng.Name() != "offline" {
		eng = nil
	}
	known, err := similarity.LearnLab(ctx, cfg.Grader, eng, cfg.Options)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err != nil { // a sample that cannot be read is no reason to give nobody a grade
		cfg.log().Warn("submissions are not compared with the lab's own samples", "error", err)
		known = &similarity.Known{}
	}
	m := &solutionMutants{known: known, given: map[string]bool{}, byAnswer: map[string]int{}, byOutcome: map[string]int{}}
	for _, a := range known.Given {
		m.given[a.Task+"/"+a.Digest] = true
	}
	for _, k := range known.Mutants {
		if k.Task != "" && !cfg.grades(k.Task) {
			continue
		}
		i := len(m.found)
		m.found = append(m.found, report.MutantFound{Message: k.Message, Object: k.Object, Task: k.Task})
		if key := k.Answer.Task + "/" + k.Answer.Digest; k.Answer.Digest != "" && !m.given[key] {
			first(m.byAnswer, key, i)
		}
		if k.StatusKey != "" {
			first(m.byOutcome, k.StatusKey, i)
			m.found[m.byOutcome[k.StatusKey]].Alike++
		}
	}
	return m, nil
}

// log is where to say what is no error; a Merge may have none.
func (c *Config) log() *slog.Logger { return cmp.Or(c.Log, slog.New(slog.DiscardHandler)) }

func first(m map[string]int, key string, i int) {
	if _, ok := m[key]; !ok {
		m[key] = i
	}
}

// add counts a result.
func (m *solutionMutants) add(res *Result) {
	if res.Score == nil {
		return
	}
	counted := false
	for _, a := range res.Answers {
		if i, ok := m.byAnswer[a.Task+"/"+a.Digest]; ok {
			m.found[i].Answers++
			counted = true
		}
	}
	if counted {
		return
	}
	if i, ok := m.byOutcome[res.statusKey()]; ok {
		m.found[i].Outcomes++
	}
}

// most lists the mutants that were found, most often first.
func (m *solutionMutants) most() []report.MutantFound {
	found := slices.DeleteFunc(slices.Clone(m.found), func(f report.MutantFound) bool { return f.Answers+f.Outcomes == 0 })
	slices.SortStableFunc(found, func(a, b report.MutantFound) int {
		return cmp.Compare(b.Answers+b.Outcomes, a.Answers+a.Outcomes)
	})
	return found
}

// statusKey is the result's similarity.StatusKey.
func (r *Result) statusKey() string {
	return similarity.StatusKey(func(yield func(grade.ObjectiveStatus) bool) {
		for i := range r.Tasks {
			for _, o := range r.Tasks[i].Objectives {
				if !yield(o.Status) {
					return
				}
			}
		}
	})
}
