package student

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

func NewGradeCommand(app *cli.App) *cobra.Command {
	var o gradeOptions
	cmd := &cobra.Command{
		Use:   "grade [LAB]",
		Short: "Grade a submission, and explain what is missing and why",
		Long: `Grade a submission, and explain what is missing and why.

LAB is the name of a built-in lab (see "labctl labs") or a directory, by default the current one. The submission
has one folder per task, or, if the lab says so, manifests that are all in force at once.

If "labctl up" has created the lab, labctl grades in it, and resets it at the end. Otherwise, or with --offline, it
computes which connections get through, without a cluster.

Without --submission, labctl grades the running lab as it is, by default its current task, and remembers which tasks
are done (see "labctl next").

Exit code: 0 passed; 1 below the pass mark; 2 usage error, or an invalid lab; 3 some check could not be run, or the
engines disagree; 4 the submission was rejected.`,
		Example: `  labctl grade networkpolicy --submission answers/
  labctl grade networkpolicy --submission answers/ --task 2
  labctl grade networkpolicy --submission answers/ --format html=feedback.html
  labctl grade --all
  labctl grade networkpolicy --submission answers/ --engine both
  kubectl get networkpolicy -A -o yaml | labctl grade mylab/ --submission - --offline -o json`,
		Args:              labAndNoMore,
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(o.engine.Check(), o.checkStudent(), cli.CheckLimits(o.limits)); err != nil {
				return err
			}
			if o.timeout < 0 {
				return fmt.Errorf("--timeout %s must not be negative", o.timeout)
			}
			o.timeoutSet = cmd.Flags().Changed("timeout")
			rep, err := o.grade(cmd.Context(), app, args)
			if err := errors.Join(err, writeFormats(app, &o, args, rep, err)); err != nil {
				return err
			}
			if !o.formats.prints() {
				if err := writeReport(app, rep, o.output.Json(), o.allTasks || o.all); err != nil {
					return err
				}
			}
			return verdict(rep)
		},
	}
	o.register(app, cmd)
	return cmd
}

// labAndNoMore takes an optional LAB. Who adds the answers as an argument learns how to name them.
func labAndNoMore(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		flags := cmd.Flags()
		_, err := os.Stat(args[1])
		switch {
		case !flags.Changed("submission") && (err == nil || !flags.Changed("task")):
			return fmt.Errorf("answers are named with --submission: %s %s --submission %s", cmd.CommandPath(),
				shellescape.Quote(args[0]), shellescape.Quote(args[1]))
		case flags.Changed("task"):
			return fmt.Errorf("unexpected argument %q: several tasks are named as --task A --task B", args[1])
		}
		return fmt.Errorf("unexpected argument %q: a task is named with --task %s", args[1], shellescape.Quote(args[1]))
	}
	return cli.Args(0, 1)(cmd, args)
}

// register adds the flags, in the order of the help: what a student needs first.
func (o *gradeOptions) register(app *cli.App, cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	registerSubmission(cmd, &o.submission)
	cli.RegisterTasks(cmd, &o.opts.Tasks, "grade only this `TASK`; repeatable")
	o.engine.Register(cmd)
	f.BoolVar(&o.allTasks, "all-tasks", false,
		"show every task in full, not only those that were begun and the first open one")
	o.output.Register(cmd)
	o.output.Hint = "; for files in other formats there is --format"

	o.formats.register(cmd)
	f.StringVar(&o.student, "student", "",
		"`ID` of the student for --format (default in gradebooks: the submission's name)")
	f.StringVar(&o.name, "student-name", "", "`NAME` of the student for --format")
	f.StringArrayVar(&o.opts.Hints, "hint", nil,
		"deduct the cost of a `HINT` that the student took, as TASK/NAME; repeatable")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("hint",
		func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return hintNames(cli.LabArg(args)), cobra.ShellCompDirectiveNoFileComp
		})
	f.BoolVar(&o.opts.AfterDue, "after-due", false, "show objectives that students see after the due date")
	f.BoolVar(&o.opts.Reveal, "reveal", false, "show hidden objectives too, for authors and graders")
	cli.Under(cmd, cli.FlagsOfResults, "format", "student", "student-name", "hint", "after-due", "reveal")

	o.lab.Register(cmd)
	f.BoolVar(&o.all, "all", false, "grade all tasks of a running lab, not only the current one")
	cli.Under(cmd, cli.FlagsOfRunning, "all")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	o.live.Register(app, cmd)
	f.DurationVar(&o.timeout, "timeout", 0,
		"time limit for grading; 0 for none (default: 1m offline, otherwise none)")
	cli.Under(cmd, cli.FlagsOfLimits, "timeout")
	cli.RegisterLimits(cmd, &o.limits)
}

type gradeOptions struct {
	lab        cli.LabFlags
	engine     cli.EngineFlags
	live       cli.LiveFlags
	output     cli.OutputFlag
	formats    formatFlag
	submission string
	limits     manifest.Limits // of the submission
	opts       grade.Options
	all        bool
	allTasks   bool
	timeout    time.Duration
	timeoutSet bool
	fellBack   bool   // to the offline engine, which the user is told
	student    string // ID; see studentID
	name       string // of the student
}

// limit is how long grading may take.
func (o *gradeOptions) limit() timeLimit {
	l := timeLimit{timeout: o.timeout, leave: o.engine.Chosen() == cli.EngineOffline}
	if !o.timeoutSet && l.leave {
		l.timeout = offlineTimeout
	}
	return l
}

// studentID is whom a row of a gradebook is about: who --student names, otherwise what the submission is called, as in
// labctl batch; "" if it has no name.
func (o *gradeOptions) studentID() string {
	base := filepath.Base(filepath.Clean(o.submission))
	if o.student != "" || o.submission == "" || base == "-" || base == "." || base == ".." ||
		base == string(filepath.Separator) {
		return o.student
	}
	return intake.IDOf(base)
}

// checkStudent refuses a gradebook's row without a student.
func (o *gradeOptions) checkStudent() error {
	for _, out := range o.formats.outputs {
		if out.ByStudent && o.studentID() == "" {
			return fmt.Errorf("--format %s writes a row of a gradebook: name the student with --student ID, as the platform does", out.Name)
		}
	}
	return nil
}

// grade grades a submission, or a running lab as it is.
func (o *gradeOptions) grade(ctx context.Context, a *cli.App, args []string) (*grade.Report, error) {
	if _, answers := cli.CheckedOut(cli.LabArg(args)); answers && o.submission == "" && len(args) == 1 {
		return nil, fmt.Errorf("%s holds answers; grade them with: labctl grade --submission %[1]s", args[0])
	}
	switch {
	case o.submission != "":
		lab, err := o.lab.Load(cli.LabOf(args, o.submission))
		if err != nil {
			return nil, err
		}
		if err := o.chooseEngine(a, lab); err != nil {
			return nil, err
		}
		return within(ctx, o.limit(), func(ctx context.Context) (*grade.Report, error) {
			return gradeFiles(ctx, a, o, lab)
		})
	case o.engine.Chosen() == cli.EngineOffline:
		return nil, errors.New(
			"--offline needs --submission: name the directory or file to grade, or - for standard input")
	}
	rep, err := within(ctx, o.limit(), func(ctx context.Context) (*grade.Report, error) {
		return gradeRunning(ctx, a, o, args)
	})
	if _, answers := cli.CheckedOut("."); answers && err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w\nTo grade the answers in this directory: \"labctl grade --submission .\"", err)
	}
	return rep, err
}

// chooseEngine chooses the offline engine for a lab that is not running, unless the flags ask for another or for a
// certain instance.
func (o *gradeOptions) chooseEngine(a *cli.App, lab *labs.Lab) error {
	if !o.engine.Default() || o.live.Instance != "" {
		return nil
	}
	running, err := a.HasInstance(lab.Name)
	if err != nil || running {
		return err
	}
	o.engine.Engine = cli.EngineOffline
	o.fellBack = !o.output.Json() && !o.formats.prints()
	return nil
}

// gradeFiles grades a submission with the engine that was asked for.
func gradeFiles(ctx context.Context, a *cli.App, o *gradeOptions, lab *labs.Lab) (*grade.Report, error) {
	var err error
	if o.opts.Tasks, err = cli.ResolveTasks(lab, o.opts.Tasks); err != nil {
		return nil, err
	}
	if o.opts.Hints, err = cli.ResolveHints(lab, o.opts.Hints); err != nil {
		return nil, err
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	sub, err := a.ReadSubmission(o.submission, grader, o.opts.Tasks, o.limits)
	if err != nil {
		return nil, o.partly(a, grader, err)
	}
	if o.fellBack {
		text := fmt.Sprintf("No instance of the lab %s is running, so labctl grades offline.", lab.Name)
		fmt.Fprintln(a.Err, strings.Join(report.Wrap(text, a.ErrTerm.Wrap()), "\n"))
	}
	start := a.Now()
	var rep *grade.Report
	if o.engine.Chosen() == cli.EngineOffline {
		eng, err := o.engine.Open(lab)
		if err != nil {
			return nil, err
		}
		rep, err = grader.Grade(ctx, sub, eng, o.opts)
		if err != nil {
			return nil, err
		}
	} else if rep, err = gradeLive(ctx, a, o, lab, grader, sub); err != nil {
		return nil, err
	}
	a.Log().Debug("graded", "lab", lab.Name, "digest", lab.Digest, "engine", rep.Engine, "took", a.Now().Sub(start))
	return rep, nil
}

// partlyRefused says of a refused submission up to which task nothing is wrong with it.
type partlyRefused struct {
	*engine.Refused
	until string
}

func (p partlyRefused) Error() string {
	return p.Refused.Error() + "\n" + p.advice()
}

func (p partlyRefused) advice() string { return "Earlier tasks can be graded: add --task " + p.until }

func (p partlyRefused) Unwrap() error { return p.Refused }

// partly adds to a refusal that the tasks before the first problem can be graded, if something was submitted for one.
func (o *gradeOptions) partly(a *cli.App, grader *grade.Grader, err error) error {
	var refused *engine.Refused
	if !errors.As(err, &refused) || len(o.opts.Tasks) > 0 || o.submission == "-" {
		return err
	}
	lab := grader.Lab()
	first := len(lab.Tasks)
	for _, p := range refused.Problems {
		folder, _, _ := strings.Cut(p.File, "/")
		first = min(first, lab.FindTask(folder)) // -1 if it is in no task's folder
	}
	if first < 1 || first == len(lab.Tasks) {
		return err
	}
	sub, failed := a.ReadSubmission(o.submission, grader, []string{lab.Tasks[first-1].Name}, o.limits)
	if failed != nil || sub.Layout != labs.LayoutCheckpoints {
		return err
	}
	for _, step := range slices.Backward(sub.Steps[:first]) {
		if step.Attempted {
			return partlyRefused{refused, step.Task}
		}
	}
	return err
}

// gradeLive grades a submission in the lab's running instance.
func gradeLive(ctx context.Context, a *cli.App, o *gradeOptions, lab *labs.Lab, grader *grade.Grader,
	sub *submission.Submission) (*grade.Report, error) {
	cfg, err := o.engine.Config()
	if err != nil {
		return nil, err
	}
	r, err := a.OpenLab(ctx, cli.OpenOptions{
		Flags: &o.live, Instance: cmp.Or(o.live.Instance, lab.Name), Lab: lab, Command: "labctl grade",
		Semantics: cfg.Semantics,
	})
	if err != nil {
		return nil, err
	}
	return r.Grade(ctx, grader, sub, o.engine.Chosen() == cli.EngineBoth, o.opts)
}

// writeFormats writes the outcome as --format asks; failed is why there is no report.
func writeFormats(a *cli.App, o *gradeOptions, args []string, rep *grade.Report, failed error) error {
	if len(o.formats.outputs) == 0 {
		return nil
	}
	var lab *labs.Lab
	if rep != nil {
		lab = rep.LabFile()
	} else {
		var err error
		if lab, err = o.lab.Load(cli.LabOf(args, o.submission)); err != nil {
			return nil // failed says so, or it is a running lab that could not be reached
		}
	}
	assignment := &report.Assignment{Lab: lab, Tasks: o.opts.Tasks}
	if rep != nil {
		assignment.Tasks = rep.Selected
	}
	out, ok := outcome(assignment, o.submission, rep, failed)
	if !ok {
		return nil
	}
	out.ID, out.Name = o.student, o.name
	return o.formats.write(a, assignment, &out, o.studentID())
}

// styleFor is the style of a report for the person at the terminal, who has the lab at hand.
func styleFor(a *cli.App, rep *grade.Report) report.Style {
	style := a.Style()
	if lab := rep.LabFile(); lab != nil {
		style.Lab = lab.Dir
	}
	return style
}

func writeReport(a *cli.App, rep *grade.Report, asJSON, allTasks bool) error {
	if !asJSON {
		style := styleFor(a, rep)
		if !allTasks {
			style.Detail = report.BegunTasks
		}
		return report.Text(a.Out, rep, style)
	}
	data, err := rep.JSON()
	if err != nil {
		return err
	}
	_, err = a.Out.Write(data)
	return err
}

// verdict is the error that a graded submission ends the command with: nil if it passed.
func verdict(rep *grade.Report) error {
	switch rep.Status {
	case grade.Passed:
		return nil
	case grade.Failed:
		return cli.Reported{Err: cli.ErrBelowMark}
	}
	return cli.Reported{Err: cli.InfraError{Err: errors.New("some checks could not be run")}}
}

// registerSubmission adds --submission.
func registerSubmission(cmd *cobra.Command, submission *string) {
	cmd.Flags().StringVar(submission, "submission", "",
		"`PATH` of the submission: a directory, an archive (.zip, .tar, .tar.gz), a file, or - for standard input")
}
