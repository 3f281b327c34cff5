package student

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

func NewWatchCommand(app *cli.App) *cobra.Command {
	var (
		labFlags   cli.LabFlags
		engine     cli.EngineFlags
		output     cli.OutputFlag
		live       cli.LiveFlags
		submission string
		opts       grade.Options
		all        bool
		allTasks   bool
	)
	cmd := &cobra.Command{
		Use:   "watch [LAB]",
		Short: "Grade again after every change, until Ctrl-C",
		Long: `Grade again after every change, until Ctrl-C. With --submission, labctl watches the submission's files and grades
offline. Otherwise it watches the policies, labels and pods of the running lab.

On a terminal, labctl redraws the report. For a running lab it also shows the table of connections and the latest
drops. Without a terminal, it prints the score and the objectives that changed, and a line per drop. With -o json
it prints each report on one line.`,
		Example: `  labctl watch
  labctl watch networkpolicy --submission answers/
  labctl watch networkpolicy --submission answers/ --task backend-ingress-deny`,
		Args:              labAndNoMore,
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch submission {
			case "":
				return watchLive(app, cmd, &live, args, &watch{app: app, opts: opts, json: output.Json(), allTasks: allTasks}, all)
			case "-":
				return errors.New("labctl cannot watch standard input; name a directory or file with --submission")
			}
			lab, err := labFlags.Load(cli.LabOf(args, submission))
			if err != nil {
				return err
			}
			w, err := newWatch(app, lab, &engine, submission)
			if err != nil {
				return err
			}
			if opts.Tasks, err = cli.ResolveTasks(lab, opts.Tasks); err != nil {
				return err
			}
			w.opts, w.json, w.allTasks = opts, output.Json(), allTasks
			return w.run(cmd.Context())
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	output.Register(cmd)
	registerSubmission(cmd, &submission)
	cli.RegisterTasks(cmd, &opts.Tasks, "grade only this `TASK`; repeatable")
	live.Register(app, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "grade all tasks of a running lab, not only the current one")
	cmd.Flags().BoolVar(&allTasks, "all-tasks", false, "show every task in full, not only the first open one")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	return cmd
}

// style is how the report is drawn on the screen.
func (w *watch) style(rep *grade.Report) report.Style {
	style := styleFor(w.app, rep)
	if !w.allTasks {
		style.Detail = report.OpenTask
	}
	return style
}

// watch grades a submission whenever it changes.
type watch struct {
	app        *cli.App
	grader     *grade.Grader
	engine     engine.Engine
	submission string
	opts       grade.Options
	json       bool
	allTasks   bool
	screen     cli.Screen // on a terminal

	last map[string]grade.ObjectiveStatus // by "task/objective", of the grading before
}

func newWatch(app *cli.App, lab *labs.Lab, engine *cli.EngineFlags, submission string) (*watch, error) {
	eng, err := engine.Open(lab)
	if err != nil {
		return nil, err
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return &watch{app: app, grader: grader, engine: eng, submission: submission}, cli.NotOneTask(lab, submission)
}

func (w *watch) run(ctx context.Context) error {
	changes, err := cli.WatchFiles(ctx, w.submission)
	if err != nil {
		return err
	}
	if err := w.grade(ctx); err != nil {
		return err
	}
	resized, stop := cli.Resizes(w.app)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-resized:
			cli.Measure(w.app)
			if err := w.screen.Repaint(w.app); err != nil {
				return err
			}
		case err := <-changes.Err:
			return err
		case <-changes.C:
			if err := w.grade(ctx); err != nil {
				return err
			}
		}
	}
}

// grade grades once and shows the outcome. A refused submission is shown and waited on: the next save may fix it.
func (w *watch) grade(ctx context.Context) error {
	rep, err := w.once(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *engine.Refused
	switch {
	case errors.As(err, &refused), errors.Is(err, fs.ErrNotExist):
		return w.showError(err)
	case err != nil:
		return err
	}
	return w.show(rep)
}

func (w *watch) once(ctx context.Context) (*grade.Report, error) {
	rules, err := cli.RulesFor(w.grader, w.opts.Tasks)
	if err != nil {
		return nil, err
	}
	sub, err := rules.Read(w.submission, manifest.SubmissionLimits())
	if err != nil {
		return nil, err
	}
	return w.grader.Grade(ctx, sub, w.engine, w.opts)
}

func (w *watch) show(rep *grade.Report) error {
	switch {
	case w.json:
		return w.app.WriteJSONLine(rep)
	case w.app.Terminal.Is:
		at := w.app.Now()
		return w.screen.Paint(w.app, func(out io.Writer) error {
			if err := report.Text(out, rep, w.style(rep)); err != nil {
				return err
			}
			_, err := io.WriteString(out, "\n"+w.app.Hang("", fmt.Sprintf("%s  %g of %g points; watching %s; press Ctrl-C to stop",
				at.Format(time.TimeOnly), rep.Score.Points, rep.Score.Max, w.submission)))
			return err
		})
	}
	return w.showChanges(rep)
}

// showChanges prints the objectives whose outcome has changed; of the first grading all.
func (w *watch) showChanges(rep *grade.Report) error {
	now := map[string]grade.ObjectiveStatus{}
	for i := range rep.Tasks {
		t := &rep.Tasks[i]
		for j := range t.Objectives {
			o := &t.Objectives[j]
			id := t.Name + "/" + o.Name
			now[id] = o.Status
			if w.last[id] != o.Status {
				fmt.Fprintf(w.app.Out, "%s %s\n", report.StatusMark(o.Status, w.app.Style()), id)
			}
		}
	}
	w.last = now
	_, err := fmt.Fprintf(w.app.Out, "%s\n", report.Summary(rep, w.app.Style()))
	return err
}

func (w *watch) showError(err error) error {
	switch {
	case w.json:
		return w.app.WriteJSONLine(w.app.Failure(err))
	case w.app.Terminal.Is:
		return w.screen.Paint(w.app, func(out io.Writer) error {
			text := strings.Join(report.Wrap(err.Error(), w.app.Terminal.Wrap()), "\n")
			_, err := io.WriteString(out, text+"\n\n"+w.app.Hang("", "watching "+w.submission+"; press Ctrl-C to stop"))
			return err
		})
	}
	_, err = fmt.Fprintln(w.app.Out, err)
	return err
}
