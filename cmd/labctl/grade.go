package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

func newGradeCommand(app *app) *cobra.Command {
	var (
		labFlags    labFlags
		engineFlags engineFlags
		output      outputFlag
		submission  string
		opts        grade.Options
	)
	cmd := &cobra.Command{
		Use:   "grade [LAB]",
		Short: "Score a submission against a lab, and say what was missed and why",
		Long: `Score a submission against a lab, and say what was missed and why.

LAB is the name of a lab that ships (see "labctl labs") or a directory with a lab; default the current
directory. A submission is a directory with one folder a task, or one with manifests that are all in force
at once, as the lab says; or an archive of one (.zip, .tar, .tar.gz); or a single file; or "-" for standard
input.

Exit code: 0 passed, 1 below the pass mark, 2 wrong use or a lab in error, 3 a check could not be carried
out, 4 the submission was refused.`,
		Example: `  labctl grade networkpolicy --submission answers/ --offline
  labctl grade networkpolicy --submission answers/ --offline --task backend-ingress-deny
  kubectl get networkpolicy -A -o yaml | labctl grade mylab/ --submission - --offline -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := engineFlags.check(); err != nil {
				return err
			}
			if submission == "" {
				return errors.New("--submission is missing: name the directory or file to grade, or - for standard input")
			}
			lab, err := labFlags.load(labArg(args))
			if err != nil {
				return err
			}
			grader, err := grade.NewGrader(lab)
			if err != nil {
				return err
			}
			sub, err := app.readSubmission(submission, grader)
			if err != nil {
				return err
			}
			eng, err := engineFlags.open(lab)
			if err != nil {
				return err
			}
			start := app.now()
			rep, err := grader.Grade(cmd.Context(), sub, eng, opts)
			if err != nil {
				return err
			}
			app.log().Debug("graded", "lab", lab.Name, "digest", lab.Digest, "engine", eng.Name(), "took", app.now().Sub(start))
			if err := app.writeReport(rep, output.json()); err != nil {
				return err
			}
			return statusOf(rep.ExitCode())
		},
	}
	labFlags.register(cmd)
	engineFlags.register(cmd)
	output.register(cmd)
	registerSubmission(cmd, &submission)
	registerTasks(cmd, &opts.Tasks, "grade only this `TASK`; may be given more than once")
	cmd.Flags().StringArrayVar(&opts.Hints, "hint", nil, "count the cost of a `HINT` that was taken, as TASK/NAME; may be given more than once")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("hint", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return hintNames(labArg(args)), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.Flags().BoolVar(&opts.Reveal, "after-due", false, "show the objectives that are shown after the due date")
	cmd.Flags().BoolVar(&opts.RevealHidden, "reveal", false, "show hidden objectives too (for authors and graders)")
	return cmd
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
