package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/similarity"
)

// classFiles are the files about the class for people and platforms. They are made from the results of a run,
// the students' reports and the lab, and from nothing else: however the results came about, the same ones
// give the same bytes.
type classFiles struct {
	run     *run
	index   *report.Index
	slowest *report.Slowest
	mutants *solutionMutants
	alike   *similarity.Comparison // nil: nobody asked
}

// The pages about the class. Of all files of an output directory, slowestFile alone differs from run to run.
const (
	indexFile   = "index.html"
	slowestFile = "slowest.html"
)

// newClassFiles prepares what the files show of the lab itself.
func (r *run) newClassFiles(ctx context.Context) (*classFiles, error) {
	assignment := r.rendering.assignment
	files := &classFiles{
		run:     r,
		index:   &report.Index{Assignment: assignment, Engine: r.cfg.Engine.Name(), Digest: assignment.Lab.Digest},
		slowest: &report.Slowest{Assignment: assignment},
		mutants: &solutionMutants{known: &similarity.Known{}},
	}
	if len(r.entries) > 1 { // a class
		var err error
		if files.mutants, err = newSolutionMutants(ctx, &r.cfg); err != nil {
			return nil, err
		}
	}
	if r.cfg.Similarity {
		files.alike = similarity.NewComparison(files.mutants.known)
	}
	return files, nil
}

// renderedResult is a result on its way from the workers, which write its student's files, to the class's files.
type renderedResult struct {
	*studentResult
	forFormats report.Result
	err        error
	ready      chan struct{}
}

// page writes the files that are about the class as a whole.
func (files *classFiles) page(s *Summary) error {
	for _, o := range s.Objectives {
		files.index.Objectives = append(files.index.Objectives, report.Rate(o))
	}
	for _, m := range s.Mistakes {
		files.index.Mistakes = append(files.index.Mistakes, report.Tally{ID: m.ID, N: m.Submissions})
	}
	files.index.Titles, files.index.Mutants = files.run.titles.by, files.mutants.most()
	if files.alike != nil {
		alike := files.alike.Report(s.Lab)
		if err := writeSimilarity(alike, files.run.replace); err != nil {
			return err
		}
		files.index.Similar = files.similar(alike)
	} else if err := errors.Join(files.run.remove(similarityJSON), files.run.remove(similarityCSV)); err != nil {
		return err
	}
	for _, f := range files.run.rendering.others {
		if f.ClassFile == "" {
			continue
		}
		if err := files.run.remove(f.ClassFile); err != nil {
			return err
		}
	}
	return errors.Join(files.run.replace(slowestFile, files.slowest.Write),
		files.run.replace(indexFile, files.index.Write))
}

// dir is where a student's files are; "" if there are none.
func (files *classFiles) dir(id string) string {
	if files.run.cfg.NoReports {
		return ""
	}
	return studentDir(id)
}

// similar is what the page about the class shows of a comparison.
func (files *classFiles) similar(s *similarity.Report) *report.Similar {
	shown := s.Clusters[:min(len(s.Clusters), report.IndexSimilar)]
	out := &report.Similar{Note: s.Note, More: len(s.Clusters) - len(shown)}
	for _, c := range shown {
		g := report.SimilarGroup{Count: c.Count, Equal: c.Equal == c.Count, Reasons: c.Reasons}
		if c.Score > 0 {
			g.Score = report.Decimal(c.Score)
		}
		for i, id := range c.Students[:min(len(c.Students), report.IndexMembers)] {
			g.Students = append(g.Students, report.NewStudentLink(id, c.Names[i], files.dir(id)))
		}
		g.More = c.Count - len(g.Students)
		out.Groups = append(out.Groups, g)
	}
	return out
}

// write writes the files of the students and those of the formats, and calls then with every student's
// result, in order. A handful of reports are in memory at a time.
func (files *classFiles) write(ctx context.Context, then func(*studentResult) error) error {
	workers := cmp.Or(max(files.run.cfg.Workers, 0), runtime.GOMAXPROCS(0))
	return files.class(files.run.rendering.formats, nil, func(class []report.ClassWriter) error {
		g, ctx := errgroup.WithContext(ctx)
		work, order := make(chan *renderedResult), make(chan *renderedResult, 4*workers)
		g.Go(func() error {
			defer close(work)
			defer close(order)
			return files.run.each(func(st *studentResult) error {
				s := &renderedResult{studentResult: st, ready: make(chan struct{})}
				for _, to := range []chan *renderedResult{order, work} {
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
					s.forFormats, s.err = files.one(s.studentResult)
					if s.err != nil && files.run.ownFault(s.err) {
						s.fail(s.err)
						s.forFormats, s.err = s.result.ForFormats(nil), nil
					}
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
					err = files.add(s, class)
				}
				if err == nil {
					err = then(s.studentResult)
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

// add puts a result into the files of the class.
func (files *classFiles) add(s *renderedResult, class []report.ClassWriter) error {
	if err := files.index.Add(&s.forFormats, files.dir(s.result.ID)); err != nil {
		return err
	}
	for _, rec := range s.attempts {
		if rec.Took > 0 {
			files.slowest.Add(rec.Result.ID, rec.Result.Attempt, files.dir(rec.Result.ID),
				time.Duration(rec.Took*float64(time.Second)))
		}
	}
	files.mutants.add(&s.result)
	if files.alike != nil {
		compare(files.alike, &s.result)
	}
	for _, c := range class {
		if err := c.Add(&s.forFormats); err != nil {
			return err
		}
	}
	return nil
}

// class opens the class's files of formats, one inside the other, so that all are there as a whole or none is.
func (files *classFiles) class(formats []*report.Format, open []report.ClassWriter,
	then func([]report.ClassWriter) error) error {
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
	if f.ClassFile == "" {
		return files.class(formats[1:], open, then)
	}
	return files.run.replace(f.ClassFile, func(w io.Writer) error {
		return files.class(formats[1:], append(open, f.Begin(w, &files.run.rendering.assignment)), then)
	})
}

// ForFormats returns the result as formats take it; rep may be nil.
func (res *Result) ForFormats(rep *grade.Report) report.Result {
	o := report.Result{
		ID: res.ID, Name: res.Name, Email: res.Email, Platform: string(res.Platform), Status: res.Status,
		Message: res.Message, StudentMessage: res.StudentMessage,
		Problems: res.Problems, Score: res.Score, Raw: res.Raw, Report: rep,
	}
	if res.Late != nil {
		o.Late, o.SubmittedAt, o.DueAt = res.Late.Reason, res.Late.SubmittedAt, res.Late.DueAt
	}
	return o
}

// one renders a student's files, unless they were when the submission was graded, and returns the result. It has the
// report if that was read.
func (files *classFiles) one(st *studentResult) (report.Result, error) {
	rendered := files.run.rendered[st.entry]
	o := st.result.ForFormats(nil)
	if st.result.Report != "" && (!rendered || files.run.rendering.reports) {
		var err error
		if o.Report, err = files.run.readReport(st.result.Report); err != nil {
			return o, err
		}
	}
	if rendered {
		return o, nil
	}
	return o, files.run.render(&o)
}
