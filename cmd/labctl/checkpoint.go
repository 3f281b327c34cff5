package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/labs"
)

// labSummary names a lab in the JSON of commands other than grade.
type labSummary struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// registerTask adds --task for commands that look at one checkpoint.
func registerTask(cmd *cobra.Command, task *string) {
	cmd.Flags().StringVar(task, "task", "", "the checkpoint: the state at the end of this `TASK`; default the last")
	registerTaskCompletion(cmd)
}

// labRun is a lab with a submission replayed and an engine to ask.
type labRun struct {
	lab    *labs.Lab
	engine grade.Engine
	states []*grade.State // one a task
}

// prepare replays the submission at a path; an empty path is the lab as it is handed out.
func (a *app) prepare(lab *labs.Lab, submission string, flags *engineFlags) (*labRun, error) {
	eng, err := flags.open(lab)
	if err != nil {
		return nil, err
	}
	states, err := a.replay(lab, submission)
	if err != nil {
		return nil, err
	}
	return &labRun{lab, eng, states}, nil
}

func (a *app) replay(lab *labs.Lab, submission string) ([]*grade.State, error) {
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	var sub *grade.Submission
	if submission != "" {
		if sub, err = a.readSubmission(submission, grader); err != nil {
			return nil, err
		}
	}
	return grader.Checkpoints(sub)
}

// state returns the checkpoint of a task; an empty name is the last.
func (r *labRun) state(task string) (*grade.State, error) {
	if len(r.states) == 0 {
		return nil, fmt.Errorf("the lab %s has no tasks", r.lab.Name)
	}
	if task == "" {
		return r.states[len(r.states)-1], nil
	}
	if _, err := findTask(r.lab, task); err != nil {
		return nil, err
	}
	for _, s := range r.states {
		if s.Task == task {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the submission has no checkpoint for the task %s", task)
}

// tables judges all flows of the lab at the named checkpoints; none named is the last.
func (r *labRun) tables(ctx context.Context, tasks []string) ([]*flow.Table, error) {
	if len(tasks) == 0 {
		tasks = []string{""}
	}
	flows := grade.Flows(r.lab)
	tables := make([]*flow.Table, len(tasks))
	for i, task := range tasks {
		state, err := r.state(task)
		if err != nil {
			return nil, err
		}
		if tables[i], err = flow.Tabulate(ctx, r.engine, state, flows); err != nil {
			return nil, err
		}
		if t, err := findTask(r.lab, state.Task); err == nil {
			tables[i].Title = t.Title
		}
	}
	return tables, nil
}
