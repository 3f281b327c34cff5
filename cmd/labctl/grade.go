package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

func newGradeCommand(app *app) *cobra.Command {
	var o gradeOptions
	cmd := &cobra.Command{
		Use:   "grade [LAB]",
		Short: "Score a submission against a lab, and say what was missed and why",
		Long: `Score a submission against a lab, and say what was missed and why.

LAB is the name of a lab that ships (see "labctl labs") or a directory with a lab; default the current
directory. A submission is a directory with one folder a task, or one with manifests that are all in force
at once, as the lab says; or an archive of one (.zip, .tar, .tar.gz); or a single file; or "-" for standard
input.

--format writes the result as course platforms and build servers take it (docs/batch.md), also when the submission
was refused or could not be graded.

With --offline the verdicts are worked out, without a cluster. Else they are probed in the running lab that
"labctl up" made: each checkpoint is put in force there, and in the end the lab is reset. --engine both does
both, and reports every connection on which they disagree.

Without --submission the running lab is graded as it is: the current task, those that --task names, or with
--all every one. LAB is then the name of the instance. What was met is remembered (see "labctl next").

Exit code: 0 passed, 1 below the pass mark, 2 wrong use or a lab in error, 3 a check could not be carried
out (or the engines disagree), 4 the submission was refused.`,
		Example: `  labctl grade networkpolicy --submission answers/ --offline
  labctl grade networkpolicy --submission answers/ --offline --task backend-ingress-deny
  labctl grade networkpolicy --submission answers/ --engine both
  labctl grade networkpolicy --submission answers/ --offline --format html=feedback.html --format junit=junit.xml
  labctl grade                                         the running lab, as it is
  kubectl get networkpolicy -A -o yaml | labctl grade mylab/ --submission - --offline -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.engine.check(); err != nil {
				return err
			}
			var rep *grade.Report
			var err error
			switch {
			case o.submission != "":
				rep, err = app.grade(cmd.Context(), &o, args)
			case o.engine.chosen() == engineOffline:
				return errors.New("--submission is missing: name the directory or file to grade, or - for standard input")
			default:
				rep, err = app.gradeRunning(cmd.Context(), &o, args)
			}
			if err := errors.Join(err, app.writeFormats(&o, args, rep, err)); err != nil {
				return err
			}
			if !o.formats.prints() {
				if err := app.writeReport(rep, o.output.json()); err != nil {
					return err
				}
			}
			return statusOf(rep.ExitCode())
		},
	}
	o.lab.register(cmd)
	o.engine.register(cmd)
	o.live.register(cmd)
	o.output.register(cmd)
	o.formats.register(cmd)
	registerSubmission(cmd, &o.submission)
	cmd.Flags().BoolVar(&o.all, "all", false, "of a running lab: every task, not only the current one")
	registerTasks(cmd, &o.opts.Tasks, "grade only this `TASK`; may be given more than once")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	cmd.Flags().StringArrayVar(&o.opts.Hints, "hint", nil, "count the cost of a `HINT` that was taken, as TASK/NAME; may be given more than once")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("hint", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return hintNames(labArg(args)), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.Flags().BoolVar(&o.opts.Reveal, "after-due", false, "show the objectives that are shown after the due date")
	cmd.Flags().BoolVar(&o.opts.RevealHidden, "reveal", false, "show hidden objectives too (for authors and graders)")
	return cmd
}

type gradeOptions struct {
	lab        labFlags
	engine     engineFlags
	live       liveFlags
	output     outputFlag
	formats    formatFlag
	submission string
	opts       grade.Options
	all        bool
}

// grade grades a submission with the engine that was asked for.
func (a *app) grade(ctx context.Context, o *gradeOptions, args []string) (*grade.Report, error) {
	lab, err := o.lab.load(labArg(args))
	if err != nil {
		return nil, err
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	sub, err := a.readSubmission(o.submission, grader)
	if err != nil {
		return nil, err
	}
	start := a.now()
	var rep *grade.Report
	if o.engine.chosen() == engineOffline {
		eng, err := o.engine.open(lab)
		if err != nil {
			return nil, err
		}
		rep, err = grader.Grade(ctx, sub, eng, o.opts)
		if err != nil {
			return nil, err
		}
	} else if rep, err = a.gradeLive(ctx, o, lab, grader, sub); err != nil {
		return nil, err
	}
	a.log().Debug("graded", "lab", lab.Name, "digest", lab.Digest, "engine", rep.Engine, "took", a.now().Sub(start))
	return rep, nil
}

// gradeLive grades a submission in the lab's running instance.
func (a *app) gradeLive(ctx context.Context, o *gradeOptions, lab *labs.Lab, grader *grade.Grader, sub *grade.Submission) (*grade.Report, error) {
	cfg, err := o.engine.config()
	if err != nil {
		return nil, err
	}
	r, err := a.openRunning(ctx, &o.live, cmp.Or(o.live.name, lab.Name), "labctl grade", lab, cfg.Semantics, false)
	if err != nil {
		return nil, err
	}
	var eng grade.Engine = r.engine
	if o.engine.chosen() == engineBoth {
		eng = grade.Both(r.engine, r.model)
	}
	return a.gradeSubmission(ctx, r, grader, sub, eng, o.opts)
}

// writeFormats writes the outcome as --format asks; failed is why there is no report.
func (a *app) writeFormats(o *gradeOptions, args []string, rep *grade.Report, failed error) error {
	if len(o.formats.outputs) == 0 {
		return nil
	}
	var lab *labs.Lab
	if rep != nil {
		lab = rep.LabFile()
	} else {
		var err error
		if lab, err = o.lab.load(labArg(args)); err != nil {
			return nil // failed says so, or it is a running lab that could not be reached
		}
	}
	out, ok := outcome(lab, o.submission, rep, failed)
	if !ok {
		return nil
	}
	return o.formats.write(a, lab, &out)
}

func (a *app) writeReport(rep *grade.Report, asJSON bool) error {
	if !asJSON {
		return report.Text(a.out, rep, a.style())
	}
	data, err := rep.JSON()
	if err != nil {
		return err
	}
	_, err = a.out.Write(data)
	return err
}

func (a *app) style() report.Style {
	return report.Style{Width: a.terminal.width, Color: a.terminal.color}
}

// statusOf is the error that ends the process with the code; nil for 0.
func statusOf(code int) error {
	if code == exitPassed {
		return nil
	}
	return statusError(code)
}

// registerSubmission adds --submission.
func registerSubmission(cmd *cobra.Command, submission *string) {
	cmd.Flags().StringVar(submission, "submission", "", "`PATH` of the submission: a directory, an archive of one (.zip, .tar, .tar.gz), a file, or - for standard input")
}

// registerTasks adds --task, completed with the tasks of the lab that the command line names.
func registerTasks(cmd *cobra.Command, tasks *[]string, usage string) {
	cmd.Flags().StringArrayVar(tasks, "task", nil, usage)
	registerTaskCompletion(cmd)
}

func registerTaskCompletion(cmd *cobra.Command) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("task", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return taskNames(labArg(args)), cobra.ShellCompDirectiveNoFileComp
	})
}
