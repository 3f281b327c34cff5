package student

import (
	"fmt"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// labView is a lab as students see it: no solution, and no objective that is hidden.
type labView struct {
	FormatVersion int        `json:"format_version"`
	Name          string     `json:"name"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	PassMark      float64    `json:"pass_mark"`
	Layout        string     `json:"layout"`
	Tasks         []taskView `json:"tasks"`
}

type taskView struct {
	Name         string          `json:"name"`
	Title        string          `json:"title"`
	Instructions string          `json:"instructions"`
	Setup        []setupView     `json:"setup"` // what changes in the lab when the task begins
	Hints        []hintView      `json:"hints"`
	Objectives   []objectiveView `json:"objectives"`
}

type objectiveView struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Points      float64  `json:"points"`
	Bonus       bool     `json:"bonus"`
	DependsOn   []string `json:"depends_on"`
}

func NewShowCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		output   cli.OutputFlag
		setup    bool
	)
	cmd := &cobra.Command{
		Use:   "show LAB [TASK [OBJECTIVE]]",
		Short: "Show a lab's tasks, a task's instructions, or an objective",
		Long: `Show a lab's tasks, the instructions of one task, or what one objective is worth. Hidden tasks and objectives are left
out. A task also shows what the lab changes in the cluster when it begins; --setup prints the manifests that it applies.`,
		Example: `  labctl show networkpolicy
  labctl show networkpolicy backend-ingress-deny
  labctl show networkpolicy backend-ingress-deny isolated`,
		Args:              cli.Args(1, 3),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab, cli.CompleteTask, completeObjective),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labFlags.Load(args[0])
			if err != nil {
				return err
			}
			rules, err := submission.NewRules(lab)
			if err != nil {
				return err
			}
			view := viewLab(lab, rules)
			show := func() { showLab(app, &view, args[0]) }
			if len(args) > 1 {
				task, err := cli.FindTask(lab, args[1])
				if err != nil {
					return err
				}
				view.Tasks = []taskView{viewTask(task)}
				view.Tasks[0].Setup = viewSetup(rules, lab.TaskIndex(task.Name))
				show = func() { showTask(app, lab, &view.Tasks[0], args[0]) }
			}
			if len(args) > 2 {
				objective, err := findObjective(&view.Tasks[0], args[2])
				if err != nil {
					return err
				}
				view.Tasks[0].Objectives = []objectiveView{*objective}
				show = func() { showObjective(app, objective) }
			}
			switch {
			case output.Json():
				return app.WriteJSON(view)
			case setup && len(args) != 2:
				return fmt.Errorf("--setup needs a task: labctl show %s TASK --setup", shellescape.Quote(args[0]))
			case setup:
				return printSetup(app, lab, &view.Tasks[0])
			}
			show()
			return nil
		},
	}
	labFlags.Register(cmd)
	output.Register(cmd)
	cmd.Flags().BoolVar(&setup, "setup", false, "print the manifests that the lab applies when the task begins")
	return cmd
}

func viewLab(lab *labs.Lab, rules *submission.Rules) labView {
	v := labView{
		FormatVersion: 1, Name: lab.Name, Title: lab.Title, Description: lab.Description,
		PassMark: lab.PassMark, Layout: string(lab.Layout), Tasks: []taskView{},
	}
	for i := range lab.Tasks {
		if lab.Tasks[i].Visibility == labs.Visible {
			v.Tasks = append(v.Tasks, viewTask(&lab.Tasks[i]))
			v.Tasks[len(v.Tasks)-1].Setup = viewSetup(rules, i)
		}
	}
	return v
}

func viewTask(task *labs.Task) taskView {
	v := taskView{
		Name: task.Name, Title: task.Title, Instructions: task.Instructions, Setup: []setupView{},
		Hints: viewsOf(hintsOf(task)), Objectives: []objectiveView{},
	}
	for i := range task.Objectives {
		if o := &task.Objectives[i]; o.Visibility == labs.Visible {
			v.Objectives = append(v.Objectives, objectiveView{
				Name: o.Name, Title: o.Title, Description: o.Description, Points: o.Points, Bonus: o.Bonus,
				DependsOn: append([]string{}, o.DependsOn...),
			})
		}
	}
	return v
}

// showLab prints the tasks of a lab; called is what the user calls it: its name, or a directory.
func showLab(a *cli.App, v *labView, called string) {
	fmt.Fprintf(a.Out, "%s (%s)\n", v.Title, v.Name)
	if v.Description != "" {
		fmt.Fprintf(a.Out, "\n%s\n", describe(a, v.Description))
	}
	fmt.Fprintln(a.Out)
	width := 0
	for i := range v.Tasks {
		width = max(width, len(v.Tasks[i].Name))
	}
	for i := range v.Tasks {
		t := &v.Tasks[i]
		var points float64
		for _, o := range t.Objectives {
			if !o.Bonus {
				points += o.Points
			}
		}
		fmt.Fprint(a.Out, a.Hang(fmt.Sprintf("%2d  %-*s  ", i+1, width, t.Name),
			fmt.Sprintf("%s (%g points)", t.Title, points)))
	}
	if len(v.Tasks) > 0 {
		fmt.Fprintf(a.Out, "\nRead a task: labctl show %s %s\n", shellescape.Quote(called), v.Tasks[0].Name)
	}
}

func showTask(a *cli.App, lab *labs.Lab, t *taskView, called string) {
	fmt.Fprintln(a.Out, a.Hang("", a.Style().Heading(t.Title)))
	text := strings.TrimSpace(t.Instructions)
	// Instructions may begin with the title as their heading; once is enough.
	text = strings.TrimSpace(strings.TrimPrefix(text, "# "+t.Title+"\n"))
	if text != "" {
		fmt.Fprintf(a.Out, "%s\n\n", a.Prose(text))
	}
	showSetup(a, lab, t)
	fmt.Fprintln(a.Out, "Graded:")
	width := 0
	for i := range t.Objectives {
		width = max(width, len(t.Objectives[i].Name))
	}
	for i := range t.Objectives {
		o := &t.Objectives[i]
		fmt.Fprint(a.Out, a.Hang(fmt.Sprintf("  %-*s  ", width, o.Name), fmt.Sprintf("%s (%s)", o.Title, o.worth())))
	}
	if len(t.Hints) > 0 {
		fmt.Fprintf(a.Out, "\n%s: labctl hint %s %s\n", wording.Count(len(t.Hints), "hint"), shellescape.Quote(called), t.Name)
	}
}

func showObjective(a *cli.App, o *objectiveView) {
	fmt.Fprint(a.Out, a.Hang("", fmt.Sprintf("%s (%s)", o.Title, o.worth())))
	if strings.TrimSpace(o.Description) != "" {
		fmt.Fprintf(a.Out, "\n%s\n", describe(a, o.Description))
	}
	if len(o.DependsOn) > 0 {
		fmt.Fprintf(a.Out, "\nEarns points only if %s is met.\n", strings.Join(o.DependsOn, ", "))
	}
}

// describe is a description, which is Markdown that labs write as one paragraph: a pipe gets it wrapped.
func describe(a *cli.App, text string) string {
	if a.Terminal.Is {
		return a.Prose(text)
	}
	return strings.Join(report.Wrap(strings.TrimSpace(text), a.Terminal.Width), "\n")
}

// worth is "1 point", "3 points, bonus".
func (o *objectiveView) worth() string {
	text := report.Points(o.Points)
	if o.Bonus {
		text += ", bonus"
	}
	return text
}

// findObjective returns the task's objective of a name; a hidden one is as if it did not exist.
func findObjective(t *taskView, name string) (*objectiveView, error) {
	names := make([]string, len(t.Objectives))
	for i := range t.Objectives {
		if t.Objectives[i].Name == name {
			return &t.Objectives[i], nil
		}
		names[i] = t.Objectives[i].Name
	}
	return nil, fmt.Errorf("the task %s has no objective %q; it has %s", t.Name, name, strings.Join(names, ", "))
}
