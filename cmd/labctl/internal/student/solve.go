package student

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

func NewSolveCommand(app *cli.App) *cobra.Command {
	var live cli.LiveFlags
	cmd := &cobra.Command{
		Use:   "solve [TASK]",
		Short: "Apply the reference solution of a task to the running lab",
		Long: `Apply the reference solution to the running lab: the policies that are in force at the end of TASK, by default the
current task. The running lab's own policies and namespace labels are removed first.`,
		Example: `  labctl solve backend-ingress-deny`,
		Args:    cli.Args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := app.OpenLab(cmd.Context(), cli.OpenOptions{
				Flags: &live, Instance: live.Instance, Command: "labctl solve", Semantics: policy.Cilium,
			})
			if err != nil {
				return err
			}
			defer r.Close()
			progress, err := r.Progress()
			if err != nil {
				return err
			}
			task := progress.Current
			if len(args) > 0 {
				task = args[0]
			}
			lab := r.Lab()
			t, err := cli.FindTask(lab, task)
			if err != nil {
				return err
			}
			task = t.Name
			i := slices.IndexFunc(lab.Samples, func(s labs.Sample) bool { return s.Solution })
			if i < 0 {
				return fmt.Errorf("the lab %s has no solution", lab.Name)
			}
			grader, err := grade.NewGrader(r.Lab())
			if err != nil {
				return err
			}
			sub, err := grader.Rules.ReadSample(&lab.Samples[i])
			if err != nil {
				return err
			}
			states, err := grader.Rules.Checkpoints(sub)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(states, func(s *engine.State) bool { return s.Task == task })
			if at < 0 {
				return fmt.Errorf("the solution has nothing for the task %s", task)
			}
			if _, err := r.Engine().At(cmd.Context(), states[at]); err != nil {
				return cli.LiveError(cmd.Context(), err)
			}
			fmt.Fprintf(app.Out, "Applied the %d policies that are in force at the end of %s. Grade it with: labctl grade --instance %s --task %s\n",
				len(states[at].Policies), task, r.Name(), task)
			return nil
		},
	}
	live.Register(app, cmd)
	return cmd
}

func NewNextCommand(app *cli.App) *cobra.Command {
	var (
		live cli.LiveFlags
		skip bool
	)
	cmd := &cobra.Command{
		Use:     "next",
		Short:   "Begin the next task of the running lab",
		Example: `  labctl next`,
		Long: `Begin the next task of the running lab: apply the task's setup and show its instructions. The current task must be
done, which "labctl grade" checks; --skip leaves it.`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := app.OpenLab(cmd.Context(), cli.OpenOptions{
				Flags: &live, Instance: live.Instance, Command: "labctl next", Semantics: policy.Cilium, Observe: true,
			})
			if err != nil {
				return err
			}
			defer r.Close()
			task, err := next(r, skip)
			if err != nil {
				return err
			}
			grader, err := grade.NewGrader(r.Lab())
			if err != nil {
				return err
			}
			sub, err := grader.Rules.ReadRunning(nil, task.Name, manifest.DefaultLimits())
			if err != nil {
				return err
			}
			states, err := grader.Rules.Checkpoints(sub)
			if err != nil {
				return err
			}
			if err := r.Begin(cmd.Context(), task.Name, states[0]); err != nil {
				return err
			}
			view := viewTask(task)
			view.Setup = viewSetup(grader.Rules, r.Lab().TaskIndex(task.Name))
			showTask(app, r.Lab(), &view, r.Lab().Name)
			return nil
		},
	}
	live.Register(app, cmd)
	cmd.Flags().BoolVar(&skip, "skip", false, "begin the next task even if the current one is not done")
	return cmd
}

// next is the task behind the current one.
func next(r cli.RunningLab, skip bool) (*labs.Task, error) {
	p, err := r.Progress()
	if err != nil {
		return nil, err
	}
	lab := r.Lab()
	names := cli.TaskList(lab)
	at := slices.Index(names, p.Current)
	if at < 0 {
		return nil, errors.New("the lab has no tasks")
	}
	switch done := p.Done[p.Current]; {
	case done:
	case at > 0 && !p.Begun && p.Done[names[at-1]]:
		return &lab.Tasks[at], nil // the one before is done, this one has not begun
	case !skip:
		return nil, fmt.Errorf("the task %s is not done: see \"labctl grade --instance %s\", or continue with --skip",
			p.Current, r.Name())
	}
	if at+1 == len(names) {
		return nil, fmt.Errorf("%s is the last task of the lab", p.Current)
	}
	return &lab.Tasks[at+1], nil
}
