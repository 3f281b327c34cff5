package class

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

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// NewBatchCommand is `labctl batch`. storage may be nil; more are further subcommands.
func NewBatchCommand(app *cli.App, storage Storage, more ...*cobra.Command) *cobra.Command {
	var o batchOptions
	cmd := &cobra.Command{
		Use:   "batch LAB SUBMISSIONS... --out DIR",
		Short: "Grade the submissions of a class",
		Long: `Grade the submissions of a class, and write grades and feedback to DIR.

SUBMISSIONS are one or more of:
  - a directory with a folder, archive or manifest per student, named after the student;
  - an export of Canvas, Moodle or Gradescope, zipped or unpacked;
  - a single submission;
  - a CSV file with the columns student_id and path, and optionally name, email, submitted_at, due_at and extension;
  - a URL of these in object storage: s3://, gs://, azblob:// or file://.

DIR gets index.html for the instructor, grades.csv, results.jsonl, summary.json, and a report and a feedback page for
each student. If the run is interrupted, repeat the command to resume. If the lab or an option that changes grades has
changed, labctl grades everything again.

A submission that cannot be graded is an error without a grade, never 0 points. If the times of submission are known,
the lab's late penalty and limit on attempts apply.

labctl grades without a cluster. With --engine live it grades in the running lab, one submission at a time, or in as
many labs as --pool says, which it creates and deletes.

Exit code: 0 everything is graded; 2 usage error, or an invalid lab; 3 some results are errors, or the machine failed;
130 interrupted.`,
		Example: `  labctl batch networkpolicy submissions/ --out graded/
  labctl batch networkpolicy Downloads/submissions.zip --out graded/ --format canvas-csv --assignment "Lab 1 (1234)"
  labctl batch networkpolicy submissions/ --out graded/ --only-failed
  labctl batch networkpolicy class.csv --out late/ --due 2026-11-23T18:00:00+01:00 --late grace=15m,penalty=10,cutoff=3d
  labctl batch networkpolicy submissions/ --out live/ --engine live --pool 2
  labctl batch networkpolicy 's3://class/week-3?region=eu-central-1' --out week-3/`,
		Args: cli.Args(2, cli.Unlimited),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.timeoutSet = cmd.Flags().Changed("timeout")
			return gradeClass(cmd.Context(), app, storage, &o, args)
		},
	}
	o.register(app, cmd)
	cmd.AddCommand(more...)
	return cmd
}

// register adds the flags, in the order of the help.
func (o *batchOptions) register(app *cli.App, cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.cfg.Out, "out", "", "`DIR` for the results")
	f.StringVar(&o.from, "from", "",
		"`PLATFORM` of the export: canvas, moodle, moodle-teams, gradescope, or plain for none (default: detected)")
	f.BoolVar(&o.search.ClassArchive, "class-archive", false,
		"a .zip on the command line holds a class, not one student's files")
	f.BoolVar(&o.cfg.OnlyFailed, "only-failed", false, "grade only the submissions whose result is an error")
	f.StringSliceVar(&o.cfg.Regrade, "regrade", nil, "grade this `STUDENT` again; repeatable")
	f.IntVar(&o.cfg.Workers, "workers", 0, "submissions to grade in parallel (default: number of CPUs)")
	o.output.Register(cmd)
	f.StringVar(&o.events, "events", "", "print each result at once, in this `FORMAT`: jsonl")

	RegisterFormats(cmd, &o.formats, &o.cfg)
	RegisterGrading(cmd, &o.cfg)
	o.handIn.Register(cmd)
	o.lab.Register(cmd)
	o.engine.RegisterSemantics(cmd)

	f.StringVar(&o.engine.Engine, "engine", cli.EngineOffline,
		"`ENGINE` that evaluates connections: offline, live or both")
	cli.Complete(cmd, "engine", cli.EngineOffline, cli.EngineLive, cli.EngineBoth)
	f.IntVar(&o.live.size, "pool", 0,
		"with --engine live or both: create `N` labs to grade in, instead of using the running one")
	f.StringVar(&o.live.on, "on", "", "`PROVIDER` of the clusters for --pool (default: the lab's first)")
	f.BoolVar(&o.live.keep, "keep-pool", false, "keep the labs of --pool for the next run")
	f.BoolVar(&o.live.yes, "yes", false, "create labs for --pool that cost money without asking")
	cli.Under(cmd, cli.FlagsOfRunning, "engine", "pool", "on", "keep-pool", "yes")
	o.live.live.Register(app, cmd)
}

// batchOptions are what the command line says of a batch.
type batchOptions struct {
	lab        cli.LabFlags
	engine     cli.EngineFlags
	live       poolOptions
	handIn     HandInFlags
	output     cli.OutputFlag
	cfg        batch.Config
	search     intake.Search
	from       string
	formats    []string
	events     string
	timeoutSet bool
}

// check completes the options that flags alone decide.
func (o *batchOptions) check() (err error) {
	if o.cfg.Out == "" {
		return errors.New("--out is missing; name the directory for the results")
	}
	if o.search.From = intake.Platform(o.from); o.from != "" && !slices.Contains(intake.Platforms, o.search.From) {
		return fmt.Errorf("invalid --from %q: use one of %v", o.from, intake.Platforms)
	}
	if o.events != "" && o.events != "jsonl" {
		return fmt.Errorf("invalid --events %q: use jsonl", o.events)
	}
	if err := o.engine.Check(); err != nil {
		return err
	}
	if err := CheckGrading(&o.cfg); err != nil {
		return err
	}
	if o.cfg.Workers < 0 {
		return fmt.Errorf("--workers %d must be at least 1", o.cfg.Workers)
	}
	if o.engine.Chosen() == cli.EngineOffline && (o.live.size != 0 || o.live.on != "" || o.live.keep) {
		return errors.New("--pool, --on and --keep-pool need --engine live or --engine both")
	}
	if o.engine.Chosen() != cli.EngineOffline && !o.timeoutSet {
		o.cfg.Timeout = liveTimeout
	}
	o.cfg.Formats, err = FindFormats(o.formats, o.cfg.NoReports)
	return err
}

// gradeClass grades a class.
func gradeClass(ctx context.Context, a *cli.App, storage Storage, o *batchOptions, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg := &o.cfg
	lab, err := LoadGrading(cfg, &o.lab, &o.engine, args[0])
	if err != nil {
		return err
	}
	if err := o.handIn.Apply(lab, cfg); err != nil {
		return err
	}
	found, release, err := FindSubmissions(ctx, o.search, storage, cfg, args[1:])
	if err != nil {
		return err
	}
	defer release()
	if err := checkOut(cfg.Out, args[1:], found.Entries); err != nil {
		return err
	}
	for _, e := range found.Entries {
		if cfg.Grader.Rules.NamesTask(e.ID) {
			return fmt.Errorf("%s is named after a task; name the directory with the students' folders, not one "+
				"student's folder", e.Path)
		}
	}
	for _, id := range cfg.Regrade {
		if !slices.ContainsFunc(found.Entries, func(e intake.Entry) bool { return e.ID == id }) {
			return fmt.Errorf("--regrade %s: this student has no submission", id)
		}
	}
	WarnAbout(a.Log(), found)
	cfg.Tool, cfg.Log = cli.ToolVersion(), a.Log()
	var sum *batch.Summary
	if o.engine.Chosen() == cli.EngineOffline {
		sum, err = runBatch(ctx, a, o, found.Entries)
	} else {
		sum, err = runLiveBatch(ctx, a, o, args[0], found.Entries)
	}
	if err != nil {
		return err
	}
	return showBatch(a, o, sum)
}

// LoadGrading reads a lab, and completes what it is graded by.
func LoadGrading(cfg *batch.Config, flags *cli.LabFlags, engine *cli.EngineFlags, nameOrDir string) (*labs.Lab, error) {
	lab, err := flags.Load(nameOrDir)
	if err != nil {
		return nil, err
	}
	if cfg.Options.Tasks, err = cli.ResolveTasks(lab, cfg.Options.Tasks); err != nil {
		return nil, err
	}
	if cfg.Grader, err = grade.NewGrader(lab); err != nil {
		return nil, err
	}
	if err := cfg.Grader.Check(cfg.Options); err != nil {
		return nil, err
	}
	cfg.Engine, err = engine.Open(lab)
	return lab, err
}

// runBatch grades, and shows how far it is.
func runBatch(ctx context.Context, a *cli.App, o *batchOptions, entries []intake.Entry) (*batch.Summary, error) {
	view := ProgressView{App: a, Start: a.Now(), events: o.events == "jsonl"}
	o.cfg.Report = LimitMemory(view.Report)
	sum, err := batch.Run(ctx, o.cfg, entries)
	view.End()
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var busy *batch.BusyError
	if errors.As(err, &busy) {
		err = fmt.Errorf("%w; wait until it ends, or choose another directory with --out", err)
	}
	if err != nil {
		return nil, cli.InfraError{Err: err}
	}
	return sum, nil
}

// showBatch prints what came out. Errors among the results make the exit code 3.
func showBatch(a *cli.App, o *batchOptions, sum *batch.Summary) error {
	if slices.Contains(o.formats, cli.FormatGitHub) {
		if err := tellGitHub(a, o.cfg.Out); err != nil {
			return err
		}
	}
	return ShowSummary(a, sum, o.output.Json(), o.events != "", o.cfg.Out)
}

// ShowSummary prints what a class came to, unless its results were printed one by one.
func ShowSummary(a *cli.App, sum *batch.Summary, asJSON, printed bool, dir string) (err error) {
	if asJSON {
		err = a.WriteJSON(sum)
	} else if !printed {
		err = writeSummary(a.Out, sum, dir)
	}
	if err == nil && len(sum.Failures) > 0 {
		return cli.Reported{Err: cli.InfraError{Err: errors.New("some submissions could not be graded")}}
	}
	return err
}

// RegisterGrading adds the flags of what a grade depends on.
func RegisterGrading(cmd *cobra.Command, cfg *batch.Config) {
	f := cmd.Flags()
	cli.RegisterTasks(cmd, &cfg.Options.Tasks, "grade only this `TASK`; repeatable")
	f.BoolVar(&cfg.NoReports, "no-reports", false, "write no files for individual students")
	f.BoolVar(&cfg.Options.AfterDue, "after-due", false, "show objectives that students see after the due date")
	f.BoolVar(&cfg.Options.Reveal, "reveal", false, "show hidden objectives too, for authors and graders")
	cli.Under(cmd, cli.FlagsOfResults, "no-reports", "after-due", "reveal")
	f.DurationVar(&cfg.Timeout, "timeout", time.Minute, "time limit per submission")
	cli.Under(cmd, cli.FlagsOfLimits, "timeout")
	cli.RegisterLimits(cmd, &cfg.Limits)
}

// CheckGrading refuses numbers of RegisterGrading that make no sense.
func CheckGrading(cfg *batch.Config) error {
	if cfg.Timeout <= 0 {
		return errors.New("--timeout must be greater than 0")
	}
	return cli.CheckLimits(cfg.Limits)
}

// RegisterFormats adds the flags of what is written beside.
func RegisterFormats(cmd *cobra.Command, formats *[]string, cfg *batch.Config) {
	f := cmd.Flags()
	f.StringSliceVar(formats, "format", nil,
		"also write the results in this `FORMAT`: "+strings.Join(report.FormatNames(), ", ")+"; repeatable")
	cli.CompleteFormats(cmd)
	f.BoolVar(&cfg.Similarity, "similarity", false,
		"list similar submissions in similarity.csv, similarity.json and index.html, for a person to check")
	f.StringVar(&cfg.Assignment, "assignment", "",
		"name of the platform's column or assignment (default: the lab's title)")
	cli.Under(cmd, cli.FlagsOfResults, "format", "similarity", "assignment")
}

// FindFormats are the formats of those names, and those that others need.
func FindFormats(names []string, noReports bool) ([]*report.Format, error) {
	var list []*report.Format
	if slices.Contains(names, cli.FormatGitHub) && !slices.Contains(names, cli.FormatMarkdown) {
		names = append(names, cli.FormatMarkdown) // for the job's summary
	}
	for _, name := range names {
		format, err := report.FindFormat(name)
		if err != nil {
			return nil, fmt.Errorf("--format: %w", err)
		}
		if noReports && (format.Detail || format.ClassFile == "") {
			return nil, fmt.Errorf("--format %s needs the students' files; leave out --no-reports", name)
		}
		list = append(list, format)
	}
	return list, nil
}

// tellGitHub prints the annotations of a run, and adds its table to the job's summary.
func tellGitHub(a *cli.App, out string) error {
	commands, err := report.FindFormat(cli.FormatGitHub)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(out, commands.ClassFile))
	if err != nil {
		return cli.InfraError{Err: err}
	}
	if _, err = a.Out.Write(text); err != nil {
		return err
	}
	markdown, err := report.FindFormat(cli.FormatMarkdown)
	if err != nil {
		return err
	}
	return cli.JobFile("GITHUB_STEP_SUMMARY", func(w io.Writer) error {
		text, err := os.ReadFile(filepath.Join(out, markdown.ClassFile))
		if err != nil {
			return cli.InfraError{Err: err}
		}
		if len(text) > summaryBytes {
			end := bytes.LastIndexByte(text[:summaryBytes], '\n') + 1
			text = append(text[:end], "\n… truncated, since GitHub limits the size. The whole table is in "+
				markdown.ClassFile+".\n"...)
		}
		_, err = w.Write(text)
		return err
	})
}

// summaryBytes is what of a class's table goes into a job's summary: GitHub drops one that is over 1 MiB.
const summaryBytes = 1_000_000

// WarnAbout says what of the submissions needs a look.
func WarnAbout(log *slog.Logger, found *intake.Found) {
	for _, note := range found.Notes {
		log.Warn(note)
	}
	for _, path := range found.Ignored {
		log.Warn("skipped: not a submission", "path", submission.Printable(path))
	}
	late := 0
	for i := range found.Entries {
		if found.Entries[i].MarkedLate {
			late++
		}
	}
	if late > 0 {
		log.Warn("some submissions are marked late, but not by how much; grade a list with submitted_at",
			"submissions", late)
	}
}

// ProgressView shows how far a run is: on a terminal one line that changes, elsewhere a line now and then.
type ProgressView struct {
	App     *cli.App
	Start   time.Time
	last    time.Time
	written time.Time // when students' files began to be written; zero: not yet
	events  bool
	What    string // is counted; "": submissions that are graded
	drawn   bool
}

const plainEvery = 10 * time.Second

// Report shows progress.
func (v *ProgressView) Report(p batch.Progress) {
	if p.Result == nil && p.Done == 0 && p.RestartReason != "" {
		fmt.Fprintf(v.App.Err, "grading everything again: %s\n", p.RestartReason)
	}
	if v.events && p.Result != nil {
		// What cannot be written is noticed when the command ends.
		_ = v.App.WriteJSONLine(p.Result)
	}
	now := v.App.Now()
	every := plainEvery
	if v.App.Terminal.Is {
		every = 100 * time.Millisecond
	}
	last := p.Done == p.Total && p.Written == 0
	if now.Sub(v.last) < every && !last || p.Done == 0 {
		return
	}
	if v.last.IsZero() && !v.App.Terminal.Is && !last {
		v.last = now
		return
	}
	v.last = now
	line := v.graded(p, now)
	if p.Written > 0 {
		if v.written.IsZero() {
			v.written = now
		}
		line = fmt.Sprintf("files of %d of %d students written%s", p.Written, p.Total,
			Pace(p.Written, p.Total-p.Written, now.Sub(v.written)))
	}
	if v.App.Terminal.Is {
		fmt.Fprintf(v.App.Err, "\r\x1b[K%s", line)
		v.drawn = true
		return
	}
	fmt.Fprintln(v.App.Err, line)
}

// graded says how far the grading is.
func (v *ProgressView) graded(p batch.Progress, now time.Time) string {
	line := fmt.Sprintf("%d of %d %s", p.Done, p.Total, cmp.Or(v.What, "graded"))
	line += Pace(p.Done-p.Cached, p.Total-p.Done, now.Sub(v.Start))
	if p.Cached > 0 {
		line += fmt.Sprintf(" · %d already graded", p.Cached)
	}
	if p.Errors > 0 {
		line += fmt.Sprintf(" · %s", wording.Count(p.Errors, "error"))
	}
	return line
}

// Pace says how fast it goes, and how long what is left takes at that; empty if nobody can know yet.
func Pace(done, left int, took time.Duration) string {
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

// End leaves the line that changes.
func (v *ProgressView) End() {
	if v.drawn {
		fmt.Fprintln(v.App.Err)
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
		wording.Count(s.Submissions, "submission"), s.Lab.Name, s.Passed, s.Failed, s.Refused,
		wording.Count(s.Errors, "error"))
	if s.Attempts > s.Submissions {
		fmt.Fprintf(w, "  %d attempts; one counts for each student\n", s.Attempts)
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
