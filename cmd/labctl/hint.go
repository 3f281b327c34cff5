package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

// hintList is what `labctl hint` says; its JSON is a contract (docs/cli.md).
type hintList struct {
	FormatVersion int        `json:"format_version"`
	Task          string     `json:"task"`
	Hints         []hintView `json:"hints"`
}

// hintView is a hint as `labctl hint` shows it; Text is empty in a list, which costs nothing to read.
type hintView struct {
	Name      string  `json:"name"`
	Objective string  `json:"objective,omitempty"` // empty: of the task
	Cost      float64 `json:"cost"`
	Text      string  `json:"text,omitempty"`
}

// taskHint is a hint and where it stands.
type taskHint struct {
	name      string // "selector", or "objective/selector"
	objective string
	labs.Hint
}

func newHintCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		output   outputFlag
	)
	cmd := &cobra.Command{
		Use:   "hint LAB TASK [NAME]",
		Short: "List a task's hints and what they cost, or read one",
		Long: `List a task's hints and what they cost, or read one. A platform that keeps count takes the cost off with
"labctl grade --hint TASK/NAME".`,
		Example: `  labctl hint networkpolicy backend-ingress-deny
  labctl hint networkpolicy backend-ingress-deny selector`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: completeArgs(completeLab, completeTask, completeHint),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labFlags.load(args[0])
			if err != nil {
				return err
			}
			task, err := findTask(lab, args[1])
			if err != nil {
				return err
			}
			hints := hintsOf(task)
			if len(args) == 3 {
				return app.showHint(task, hints, args[2], output.json())
			}
			return app.listHints(lab, task, hints, output.json())
		},
	}
	labFlags.register(cmd)
	output.register(cmd)
	return cmd
}

func hintsOf(task *labs.Task) []taskHint {
	var hints []taskHint
	for _, h := range task.Hints {
		hints = append(hints, taskHint{h.Name, "", h})
	}
	for i := range task.Objectives {
		o := &task.Objectives[i]
		for _, h := range o.Hints {
			hints = append(hints, taskHint{o.Name + "/" + h.Name, o.Name, h})
		}
	}
	return hints
}

func (a *app) listHints(lab *labs.Lab, task *labs.Task, hints []taskHint, asJSON bool) error {
	if asJSON {
		views := []hintView{}
		for _, h := range hints {
			views = append(views, hintView{Name: h.name, Objective: h.objective, Cost: h.Cost})
		}
		return a.writeJSON(hintList{1, task.Name, views})
	}
	if len(hints) == 0 {
		fmt.Fprintf(a.out, "The task %s has no hints.\n", task.Name)
		return nil
	}
	for _, h := range hints {
		fmt.Fprintf(a.out, "%-24s %s\n", h.name, cost(h.Cost))
	}
	fmt.Fprintf(a.out, "\nRead one: labctl hint %s %s %s\n", lab.Name, task.Name, hints[0].name)
	return nil
}

func (a *app) showHint(task *labs.Task, hints []taskHint, name string, asJSON bool) error {
	i := slices.IndexFunc(hints, func(h taskHint) bool { return h.name == name })
	if i < 0 {
		names := make([]string, len(hints))
		for i, h := range hints {
			names[i] = h.name
		}
		if len(names) == 0 {
			return fmt.Errorf("the task %s has no hints", task.Name)
		}
		return fmt.Errorf("the task %s has no hint %q; it has %s", task.Name, name, strings.Join(names, ", "))
	}
	h := hints[i]
	if asJSON {
		return a.writeJSON(hintList{1, task.Name, []hintView{{h.name, h.objective, h.Cost, h.Text}}})
	}
	fmt.Fprintln(a.out, strings.TrimSpace(h.Text))
	return nil
}

func cost(points float64) string {
	switch points {
	case 0:
		return "free"
	case 1:
		return "costs 1 point"
	}
	return fmt.Sprintf("costs %g points", points)
}

// findTask returns the lab's task of a name.
func findTask(lab *labs.Lab, name string) (*labs.Task, error) {
	names := make([]string, len(lab.Tasks))
	for i := range lab.Tasks {
		if lab.Tasks[i].Name == name {
			return &lab.Tasks[i], nil
		}
		names[i] = lab.Tasks[i].Name
	}
	return nil, fmt.Errorf("the lab %s has no task %q; its tasks are %s", lab.Name, name, strings.Join(names, ", "))
}
