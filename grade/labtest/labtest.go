// Package labtest tests a lab for its author: whether it grades its samples as they declare, whether every mistake in its
// solution costs points (mutation testing), and whether its objectives are sound (lint).
package labtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// Report is the result of testing a lab: whether it grades as its author says, and whether a submission can have a
// mistake that no objective notices.
type Report struct {
	FormatVersion int             `json:"format_version"`
	Lab           grade.LabReport `json:"lab"`
	Engine        string          `json:"engine"`
	Passed        bool            `json:"passed"`
	Starter       SampleResult    `json:"starter"`
	Samples       []SampleResult  `json:"samples"`
	Mutation      MutationResult  `json:"mutation"`
}

// SampleResult is how a submission that ships with the lab scored.
type SampleResult struct {
	Name        string       `json:"name"`
	Path        string       `json:"path"`
	File        string       `json:"file"` // where the lab names the path
	Line        int          `json:"line"`
	Solution    bool         `json:"solution"`
	Want        *float64     `json:"want"` // percent; of the starter: the pass mark, to be missed; null: the sample declares none
	Got         float64      `json:"got"`  // percent
	Points      float64      `json:"points"`
	Missed      []string     `json:"missed"`   // objectives, in whole or in part: "task/objective"
	Mistakes    []string     `json:"mistakes"` // that the report names, by ID, each once
	Passed      bool         `json:"passed"`
	Differences []Difference `json:"differences"` // what is not as the sample declares
	// Error says why there is no score: the sample does not exist, or was refused.
	Error string `json:"error,omitempty"`
	// Report says what the score is made of.
	Report *grade.Report `json:"-"`
}

// Difference is what is not as a sample declares.
type Difference struct {
	Message string `json:"message"` // in a few words
	File    string `json:"file"`    // where the lab declares it
	Line    int    `json:"line"`
}

// MutationResult counts what became of the solution's mutants. A mutant is equivalent if no connection of
// the lab comes out differently; otherwise it must cost points, or it survives.
type MutationResult struct {
	Mutants    int      `json:"mutants"`
	Killed     int      `json:"killed"`
	Equivalent int      `json:"equivalent"`
	Invalid    int      `json:"invalid"` // what neither the API server nor the lab would take
	Survivors  []Mutant `json:"survivors"`
	// Skipped says why nothing was mutated: there is no solution, or it does not get full marks.
	Skipped string `json:"skipped,omitempty"`
}

// Mutant is a change to the solution.
type Mutant struct {
	Sample   string `json:"sample"`
	Mutation string `json:"mutation"` // "drop-peer"
	Message  string `json:"message"`  // "leave out the peer spec.ingress[0].from[1]"
	Object   string `json:"object"`   // manifest.Ref as text
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Task     string `json:"task"` // in whose folder the object stands
	// Flow is a connection that comes out differently, at the checkpoint of a task, and no objective notices.
	Flow ChangedFlow `json:"flow"`
}

// ChangedFlow is a connection with its verdicts before and after a change.
type ChangedFlow struct {
	Task   string          `json:"task"`
	From   string          `json:"from"`
	To     string          `json:"to"`
	Before verdict.Verdict `json:"before"`
	After  verdict.Verdict `json:"after"`
}

// Test grades the lab's samples and its starter, and mutates its solution. The error is the lab's as a
// whole, or the engine's; what is wrong with a sample is in the report.
func Test(ctx context.Context, lab *labs.Lab, eng engine.Engine) (*Report, error) {
	return TestStepwise(ctx, lab, eng, func(*Report) {})
}

// TestStepwise is Test for those who watch: it calls progress with the report so far after the starter, after each
// sample and after each mutant. Until it returns, Passed says only that nothing has failed yet.
func TestStepwise(ctx context.Context, lab *labs.Lab, eng engine.Engine, progress func(*Report)) (*Report, error) {
	g, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	t := tester{grader: g, eng: eng, progress: progress, report: &Report{
		FormatVersion: grade.FormatVersion,
		Lab:           grade.LabReport{Name: lab.Name, Title: lab.Title, Digest: lab.Digest},
		Engine:        eng.Name(),
		Samples:       []SampleResult{},
		Mutation:      MutationResult{Survivors: []Mutant{}},
	}}
	if err := t.starter(ctx); err != nil {
		return nil, err
	}
	var solutions []solution
	for i := range lab.Samples {
		sub, err := t.sample(ctx, &lab.Samples[i])
		if err != nil {
			return nil, err
		}
		if lab.Samples[i].Solution {
			solutions = append(solutions, solution{&lab.Samples[i], sub, t.report.Samples[i]})
		}
	}
	if err := t.mutate(ctx, solutions); err != nil {
		return nil, err
	}
	return t.report, nil
}

// tester fills a report.
type tester struct {
	grader   *grade.Grader
	eng      engine.Engine
	report   *Report
	progress func(*Report)
}

// solution is a sample that is a solution, with its result.
type solution struct {
	*labs.Sample
	sub    *submission.Submission
	result SampleResult
}

func (t *tester) starter(ctx context.Context) (err error) {
	t.report.Starter, err = testStarter(ctx, t.grader, t.eng)
	if err != nil {
		return err
	}
	t.report.Passed = t.report.Starter.Passed
	t.progress(t.report)
	return nil
}

// sample grades a sample and returns it, or nil if it cannot be read.
func (t *tester) sample(ctx context.Context, s *labs.Sample) (*submission.Submission, error) {
	res, sub, err := testSample(ctx, t.grader, t.eng, s)
	if err != nil {
		return nil, err
	}
	t.report.Samples = append(t.report.Samples, *res)
	t.report.Passed = t.report.Passed && res.Passed
	t.progress(t.report)
	return sub, nil
}

// mutate mutates the solutions that get full marks.
func (t *tester) mutate(ctx context.Context, solutions []solution) error {
	result := &t.report.Mutation
	if len(solutions) == 0 {
		result.Skipped = "no sample is a solution"
	}
	for _, s := range solutions {
		if s.result.Error != "" || s.result.Report.Score.Percent < 100 {
			result.Skipped = fmt.Sprintf("the solution %q (%s) does not get full marks", s.Name,
				grade.Place(s.Range.Filename, s.Range.Start.Line))
			continue
		}
		err := mutate(ctx, t.grader, t.eng, s.Sample, s.sub, result, func() { t.progress(t.report) })
		if err != nil {
			return fmt.Errorf("mutate the sample %q: %w", s.Name, err)
		}
	}
	t.report.Passed = t.report.Passed && result.Skipped == "" && len(result.Survivors) == 0
	return nil
}

// testStarter grades what students start from, which must not pass.
func testStarter(ctx context.Context, g *grade.Grader, eng engine.Engine) (SampleResult, error) {
	lab := g.Lab()
	res := newResult("starter", lab.Starter, lab.StarterRange)
	res.Want = &lab.PassMark
	var sub *submission.Submission
	if lab.Starter != "" {
		var err error
		if sub, err = g.Rules.ReadFS(lab.FS, lab.Starter, manifest.Limits{}); err != nil {
			res.Error = err.Error()
			return res, nil
		}
	}
	if err := gradeSample(ctx, g, eng, sub, &res); err != nil {
		return res, err
	}
	if res.Error == "" {
		res.Differences = starterDifferences(lab, res.Report)
		res.Passed = len(res.Differences) == 0
	}
	return res, nil
}

// testSample grades a sample and compares its report with what it declares.
func testSample(ctx context.Context, g *grade.Grader, eng engine.Engine, s *labs.Sample) (*SampleResult, *submission.Submission, error) {
	res := newResult(s.Name, s.Path, s.Written("path"))
	res.Solution, res.Want = s.Solution, s.Score
	sub, err := g.Rules.ReadSample(s)
	if err != nil {
		res.Error = err.Error()
		return &res, nil, nil
	}
	if err := gradeSample(ctx, g, eng, sub, &res); err != nil {
		return nil, nil, err
	}
	if res.Error == "" {
		res.Differences = differences(s, &res)
		res.Passed = len(res.Differences) == 0
	}
	return &res, sub, nil
}

func newResult(name, path string, at hcl.Range) SampleResult {
	return SampleResult{
		Name: name, Path: path, File: at.Filename, Line: at.Start.Line,
		Missed: []string{}, Mistakes: []string{}, Differences: []Difference{},
	}
}

// gradeSample grades a sample. A refusal is part of the result; an error is the engine's.
func gradeSample(ctx context.Context, g *grade.Grader, eng engine.Engine, sub *submission.Submission, res *SampleResult) error {
	report, err := g.Grade(ctx, sub, eng, grade.Options{AfterDue: true, Reveal: true})
	if refused := (*engine.Refused)(nil); errors.As(err, &refused) {
		res.Error = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	res.Report, res.Got, res.Points = report, report.Score.Percent, report.Score.Points
	for i := range report.Tasks {
		t := &report.Tasks[i]
		for j := range t.Objectives {
			o := &t.Objectives[j]
			if o.Status == grade.Missed || o.Status == grade.Partly {
				res.Missed = append(res.Missed, t.Name+"/"+o.Name)
			}
			for _, c := range o.Checks {
				if c.Mistake != "" && !slices.Contains(res.Mistakes, c.Mistake) {
					res.Mistakes = append(res.Mistakes, c.Mistake)
				}
			}
		}
	}
	return nil
}
