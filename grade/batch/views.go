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

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

// views are the files for people and platforms. They are made from the results of a run, the students' reports and the
// lab, and from nothing else: however the results came about, the same ones give the same bytes.
type views struct {
	assignment report.Assignment
	index      *report.Index
	formats    []*report.Format
	workers    int
	// students says whether there are files of single students: reports to read, and views to write.
	students bool
	// known makes what the lab itself says; similarity asks for a comparison.
	known      func(ctx context.Context) (*solutionMutants, error)
	similarity bool
	lab        grade.LabReport

	each    func(func(*Result) error) error                      // the results, in order
	read    func(name string) ([]byte, error)                    // a file of the output directory
	student func(name string, data []byte) error                 // writes a file of a student
	replace func(name string, write func(io.Writer) error) error // writes a file of the run as a whole
}

// indexFile is the page about the class.
const indexFile = "index.html"

// views of the results in the journal, of which s is the summary.
func (r *run) views(s *Summary) *views {
	index := &report.Index{
		Assignment: report.Assignment{Lab: r.cfg.Grader.Lab(), Name: r.cfg.Assignment}, Engine: s.Engine, Digest: s.Lab.Digest,
	}
	for _, o := range s.Objectives {
		index.Objectives = append(index.Objectives, report.Rate(o))
	}
	for _, m := range s.Mistakes {
		index.Mistakes = append(index.Mistakes, report.Tally{ID: m.ID, N: m.Submissions})
	}
	formats := slices.Clone(r.cfg.Formats)
	if !slices.ContainsFunc(formats, func(f *report.Format) bool { return f.Name == feedbackFormat }) {
		for _, f := range report.Formats() {
			if f.Name == feedbackFormat {
				formats = append(formats, &f)
			}
		}
	}
	return &views{
		index: index, similarity: r.cfg.Similarity, lab: s.Lab,
		known: func(ctx context.Context) (*solutionMutants, error) {
			if len(r.entries) < 2 { // not a class
				return &solutionMutants{known: &grade.Known{}}, nil
			}
			return newSolutionMutants(ctx, &r.cfg)
		},
		assignment: report.Assignment{Lab: r.cfg.Grader.Lab(), Name: r.cfg.Assignment},
		formats:    formats, workers: cmp.Or(max(r.cfg.Workers, 0), runtime.GOMAXPROCS(0)), students: !r.cfg.NoReports,
		each: func(fn func(*Result) error) error { return r.each(nil, fn) },
		read: func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join(r.cfg.Out, filepath.FromSlash(name)))
		},
		student: r.writeFile, replace: r.replace,
	}
}

// seen is an outcome on its way from the workers, which write its student's files, to the class's files.
type seen struct {
	result  *Result
	outcome report.Outcome
	err     error
	ready   chan struct{}
}

// feedbackFormat is the one that every student gets.
const feedbackFormat = "html"

// write writes all views. It holds a handful of reports at a time.
func (v *views) write(ctx context.Context) error {
	mutants, err := v.known(ctx)
	if err != nil {
		return err
	}
	alike := newComparison(mutants.known)
	err = v.outcomes(ctx, func(res *Result) {
		mutants.add(res)
		if v.similarity {
			alike.add(res)
		}
	})
	if err != nil {
		return err
	}
	v.index.Mutants = mutants.most()
	if v.similarity {
		s := alike.result(v.lab)
		if err := s.write(v.replace); err != nil {
			return err
		}
		v.index.Similar = v.similar(s)
	}
	return v.replace(indexFile, func(w io.Writer) error {
		return v.index.Write(w, func(yield func(report.IndexRow, error) bool) {
			stop := errors.New("enough")
			err := v.each(func(res *Result) error {
				o := outcomeOf(res)
				if !yield(v.index.Row(&o, v.dir(res)), nil) {
					return stop
				}
				return nil
			})
			if err != nil && !errors.Is(err, stop) {
				yield(report.IndexRow{}, err)
			}
		})
	})
}

// dir is where a student's files are; "" if there are none.
func (v *views) dir(res *Result) string {
	if !v.students {
		return ""
	}
	return studentDir(res.ID)
}

// similar is what the page about the class shows of a comparison.
func (v *views) similar(s *Similarity) *report.Similar {
	page := func(id string) string {
		if !v.students {
			return ""
		}
		return report.PageIn(studentDir(id))
	}
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

// outcomes writes the files of the students and those of the formats, and hands on every result, in order.
func (v *views) outcomes(ctx context.Context, seeing func(*Result)) error {
	return v.class(v.formats, nil, func(class []report.ClassWriter) error {
		g, ctx := errgroup.WithContext(ctx)
		work, order := make(chan *seen), make(chan *seen, 4*v.workers)
		g.Go(func() error {
			defer close(work)
			defer close(order)
			return v.each(func(res *Result) error {
				s := &seen{result: res, ready: make(chan struct{})}
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
		for range v.workers {
			g.Go(func() error {
				for s := range work {
					s.outcome, s.err = v.one(s.result)
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
				v.index.Add(&s.outcome, v.dir(s.result))
				seeing(s.result)
				for i := 0; i < len(class) && err == nil; i++ {
					err = class[i].Add(&s.outcome)
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
	return v.replace(f.ClassFile, func(w io.Writer) error {
		return v.class(formats[1:], append(open, f.Class(w, &v.assignment)), then)
	})
}

// outcomeOf puts a result into the form that views take, but for the report.
func outcomeOf(res *Result) report.Outcome {
	o := report.Outcome{
		ID: res.ID, Name: res.Name, Email: res.Email, Status: report.Status(res.Status), Message: res.Message, Told: res.Told,
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
		data, err := v.read(res.Report)
		if err != nil {
			return o, err
		}
		o.Report = new(grade.Report)
		if err := json.Unmarshal(data, o.Report); err != nil {
			return o, fmt.Errorf("%s: %w", res.Report, err)
		}
	}
	if !v.students {
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
		if err := v.student(path.Join(studentDir(res.ID), f.File), text.Bytes()); err != nil {
			return o, err
		}
	}
	return o, nil
}
