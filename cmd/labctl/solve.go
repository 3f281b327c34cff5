package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/labs"
)

func newSolveCommand(app *app) *cobra.Command {
	var live liveFlags
	cmd := &cobra.Command{
		Use:   "solve [TASK]",
		Short: "Apply the reference solution of a task to the running lab",
		Long: `Apply the reference solution to the running lab: what is in force at the end of TASK, by default the current
one. The policies and labels that are there are taken away.`,
		Example: `  labctl solve backend-ingress-deny`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := app.openOnly(cmd, &live, "labctl solve", false)
			if err != nil {
				return err
			}
			defer r.Close()
			task := r.inst.State.CurrentTask(taskList(r.lab))
			if len(args) > 0 {
				task = args[0]
			}
			if _, err := findTask(r.lab, task); err != nil {
				return err
			}
			i := slices.IndexFunc(r.lab.Samples, func(s labs.Sample) bool { return s.Solution })
			if i < 0 {
				return fmt.Errorf("the lab %s ships no solution", r.lab.Name)
			}
			grader, err := grade.NewGrader(r.lab)
			if err != nil {
				return err
			}
			sub, err := grader.ReadSubmissionFS(r.lab.FS, r.lab.Samples[i].Path, manifest.DefaultLimits())
			if err != nil {
				return err
			}
			states, err := grader.Checkpoints(sub)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(states, func(s *grade.State) bool { return s.Task == task })
			if at < 0 {
				return fmt.Errorf("the solution has no checkpoint for the task %s", task)
			}
			if _, err := r.engine.At(cmd.Context(), states[at]); err != nil {
				return liveError(cmd.Context(), err)
			}
			fmt.Fprintf(app.out, "In force: the %d policies at the end of %s. See it with: labctl grade %s --task %s\n",
				len(states[at].Policies), task, r.name, task)
			return nil
		},
	}
	live.register(cmd)
	return cmd
}

func newNextCommand(app *app) *cobra.Command {
	var (
		live liveFlags
		skip bool
	)
	cmd := &cobra.Command{
		Use:   "next",
		Short: "Go on to the next task of the running lab, once the current one is done",
		Long: `Go on to the next task of the running lab, once the current one is done: do what the task sets up, and show its
instructions. "labctl grade" says whether a task is done.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := app.openOnly(cmd, &live, "labctl next", true)
			if err != nil {
				return err
			}
			defer r.Close()
			task, err := r.next(skip)
			if err != nil {
				return err
			}
			grader, err := grade.NewGrader(r.lab)
			if err != nil {
				return err
			}
			sub, err := grader.ReadRunning(nil, task.Name, manifest.DefaultLimits())
			if err != nil {
				return err
			}
			states, err := grader.Checkpoints(sub)
			if err != nil {
				return err
			}
			if err := r.engine.Begin(cmd.Context(), states[0]); err != nil {
				return liveError(cmd.Context(), err)
			}
			r.inst.State.Task = task.Name
			if err := r.inst.Save(); err != nil {
				return infraError{err}
			}
			view := viewTask(task)
			app.showTask(r.lab, &view)
			return nil
		},
	}
	live.register(cmd)
	cmd.Flags().BoolVar(&skip, "skip", false, "go on although the current task is not done")
	return cmd
}

// next is the task behind the current one.
func (r *running) next(skip bool) (*labs.Task, error) {
	st := r.inst.State
	names := taskList(r.lab)
	current := st.CurrentTask(names)
	at := slices.Index(names, current)
	if at < 0 {
		return nil, errors.New("the lab has no tasks")
	}
	switch done := st.Progress[current].Done; {
	case done:
	case at > 0 && st.Task == "" && st.Progress[names[at-1]].Done:
		return &r.lab.Tasks[at], nil // the one before is done, this one has not begun
	case !skip:
		return nil, fmt.Errorf("the task %s is not done: see \"labctl grade %s\", or go on all the same with --skip", current, r.name)
	}
	if at+1 == len(names) {
		return nil, fmt.Errorf("%s is the last task of the lab", current)
	}
	return &r.lab.Tasks[at+1], nil
}

// openOnly opens the instance that --name names, or the only one there is.
func (a *app) openOnly(cmd *cobra.Command, flags *liveFlags, command string, observe bool) (*running, error) {
	name := flags.name
	if name == "" {
		var err error
		if name, err = instance(store(), nil); err != nil {
			return nil, err
		}
	}
	cfg, err := (&engineFlags{semantics: "cilium"}).config()
	if err != nil {
		return nil, err
	}
	return a.openRunning(cmd.Context(), flags, name, command, nil, cfg.Semantics, observe)
}
