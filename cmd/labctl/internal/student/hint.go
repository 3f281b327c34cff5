package student

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/report"
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

// labHints is what `labctl hint LAB` says; its JSON is a contract (docs/cli.md).
type labHints struct {
	FormatVersion int           `json:"format_version"`
	Tasks         []hintsOfTask `json:"tasks"`
}

type hintsOfTask struct {
	Task  string     `json:"task"`
	Hints []hintView `json:"hints"`
}

// taskHint is a hint and where it stands.
type taskHint struct {
	name      string // "selector", or "objective/selector"
	objective string
	labs.Hint
}

func NewHintCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		output   cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "hint LAB [TASK [NAME]]",
		Short: "List the hints and their cost, or show one",
		Long: `List the hints of a lab or of one task, and what each costs. Name a hint to read it.

TASK is the task's name, number or folder. labctl does not record which hints you read. A course that counts
them deducts their cost with "labctl grade --hint TASK/NAME".`,
		Example: `  labctl hint networkpolicy
  labctl hint networkpolicy 2
  labctl hint networkpolicy backend-ingress-deny isolation`,
		Args:              cli.Args(1, 3),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab, cli.CompleteTask, completeHint),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labFlags.Load(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return listAllHints(app, args[0], lab, output.Json())
			}
			task, err := cli.FindTask(lab, args[1])
			if err != nil {
				return err
			}
			hints := hintsOf(task)
			if len(args) == 3 {
				return showHint(app, task, hints, args[2], output.Json())
			}
			return listHints(app, args[0], task, hints, output.Json())
		},
	}
	labFlags.Register(cmd)
	output.Register(cmd)
	return cmd
}

// hintsOf lists the hints of a task and of its objectives that students see.
func hintsOf(task *labs.Task) []taskHint {
	var hints []taskHint
	for _, h := range task.Hints {
		hints = append(hints, taskHint{h.Name, "", h})
	}
	for i := range task.Objectives {
		o := &task.Objectives[i]
		if o.Visibility != labs.Visible {
			continue
		}
		for _, h := range o.Hints {
			hints = append(hints, taskHint{o.Name + "/" + h.Name, o.Name, h})
		}
	}
	return hints
}

func viewsOf(hints []taskHint) []hintView {
	views := []hintView{}
	for _, h := range hints {
		views = append(views, hintView{Name: h.name, Objective: h.objective, Cost: h.Cost})
	}
	return views
}

// listAllHints lists the hints of all tasks, each as it is to be named.
func listAllHints(a *cli.App, name string, lab *labs.Lab, asJSON bool) error {
	list := labHints{FormatVersion: 1, Tasks: []hintsOfTask{}}
	number, widest := len(strconv.Itoa(len(lab.Tasks))), 0
	for i := range lab.Tasks {
		for _, h := range hintsOf(&lab.Tasks[i]) {
			widest = max(widest, len(lab.Tasks[i].Name+" "+h.name))
		}
	}
	var text strings.Builder
	for i := range lab.Tasks {
		task := &lab.Tasks[i]
		if task.Visibility != labs.Visible {
			continue
		}
		hints := hintsOf(task)
		list.Tasks = append(list.Tasks, hintsOfTask{task.Name, viewsOf(hints)})
		for _, h := range hints {
			fmt.Fprintf(&text, "%*d  %-*s  %s\n", number, i+1, widest, task.Name+" "+h.name, cost(h.Cost))
		}
	}
	switch {
	case asJSON:
		return a.WriteJSON(list)
	case text.Len() == 0:
		fmt.Fprintf(a.Out, "The lab %s has no hints.\n", lab.Name)
	default:
		fmt.Fprintf(a.Out, "%s\nRead one: labctl hint %s TASK NAME\n", text.String(), shellescape.Quote(name))
	}
	return nil
}

func listHints(a *cli.App, lab string, task *labs.Task, hints []taskHint, asJSON bool) error {
	if asJSON {
		return a.WriteJSON(hintList{1, task.Name, viewsOf(hints)})
	}
	if len(hints) == 0 {
		fmt.Fprintf(a.Out, "The task %s has no hints.\n", task.Name)
		return nil
	}
	for _, h := range hints {
		fmt.Fprintf(a.Out, "%-24s %s\n", h.name, cost(h.Cost))
	}
	fmt.Fprintf(a.Out, "\nRead one: labctl hint %s %s %s\n", shellescape.Quote(lab), task.Name, hints[0].name)
	if slices.ContainsFunc(hints, func(h taskHint) bool { return h.Cost > 0 }) {
		fmt.Fprint(a.Out, a.Hang("",
			"labctl does not record which hints you read. A course that counts them deducts their cost with --hint."))
	}
	return nil
}

func showHint(a *cli.App, task *labs.Task, hints []taskHint, name string, asJSON bool) error {
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
		return a.WriteJSON(hintList{1, task.Name, []hintView{{h.name, h.objective, h.Cost, h.Text}}})
	}
	fmt.Fprintln(a.Out, a.Prose(h.Text))
	if h.Cost > 0 {
		fmt.Fprint(a.Out, "\n"+a.Hang("", fmt.Sprintf(
			"(This hint %s where a course counts hints. labctl does not record that you read it.)", cost(h.Cost))))
	}
	return nil
}

func cost(points float64) string {
	if points == 0 {
		return "free"
	}
	return "costs " + report.Points(points)
}
