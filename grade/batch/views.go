package batch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

// views are the files for people and platforms. They are made from the results of a run, the students' reports and the
// lab, and from nothing else: however the results came about, the same ones give the same bytes.
type views struct {
	run        *run
	assignment report.Assignment
	index      *report.Index
	slowest    *report.Slowest
	formats    []*report.Format
	others     []*report.Format // that nobody asked for now
	mutants    *solutionMutants
	alike      *comparison // nil: nobody asked
}

// The pages about the class. Of all files of an output directory, slowestFile alone differs from run to run.
const (
	indexFile   = "index.html"
	slowestFile = "slowest.html"
)

// views makes ready what the lab itself says.
func (r *run) views(ctx context.Context) (*views, error) {
	assignment := report.Assignment{Lab: r.cfg.Grader.Lab(), Name: r.cfg.Assignment}
	v := &views{
		run: r, assignment: assignment, formats: slices.Clone(r.cfg.Formats),
		index:   &report.Index{Assignment: assignment, Engine: r.cfg.Engine.Name(), Digest: assignment.Lab.Digest},
		slowest: &report.Slowest{Assignment: assignment},
		mutants: &solutionMutants{known: &grade.Known{}},
	}
	for _, f := range report.Formats() {
		switch {
		case slices.ContainsFunc(v.formats, func(asked *report.Format) bool { return asked.Name == f.Name }):
		case f.Name == feedbackFormat:
			v.formats = append(v.formats, &f)
		default:
			v.others = append(v.others, &f)
		}
	}
	if len(r.entries) > 1 { // a class
		var err error
		if v.mutants, err = newSolutionMutants(ctx, &r.cfg); err != nil {
			return nil, err
		}
	}
	if r.cfg.Similarity {
		v.alike = newComparison(v.mutants.known)
	}
	return v, nil
}

// seen is an outcome on its way from the workers, which write its student's files, to the class's files.
type seen struct {
	*standing
	outcome report.Outcome
	err     error
	ready   chan struct{}
}

// feedbackFormat is the one that every student gets.
const feedbackFormat = "html"

// page writes the files that are about the class as a whole.
func (v *views) page(s *Summary) error {
	for _, o := range s.Objectives {
		v.index.Objectives = append(v.index.Objectives, report.Rate(o))
	}
	for _, m := range s.Mistakes {
		v.index.Mistakes = append(v.index.Mistakes, report.Tally{ID: m.ID, N: m.Submissions})
	}
	v.index.Mutants = v.mutants.most()
	if v.alike != nil {
		similarity := v.alike.result(s.Lab)
		if err := similarity.write(v.run.replace); err != nil {
			return err
		}
		v.index.Similar = v.similar(similarity)
	} else if err := errors.Join(v.run.remove(similarityJSON), v.run.remove(similarityCSV)); err != nil {
		return err
	}
	for _, f := range v.others {
		if f.Class == nil {
			continue
		}
		if err := v.run.remove(f.ClassFile); err != nil {
			return err
		}
	}
	return errors.Join(v.run.replace(slowestFile, v.slowest.Write), v.run.replace(indexFile, v.index.Write))
}

// dir is where a student's files are; "" if there are none.
func (v *views) dir(id string) string {
	if v.run.cfg.NoReports {
		return ""
	}
	return studentDir(id)
}

// similar is what the page about the class shows of a comparison.
func (v *views) similar(s *Similarity) *report.Similar {
	page := func(id string) string { return report.PageIn(v.dir(id)) }
	out := &report.Similar{Note: s.Note, More: max(len(s.Groups)+len(s.Pairs)-report.IndexPairs, 0)}
	for _, g := range s.Groups[:min(len(s.Groups), report.IndexPairs)] {
		names := strings.Join(g.Students, ", ")
		if g.Count > len(g.Students) {
			names += ", …"
		}
		out.Groups = append(out.Groups, report.SimilarGroup{Students: names, Count: g.Count})
	}
	for _, p := range s.Pairs[:min(len(s.Pairs), report.IndexPairs-len(out.Groups))] {
		out.Pairs = append(out.Pairs, report.SimilarPair{
			A: p.A, B: p.B, APage: page(p.A), BPage: page(p.B), Score: report.Decimal(p.Score), Reasons: p.Reasons,
		})
	}
	return out
}

// outcomes writes the files of the students and those of the formats, and hands on how every student stands, in order. A
// handful of reports are in memory at a time.
func (v *views) outcomes(ctx context.Context, seeing func(*standing) error) error {
	workers := cmp.Or(max(v.run.cfg.Workers, 0), runtime.GOMAXPROCS(0))
	return v.class(v.formats, nil, func(class []report.ClassWriter) error {
		g, ctx := errgroup.WithContext(ctx)
		work, order := make(chan *seen), make(chan *seen, 4*workers)
		g.Go(func() error {
			defer close(work)
			defer close(order)
			return v.run.each(func(st *standing) error {
				s := &seen{standing: st, ready: make(chan struct{})}
				for _, to := range []chan *seen{order, work} {
					select {
					case to <- s:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			})
		})
		for range workers {
			g.Go(func() error {
				for s := range work {
					s.outcome, s.err = v.one(&s.result)
					close(s.ready)
				}
				return nil
			})
		}
		g.Go(func() error {
			for s := range order {
				select {
				case <-s.ready:
				case <-ctx.Done():
					return ctx.Err()
				}
				err := s.err
				if err == nil {
					err = v.add(s, class)
				}
				if err == nil {
					err = seeing(s.standing)
				}
				if err != nil {
					return fmt.Errorf("write the files of %s: %w", s.result.ID, err)
				}
			}
			return nil
		})
		return g.Wait()
	})
}

// add puts an outcome into the files of the class.
func (v *views) add(s *seen, class []report.ClassWriter) error {
	if err := v.index.Add(&s.outcome, v.dir(s.result.ID)); err != nil {
		return err
	}
	for _, rec := range s.attempts {
		if rec.Took > 0 {
			v.slowest.Add(rec.Result.ID, rec.Result.Attempt, v.dir(rec.Result.ID), time.Duration(rec.Took*float64(time.Second)))
		}
	}
	v.mutants.add(&s.result)
	if v.alike != nil {
		v.alike.add(&s.result)
	}
	for _, c := range class {
		if err := c.Add(&s.outcome); err != nil {
			return err
		}
	}
	return nil
}

// class opens the class's files of formats, one inside the other, so that all are there as a whole or none is.
func (v *views) class(formats []*report.Format, open []report.ClassWriter, then func([]report.ClassWriter) error) error {
	if len(formats) == 0 {
		err := then(open)
		for _, c := range open {
			if err == nil {
				err = c.Close()
			}
		}
		return err
	}
	f := formats[0]
	if f.Class == nil {
		return v.class(formats[1:], open, then)
	}
	return v.run.replace(f.ClassFile, func(w io.Writer) error {
		return v.class(formats[1:], append(open, f.Class(w, &v.assignment)), then)
	})
}

// outcomeOf puts a result into the form that views take, but for the report.
func outcomeOf(res *Result) report.Outcome {
	o := report.Outcome{
		ID: res.ID, Name: res.Name, Email: res.Email, Status: res.Status, Message: res.Message, Told: res.Told,
		Problems: res.Problems, Score: res.Score, Raw: res.Raw,
	}
	if res.Late != nil {
		o.Late, o.SubmittedAt, o.DueAt = res.Late.Reason, res.Late.SubmittedAt, res.Late.DueAt
	}
	return o
}

// one reads the report of a result and writes its student's views.
func (v *views) one(res *Result) (report.Outcome, error) {
	o := outcomeOf(res)
	if res.Report != "" {
		data, err := os.ReadFile(filepath.Join(v.run.cfg.Out, filepath.FromSlash(res.Report)))
		if err != nil {
			return o, err
		}
		o.Report = new(grade.Report)
		if err := json.Unmarshal(data, o.Report); err != nil {
			return o, fmt.Errorf("%s: %w", res.Report, err)
		}
	}
	if v.run.cfg.NoReports {
		return o, nil
	}
	for _, f := range v.formats {
		if f.One == nil {
			continue
		}
		var text bytes.Buffer
		if err := f.One(&text, &v.assignment, &o); err != nil {
			return o, fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := v.run.writeFile(path.Join(studentDir(res.ID), f.File), text.Bytes()); err != nil {
			return o, err
		}
	}
	for _, f := range v.others {
		if f.One == nil {
			continue
		}
		if err := v.run.remove(path.Join(studentDir(res.ID), f.File)); err != nil {
			return o, err
		}
	}
	return o, nil
}
