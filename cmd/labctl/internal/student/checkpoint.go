package student

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// labSummary names a lab in the JSON of commands other than grade.
type labSummary struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// registerTask adds --task for commands that look at one checkpoint.
func registerTask(cmd *cobra.Command, task *string) {
	cmd.Flags().StringVar(task, "task", "", "use the policies at the end of this `TASK` (default: the last task)")
	cli.RegisterTaskCompletion(cmd)
}

// labRun is a lab with a submission replayed and an engine to ask.
type labRun struct {
	lab    *labs.Lab
	engine engine.Engine
	states []*engine.State // one a task

	submission string // path; empty: nothing submitted
}

// prepare replays the submission at a path up to the last of the tasks, or all of it if none are named; an empty path is
// the lab as it is handed out.
func prepare(a *cli.App, lab *labs.Lab, submission string, tasks []string, flags *cli.EngineFlags) (*labRun, error) {
	eng, err := flags.Open(lab)
	if err != nil {
		return nil, err
	}
	states, err := replay(a, lab, submission, tasks)
	if err != nil {
		return nil, err
	}
	return &labRun{lab, eng, states, submission}, nil
}

func replay(a *cli.App, lab *labs.Lab, path string, tasks []string) ([]*engine.State, error) {
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	var sub *submission.Submission
	if path != "" {
		if sub, err = a.ReadSubmission(path, grader, tasks, manifest.SubmissionLimits()); err != nil {
			return nil, err
		}
	}
	return grader.Rules.Checkpoints(sub)
}

// named is the list of a task that may not be named.
func named(task string) []string {
	if task == "" {
		return nil
	}
	return []string{task}
}

// state returns the checkpoint of a task; an empty name is the last.
func (r *labRun) state(task string) (*engine.State, error) {
	if len(r.states) == 0 {
		return nil, fmt.Errorf("the lab %s has no tasks", r.lab.Name)
	}
	if task == "" {
		return r.states[len(r.states)-1], nil
	}
	t, err := cli.FindTask(r.lab, task)
	if err != nil {
		return nil, err
	}
	for _, s := range r.states {
		if s.Task == t.Name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the submission has nothing for the task %s", task)
}

// tables judges all flows of the lab at the named checkpoints; none named is the last.
func (r *labRun) tables(ctx context.Context, tasks []string) ([]*flow.Table, error) {
	if len(tasks) == 0 {
		tasks = []string{""}
	}
	flows := engine.Connections(r.lab)
	tables := make([]*flow.Table, len(tasks))
	for i, task := range tasks {
		state, err := r.state(task)
		if err != nil {
			return nil, err
		}
		if tables[i], err = flow.Tabulate(ctx, r.engine, state, flows); err != nil {
			return nil, err
		}
		if t, err := cli.FindTask(r.lab, state.Task); err == nil {
			tables[i].Title = t.Title
		}
		tables[i].Subject = r.subject(state.Task, task == "")
	}
	return tables, nil
}

// subject says what a table of a checkpoint is about. The last one, which nobody named, of nothing submitted is the lab
// itself.
func (r *labRun) subject(task string, last bool) string {
	what := r.submission
	if what == "" {
		what = "the lab " + r.lab.Name + " with nothing submitted"
		if last {
			return what
		}
	}
	i := r.lab.TaskIndex(task)
	if i < 0 {
		return what
	}
	return fmt.Sprintf("%s, at the end of task %d, %s", what, i+1, cmp.Or(r.lab.Tasks[i].Title, task))
}
