package similarity

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/submission"
)

// Known is what the lab's own files say: what submissions have in common with it is no sign of copying.
type Known struct {
	Given   []Answer // of the starter and the solutions: that these coincide says nothing
	Digests []string // of the starter and the solutions, as Submission.Digest
	Mutants []KnownMutant
}

// KnownMutant is a change to a solution: the answer that it makes, and what it comes to.
type KnownMutant struct {
	labtest.Mutant
	Answer    Answer // Digest is "" where nothing is left
	StatusKey string // see StatusKey; "" if it was not graded, or misses nothing
}

// LearnLab reads the lab's starter and solutions, and grades every mutant of the solutions with the engine. The engine may
// be nil: then the mutants have no StatusKey.
func LearnLab(ctx context.Context, g *grade.Grader, eng engine.Engine, opts grade.Options) (*Known, error) {
	l := learner{grader: g, engine: eng, options: opts, reader: NewReader()}
	lab, k := g.Lab(), &l.known
	read := func(dir string) (*submission.Submission, error) {
		sub, err := g.Rules.ReadFS(lab.FS, dir, manifest.Limits{})
		if err != nil {
			return nil, fmt.Errorf("read %s of the lab: %w", dir, err)
		}
		k.Digests = append(k.Digests, sub.Digest)
		k.Given = append(k.Given, l.reader.Answers(sub)...)
		return sub, nil
	}
	if lab.Starter != "" {
		if _, err := read(lab.Starter); err != nil {
			return nil, err
		}
	}
	for i := range lab.Samples {
		s := &lab.Samples[i]
		if !s.Solution {
			continue
		}
		sub, err := read(s.Path)
		if err != nil {
			return nil, err
		}
		if err := l.mutants(ctx, s.Name, sub); err != nil {
			return nil, fmt.Errorf("mutate the sample %q: %w", s.Name, err)
		}
	}
	return k, nil
}

type learner struct {
	grader  *grade.Grader
	engine  engine.Engine // nil: do not grade
	options grade.Options
	reader  *Reader
	known   Known
}

// mutants adds the mutants of a solution.
func (l *learner) mutants(ctx context.Context, sample string, solution *submission.Submission) error {
	for step := range solution.Steps {
		for _, m := range labtest.Mutations(l.grader.Lab(), solution, step) {
			known := KnownMutant{Mutant: m.Mutant}
			known.Sample = sample
			mutant := m.Apply(solution)
			known.Answer, _ = l.reader.answerOf(&mutant.Steps[step])
			if known.Answer.Task = solution.Steps[step].Task; len(mutant.Steps[step].Apply)+len(mutant.Steps[step].Delete) == 0 {
				known.Answer.Digest = ""
			}
			if l.engine != nil {
				rep, err := l.grader.Grade(ctx, mutant, l.engine, l.options)
				if err := ctx.Err(); err != nil {
					return err
				}
				if err == nil {
					known.StatusKey = statusKeyOf(rep)
				}
			}
			l.known.Mutants = append(l.known.Mutants, known)
		}
	}
	return nil
}

// StatusKey puts the statuses of all objectives into a text that gradings of one lab can be compared by; "" if nothing was
// missed.
func StatusKey(statuses iter.Seq[grade.ObjectiveStatus]) string {
	var b strings.Builder
	missed := false
	for s := range statuses {
		b.WriteString(string(s) + " ")
		missed = missed || s != grade.Met && s != grade.Hidden
	}
	if !missed {
		return ""
	}
	return b.String()
}

func statusKeyOf(r *grade.Report) string {
	return StatusKey(func(yield func(grade.ObjectiveStatus) bool) {
		for i := range r.Tasks {
			for j := range r.Tasks[i].Objectives {
				if !yield(r.Tasks[i].Objectives[j].Status) {
					return
				}
			}
		}
	})
}
