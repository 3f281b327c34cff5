package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

func newBatchCommand(app *app) *cobra.Command {
	var o batchOptions
	cmd := &cobra.Command{
		Use:   "batch LAB SUBMISSIONS... --out DIR",
		Short: "Grade the submissions of a class",
		Long: `Grade the submissions of a class, by default without a cluster. SUBMISSIONS are directories that hold a submission a student
(a folder, an archive or a file of manifests, named after the student); what Canvas, Moodle and Gradescope let you download, as
the .zip that it comes as or unpacked; single ones; or a list, a CSV file with the columns student_id and path, and
name, email, submitted_at, due_at and extension if you like. One URL (s3://, gs://, azblob://, file://) names such folders,
archives and files, or such a list, in object storage. Where it is known when submissions came in, the lab says what lateness
costs and which attempt counts.

Submissions are untrusted: each is read within limits and graded on its own, and one that breaks something is its own
error. An error has no grade; it is never 0 points. The output directory gets results.jsonl, grades.csv, summary.json,
index.html for the instructor, and a report and a page of feedback for every student. What is graded is in a journal there: the same command again, after whatever ended it,
grades only what is missing, and starts afresh when the lab or an option that changes grades is another.

--engine live grades in the running lab, one submission after the other, and resets it in between; --pool N makes N labs for that,
and takes them down afterwards. What fails in one lab is graded again in another; a lab that broke is mended, made anew or left out.

Exit code: 0 everything is graded, 2 wrong use or a lab in error, 3 there are errors among the results, or the machine
failed, 130 interrupted.`,
		Example: `  labctl batch networkpolicy submissions/ --out graded/
  labctl batch networkpolicy class.csv --out graded/ --workers 8
  labctl batch networkpolicy Downloads/submissions.zip --out graded/
  labctl batch networkpolicy class.csv --out graded/ --due 2026-11-23T18:00:00+01:00 --late grace=15m,penalty=10,cutoff=3d
  labctl batch networkpolicy submissions/ --out graded/ --format canvas-csv --assignment "Lab 1 (1234)"
  labctl batch networkpolicy submissions/ --out graded/ --only-failed
  labctl batch networkpolicy submissions/ --out graded/ --engine live --pool 2
  labctl batch networkpolicy 's3://class/week-3?region=eu-central-1' --out graded/`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.timeoutSet = cmd.Flags().Changed("timeout")
			return app.batch(cmd.Context(), &o, args)
		},
	}
	o.lab.register(cmd)
	o.engine.registerSemantics(cmd)
	o.live.live.register(cmd)
	o.output.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.cfg.Out, "out", "", "`DIR`ectory for the results")
	f.IntVar(&o.cfg.Workers, "workers", 0, "how many to grade at the same time (default: the processors there are)")
	registerFormats(cmd, &o.formats, &o.cfg)
	f.StringVar(&o.engine.engine, "engine", engineOffline, "`ENGINE` that judges connections: offline, live or both")
	complete(cmd, "engine", engineOffline, engineLive, engineBoth)
	f.IntVar(&o.live.size, "pool", 0, "with --engine live or both: make `N` labs to grade in, instead of using the one that runs")
	f.StringVar(&o.live.on, "on", "", "`PROVIDER` of the clusters of --pool (default: the lab's first)")
	f.BoolVar(&o.live.keep, "keep-pool", false, "leave the labs of --pool for the next run")
	f.StringSliceVar(&o.cfg.Again, "regrade", nil, "grade these `STUDENT`s again")
	f.BoolVar(&o.cfg.OnlyFailed, "only-failed", false, "grade those again whose result is an error")
	o.handIn.register(f)
	f.StringVar(&o.from, "from", "", "`PLATFORM` whose download it is: canvas, moodle, gradescope, or plain for none (default: found out)")
	f.BoolVar(&o.search.ClassArchive, "class-archive", false, "a .zip that is named holds a class, not one student's files")
	f.StringVar(&o.events, "events", "", "print each result as it comes, in this `FORMAT`: jsonl")
	registerGrading(cmd, &o.cfg)
	cmd.AddCommand(newBatchSubmitCommand(app), newBatchStatusCommand(app), newBatchCancelCommand(app), newBatchCollectCommand(app), newBatchWorkCommand(app))
	return cmd
}

// batchOptions are what the command line says of a batch.
type batchOptions struct {
	lab        labFlags
	engine     engineFlags
	live       poolOptions
	handIn     handInFlags
	output     outputFlag
	cfg        batch.Config
	search     batch.Search
	from       string
	formats    []string
	events     string
	timeoutSet bool
}

// check completes the options that flags alone decide.
func (o *batchOptions) check() (err error) {
	if o.cfg.Out == "" {
		return errors.New("--out is missing: name the directory for the results")
	}
	if o.search.From = batch.Platform(o.from); o.from != "" && !slices.Contains(batch.Platforms, o.search.From) {
		return fmt.Errorf("--from %s: want one of %v", o.from, batch.Platforms)
	}
	if o.events != "" && o.events != "jsonl" {
		return fmt.Errorf("--events %s: want jsonl", o.events)
	}
	if err := o.engine.check(); err != nil {
		return err
	}
	if err := checkGrading(&o.cfg); err != nil {
		return err
	}
	if o.cfg.Workers < 0 {
		return fmt.Errorf("--workers %d: want a number of 1 or more", o.cfg.Workers)
	}
	if o.engine.chosen() == engineOffline && (o.live.size != 0 || o.live.on != "" || o.live.keep) {
		return errors.New("--pool, --on and --keep-pool are about labs that run: add --engine live, or both")
	}
	if o.engine.chosen() != engineOffline && !o.timeoutSet {
		o.cfg.Timeout = liveTimeout
	}
	o.cfg.Formats, err = findFormats(o.formats, o.cfg.NoReports)
	return err
}

// batch grades a class.
func (a *app) batch(ctx context.Context, o *batchOptions, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg := &o.cfg
	lab, err := loadGrading(cfg, &o.lab, &o.engine, args[0])
	if err != nil {
		return err
	}
	if err := o.handIn.apply(lab, cfg); err != nil {
		return err
	}
	found, release, err := findSubmissions(ctx, o.search, cfg, args[1:])
	if err != nil {
		return err
	}
	defer release()
	for _, e := range found.Entries {
		if cfg.Grader.NamesTask(e.ID) {
			return fmt.Errorf("%s is named after a task: name the directory that holds the students' folders, not one student's folder", e.Path)
		}
	}
	for _, id := range cfg.Again {
		if !slices.ContainsFunc(found.Entries, func(e batch.Entry) bool { return e.ID == id }) {
			return fmt.Errorf("--regrade %s: there is no submission of this student", id)
		}
	}
	warnAbout(a.log(), found)
	cfg.Tool, cfg.Log = toolVersion(), a.log()
	var sum *batch.Summary
	if o.engine.chosen() == engineOffline {
		sum, err = a.runBatch(ctx, o, found.Entries)
	} else {
		sum, err = a.runLiveBatch(ctx, o, args[0], found.Entries)
	}
	if err != nil {
		return err
	}
	return a.showBatch(o, sum)
}

// loadGrading reads a lab, and completes what it is graded by.
func loadGrading(cfg *batch.Config, flags *labFlags, engine *engineFlags, nameOrDir string) (*labs.Lab, error) {
	lab, err := flags.load(nameOrDir)
	if err != nil {
		return nil, err
	}
	if cfg.Grader, err = grade.NewGrader(lab); err != nil {
		return nil, err
	}
	if err := cfg.Grader.Check(cfg.Options); err != nil {
		return nil, err
	}
	cfg.Engine, err = engine.open(lab)
	return lab, err
}

// runBatch grades, and shows how far it is.
func (a *app) runBatch(ctx context.Context, o *batchOptions, entries []batch.Entry) (*batch.Summary, error) {
	view := batchView{app: a, start: a.now(), events: o.events == "jsonl"}
	o.cfg.Report = keepingMemory(view.report)
	sum, err := batch.Run(ctx, o.cfg, entries)
	view.end()
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, infraError{err}
	}
	return sum, nil
}

// showBatch prints what came out. Errors among the results make the exit code 3.
func (a *app) showBatch(o *batchOptions, sum *batch.Summary) error {
	if slices.Contains(o.formats, formatGitHub) {
		if err := a.tellGitHub(o.cfg.Out); err != nil {
			return err
		}
	}
	return a.showSummary(sum, o.output.json(), o.events != "", o.cfg.Out)
}

// showSummary prints what a class came to, unless its results were printed one by one.
func (a *app) showSummary(sum *batch.Summary, asJSON, told bool, dir string) (err error) {
	if asJSON {
		err = a.writeJSON(sum)
	} else if !told {
		err = writeSummary(a.out, sum, dir)
	}
	if err == nil && len(sum.Failures) > 0 {
		return statusError(exitInfra)
	}
	return err
}

// registerGrading adds the flags of what a grade depends on.
func registerGrading(cmd *cobra.Command, cfg *batch.Config) {
	f, limits := cmd.Flags(), &cfg.Limits
	f.DurationVar(&cfg.Timeout, "timeout", time.Minute, "how long one submission may take")
	f.BoolVar(&cfg.NoReports, "no-reports", false, "write no files for single students")
	most := batch.DefaultLimits()
	f.IntVar(&limits.Files, "max-files", most.Files, "files of a submission")
	f.Int64Var(&limits.TotalBytes, "max-bytes", most.TotalBytes, "bytes of a submission's manifests; an archive may have 16 times as many")
	f.Int64Var(&limits.FileBytes, "max-file-bytes", most.FileBytes, "bytes of one manifest")
	f.IntVar(&limits.Depth, "max-depth", most.Depth, "folders within folders, and levels of nesting in a document")
	f.IntVar(&limits.Documents, "max-documents", most.Documents, "objects of a submission")
	f.IntVar(&limits.Nodes, "max-values", most.Nodes, "values of a submission's documents, each use of an alias counted")
	f.BoolVar(&cfg.Options.Reveal, "after-due", false, "show the objectives that are shown after the due date")
	f.BoolVar(&cfg.Options.RevealHidden, "reveal", false, "show hidden objectives too (for authors and graders)")
	registerTasks(cmd, &cfg.Options.Tasks, "grade only this `TASK`; may be given more than once")
}

// checkGrading says which number of registerGrading is none that can be meant.
func checkGrading(cfg *batch.Config) error {
	l := cfg.Limits
	for _, limit := range []struct {
		flag  string
		value int64
	}{
		{"timeout", int64(cfg.Timeout)}, {"max-files", int64(l.Files)}, {"max-bytes", l.TotalBytes}, {"max-file-bytes", l.FileBytes},
		{"max-depth", int64(l.Depth)}, {"max-documents", int64(l.Documents)}, {"max-values", int64(l.Nodes)},
	} {
		if limit.value <= 0 {
			return fmt.Errorf("--%s has to be more than 0", limit.flag)
		}
	}
	return nil
}

// registerFormats adds the flags of what is written beside.
func registerFormats(cmd *cobra.Command, formats *[]string, cfg *batch.Config) {
	f := cmd.Flags()
	f.StringSliceVar(formats, "format", nil, "also write the results in this `FORMAT`; may be given more than once: "+strings.Join(report.FormatNames(), ", "))
	completeFormats(cmd)
	f.BoolVar(&cfg.Similarity, "similarity", false, "say which submissions are alike, in similarity.csv, similarity.json and index.html: a help to look, not a verdict")
	f.StringVar(&cfg.Assignment, "assignment", "", "what a platform's column or assignment is called (default: the lab's title)")
}

// findFormats are the formats of those names, and those that others need.
func findFormats(names []string, noReports bool) ([]*report.Format, error) {
	var list []*report.Format
	if slices.Contains(names, formatGitHub) && !slices.Contains(names, formatMarkdown) {
		names = append(names, formatMarkdown) // for the job's summary
	}
	for _, name := range names {
		format, err := report.FindFormat(name)
		if err != nil {
			return nil, fmt.Errorf("--format: %w", err)
		}
		if noReports && (format.Detail || format.Class == nil) {
			return nil, fmt.Errorf("--format %s needs the students' reports or writes into their folders: leave out --no-reports", name)
		}
		list = append(list, format)
	}
	return list, nil
}

// tellGitHub prints the annotations of a run, and adds its table to the job's summary.
func (a *app) tellGitHub(out string) error {
	commands, err := report.FindFormat(formatGitHub)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(out, commands.ClassFile))
	if err != nil {
		return infraError{err}
	}
	if _, err = a.out.Write(text); err != nil {
		return err
	}
	markdown, err := report.FindFormat(formatMarkdown)
	if err != nil {
		return err
	}
	return jobFile("GITHUB_STEP_SUMMARY", func(w io.Writer) error {
		text, err := os.ReadFile(filepath.Join(out, markdown.ClassFile))
		if err != nil {
			return infraError{err}
		}
		if len(text) > summaryBytes {
			end := bytes.LastIndexByte(text[:summaryBytes], '\n') + 1
			text = append(text[:end], "\n… cut: GitHub takes no more. All of it is in "+markdown.ClassFile+".\n"...)
		}
		_, err = w.Write(text)
		return err
	})
}

// summaryBytes is what of a class's table goes into a job's summary: GitHub drops one that is over 1 MiB.
const summaryBytes = 1_000_000

// warnAbout says what of the submissions needs a look.
func warnAbout(log *slog.Logger, found *batch.Found) {
	for _, path := range found.Ignored {
		log.Warn("not a submission, left out", "path", path)
	}
	late := 0
	for i := range found.Entries {
		if found.Entries[i].MarkedLate {
			late++
		}
	}
	if late > 0 {
		log.Warn("some are marked late, but not by how much: a list with submitted_at would say", "submissions", late)
	}
}

// batchView shows how far a run is: on a terminal one line that changes, elsewhere a line now and then.
type batchView struct {
	app     *app
	start   time.Time
	last    time.Time
	written time.Time // when students' files began to be written; zero: not yet
	events  bool
	what    string // is counted; "": submissions that are graded
	drawn   bool
}

const plainEvery = 10 * time.Second

func (v *batchView) report(p batch.Progress) {
	if p.Result == nil && p.Done == 0 && p.Fresh != "" {
		fmt.Fprintf(v.app.err, "starting afresh: %s\n", p.Fresh)
	}
	if v.events && p.Result != nil {
		// What cannot be written is noticed when the command ends.
		_ = v.app.writeJSONLine(p.Result)
	}
	now := v.app.now()
	every := plainEvery
	if v.app.terminal.is {
		every = 100 * time.Millisecond
	}
	last := p.Done == p.Total && p.Written == 0
	if now.Sub(v.last) < every && !last || p.Done == 0 {
		return
	}
	if v.last.IsZero() && !v.app.terminal.is && !last {
		v.last = now
		return
	}
	v.last = now
	line := v.graded(p, now)
	if p.Written > 0 {
		if v.written.IsZero() {
			v.written = now
		}
		line = fmt.Sprintf("files of %d of %d written%s", p.Written, p.Total, pace(p.Written, p.Total-p.Written, now.Sub(v.written)))
	}
	if v.app.terminal.is {
		fmt.Fprintf(v.app.err, "\r\x1b[K%s", line)
		v.drawn = true
		return
	}
	fmt.Fprintln(v.app.err, line)
}

// graded says how far the grading is.
func (v *batchView) graded(p batch.Progress, now time.Time) string {
	line := fmt.Sprintf("%d of %d %s", p.Done, p.Total, cmp.Or(v.what, "graded"))
	line += pace(p.Done-p.Kept, p.Total-p.Done, now.Sub(v.start))
	if p.Kept > 0 {
		line += fmt.Sprintf(" · %d kept", p.Kept)
	}
	if p.Errors > 0 {
		line += fmt.Sprintf(" · %s", count(p.Errors, "error"))
	}
	return line
}

// pace says how fast it goes, and how long what is left takes at that; empty if nobody can know yet.
func pace(done, left int, took time.Duration) string {
	if took <= 0 || done <= 0 {
		return ""
	}
	rate := float64(done) / took.Seconds()
	text := fmt.Sprintf(" · %.0f/s", rate)
	if rate < 1 {
		text = fmt.Sprintf(" · %.1f/min", rate*60)
	}
	if left > 0 {
		text += fmt.Sprintf(" · %s left", (time.Duration(float64(left)/rate) * time.Second).Round(time.Second))
	}
	return text
}

func (v *batchView) end() {
	if v.drawn {
		fmt.Fprintln(v.app.err)
	}
}

// printable is text that a terminal only shows: students may choose names that would command it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func writeSummary(w io.Writer, s *batch.Summary, dir string) error {
	fmt.Fprintf(w, "%s of %s: %d passed, %d failed, %d refused, %s\n",
		count(s.Submissions, "submission"), s.Lab.Name, s.Passed, s.Failed, s.Refused, count(s.Errors, "error"))
	if s.Attempts > s.Submissions {
		fmt.Fprintf(w, "  %d attempts, of which one counts for each student\n", s.Attempts)
	}
	if s.Late > 0 {
		fmt.Fprintf(w, "  %d lost points for being late\n", s.Late)
	}
	for i, m := range s.Mistakes {
		if i == 5 {
			break
		}
		fmt.Fprintf(w, "  %d× %s\n", m.Submissions, m.ID)
	}
	for i, f := range s.Failures {
		if i == 10 {
			fmt.Fprintf(w, "  … and %d more errors in results.jsonl\n", len(s.Failures)-i)
			break
		}
		who := f.ID
		if f.Attempt > 0 {
			who += fmt.Sprintf(", attempt %d", f.Attempt)
		}
		fmt.Fprintf(w, "  error: %s: %s\n", printable(who), printable(f.Message))
	}
	_, err := fmt.Fprintf(w, "The results are in %s.\n", dir)
	return err
}
