package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
)

// settle is how long a burst of changes (an editor writes, renames and removes to save one file) has to
// be over before it is graded.
const settle = 100 * time.Millisecond

func newWatchCommand(app *app) *cobra.Command {
	var (
		labFlags   labFlags
		engine     engineFlags
		output     outputFlag
		live       liveFlags
		submission string
		opts       grade.Options
		all        bool
	)
	cmd := &cobra.Command{
		Use:   "watch [LAB]",
		Short: "Grade again whenever something changes, in a submission's files or in the running lab, until Ctrl-C",
		Long: `Grade again whenever something changes, until Ctrl-C: with --submission its files, without a cluster; else the
running lab's policies, labels and pods, with LAB the name of the instance. On a terminal the report is drawn
anew, of a running lab with the truth table of its connections and the latest drops; elsewhere each change
prints a line for every objective whose outcome is another, and the score, and each drop a line. With -o json
each grading prints its report on one line.`,
		Example: `  labctl watch
  labctl watch networkpolicy --submission answers/
  labctl watch networkpolicy --submission answers/ --task backend-ingress-deny`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch submission {
			case "":
				return app.watchLive(cmd, &live, args, &watch{app: app, opts: opts, json: output.json()}, all)
			case "-":
				return errors.New("standard input cannot be watched: name a directory or file")
			}
			lab, err := labFlags.load(labArg(args))
			if err != nil {
				return err
			}
			w, err := newWatch(app, lab, &engine, submission)
			if err != nil {
				return err
			}
			w.opts, w.json = opts, output.json()
			return w.run(cmd.Context())
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	output.register(cmd)
	registerSubmission(cmd, &submission)
	registerTasks(cmd, &opts.Tasks, "grade only this `TASK`; may be given more than once")
	live.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "of a running lab: every task, not only the current one")
	cmd.MarkFlagsMutuallyExclusive("all", "task")
	return cmd
}

// watch grades a submission whenever it changes.
type watch struct {
	app        *app
	grader     *grade.Grader
	engine     grade.Engine
	submission string
	opts       grade.Options
	json       bool
	screen     screen // on a terminal

	last map[string]grade.ObjectiveStatus // by "task/objective", of the grading before
}

func newWatch(app *app, lab *labs.Lab, engine *engineFlags, submission string) (*watch, error) {
	eng, err := engine.open(lab)
	if err != nil {
		return nil, err
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return &watch{app: app, grader: grader, engine: eng, submission: submission}, nil
}

func (w *watch) run(ctx context.Context) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return infraError{fmt.Errorf("watch %s: %w", w.submission, err)}
	}
	defer notify.Close()
	if err := w.follow(notify, w.submission); err != nil {
		return err
	}
	if err := w.grade(ctx); err != nil {
		return err
	}
	quiet := time.NewTimer(settle)
	quiet.Stop()
	resized, stop := w.app.resizes()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-resized:
			w.app.measure()
			if err := w.screen.repaint(w.app); err != nil {
				return err
			}
		case err := <-notify.Errors:
			return infraError{fmt.Errorf("watch %s: %w", w.submission, err)}
		case event := <-notify.Events:
			if event.Op == fsnotify.Chmod || strings.HasPrefix(filepath.Base(event.Name), ".") {
				continue
			}
			if event.Has(fsnotify.Create) {
				// A new folder has to be followed too. What is gone again by now is no loss.
				_ = w.follow(notify, event.Name)
			}
			quiet.Reset(settle)
		case <-quiet.C:
			if err := w.grade(ctx); err != nil {
				return err
			}
		}
	}
}

// follow watches a directory and all below it. A single file is watched through its directory, since
// editors replace files.
func (w *watch) follow(notify *fsnotify.Watcher, root string) error {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return notify.Add(name)
		case name == w.submission:
			return notify.Add(filepath.Dir(name))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", root, err)
	}
	return nil
}

// grade grades once and shows the outcome. A refused submission is shown and waited on: the next save may mend it.
func (w *watch) grade(ctx context.Context) error {
	rep, err := w.once(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *grade.Refused
	switch {
	case errors.As(err, &refused), errors.Is(err, fs.ErrNotExist):
		return w.showError(err)
	case err != nil:
		return err
	}
	return w.show(rep)
}

func (w *watch) once(ctx context.Context) (*grade.Report, error) {
	sub, err := w.grader.ReadSubmission(w.submission, manifest.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return w.grader.Grade(ctx, sub, w.engine, w.opts)
}

func (w *watch) show(rep *grade.Report) error {
	switch {
	case w.json:
		return w.app.writeJSONLine(rep)
	case w.app.terminal.is:
		at := w.app.now()
		return w.screen.paint(w.app, func(out io.Writer) error {
			if err := report.Text(out, rep, w.app.style()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "\n%s  watching %s, Ctrl-C ends\n", at.Format(time.TimeOnly), w.submission)
			return err
		})
	}
	return w.showChanges(rep)
}

// showChanges prints the objectives whose outcome is another than before; of the first grading all.
func (w *watch) showChanges(rep *grade.Report) error {
	now := map[string]grade.ObjectiveStatus{}
	for i := range rep.Tasks {
		t := &rep.Tasks[i]
		for j := range t.Objectives {
			o := &t.Objectives[j]
			id := t.Name + "/" + o.Name
			now[id] = o.Status
			if w.last[id] != o.Status {
				fmt.Fprintf(w.app.out, "%s %s\n", report.StatusMark(o.Status, w.app.style()), id)
			}
		}
	}
	w.last = now
	_, err := fmt.Fprintf(w.app.out, "%s\n", report.Summary(rep, w.app.style()))
	return err
}

func (w *watch) showError(err error) error {
	switch {
	case w.json:
		return w.app.writeJSONLine(describe(err, exitRefused))
	case w.app.terminal.is:
		return w.screen.paint(w.app, func(out io.Writer) error {
			_, err := fmt.Fprintln(out, err)
			return err
		})
	}
	_, err = fmt.Fprintln(w.app.out, err)
	return err
}
